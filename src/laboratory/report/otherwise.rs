//! What else differs between the configurations that are compared, made from what their files say.

use std::collections::{BTreeMap, BTreeSet};

use super::{Configuration, Experiment, SeedRun, joined};
use crate::report::document::{Block, Table};

/// What says nothing of a model: where it began, and what follows from the rest.
const ASIDE: &[&str] = &["settings.seed", "settings.tokenizer_sha256", "settings.init_sha256"];

pub(super) fn section(experiment: &Experiment) -> Vec<Block> {
    let main: Vec<(&Configuration, &SeedRun)> = experiment
        .main()
        .filter_map(|configuration| Some((configuration, configuration.runs.first()?)))
        .filter(|(_, run)| !run.settings.is_empty())
        .collect();
    if main.len() < 2 {
        return Vec::new();
    }
    let names: BTreeSet<&String> = main.iter().flat_map(|(_, run)| run.settings.keys()).collect();
    let mut rows: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut alike = 0;
    for name in names {
        let values: Vec<_> = main.iter().map(|(_, run)| run.settings.get(name)).collect();
        if ASIDE.contains(&name.as_str()) || !relevant(name) {
            continue;
        }
        if values.iter().all(|value| *value == values[0]) {
            alike += 1;
        } else {
            let told = values.iter().map(|value| value.map_or("–".to_string(), |value| (*value).clone()));
            rows.insert(name, told.collect());
        }
    }
    let told: Vec<String> = main.iter().map(|(configuration, _)| configuration.name.clone()).collect();
    let table = Table {
        caption: "Every setting of the model and of its training that is not the same, from config.json and \
                  training.json of the first seed."
            .to_string(),
        header: std::iter::once("setting".to_string()).chain(told.clone()).collect(),
        rows: rows
            .into_iter()
            .map(|(name, values)| std::iter::once(name.to_string()).chain(values).collect())
            .collect(),
    };
    vec![
        Block::Heading("What else differs between them".to_string()),
        Block::Paragraph(format!(
            "{alike} settings are the same for {}; these are not. What is found below may be owed to any of \
             them.",
            joined(&told)
        )),
        Block::Table(table),
    ]
}

/// Whether a setting says anything of the model or its training: not the version that wrote it, nor when.
fn relevant(name: &str) -> bool {
    name.starts_with("settings.")
        || name == "about.parameters"
        || !name.contains('.')
        || name.starts_with("attention_variant")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(name: &str, settings: &[(&str, &str)]) -> Configuration {
        let settings = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let run = SeedRun { settings, ..SeedRun::default() };
        Configuration { name: name.to_string(), part: "", claim: None, runs: vec![run] }
    }

    #[test]
    fn what_differs_has_a_row_and_what_does_not_is_counted() {
        let of = |name, variant, rate| {
            let settings =
                [("settings.variant", variant), ("settings.training.lr", rate), ("qk_norm", "per_head")];
            configuration(name, &settings)
        };
        let experiment = Experiment {
            main: 2,
            configurations: vec![of("a", "softmax", "0.003"), of("b", "ssmax", "0.003")],
            ..Experiment::default()
        };
        let blocks = section(&experiment);
        let Block::Table(table) = &blocks[2] else { panic!("{blocks:?}") };
        assert_eq!(table.rows, [["settings.variant", "softmax", "ssmax"]]);
        let Block::Paragraph(words) = &blocks[1] else { panic!("{blocks:?}") };
        assert!(words.starts_with("2 settings are the same for a and b"), "{words}");
    }
}
