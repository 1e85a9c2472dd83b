//! The `skep` command: parses the command line and hands it to one file a subcommand.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod commands;
mod exit;
mod output;

use commands::conformance_plugin::{self, ConformancePlugin};
use exit::{Exit, Failure};

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
    Run(commands::run::RunArgs),
    TestRun(commands::test_run::TestRunArgs),
    Verify(commands::verify::Verify),
    Explain(commands::explain::Explain),
    Maps(commands::maps::Maps),
    Inspect(commands::inspect::Inspect),
    Asm(commands::asm::Asm),
    Disasm(commands::disasm::Disasm),
    Btf(commands::btf::BtfCommand),
    ConformancePlugin(ConformancePlugin),
}

fn main() -> ExitCode {
    let args = Args::parse();
    report_bugs();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(args)));
    match outcome {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => {
            eprintln!("skep: {}", output::value::message(&failure.text));
            failure.exit.into()
        }
        Err(_) => Exit::Bug.into(),
    }
}

fn run(args: Args) -> Result<ExitCode, Failure> {
    let json = args.json;
    match args.command {
        Command::Run(args) => commands::run::run(&args, json).map(ExitCode::from),
        Command::TestRun(args) => commands::test_run::run(&args, json).map(ExitCode::from),
        Command::Verify(command) => command.run(json).map(ExitCode::from),
        Command::Explain(command) => command.run(json).map(|()| ExitCode::SUCCESS),
        Command::Maps(command) => command.run(json).map(|()| ExitCode::SUCCESS),
        Command::Inspect(command) => command.run(json).map(|()| ExitCode::SUCCESS),
        Command::Asm(command) => command.run().map(|()| ExitCode::SUCCESS),
        Command::Disasm(command) => command.run(json).map(|()| ExitCode::SUCCESS),
        Command::Btf(command) => command.run(json).map(|()| ExitCode::SUCCESS),
        Command::ConformancePlugin(plugin) => match plugin.run() {
            Ok(r0) => output::print(&format!("{r0}\n")).map(|()| ExitCode::SUCCESS),
            Err(failure) => {
                let (exit, text) = match failure {
                    conformance_plugin::Failure::Rejected(text) => (Exit::Rejected, text),
                    conformance_plugin::Failure::Usage(text) => (Exit::Usage, text),
                    conformance_plugin::Failure::NotSupported(text) => (Exit::NotSupported, text),
                    conformance_plugin::Failure::System(text) => (Exit::System, text),
                };
                Err(Failure { exit, text })
            }
        },
    }
}

/// Turns a panic, which is always our mistake, into a report that can be sent.
fn report_bugs() {
    std::panic::set_hook(Box::new(|info| {
        eprintln!("skep: internal error: {info}");
        eprintln!(
            "This is a bug in skep {}, not in your program.",
            env!("CARGO_PKG_VERSION")
        );
        eprintln!("Please report it with the command line and, if you can, the input file.");
    }));
}
