//! The `niah` binary: parse, dispatch, print the error, choose the exit code.

use std::process::ExitCode;

use clap::Parser;
use niah::cli::{Cli, Command};
use niah::commands;
use niah::error::{Error, Result};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("niah: {error}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn run() -> Result<()> {
    let cli = Cli::parse_from(commands::config_file::expand(std::env::args().collect())?);
    let style = commands::style(&cli.drawing)?;
    match cli.command {
        Command::Run(args) => commands::run::run(&args, &style),
        Command::View(args) => commands::view::run(&args, &style),
        Command::Attend(args) => commands::attend::run(&args, &style),
        Command::Prompts(args) => commands::prompts::run(&args),
        Command::List(args) => commands::list::run(&args),
    }
}

/// 1 when the run failed, 2 when it could not begin as it was asked for.
fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Compute(_) | Error::Interrupted | Error::Failed(_) => 1,
        _ => 2,
    }
}
