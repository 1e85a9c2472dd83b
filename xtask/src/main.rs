//! The project's own chores, one subcommand a file: `cargo xtask tidy | test | codegen | bench | fuzz | oracle`.

use std::path::PathBuf;
use std::process::ExitCode;

mod bench;
mod codegen;
mod foreign;
mod fuzz;
mod oracle;
mod setup;
mod test;
mod tidy;

const USAGE: &str = "usage: cargo xtask COMMAND

  test [--no-setup]     installs what the tests need, then runs all of them, the lints and tidy
       [--arm64]        only builds the tests of compiled code for arm64 and runs them in qemu's user mode
  tidy                  checks the house rules of ARCHITECTURE.md
  codegen [--check]     writes (or checks) the generated reference pages under docs/reference
  bench [NAME...]       measures beside the peers that are installed and prints ratios
  fuzz [--seconds N]    runs each parser's fuzz target for N seconds (default 60)
  oracle [OPTIONS]      compares the verifier with tables of what real kernels said (`--help` lists the options)";

/// The workspace's root folder.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let result = match args.first().map(String::as_str) {
        Some("tidy") => tidy::run(&root()),
        Some("test") => test::run(&root(), rest),
        Some("codegen") => codegen::run(&root(), rest),
        Some("bench") => bench::run(&root(), rest),
        Some("fuzz") => fuzz::run(&root(), rest),
        Some("oracle") => oracle::run(&root(), rest),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
