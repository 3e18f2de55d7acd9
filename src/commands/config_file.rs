//! `--config FILE`: a TOML file whose keys are flags. Its values stand before those of the command line, which so wins.

use std::path::Path;

use clap::CommandFactory;
use toml::{Table, Value};

use crate::cli::{Cli, takes_value, with_dashes};
use crate::error::{Error, Result};

/// The command line with `_` in flag names read as `-`, and with the flags of its configuration file put in.
///
/// # Errors
/// When the file cannot be read, is no TOML, or holds a key that is no flag of the command.
pub fn expand(arguments: Vec<String>) -> Result<Vec<String>> {
    let mut arguments: Vec<String> = arguments.iter().map(|argument| with_dashes(argument)).collect();
    let Some(file) = config_of(&arguments) else { return Ok(arguments) };
    let cli = Cli::command();
    let found =
        arguments.iter().enumerate().skip(1).find_map(|(i, name)| Some((i, cli.find_subcommand(name)?)));
    let Some((place, command)) = found else { return Ok(arguments) };
    let flags = flags(Path::new(&file), command)?;
    arguments.splice(place + 1..place + 1, flags);
    Ok(arguments)
}

fn config_of(arguments: &[String]) -> Option<String> {
    let at =
        arguments.iter().position(|argument| argument == "--config" || argument.starts_with("--config="))?;
    match arguments[at].split_once('=') {
        Some((_, file)) => Some(file.to_string()),
        None => arguments.get(at + 1).cloned(),
    }
}

fn flags(path: &Path, command: &clap::Command) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::file(path, error))?;
    let table: Table = text.parse().map_err(|error| Error::file(path, format!("broken TOML: {error}")))?;
    let mut flags = Vec::new();
    for (key, value) in table {
        let flag = key.replace('_', "-");
        let takes_value = takes_value(command, &flag).filter(|_| flag != "config").ok_or_else(|| {
            let known: Vec<_> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
            Error::invalid(
                path.display().to_string(),
                format!("key {key:?}"),
                format!("one of {}", known.join(", ")),
            )
        })?;
        match (takes_value, &value) {
            (true, _) => flags.push(format!("--{flag}={}", text_of(path, &key, &value)?)),
            (false, Value::Boolean(true)) => flags.push(format!("--{flag}")),
            (false, Value::Boolean(false)) => {}
            (false, _) => return Err(wrong(path, &key, &value, "true or false")),
        }
    }
    Ok(flags)
}

/// A value as it would be typed; a list is joined with commas.
fn text_of(path: &Path, key: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Array(items) => {
            let items = items.iter().map(|item| text_of(path, key, item));
            Ok(items.collect::<Result<Vec<_>>>()?.join(","))
        }
        _ => Err(wrong(path, key, value, "a string, a number or a list of them")),
    }
}

fn wrong(path: &Path, key: &str, value: &Value, expected: &str) -> Error {
    Error::invalid(format!("{}: {key}", path.display()), value, expected)
}
