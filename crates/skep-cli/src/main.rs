//! The `skep` command: parses the command line and hands it to one file a subcommand.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod exit;

/// The whole of eBPF in one binary.
#[derive(Parser)]
#[command(name = "skep", version, about)]
struct Args {
    /// Print machine-readable JSON instead of tables.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {}

fn main() -> ExitCode {
    let args = Args::parse();
    let _ = args.json;
    match args.command {}
}
