//! Named choices. Every choice a user can make by name (variant, family, task, haystack, scorer, exporter) is
//! one [`Entry`] of a constant table; parsing, help, `niah list` and the conformance tests walk the tables.

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
    table.iter().find(|entry| entry.name.replace('_', "-") == wanted).ok_or_else(|| {
        let known: Vec<&str> = table.iter().map(|entry| entry.name).collect();
        unknown(kind, name, &known)
    })
}

/// The error for a `name` that is none of `known`, with the one that was probably meant.
#[must_use]
pub fn unknown(kind: &'static str, name: &str, known: &[&str]) -> Error {
    Error::UnknownChoice {
        kind,
        found: name.to_string(),
        meant: closest(name, known),
        known: known.join(", "),
    }
}

/// The name among `known` that `typed` is most probably a slip for.
#[must_use]
pub fn closest(typed: &str, known: &[&str]) -> Option<String> {
    let close = known.iter().filter(|name| is_close(typed, name));
    close.min_by_key(|name| strsim::osa_distance(typed, name)).map(ToString::to_string)
}

/// A question for a message, with a space in front; nothing where no name is close.
#[must_use]
pub fn did_you_mean(meant: Option<&str>) -> String {
    meant.map_or(String::new(), |meant| format!(" (did you mean {meant}?)"))
}

/// Whether `typed` may be a slip for `name`: at most one letter in three is wrong, missing, too many or
/// swapped with its neighbour (always one), or `name` goes on where three letters or more were typed.
///
/// ```
/// # use niah::registry::is_close;
/// assert!(is_close("sofmax", "softmax") && is_close("trails", "trials") && is_close("syn", "synthetic"));
/// assert!(!is_close("barn", "essays") && !is_close("f23", "bf16") && !is_close("s", "ssmax"));
/// ```
#[must_use]
pub fn is_close(typed: &str, name: &str) -> bool {
    let (typed, name) = (typed.to_lowercase().replace('_', "-"), name.to_lowercase());
    let letters = typed.chars().count().min(name.chars().count());
    // Nothing is close to a name of a thousand letters, and the search would take long.
    let may_be = typed.len() <= 4 * name.len() && letters > 1;
    may_be
        && ((letters >= 3 && name.starts_with(&typed))
            || strsim::osa_distance(&typed, &name) <= (letters / 3).max(1))
}
