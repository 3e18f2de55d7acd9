//! What the library calls settings, as the flags that were typed.

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command};

use super::names;
use crate::error::Error;

/// An error with flags in the place of settings, as they were typed.
#[must_use]
pub fn with_flags(error: Error) -> Error {
    let typed = typed();
    error.renamed(|words| flag_of(words, &typed))
}

/// A refusal of the command line as `rendered`, with the flag in the place of a setting whose value the
/// library refuses.
#[must_use]
pub fn with_typed_flag(error: &clap::Error, rendered: &str) -> String {
    match refused_value(error, &typed()) {
        Some((said, named)) => rendered.replacen(&said, &named, 1),
        None => rendered.to_string(),
    }
}

/// The command line.
fn typed() -> Vec<String> {
    std::env::args_os().map(|word| super::with_dashes(&word.to_string_lossy())).collect()
}

/// The flag of a setting: of the command that was `typed` where it has one, by the name that was typed, or
/// else of the first command that has. `None` for anything else.
fn flag_of(words: &str, typed: &[String]) -> Option<String> {
    let wanted = spellings(words)?;
    let commands = super::command();
    let own = typed.iter().skip(1).find_map(|word| commands.find_subcommand(word));
    let known = own.into_iter().chain(commands.get_subcommands());
    let arg = { known }.find_map(|command| wanted.iter().find_map(|name| find(command, name)))?;
    let is_typed = |name: &&str| {
        let flag = format!("--{name}");
        typed
            .iter()
            .any(|word| word.strip_prefix(&flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))
    };
    names(arg).find(is_typed).or(arg.get_long()).map(|name| format!("--{name}"))
}

/// What is wrong with a value, when the library has said it, in the words of the library and with the flag
/// that the value was given to.
fn refused_value(error: &clap::Error, typed: &[String]) -> Option<(String, String)> {
    let said = std::error::Error::source(error)?.downcast_ref::<Error>()?;
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = argument.split(' ').next().filter(|flag| flag.starts_with("--"));
    let mut named = said.clone();
    if let (Error::InvalidValue { name, .. }, Some(flag)) = (&mut named, flag) {
        *name = flag.to_string();
    }
    Some((said.to_string(), named.renamed(|words| flag_of(words, typed)).to_string()))
}

/// How a flag for these words may be spelled, without dashes; nothing where they are no words of a setting.
fn spellings(words: &str) -> Option<Vec<String>> {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == ' ';
    if words.is_empty() || !words.chars().all(is_word) {
        return None;
    }
    let name = words.replace(' ', "-");
    let one = name.strip_suffix('s').map(str::to_string);
    Some([Some(name.clone()), Some(format!("{name}s")), one].into_iter().flatten().collect())
}

fn find<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| names(arg).any(|known| known == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(words: &str, line: &str) -> Option<String> {
        flag_of(words, &line.split(' ').map(str::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn a_setting_is_called_by_the_flag_of_the_command_that_was_typed() {
        for (words, line, expected) in [
            ("context length", "niah loss", "--context-length"),
            ("context length", "niah run -m x", "--context-lengths"),
            ("context lengths", "niah loss", "--context-length"),
            ("depth", "niah run", "--depths"),
            ("depth", "niah view out", "--depth"),
            ("context length", "niah view out", "--context-length"),
            ("context length", "niah view out --length 7", "--length"),
            ("apply chat template", "niah run", "--apply-chat-template"),
            ("lr", "niah train", "--lr"),
            // Of another command, where the own one has none.
            ("rope theta scale", "niah inspect m", "--rope-theta-scale"),
            ("ids file", "niah logits", "--ids-file"),
        ] {
            assert_eq!(flag(words, line).as_deref(), Some(expected), "{words}, {line}");
        }
        for words in ["command line", "B", "config.json: depth", "", "--depth", "no such thing"] {
            assert_eq!(flag(words, "niah run"), None, "{words}");
        }
    }

    #[test]
    fn regression_a_value_is_refused_under_the_flag_that_it_was_given_to() {
        for (line, flag) in [
            ("niah loss --context-length abc", "--context-length"),
            ("niah run --context-lengths 1k,abc", "--context-lengths"),
            ("niah view x --depth 400", "--depth"),
            ("niah run --depths 400", "--depths"),
            ("niah logits m --ids 1 -o x --attentions some", "--attentions"),
        ] {
            let typed: Vec<String> = line.split(' ').map(str::to_string).collect();
            let error = crate::cli::command().try_get_matches_from(&typed).unwrap_err();
            let (said, named) = refused_value(&error, &typed).unwrap();
            assert!(named.starts_with(&format!("{flag}: found ")) && !said.contains("--"), "{named}");
            assert!(error.render().to_string().contains(&said), "{error}");
        }
    }
}
