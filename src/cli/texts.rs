//! Texts as the values of flags: they may begin with a hyphen, as a line of a list does, and are given once.

use clap::{Arg, ArgAction, Command};

use super::with_dashes;
use crate::error::{Error, Result};

/// How help names the value of a flag that takes any text.
const TEXT: &str = "TEXT";

/// The command line with texts that begin with a hyphen joined to their flag, as `--needle=- Buy milk`: clap would take them for
/// flags. `cli` is built.
///
/// # Errors
/// [`Error::InvalidValue`] when a flag of the command stands where a text should, or a text is given twice and only one counts.
pub fn join_texts(cli: &Command, arguments: Vec<String>) -> Result<Vec<String>> {
    let command = arguments.iter().skip(1).find_map(|name| cli.find_subcommand(name));
    let Some(command) = command else { return Ok(arguments) };
    let (mut joined, mut given) = (Vec::with_capacity(arguments.len()), Vec::new());
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            joined.push(argument);
            joined.extend(rest.by_ref());
            break;
        }
        let typed = with_dashes(&argument);
        let name = typed.split('=').next().unwrap_or_default();
        let Some(flag) = text_flag(command, name) else {
            joined.push(argument);
            continue;
        };
        if given.contains(&flag.get_id()) && !matches!(flag.get_action(), ArgAction::Append) {
            return Err(Error::invalid(name, "it twice", "one text"));
        }
        given.push(flag.get_id());
        if typed.contains('=') {
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

/// The flag of this name that takes a text.
fn text_flag<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let takes_text =
        |arg: &&Arg| arg.get_value_names().is_some_and(|names| names.len() == 1 && names[0] == TEXT);
    command
        .get_arguments()
        .filter(takes_text)
        .find(|arg| arg.get_long().is_some_and(|long| name == format!("--{long}")))
}

/// Whether it would be read as a flag of the command, with its value or without.
fn is_flag(command: &Command, argument: &str) -> bool {
    let typed = with_dashes(argument);
    let long = typed.strip_prefix("--").map(|name| name.split('=').next().unwrap_or_default());
    let short = argument.strip_prefix('-').filter(|_| !argument.contains(char::is_whitespace));
    let short = short.and_then(|name| name.chars().next());
    typed == "--"
        || command.get_arguments().any(|arg| {
            let mut names = arg.get_long().into_iter().chain(arg.get_visible_aliases().into_iter().flatten());
            names.any(|name| Some(name) == long) || (arg.get_short().is_some() && arg.get_short() == short)
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

    #[test]
    fn a_text_that_would_hide_another_is_refused() {
        for line in [
            &["niah", "run", "--needle", "a", "--needle", "b"][..],
            &["niah", "run", "--needle=a", "--needle", "b"],
            &["niah", "compare", "a", "b", "--system-instruction=a", "--system_instruction=b"],
        ] {
            assert!(joined(line).unwrap_err().to_string().contains("found it twice"), "{line:?}");
        }
        let several = ["niah", "attend", "--needle=a", "--needle=b"];
        assert_eq!(joined(&several).unwrap(), several);
    }
}
