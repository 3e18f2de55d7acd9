//! `niah list`: what can be named.

use serde_json::{Map, Value, json};

use super::print;
use crate::attention::variant::VARIANTS;
use crate::checkpoint::families::{BLACK_BOXES, FAMILIES};
use crate::checkpoint::{ARCHITECTURES, SHIPPED};
use crate::cli::ListArgs;
use crate::error::Result;
use crate::export::EXPORTERS;
use crate::export::figures::FIGURES;
use crate::haystack::HAYSTACKS;
use crate::laboratory::EXPERIMENTS;
use crate::registry::{self, Entry};
use crate::score::SCORERS;
use crate::stats::RULES;
use crate::task::TASKS;
use crate::task::groups::GROUPS;
use crate::train::data::KINDS as SEQUENCES;

/// The names of a table, with their descriptions.
pub(crate) type Rows = Vec<(&'static str, &'static str)>;
/// Writes kinds, each with its description and its names.
pub(crate) type Form = fn(&[(&'static str, &'static str, Rows)]) -> Result<String>;

/// Every table, by the name of its kind.
pub(crate) const KINDS: &[Entry<fn() -> Rows>] = &[
    Entry { name: "variants", about: "attention variants, for --variant", value: || rows(VARIANTS) },
    Entry {
        name: "families",
        about: "model families with a decoder here (model_type)",
        value: || rows(FAMILIES),
    },
    Entry {
        name: "black-boxes",
        about: "families without one, which --engine candle runs as black boxes (model_type)",
        value: || rows(BLACK_BOXES),
    },
    Entry {
        name: "architectures",
        about: "general.architecture of GGUF files that load, and its families",
        value: || rows(ARCHITECTURES),
    },
    Entry {
        name: "checkpoints",
        about: "checkpoints that are shipped, for --model shipped:NAME",
        value: || rows(SHIPPED),
    },
    Entry { name: "tasks", about: "task presets, for --task", value: || rows(TASKS) },
    Entry { name: "groups", about: "groups of tasks, for --task of niah run", value: || rows(GROUPS) },
    Entry { name: "haystacks", about: "haystacks, for --haystack", value: || rows(HAYSTACKS) },
    Entry { name: "sequences", about: "kinds of training sequences, for --mix", value: || rows(SEQUENCES) },
    Entry { name: "scorers", about: "scorers, for --scorer", value: || rows(SCORERS) },
    Entry { name: "rules", about: "rules of the effective length, for --rule", value: || rows(RULES) },
    Entry { name: "experiments", about: "experiments, for niah experiment", value: || rows(EXPERIMENTS) },
    Entry { name: "exporters", about: "forms of results", value: || rows(EXPORTERS) },
    Entry { name: "figures", about: "figures of reports, for --figure", value: || rows(FIGURES) },
];

/// The forms of the list, by the name that `--output-format` knows.
pub(crate) const FORMS: &[Entry<Form>] = &[
    Entry {
        name: "table",
        about: "names with their descriptions, for the terminal",
        value: |kinds| Ok(page(kinds)),
    },
    Entry {
        name: "json",
        about: "an object of kinds, each an array of names with their descriptions",
        value: json,
    },
];

fn rows<T>(table: &'static [Entry<T>]) -> Rows {
    table.iter().map(|entry| (entry.name, entry.about)).collect()
}

/// Runs the command.
///
/// # Errors
/// [`crate::error::Error::UnknownChoice`] for a kind that is not in the table.
pub fn run(args: &ListArgs) -> Result<()> {
    let chosen = args.kind.as_ref().map(|kind| registry::find("kind", KINDS, kind)).transpose()?;
    // Whoever looks for a task is shown the groups as well.
    let with = |chosen: &str, kind: &str| chosen == kind || (chosen, kind) == ("tasks", "groups");
    let kinds = KINDS.iter().filter(|kind| chosen.is_none_or(|chosen| with(chosen.name, kind.name)));
    let kinds: Vec<_> = kinds.map(|kind| (kind.name, kind.about, (kind.value)())).collect();
    print(&(args.output_format)(&kinds)?)
}

fn page(kinds: &[(&'static str, &'static str, Rows)]) -> String {
    let mut text = String::new();
    for (kind, about, names) in kinds {
        text += &format!("{kind} ({about})\n");
        for (name, about) in names {
            text += &format!("  {name:<15} {about}\n");
        }
    }
    text
}

fn json(kinds: &[(&'static str, &'static str, Rows)]) -> Result<String> {
    let names =
        |rows: &Rows| rows.iter().map(|(name, about)| json!({"name": name, "about": about})).collect();
    let object: Map<String, Value> =
        kinds.iter().map(|(kind, _, rows)| (kind.to_string(), Value::Array(names(rows)))).collect();
    Ok(format!("{:#}\n", Value::Object(object)))
}
