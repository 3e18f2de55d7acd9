//! Named choices. Every choice a user can make by name (variant, family, task, haystack, scorer, exporter)
//! is one [`Entry`] of a constant table; parsing, help, `niah list` and the conformance tests walk the tables.

use crate::error::Error;

/// One row of a table of named choices.
#[derive(Debug)]
pub struct Entry<T> {
    /// The name a user types: kebab-case, unique in its table.
    pub name: &'static str,
    /// One line of help.
    pub about: &'static str,
    /// What the name stands for.
    pub value: T,
}

/// Finds the entry of `table` with this `name` (`_` is accepted for `-`), or says which names are known.
///
/// # Errors
/// [`Error::UnknownChoice`] naming `kind` and every known name.
pub fn find<'t, T>(kind: &'static str, table: &'t [Entry<T>], name: &str) -> Result<&'t Entry<T>, Error> {
    let wanted = name.trim().to_lowercase().replace('_', "-");
    table.iter().find(|entry| entry.name == wanted).ok_or_else(|| Error::UnknownChoice {
        kind,
        found: name.to_string(),
        known: table.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", "),
    })
}
