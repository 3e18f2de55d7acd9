//! `NIAH_*`: environment variables in the place of flags that say how results are shown and where they are
//! computed. What is computed is said by the command line alone.

use clap::parser::ValueSource;
use clap::{Arg, Command};

use super::config_file::{command_of, is_ruled_out};
use crate::cli::takes_value;
use crate::error::{Error, Result};

/// The flags that have a variable.
pub const FLAGS: &[&str] =
    &["palette", "color", "ascii", "width", "csv-safe", "output-format", "device", "threads"];

/// The variable of a flag: `NIAH_CSV_SAFE` of `csv-safe`.
#[must_use]
pub fn variable(flag: &str) -> String {
    format!("NIAH_{}", flag.to_uppercase().replace('-', "_"))
}

/// A command line with the flags of variables put in.
#[derive(Debug, PartialEq, Eq)]
pub struct Expanded {
    /// The command line.
    pub arguments: Vec<String>,
    /// The flags, without dashes, that a variable has set.
    pub set: Vec<&'static str>,
}

impl Expanded {
    /// The error with a variable in the place of the flag that it has set.
    #[must_use]
    pub fn named(set: &[&str], error: Error) -> Error {
        match &error {
            Error::InvalidValue { name, found, expected } => {
                let flag = set.iter().find(|flag| name.strip_prefix("--") == Some(flag));
                let name = flag.map_or_else(|| name.clone(), |flag| variable(flag));
                Error::InvalidValue { name, found: found.clone(), expected: expected.clone() }
            }
            Error::UnknownChoice { kind, found, .. } if set.contains(kind) => {
                let known = error.to_string();
                Error::invalid(variable(kind), format!("{found:?}"), format!("a value of --{kind}: {known}"))
            }
            _ => error,
        }
    }
}

/// Puts the flags of variables into a command line that has `_` for `-` and its configuration file read
/// already; what is typed or stands in that file goes before. An empty variable is none.
///
/// # Errors
/// [`Error::InvalidValue`] with the name of a variable whose value its flag does not take.
pub fn expand(mut arguments: Vec<String>, value: impl Fn(&str) -> Option<String>) -> Result<Expanded> {
    let given = |flag: &&'static str| {
        let value = value(&variable(flag)).filter(|value| !value.is_empty())?;
        Some((*flag, value))
    };
    let given: Vec<(&str, String)> = FLAGS.iter().filter_map(given).collect();
    let mut set = Vec::new();
    if given.is_empty() {
        return Ok(Expanded { arguments, set });
    }
    let Some((place, command, typed)) = command_of(&arguments) else {
        return Ok(Expanded { arguments, set });
    };
    for (flag, value) in given {
        let Some(takes_value) = takes_value(&command, flag) else { continue };
        let argument = match (takes_value, truth(&value)) {
            (true, _) => Some(format!("--{flag}={value}")),
            (false, Some(true)) => Some(format!("--{flag}")),
            (false, Some(false)) => None,
            (false, None) => return Err(wrong(flag, &value, "1 or 0")),
        };
        let Some(argument) = argument else { continue };
        if typed.as_ref().is_some_and(|typed| is_ruled_out(&command, typed, &argument)) {
            continue;
        }
        if let Some(problem) = problem(&command, flag, &argument) {
            return Err(wrong(flag, &value, &format!("a value of --{flag}: {problem}")));
        }
        arguments.insert(place + 1, argument);
        set.push(flag);
    }
    Ok(Expanded { arguments, set })
}

fn wrong(flag: &str, value: &str, expected: &str) -> Error {
    Error::invalid(variable(flag), format!("{value:?}"), expected)
}

fn truth(value: &str) -> Option<bool> {
    match value.to_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// What is wrong with a flag and its value by themselves.
fn problem(command: &Command, flag: &str, argument: &str) -> Option<String> {
    let own = command.get_arguments().find(|arg| arg.get_long() == Some(flag))?;
    let alone: Arg = own.clone().required(false);
    let alone = Command::new("niah").no_binary_name(true).disable_help_flag(true).arg(alone);
    let matches = alone.try_get_matches_from([argument]);
    let found = matches.as_ref().map(|matches| matches.value_source(own.get_id().as_str()));
    match (found, &matches) {
        (Ok(Some(ValueSource::CommandLine)), _) => None,
        (_, Err(error)) => {
            let rendered = error.render().to_string();
            let line = rendered.lines().next().unwrap_or_default();
            Some(line.trim_start_matches("error: ").to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(words: &[&str], variables: &[(&str, &str)]) -> Result<Expanded> {
        let value = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_string())
        };
        expand(words.iter().map(ToString::to_string).collect(), value)
    }

    #[test]
    fn a_variable_stands_in_the_place_of_its_flag() {
        let variables =
            [("NIAH_PALETTE", "rag"), ("NIAH_ASCII", "1"), ("NIAH_CSV_SAFE", "0"), ("NIAH_WIDTH", "")];
        let Expanded { arguments, set } = expanded(&["niah", "view", "out"], &variables).unwrap();
        assert_eq!(arguments, ["niah", "view", "--ascii", "--palette=rag", "out"]);
        assert_eq!(set, ["palette", "ascii"]);
        let bare = expanded(&["niah", "view", "out"], &[]).unwrap();
        assert_eq!((bare.arguments.len(), bare.set.len()), (3, 0));
    }

    #[test]
    fn what_is_typed_goes_before_a_variable_and_a_command_without_the_flag_has_none() {
        let variables = [("NIAH_PALETTE", "rag"), ("NIAH_THREADS", "2")];
        let typed = expanded(&["niah", "view", "out", "--palette", "viridis"], &variables).unwrap();
        assert_eq!(typed.arguments, ["niah", "view", "out", "--palette", "viridis"]);
        assert_eq!(expanded(&["niah", "--version"], &variables).unwrap().arguments, ["niah", "--version"]);
    }

    #[test]
    fn a_wrong_value_is_told_by_the_name_of_its_variable() {
        for (name, value, words) in [
            ("NIAH_COLOR", "pink", "--color"),
            ("NIAH_WIDTH", "wide", "--width"),
            ("NIAH_ASCII", "maybe", "1 or 0"),
            ("NIAH_OUTPUT_FORMAT", "xml", "table, csv, json"),
        ] {
            let error = expanded(&["niah", "view", "out"], &[(name, value)]).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{name}: found \"{value}\"")) && error.contains(words),
                "{error}"
            );
        }
        let late = Error::invalid("--threads", 0, "1 to 1024");
        assert!(Expanded::named(&["threads"], late).to_string().starts_with("NIAH_THREADS: found 0"));
        let unknown = crate::registry::find("palette", crate::export::palette::PALETTES, "pink").map(|_| ());
        let named = Expanded::named(&["palette"], unknown.unwrap_err()).to_string();
        assert!(
            named.starts_with("NIAH_PALETTE: found \"pink\"") && named.contains("viridis, rag"),
            "{named}"
        );
        let typed = Error::invalid("--threads", 0, "1 to 1024");
        assert!(Expanded::named(&["device"], typed).to_string().starts_with("--threads: found 0"));
    }

    #[test]
    fn every_variable_is_of_a_flag_and_stands_in_the_help() {
        let mut command = crate::cli::command();
        let help = command.render_long_help().to_string();
        command.build();
        for flag in FLAGS {
            assert!(help.contains(&variable(flag)), "{flag} in {help}");
            let known = command.get_subcommands().any(|command| takes_value(command, flag).is_some());
            assert!(known, "no command has --{flag}");
        }
    }
}
