//! The `niah` binary: parse, dispatch, print the error, choose the exit code.

use std::process::ExitCode;
use std::sync::LazyLock;

use clap::FromArgMatches;
use niah::checkpoint::DEFAULT_CHECKPOINT;
use niah::cli::Cli;
use niah::commands;
use niah::commands::environment::{self, Expanded};
use niah::error::{Error, Result};
use niah::isolation;

#[global_allocator]
static ALLOCATOR: niah::allocator::Allocator = niah::allocator::Allocator;

/// Characters of a commit that tell it from others.
const COMMIT_LENGTH: usize = 12;

/// What `--version` says. The commit stands in a file that the binary alone is made of (`build.rs`), so that
/// the library stays as it is compiled when a commit is made.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = include_str!(env!("NIAH_COMMIT_FILE")).trim();
    let features = [
        ("accelerate", cfg!(feature = "accelerate")),
        ("candle-engine", cfg!(feature = "candle-engine")),
        ("cuda", cfg!(feature = "cuda")),
        ("metal", cfg!(feature = "metal")),
        ("png", cfg!(feature = "png")),
    ];
    let features: Vec<&str> = features.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    let features = if features.is_empty() { "none".to_string() } else { features.join(", ") };
    let commit = commit.get(..COMMIT_LENGTH).unwrap_or(commit);
    format!("{} (commit {commit}, features: {features})", env!("CARGO_PKG_VERSION"))
});

fn main() -> ExitCode {
    niah::process::outlive_file_size_limit();
    niah::process::explain_lost_mappings();
    niah::process::fit_into_address_space();
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == isolation::ARGUMENT) {
        niah::tokenizer::serve_isolated(&arguments.next().unwrap_or_default().to_string_lossy());
        return ExitCode::SUCCESS;
    }
    if let Some(program) = isolation::this_program() {
        isolation::set_program(program);
    }
    let mut set = Vec::new();
    match run(&mut set) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = Expanded::named(&set, niah::cli::with_flags(error));
            commands::tell(format_args!("niah: {}", error.one_line()));
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Does what was asked for; `set` takes the flags that the environment has set.
fn run(set: &mut Vec<&'static str>) -> Result<()> {
    let arguments = commands::config_file::expand(arguments()?)?;
    let expanded = environment::expand(arguments, |name| std::env::var(name).ok())?;
    let arguments = expanded.arguments;
    *set = expanded.set;
    let command = niah::cli::command().version(VERSION.as_str());
    let matches = command.try_get_matches_from(arguments).unwrap_or_else(|error| commands::refuse(error));
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| commands::refuse(error));
    let style = commands::style(&cli.drawing)?;
    if niah::cli::takes_default_checkpoint(&matches) {
        commands::tell(format_args!("no model named: using {DEFAULT_CHECKPOINT}, which comes with niah"));
    }
    commands::run(&cli.command, &niah::cli::given_flags(&matches), &style)
}

fn arguments() -> Result<Vec<String>> {
    let text = |argument: std::ffi::OsString| {
        let wrong = |argument| Error::invalid("command line", format!("{argument:?}"), "names in UTF-8");
        argument.into_string().map_err(wrong)
    };
    std::env::args_os().map(text).collect()
}

/// 1 when the run failed, 2 when it could not begin as it was asked for, and what a shell gives a command
/// that Ctrl-C ended (128 and the number of the signal) when the user stopped it.
fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Interrupted | Error::Stopped(_) => commands::STOPPED,
        Error::Compute(_) | Error::Output { .. } | Error::Failed(_) => 1,
        _ => 2,
    }
}
