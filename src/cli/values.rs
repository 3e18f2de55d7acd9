//! Values of flags that are names in a table of [`crate::registry`]: help and completions list what the table
//! holds.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command};

use crate::error::Error;
use crate::registry::{self, Entry};

/// A parser whose help lists names with their descriptions.
#[derive(Clone)]
pub(super) struct Listed<P> {
    parser: P,
    names: Vec<(&'static str, &'static str)>,
}

impl<P> Listed<P> {
    /// The same with a name in front that is in no table.
    pub(super) fn and(mut self, name: &'static str, about: &'static str) -> Self {
        self.names.insert(0, (name, about));
        self
    }
}

impl<P: TypedValueParser> TypedValueParser for Listed<P> {
    type Value = P::Value;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        self.parser.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.names.iter().map(|(name, about)| PossibleValue::new(*name).help(*about))))
    }
}

/// A name of `table`, whose rows are each a `kind`; any other is refused.
pub(super) fn choice<T: Copy + Send + Sync>(
    kind: &'static str,
    table: &'static [Entry<T>],
) -> Listed<impl Fn(&str) -> Result<T, Error> + Clone + Send + Sync> {
    Listed { parser: move |text: &str| Ok(registry::find(kind, table, text)?.value), names: rows(table) }
}

/// Any text, of which those in `table` have a meaning of their own. Whoever uses the text refuses what it
/// cannot be.
pub(super) fn named<T>(table: &'static [Entry<T>]) -> Listed<StringValueParser> {
    Listed { parser: StringValueParser::new(), names: rows(table) }
}

/// What `parser` reads, of which the names of `table` stand in help.
pub(super) fn listing<T, P>(parser: P, table: &'static [Entry<T>]) -> Listed<P> {
    Listed { parser, names: rows(table) }
}

/// A share from 0 to 1, as `0.85` or `85%`.
pub(super) fn fraction(text: &str) -> Result<f64, Error> {
    let number = match text.trim().strip_suffix('%') {
        Some(percent) => percent.trim_end().parse::<f64>().map(|percent| percent / 100.0),
        None => text.trim().parse(),
    };
    let share = number.ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| {
        Error::invalid("share", format!("{text:?}"), "0 to 1 or 0% to 100%, such as 0.85 or 85%")
    })
}

/// What an interval reaches to either side, as `0.05` or `5%`.
pub(super) fn half_width(text: &str) -> Result<f64, Error> {
    let width = fraction(text).ok().filter(|width| *width > 0.0 && *width < 0.5);
    width.ok_or_else(|| {
        Error::invalid("precision", format!("{text:?}"), "above 0 and below 0.5, such as 0.05 or 5%")
    })
}

/// A name of `table` and its share, as `needles=0.5`; without a number the share is 1.
pub(super) fn shares<T>(
    table: &'static [Entry<T>],
) -> Listed<impl Fn(&str) -> Result<(String, f64), Error> + Clone + Send + Sync> {
    Listed { parser: share, names: rows(table) }
}

fn rows<T>(table: &'static [Entry<T>]) -> Vec<(&'static str, &'static str)> {
    table.iter().map(|entry| (entry.name, entry.about)).collect()
}

fn share(text: &str) -> Result<(String, f64), Error> {
    let (name, share) = text.split_once('=').unwrap_or((text, "1"));
    let number = share.parse().map_err(|_| {
        Error::invalid("--mix", format!("{text:?}"), "a kind and its share, such as needles=0.5")
    })?;
    Ok((name.to_string(), number))
}
