//! Exit codes of the command: stable, so that scripts can tell whose fault a failure is.
