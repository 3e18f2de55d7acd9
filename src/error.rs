//! Errors that a user can cause. Each message names what was found, what was expected and what to do about
//! it.
//!
//! A setting is called by its words, `context length`, which stand between backticks in the middle of a text.
//! The command line puts the flag in their place that was typed ([`Error::renamed`]); other programs have
//! none.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use crate::printable;
use crate::registry::did_you_mean;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error a user can cause, with its remedy.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A name that is in no table.
    #[error("unknown {kind} {found:?}{}; known: {known}", did_you_mean(meant.as_deref()))]
    UnknownChoice {
        /// What kind of thing was named.
        kind: &'static str,
        /// The name that was given.
        found: String,
        /// The known name that is close to it.
        meant: Option<String>,
        /// Every known name.
        known: String,
    },
    /// A setting or configuration value that cannot be used.
    #[error("{name}: found {found}, expected {expected}")]
    InvalidValue {
        /// The words of the setting, or the key.
        name: String,
        /// What was given.
        found: String,
        /// What is accepted.
        expected: String,
    },
    /// A file or directory that cannot be read or written.
    #[error("{path}: {problem}", path = path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Results that could not be written while the run went on, as on a full disk.
    #[error("{path}: {problem}", path = path.display())]
    Output {
        /// Where they were to go.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A table on disk whose columns are not those this version writes.
    #[error("{path}: other columns than expected: {difference}; read it with the version of niah that wrote \
             it, or use another directory with -o", path = path.display())]
    Columns {
        /// The table.
        path: PathBuf,
        /// Which columns are missing, unknown or out of order.
        difference: String,
    },
    /// A tensor of a checkpoint that is missing or not as the configuration says.
    #[error("{path}: tensor {tensor}: expected {expected}, found {found}", path = path.display())]
    Tensor {
        /// The checkpoint file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What the configuration asks for.
        expected: String,
        /// What the file holds.
        found: String,
    },
    /// A prompt that cannot be built as asked.
    #[error("prompt of length {context_length} at depth {depth}: {problem}")]
    Prompt {
        /// The length asked for.
        context_length: String,
        /// The depth asked for.
        depth: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A tokenizer that cannot be built or fails on a text.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// A chat template that cannot be parsed or rendered.
    #[error("chat template: {0}")]
    ChatTemplate(String),
    /// Results of another plan in the output directory.
    #[error("{path} holds results of another plan: {difference}; use another directory with -o, or repeat \
             the old settings to continue it, with more trials, lengths or depths beside the old ones to add \
             to it", path = path.display())]
    PlanChanged {
        /// The output directory.
        path: PathBuf,
        /// The first differences, as `key: old -> new`.
        difference: String,
    },
    /// Runs that are not of one plan, so that their rows cannot be joined.
    #[error("{path} is of another plan than {first}: {difference}; join runs of one plan alone, which the same \
             flags make", path = path.display(), first = first.display())]
    PlansDiffer {
        /// The directory of one run.
        path: PathBuf,
        /// That of the run it is held against.
        first: PathBuf,
        /// The decisions that differ, as `key: old -> new`.
        difference: String,
    },
    /// Two rows of one trial that say different things.
    #[error("{0}")]
    RowsDiffer(Box<RowsDiffer>),
    /// Two runs that cannot be compared: trials of the same place had other prompts.
    #[error("A and {b} were not asked the same: {differing} of {compared} prompts that both have run differ, \
             the first of them (length:depth:trial) {first}{}; run both with the same tokenizer, task, \
             haystack and seed", settings.as_ref().map_or(String::new(), |settings| format!(" ({settings})")))]
    PromptsDiffer {
        /// The letter of the run that is held against A.
        b: String,
        /// Prompts that differ.
        differing: usize,
        /// Prompts that both have run.
        compared: usize,
        /// The first of those that differ.
        first: String,
        /// The settings that differ, as `key: A -> B`.
        settings: Option<String>,
    },
    /// A computation that failed or gave numbers that are not finite.
    #[error("{0}")]
    Compute(String),
    /// A run that came to its end with failed trials, or one that does not meet what is asked of it.
    #[error("{0}")]
    Failed(String),
    /// The user asked to stop; what was finished is kept.
    #[error("stopped")]
    Interrupted,
    /// The same, with what was finished and how to go on.
    #[error("{0}")]
    Stopped(String),
    /// Anything else that the message explains.
    #[error("{0}")]
    Message(String),
}

/// Two rows of one trial, in two tables, that say different things.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("trial {row_id} is in {path} and in {other}, and they differ in {column}: {found} in the first, \
         {other_found} in the second; remove the row that is wrong, or leave out one of the directories",
        path = path.display(), other = other.display())]
pub struct RowsDiffer {
    /// The trial.
    pub row_id: String,
    /// The table of the first row.
    pub path: PathBuf,
    /// The table of the second.
    pub other: PathBuf,
    /// The first column that differs.
    pub column: String,
    /// What the first row has in it.
    pub found: String,
    /// What the second row has in it.
    pub other_found: String,
}

/// Why something could not be written, with the limit that was met where the system's own words do not name
/// it.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::FileTooLarge => {
            format!("{error}: beyond the limit on the size of files (ulimit -f) or that of the file system")
        }
        _ => error.to_string(),
    }
}

impl Error {
    /// An [`Error::InvalidValue`].
    pub fn invalid(name: impl Into<String>, found: impl Display, expected: impl Into<String>) -> Self {
        Self::InvalidValue { name: name.into(), found: found.to_string(), expected: expected.into() }
    }

    /// An [`Error::File`].
    pub fn file(path: impl AsRef<Path>, problem: impl Display) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), problem: problem.to_string() }
    }

    /// An [`Error::Output`].
    pub fn output(path: impl AsRef<Path>, problem: impl Display) -> Self {
        Self::Output { path: path.as_ref().to_path_buf(), problem: problem.to_string() }
    }

    /// An [`Error::PromptsDiffer`] of these rows, the first few of which are named.
    #[must_use]
    pub fn prompts_differ(rows: &[&str], compared: usize) -> Self {
        const NAMED: usize = 3;
        let first = rows[..rows.len().min(NAMED)].join(", ");
        Self::PromptsDiffer { b: "B".to_string(), differing: rows.len(), compared, first, settings: None }
    }

    /// The same error with settings under the names that `name` has for their words, where it has one.
    #[must_use]
    pub fn renamed(mut self, name: impl Fn(&str) -> Option<String>) -> Self {
        if let Self::InvalidValue { name: setting, .. } = &mut self
            && let Some(known) = name(setting)
        {
            *setting = known;
        }
        for text in self.texts() {
            *text = renamed(text, &name);
        }
        self
    }

    /// The sentences that settings may stand in.
    fn texts(&mut self) -> Vec<&mut String> {
        match self {
            Self::InvalidValue { expected, .. } => vec![expected],
            Self::Tensor { expected, found, .. } => vec![expected, found],
            Self::File { problem, .. } | Self::Output { problem, .. } | Self::Prompt { problem, .. } => {
                vec![problem]
            }
            Self::Tokenizer(text)
            | Self::ChatTemplate(text)
            | Self::Compute(text)
            | Self::Failed(text)
            | Self::Stopped(text)
            | Self::Message(text) => vec![text],
            Self::UnknownChoice { .. }
            | Self::Columns { .. }
            | Self::PlanChanged { .. }
            | Self::PlansDiffer { .. }
            | Self::RowsDiffer(_)
            | Self::PromptsDiffer { .. }
            | Self::Interrupted => Vec::new(),
        }
    }

    /// The message on one line, without what a terminal would obey and without the middle of a name of a
    /// megabyte: names and values out of files may hold anything.
    #[must_use]
    pub fn one_line(&self) -> String {
        printable::line(&printable::shortened(self.to_string().trim_end())).into_owned()
    }
}

/// A text with `name` of every setting between backticks in their place; what `name` does not know stays.
fn renamed(text: &str, name: impl Fn(&str) -> Option<String>) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once('`') {
        out += before;
        match behind.split_once('`').and_then(|(words, behind)| Some((name(words)?, behind))) {
            Some((name, behind)) => {
                out += &name;
                rest = behind;
            }
            None => {
                out.push('`');
                rest = behind;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_take_the_names_that_are_known_and_nothing_else_changes() {
        let flags = |words: &str| (words == "context length").then(|| "--length".to_string());
        let error =
            Error::invalid("context length", "abc", "a `context length`, no `tick`, `context length` or `");
        assert_eq!(
            error.to_string(),
            "context length: found abc, expected a `context length`, no `tick`, `context length` or `"
        );
        assert_eq!(
            error.renamed(flags).to_string(),
            "--length: found abc, expected a --length, no `tick`, --length or `"
        );
        let failed = Error::Failed("use a shorter `context length`".to_string()).renamed(flags);
        assert_eq!(failed.to_string(), "use a shorter --length");
        let depth = Error::invalid("depth", "400", "`depth` 0").renamed(flags);
        assert_eq!(depth.to_string(), "depth: found 400, expected `depth` 0");
    }
}
