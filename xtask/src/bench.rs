//! Measures skep beside the peers that are installed, in one run, and prints ratios.

use std::path::Path;

/// Runs the named benches, or all.
pub fn run(_root: &Path, _args: &[String]) -> Result<(), String> {
    Err("no bench".to_owned())
}
