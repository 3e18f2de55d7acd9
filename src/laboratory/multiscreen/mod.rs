//! The experiment `multiscreen`: screening tiles (arXiv 2604.01178) beside Softmax and Scalable-Softmax, in
//! miniature.

mod rates;
mod sizes;
mod speed;

use std::path::PathBuf;

use super::configurations::{GRIDS, Origin, Planned, count, decoder_flags, grown, run as run_all};
use super::ssmax::{Pair, pair, stages_of_pair};
use super::stages::{Stage, Stages};
use super::{Kind, Made};
use crate::cli::ExperimentArgs;
use crate::error::Result;
use crate::laboratory::published;
use crate::laboratory::report::searches;

pub(super) const KIND: Kind = Kind {
    title: "Multiscreen beside Softmax and Scalable-Softmax, in miniature",
    main: 3,
    paper: published::MULTISCREEN,
    numbers: &[published::MULTISCREEN_SAVING, published::MULTISCREEN_SPEEDUP],
    run,
    first: |_| Vec::new(),
};

const SOFTMAX: &str = "(a) softmax";
const SSMAX: &str = "(b) ssmax";
const NAME: &str = "multiscreen";
/// The Transformer that sees everything in all layers.
const FULL: &str = "softmax in all layers";
/// The same with fewer heads of the same size, and narrower in proportion.
struct Narrow {
    name: &'static str,
    /// Its name among the stages.
    stage: &'static str,
    size: &'static [(&'static str, &'static str)],
}

/// Of those that were tried (`fixtures/README.md`) the one whose loss on text is nearest to that of
/// Multiscreen.
const NARROW: Narrow = Narrow {
    name: "softmax in all layers, width 96",
    stage: "full-96",
    size: &[("--hidden-size", "96"), ("--intermediate-size", "256"), ("--num-attention-heads", "3")],
};
const SMALL_NARROW: Narrow = Narrow {
    name: "softmax in all layers, width 32",
    stage: "full-32",
    size: &[("--hidden-size", "32"), ("--intermediate-size", "48"), ("--num-attention-heads", "1")],
};
/// The flags of a Multiscreen training.
const MULTISCREEN: &[(&str, &str)] = &[
    ("--family", "multiscreen"),
    ("--num-attention-heads", "8"),
    ("--value-dim", "32"),
    ("--acceptance-init", "3"),
    ("--lr", "0.02"),
];
/// Sizes of tiles so small that a training is a matter of seconds.
const SMALL: &[(&str, &str)] = &[
    ("--hidden-size", "64"),
    ("--num-attention-heads", "2"),
    ("--num-hidden-layers", "2"),
    ("--vocab-size", "512"),
];

/// Text whose stock does not end and which training therefore never repeats.
const TEXT: (&str, &str) = ("--haystack", "synthetic");
/// Texts of a loss.
const TEXTS: &str = "64";

/// Trials of a cell with the first seed.
const FIRST_TRIALS: usize = 100;

/// Runs every stage and reads what they made.
fn run(args: &ExperimentArgs) -> Result<Made> {
    let own = planned(args);
    let total = stages_of_pair(args)?
        + 2 * (usize::from(!args.from_fixtures) + GRIDS.len())
        + count(args, &own)
        + sizes::count(args)
        + rates::count(args)
        + speed::count(args);
    let mut stages = Stages::new(args, total);
    let trials = args.trials(Some(FIRST_TRIALS));
    let Pair { planned: [softmax, ssmax], searches } = pair(args, &mut stages)?;
    let named = |planned, name: &str| Planned { name: name.to_string(), ..planned };
    let plan: Vec<_> = [named(softmax, SOFTMAX), named(ssmax, SSMAX)].into_iter().chain(own).collect();
    let trained = run_all(args, &plan, trials, &mut stages)?;
    let mut further = searches::section(&searches);
    if !trained.is_empty() {
        let sizes = sizes::run(args, &mut stages)?;
        further.extend(sizes.section);
        further.extend(rates::run(args, &mut stages)?);
        further.extend(speed::run(args, &trained, sizes.nearest, &mut stages)?);
    }
    Ok(Made {
        trials,
        configurations: trained.into_iter().map(|trained| trained.configuration).collect(),
        training: format!(
            "All train on the same sequences. Softmax and Scalable-Softmax are those of the experiment ssmax: \
             they share matrices to begin with, optimiser and schedule, and have the learning rate and the \
             curriculum that a search at the training length chose for each. Multiscreen is another model \
             with settings of its own, {1}; its key-value lines grow over the first {0} % of the steps.",
            grown(),
            merged(&[MULTISCREEN, small(args)]).join(" ")
        ),
        further,
        left_out: stages.left_out(),
    })
}

fn planned(args: &ExperimentArgs) -> Vec<Planned> {
    let flags = merged(&[MULTISCREEN, small(args)]);
    let full = decoder_flags(args, &["--variant", "softmax", "--layer-pattern", "rotary"]);
    // What serves the section on speed alone.
    let timed = |name, shipped, flags| Planned {
        ships: false,
        measures: vec![],
        ..Planned::once(args, name, shipped, Origin::Trained(flags))
    };
    let narrow = narrow(args);
    let flags_of_narrow =
        merged(&[small(args), &[("--variant", "softmax"), ("--layer-pattern", "rotary")], narrow.size]);
    vec![
        Planned::once(args, NAME, NAME, Origin::Trained(flags)).with_all_seeds(args),
        timed(FULL, "full", full),
        timed(narrow.name, narrow.stage, flags_of_narrow),
    ]
}

fn narrow(args: &ExperimentArgs) -> &'static Narrow {
    if args.small { &SMALL_NARROW } else { &NARROW }
}

fn small(args: &ExperimentArgs) -> &'static [(&'static str, &'static str)] {
    if args.small { SMALL } else { &[] }
}

/// Flags as arguments; of a flag that comes twice, the later value.
fn merged(groups: &[&[(&str, &str)]]) -> Vec<String> {
    let mut flags: Vec<(&str, &str)> = Vec::new();
    for &(name, value) in groups.iter().copied().flatten() {
        match flags.iter_mut().find(|flag| flag.0 == name) {
            Some(flag) => flag.1 = value,
            None => flags.push((name, value)),
        }
    }
    flags.iter().flat_map(|(name, value)| [(*name).to_string(), (*value).to_string()]).collect()
}

/// A training from scratch, with this seed and these flags.
fn training(args: &ExperimentArgs, name: String, flags: Vec<String>, seed: u64) -> Stage {
    let mut arguments = vec!["train".to_string()];
    arguments.extend(flags);
    arguments.extend(args.sequences());
    arguments.extend(["--seed".to_string(), seed.to_string()]);
    Stage::new(name, arguments, vec![])
}

/// The directory of the loss of a checkpoint on text within its training length.
fn text_loss(args: &ExperimentArgs, name: &str, checkpoint: PathBuf, stages: &mut Stages) -> Result<PathBuf> {
    let (model, length) = (checkpoint.display().to_string(), args.context_length.0.to_string());
    let mut arguments = vec!["loss".to_string()];
    arguments.extend(merged(&[&[
        ("--model", &model),
        ("--split", "held-out"),
        ("--context-length", &length),
        ("--trials", TEXTS),
        TEXT,
    ]]));
    stages.run(&Stage::new(name.to_string(), arguments, vec![checkpoint]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_flag_replaces_an_earlier_one_in_its_place() {
        let flags = merged(&[&[("--a", "1"), ("--b", "2")], &[("--a", "3"), ("--c", "4")]]);
        assert_eq!(flags.join(" "), "--a 3 --b 2 --c 4");
    }
}
