//! Where the embedded engine gets events: packets, supervised processes.
