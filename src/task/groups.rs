//! Several tasks at once: groups of them by name, and lists.

use super::TASKS;
use crate::error::Result;
use crate::registry::{Entry, unknown};

/// The group of RULER's tasks.
pub const RULER: &str = "ruler";

/// How many tasks RULER has of its own.
pub const RULER_TASKS: usize = 13;

/// Those of them that are not here: their texts are data sets that have to be downloaded.
pub const RULER_ELSEWHERE: &[&str] = &["qa_1", "qa_2"];

/// Says of the name of a task whether it is in a group.
pub type Holds = fn(&str) -> bool;

/// Groups of tasks, by name.
pub const GROUPS: &[Entry<Holds>] = &[
    Entry { name: "all", about: "every task", value: |_| true },
    Entry {
        name: RULER,
        about: "the 11 of RULER's 13 tasks that need no download",
        value: |task| task.starts_with("ruler-"),
    },
];

/// The names of a group's tasks, in the order of [`TASKS`]; none where there is no such group.
pub fn members(group: &str) -> impl Iterator<Item = &'static str> + use<> {
    let holds = GROUPS.iter().find(|entry| entry.name == group).map(|entry| entry.value);
    TASKS.iter().map(|entry| entry.name).filter(move |name| holds.is_some_and(|holds| holds(name)))
}

/// Whether a text names several tasks: a group, or names with commas between them.
#[must_use]
pub fn is_several(text: &str) -> bool {
    text.contains(',') || members(&plain(text)).next().is_some()
}

/// The names of the tasks that a text names, each once, in its order.
///
/// # Errors
/// [`crate::Error::UnknownChoice`] for what is neither a task nor a group.
pub fn selected(text: &str) -> Result<Vec<&'static str>> {
    let mut names: Vec<&'static str> = Vec::new();
    for part in text.split(',').map(plain) {
        let task = TASKS.iter().map(|entry| entry.name).find(|name| *name == part);
        let several: Vec<_> = members(&part).chain(task).collect();
        if several.is_empty() {
            let known = TASKS.iter().map(|entry| entry.name).chain(GROUPS.iter().map(|entry| entry.name));
            return Err(unknown("task", &part, &known.collect::<Vec<_>>()));
        }
        let new: Vec<_> = several.into_iter().filter(|name| !names.contains(name)).collect();
        names.extend(new);
    }
    Ok(names)
}

fn plain(name: &str) -> String {
    name.trim().to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_its_tasks_and_a_list_has_each_task_once() {
        assert_eq!(selected("all").unwrap().len(), TASKS.len());
        let ruler = selected("ruler").unwrap();
        assert_eq!(ruler.len(), RULER_TASKS - RULER_ELSEWHERE.len());
        assert!(ruler.iter().all(|name| name.starts_with("ruler-")));
        let list = selected("kv, RULER_VT,kv,ruler").unwrap();
        assert_eq!((list[0], list[1], list.len()), ("kv", "ruler-vt", 12));
    }

    #[test]
    fn one_task_is_not_several_and_what_is_unknown_is_refused() {
        assert!(is_several("ruler") && is_several("all") && is_several("kv,multi") && is_several("kv,"));
        assert!(!is_several("kv") && !is_several("rulers"));
        for text in ["rulers", "kv,", "kv,nothing"] {
            let error = selected(text).unwrap_err().to_string();
            assert!(error.contains("unknown task") && error.contains("ruler"), "{error}");
        }
    }
}
