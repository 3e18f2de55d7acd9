//! Texts as the values of flags: they may begin with a hyphen, as a line of a list does.

use clap::{Arg, Command};

use super::{names, with_dashes};
use crate::error::{Error, Result};

/// How help names the value of a flag that takes any text.
const TEXT: &str = "TEXT";

/// The command line with texts that begin with a hyphen joined to their flag, as `--needle=- Buy milk`: clap
/// would take them for flags. `cli` is built.
///
/// # Errors
/// [`Error::InvalidValue`] when a flag of the command stands where a text should.
pub fn join_texts(cli: &Command, arguments: Vec<String>) -> Result<Vec<String>> {
    let command = arguments.iter().skip(1).find_map(|name| cli.find_subcommand(name));
    let Some(command) = command else { return Ok(arguments) };
    let mut joined = Vec::with_capacity(arguments.len());
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            joined.push(argument);
            joined.extend(rest.by_ref());
            break;
        }
        let typed = with_dashes(&argument);
        let name = typed.split('=').next().unwrap_or_default();
        if typed.contains('=') || !is_text_flag(command, name) {
            joined.push(argument);
            continue;
        }
        match rest.next() {
            None => joined.push(argument),
            Some(text) if is_flag(command, &text) => {
                let expected = format!(
                    "a text; one that looks like a flag stands behind an equals sign: {name}='{text}'"
                );
                return Err(Error::invalid(name, format!("the flag {text:?}"), expected));
            }
            Some(text) => joined.push(format!("{name}={text}")),
        }
    }
    Ok(joined)
}

/// Whether a flag of this name takes a text.
fn is_text_flag(command: &Command, flag: &str) -> bool {
    let takes_text =
        |arg: &&Arg| arg.get_value_names().is_some_and(|names| names.len() == 1 && names[0] == TEXT);
    let mut texts = command.get_arguments().filter(takes_text);
    flag.strip_prefix("--").is_some_and(|flag| texts.any(|arg| names(arg).any(|name| name == flag)))
}

/// Whether it would be read as a flag of the command, with its value or without.
fn is_flag(command: &Command, argument: &str) -> bool {
    let typed = with_dashes(argument);
    let long = typed.strip_prefix("--").map(|name| name.split('=').next().unwrap_or_default());
    let short = argument.strip_prefix('-').filter(|_| !argument.contains(char::is_whitespace));
    let short = short.and_then(|name| name.chars().next());
    typed == "--"
        || command.get_arguments().any(|arg| {
            names(arg).any(|name| Some(name) == long)
                || (arg.get_short().is_some() && arg.get_short() == short)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(line: &[&str]) -> Result<Vec<String>> {
        let mut cli = crate::cli::command();
        cli.build();
        join_texts(&cli, line.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_text_may_begin_with_a_hyphen() {
        for text in [
            "- Five today.",
            "-5",
            "--",
            "-",
            "- n",
            "-- so it says",
            "-n 5 of them",
            "--unknown",
            "-zebra",
            "—",
            "plain",
        ] {
            let line = joined(&["niah", "run", "--needle", text, "--trials", "3"]);
            if text == "--" {
                assert!(line.is_err());
                continue;
            }
            assert_eq!(line.unwrap(), ["niah", "run", &format!("--needle={text}"), "--trials", "3"]);
        }
        let line =
            ["niah", "prompts", "--system_instruction", "-a_b", "-n", "3", "--answer=--task", "-o", "out"];
        let all = ["niah", "prompts", "--system-instruction=-a_b", "-n", "3", "--answer=--task", "-o", "out"];
        assert_eq!(joined(&line).unwrap(), all);
        let line = ["niah", "logits", "m", "--text", "- x", "--", "--text", "- y"];
        assert_eq!(joined(&line).unwrap()[3..], ["--text=- x", "--", "--text", "- y"]);
    }

    #[test]
    fn a_flag_is_not_taken_for_a_text_and_the_message_says_how_it_would_be_one() {
        for text in [
            "--question",
            "--question=Who?",
            "--context_lengths",
            "-n",
            "-n3",
            "-o",
            "--preset",
            "--color",
            "--help",
            "-h",
        ] {
            let message = joined(&["niah", "run", "--needle", text, "x"]).unwrap_err().to_string();
            assert!(message.contains(&format!("--needle='{text}'")), "{message}");
        }
    }
}
