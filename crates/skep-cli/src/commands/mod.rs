//! One file a subcommand.

pub mod conformance_plugin;
