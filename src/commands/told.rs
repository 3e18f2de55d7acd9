//! What is said on stderr: lines broken at words where a terminal shows them, and refusals of the command
//! line.

use std::fmt::Display;
use std::io::{self, Write};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli;
use crate::export::style::{Charset, Style};
use crate::printable;
use crate::registry::is_close;

/// Writes a line to stderr, hidden characters as escapes. Nothing depends on its arrival: a reader that has
/// gone away must not end a run.
pub fn tell(line: impl Display) {
    let line = printable::line(&printable::shortened(&line.to_string())).into_owned();
    let _ = writeln!(io::stderr(), "{}", fitted(&line, stderr_width()));
}

/// Writes warnings to stderr, a line each.
pub(super) fn warn(warnings: &[String]) {
    for warning in warnings {
        tell(format_args!("warning: {warning}"));
    }
}

/// Ends the program with what is wrong with the command line, or with the help that it asks for. Values that
/// a configuration file put into it may hold anything.
pub fn refuse(mut error: clap::Error) -> ! {
    if !error.use_stderr() {
        error.exit();
    }
    keep_close_suggestions(&mut error);
    let rendered = error.render().to_string();
    let text = cli::with_typed_flag(&error, &rendered);
    let width = stderr_width();
    let lines: Vec<String> = printable::lines(&text).lines().map(|line| fitted(line, width)).collect();
    let _ = writeln!(io::stderr(), "{}", lines.join("\n").trim_end());
    std::process::exit(error.exit_code());
}

/// Columns of the terminal that stderr is; none where it goes to a file or a pipe, whose lines stay whole.
pub(super) fn stderr_width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| usize::from(width.0))
}

/// A line broken at words, what is broken off as far from the edge as the line itself.
fn fitted(line: &str, width: Option<usize>) -> String {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let Some(width) = width.filter(|width| indent < width / 2) else { return line.to_string() };
    let style = Style { charset: Charset::Unicode, ..Style::plain(width - indent) };
    let lines = style.wrap(&line[indent..]);
    lines.iter().map(|part| format!("{:indent$}{part}", "")).collect::<Vec<_>>().join("\n")
}

/// Takes out what clap suggests for a slip of which little is right.
fn keep_close_suggestions(error: &mut clap::Error) {
    for (found, suggested) in [
        (ContextKind::InvalidArg, ContextKind::SuggestedArg),
        (ContextKind::InvalidSubcommand, ContextKind::SuggestedSubcommand),
        (ContextKind::InvalidValue, ContextKind::SuggestedValue),
    ] {
        let Some(ContextValue::String(typed)) = error.get(found) else { continue };
        let typed = name(typed).to_string();
        let close = |suggestion: &String| is_close(&typed, name(suggestion));
        let kept = match error.remove(suggested) {
            Some(ContextValue::String(one)) if close(&one) => ContextValue::String(one),
            Some(ContextValue::Strings(several)) => {
                let several: Vec<String> = several.into_iter().filter(close).collect();
                if several.is_empty() {
                    continue;
                }
                ContextValue::Strings(several)
            }
            _ => continue,
        };
        error.insert(suggested, kept);
    }
    if error.kind() == ErrorKind::UnknownArgument && error.get(ContextKind::SuggestedArg).is_none() {
        // The usage would be that of the flag that is not close. That a checkpoint could have such a name is
        // never meant.
        error.remove(ContextKind::Usage);
    }
    if error.kind() == ErrorKind::UnknownArgument {
        error.remove(ContextKind::Suggested);
    }
}

/// The name of a flag without dashes and value.
fn name(flag: &str) -> &str {
    flag.trim_start_matches('-').split(['=', ' ']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(words: &[&str]) -> String {
        let mut error = crate::cli::command().try_get_matches_from(words).unwrap_err();
        keep_close_suggestions(&mut error);
        error.render().to_string()
    }

    #[test]
    fn a_name_is_suggested_only_when_it_is_close_to_what_was_typed() {
        for (words, suggested) in [
            (&["niah", "run", "--trails", "3"][..], "'--trials'"),
            (&["niah", "run", "--needel=x"], "'--needle'"),
            (&["niah", "comparee"], "'compare'"),
            (&["niah", "view", "out", "--by", "tokn"], "'token'"),
        ] {
            let said = refused(words);
            assert!(said.contains("tip: ") && said.contains(suggested), "{said}");
        }
        for words in [
            &["niah", "run", "--sampling-temperature", "0"][..],
            &["niah", "run", "--max-concurrency", "2"],
            &["niah", "evaluate"],
            &["niah", "view", "out", "--by", "picture"],
        ] {
            let said = refused(words);
            assert!(!said.contains("tip: ") && !said.contains("Usage: niah run --"), "{said}");
        }
    }

    #[test]
    fn lines_are_broken_at_words_and_keep_their_indent() {
        let line = "warning: the prompts are longer than the model's positions";
        let broken = fitted(line, Some(30));
        assert!(broken.lines().all(|part| part.len() <= 30 && !part.ends_with(' ')), "{broken}");
        assert_eq!(broken.lines().collect::<Vec<_>>().join(" "), line);
        assert_eq!(
            fitted("  tip: a similar argument exists", Some(24)),
            "  tip: a similar\n  argument exists"
        );
        assert_eq!(fitted(line, None), line);
        assert_eq!(fitted(&format!("{:40}x", ""), Some(30)), format!("{:40}x", ""));
    }
}
