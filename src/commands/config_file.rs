//! `--config FILE`: a TOML file whose keys are flags. They are put into the command line, but for those that
//! the command line gives itself or rules out.

use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory};
use toml::{Table, Value};

use crate::cli::{self, Cli, join_texts, names, takes_value, with_dashes};
use crate::error::{Error, Result};
use crate::files;
use crate::registry::{closest, did_you_mean};

/// Bytes of a file of flags, at most.
const MOST_BYTES: u64 = 1 << 20;

/// The command line with `_` in flag names read as `-`, with texts joined to their flags, and with the flags
/// of its configuration file put in.
///
/// # Errors
/// Those of [`join_texts`], and when the file cannot be read, is no TOML, or holds a key that is no flag of
/// the command.
pub fn expand(arguments: Vec<String>) -> Result<Vec<String>> {
    let mut known = cli::command();
    known.build();
    let arguments = join_texts(&known, arguments)?;
    let mut arguments: Vec<String> = arguments.iter().map(|argument| with_dashes(argument)).collect();
    let Some(file) = config_of(&arguments) else { return Ok(arguments) };
    if arguments.iter().filter(|argument| is_config(argument)).count() > 1 {
        return Err(Error::invalid("--config", "it twice", "one file, with the keys of both"));
    }
    let Some((place, command, typed)) = command_of(&arguments) else { return Ok(arguments) };
    let flags = flags(Path::new(&file), &command)?;
    let free = |flag: &String| typed.as_ref().is_none_or(|typed| !is_ruled_out(&command, typed, flag));
    arguments.splice(place + 1..place + 1, flags.into_iter().filter(free));
    Ok(arguments)
}

/// Where the name of the command stands, the command, and what was typed of it; what is wrong or missing is
/// said when the whole is parsed.
pub(super) fn command_of(arguments: &[String]) -> Option<(usize, Command, Option<ArgMatches>)> {
    // Built, so that flags of every command are flags of this one; without the help flag, which would end the
    // parse.
    let mut cli = Cli::command().disable_help_flag(true).ignore_errors(true);
    cli.build();
    let mut names = arguments.iter().enumerate().skip(1);
    let (place, command) =
        names.find_map(|(place, name)| Some((place, cli.find_subcommand(name)?.clone())))?;
    let typed = cli.try_get_matches_from(arguments).ok();
    let typed = typed.and_then(|matches| matches.subcommand_matches(command.get_name()).cloned());
    Some((place, command, typed))
}

/// Whether `--flag` or `--flag=value` is typed as well, or cannot stand beside a flag that is.
pub(super) fn is_ruled_out(command: &Command, typed: &ArgMatches, flag: &str) -> bool {
    let name = flag.trim_start_matches('-').split('=').next();
    let Some(own) = command.get_arguments().find(|arg| names(arg).any(|long| Some(long) == name)) else {
        return false;
    };
    let excludes = |one: &Arg, other: &Arg| {
        command.get_arg_conflicts_with(one).iter().any(|conflict| conflict.get_id() == other.get_id())
    };
    command
        .get_arguments()
        .filter(|arg| typed.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine))
        .any(|arg| arg.get_id() == own.get_id() || excludes(arg, own) || excludes(own, arg))
}

fn is_config(argument: &String) -> bool {
    argument == "--config" || argument.starts_with("--config=")
}

fn config_of(arguments: &[String]) -> Option<String> {
    let at = arguments.iter().position(is_config)?;
    match arguments[at].split_once('=') {
        Some((_, file)) => Some(file.to_string()),
        None => arguments.get(at + 1).cloned(),
    }
}

fn flags(path: &Path, command: &clap::Command) -> Result<Vec<String>> {
    let text = files::read_text(path, MOST_BYTES).map_err(|error| {
        Error::file(path, format!("cannot read: {error}; give --config a TOML file whose keys are flags"))
    })?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count() + 1;
        let what = error.message().lines().collect::<Vec<_>>().join(", ");
        Error::file(path, format!("broken TOML in line {line}: {what}; write lines such as trials = 3"))
    })?;
    let mut flags = Vec::new();
    for (key, value) in table {
        let flag = key.replace('_', "-");
        let takes_value = takes_value(command, &flag).filter(|_| flag != "config").ok_or_else(|| {
            let known = command.get_arguments().filter_map(clap::Arg::get_long);
            let known: Vec<_> = known.filter(|flag| *flag != "config").collect();
            Error::invalid(
                path.display().to_string(),
                format!("key {key:?}"),
                format!("one of {}{}", known.join(", "), did_you_mean(closest(&flag, &known).as_deref())),
            )
        })?;
        let is_list = |arg: &Arg| names(arg).any(|name| name == flag) && arg.get_value_delimiter().is_some();
        match (takes_value, &value) {
            (true, Value::Array(_)) if !command.get_arguments().any(is_list) => {
                return Err(wrong(path, &key, &value, "one value"));
            }
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
