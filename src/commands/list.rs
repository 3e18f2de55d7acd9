//! `niah list`: what can be named.

use super::print;
use crate::attention::variant::VARIANTS;
use crate::checkpoint::families::FAMILIES;
use crate::checkpoint::{ARCHITECTURES, SHIPPED};
use crate::cli::ListArgs;
use crate::error::Result;
use crate::export::EXPORTERS;
use crate::haystack::HAYSTACKS;
use crate::laboratory::EXPERIMENTS;
use crate::registry::{self, Entry};
use crate::score::SCORERS;
use crate::task::TASKS;
use crate::train::data::KINDS as SEQUENCES;

type Rows = fn() -> Vec<(&'static str, &'static str)>;

/// Every table, by the name of its kind.
const KINDS: &[Entry<Rows>] = &[
    Entry { name: "variants", about: "attention variants, for --variant", value: || rows(VARIANTS) },
    Entry { name: "families", about: "model families that load (model_type)", value: || rows(FAMILIES) },
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
    Entry { name: "haystacks", about: "haystacks, for --haystack", value: || rows(HAYSTACKS) },
    Entry { name: "sequences", about: "kinds of training sequences, for --mix", value: || rows(SEQUENCES) },
    Entry { name: "scorers", about: "scorers, for --scorer", value: || rows(SCORERS) },
    Entry { name: "experiments", about: "experiments, for niah experiment", value: || rows(EXPERIMENTS) },
    Entry { name: "exporters", about: "forms of results", value: || rows(EXPORTERS) },
];

fn rows<T>(table: &'static [Entry<T>]) -> Vec<(&'static str, &'static str)> {
    table.iter().map(|entry| (entry.name, entry.about)).collect()
}

/// Runs the command.
///
/// # Errors
/// [`crate::error::Error::UnknownChoice`] for a kind that is not in the table.
pub fn run(args: &ListArgs) -> Result<()> {
    let chosen = args.kind.as_ref().map(|kind| registry::find("kind", KINDS, kind)).transpose()?;
    let mut text = String::new();
    for kind in KINDS.iter().filter(|kind| chosen.is_none_or(|chosen| chosen.name == kind.name)) {
        text += &format!("{} ({})\n", kind.name, kind.about);
        for (name, about) in (kind.value)() {
            text += &format!("  {name:<15} {about}\n");
        }
    }
    print(&text)
}
