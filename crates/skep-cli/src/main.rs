//! The `skep` command: parses the command line and hands it to one file a subcommand.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod commands;
mod exit;

use commands::conformance_plugin::{ConformancePlugin, Failure};

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
enum Command {
    ConformancePlugin(ConformancePlugin),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let _ = args.json;
    match args.command {
        Command::ConformancePlugin(plugin) => match plugin.run() {
            Ok(r0) => {
                println!("{r0}");
                ExitCode::SUCCESS
            }
            Err(failure) => {
                let (code, text) = match failure {
                    Failure::Rejected(text) => (1, text),
                    Failure::Usage(text) => (2, text),
                    Failure::NotSupported(text) => (3, text),
                    Failure::System(text) => (4, text),
                };
                eprintln!("{text}");
                ExitCode::from(code)
            }
        },
    }
}
