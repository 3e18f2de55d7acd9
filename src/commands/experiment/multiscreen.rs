//! The experiment `multiscreen`: screening tiles (arXiv 2604.01178) beside Softmax and Scalable-Softmax, in miniature.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::configurations::{Origin, Planned, Trained, count, decoder_flags, grown, run as run_all};
use super::stages::{Stage, Stages, word};
use super::{Kind, Made};
use crate::cli::ExperimentArgs;
use crate::error::Result;
use crate::export::experiment::{machine, rate_run, seconds, sized, text_losses, vocabulary};
use crate::report::document::Block;
use crate::report::experiment::{Paper, rates, sizes, speed};

pub(super) const KIND: Kind = Kind {
    title: "Multiscreen beside Softmax and Scalable-Softmax, in miniature",
    main: 3,
    paper: Paper {
        retrieval: "The Multiscreen paper finds key-value lines answered nearly always to far past the training length.",
        loss: "The Multiscreen paper compares losses by the number of parameters, as a section below does.",
        positions: "The Multiscreen paper finds the loss of Multiscreen flat to far past the training length.",
    },
    run,
};

const SOFTMAX: &str = "(a) softmax";
const NAME: &str = "multiscreen";
/// The Transformer that sees everything in all layers.
const FULL: &str = "softmax in all layers";
/// The flags of a Multiscreen training.
const MULTISCREEN: &[(&str, &str)] = &[
    ("--family", "multiscreen"),
    ("--num-attention-heads", "8"),
    ("--value-dim", "32"),
    ("--acceptance-init", "3"),
    ("--lr", "0.03"),
];
/// Sizes of tiles so small that a training is a matter of seconds.
const SMALL: &[(&str, &str)] = &[
    ("--hidden-size", "64"),
    ("--num-attention-heads", "2"),
    ("--num-hidden-layers", "2"),
    ("--vocab-size", "512"),
];

/// A size of both families, with about as many parameters.
struct Size {
    hidden_size: &'static str,
    intermediate_size: &'static str,
    tiles: &'static str,
}

const SIZES: [Size; 3] = [
    Size { hidden_size: "48", intermediate_size: "128", tiles: "3" },
    Size { hidden_size: "80", intermediate_size: "216", tiles: "5" },
    Size { hidden_size: "128", intermediate_size: "344", tiles: "8" },
];
const SMALL_SIZES: [Size; 3] = [
    Size { hidden_size: "16", intermediate_size: "44", tiles: "1" },
    Size { hidden_size: "32", intermediate_size: "88", tiles: "2" },
    Size { hidden_size: "64", intermediate_size: "172", tiles: "4" },
];
/// The steps of a size: a quarter of those of the main trainings.
const SIZE_STEPS: usize = 4;
/// Text whose stock does not end and which training therefore never repeats.
const TEXT: (&str, &str) = ("--haystack", "synthetic");
/// Texts of its validation.
const TEXTS: &str = "64";

/// Exponents of the learning rates.
const RATES: [i32; 11] = [-10, -9, -8, -7, -6, -5, -4, -3, -2, -1, 0];
const SMALL_RATES: [i32; 3] = [-10, -5, 0];
const RATE_STEPS: usize = 100;
const SMALL_RATE_STEPS: usize = 8;
/// What is the same for both families at every rate.
const ALIKE: &[(&str, &str)] =
    &[("--mix", "text=1"), ("--schedule", "constant"), ("--clip", "0"), ("--weight-decay", "0")];

/// Trials of a cell with the first seed.
const FIRST_TRIALS: usize = 100;

const LENGTHS: &str = "1k,2k,4k,8k,16k,32k,64k,100k";
const SMALL_LENGTHS: &str = "64,128,256";
const ROUNDS: usize = 5;
const SMALL_ROUNDS: usize = 2;

/// Runs every stage and reads what they made.
fn run(args: &ExperimentArgs) -> Result<Made> {
    let plan = planned(args);
    let sizes_and_losses = 4 * SIZES.len() * args.seeds.len();
    let total = count(args, &plan) + sizes_and_losses + 2 * exponents(args).len() + 3 + 3 * rounds(args);
    let mut stages = Stages::new(&args.output, args.threads, total);
    let trials = args.trials(Some(FIRST_TRIALS));
    let trained = run_all(args, &plan, trials, &mut stages)?;
    let mut further = Vec::new();
    if !trained.is_empty() {
        further.extend(sizes(args, &mut stages)?);
        further.extend(rates(args, &mut stages)?);
        further.extend(speed(args, &trained, &mut stages)?);
    }
    Ok(Made {
        trials,
        configurations: trained.into_iter().map(|trained| trained.configuration).collect(),
        training: format!(
            "All train on the same sequences, whose key-value lines grow over the first {} % of the steps. Softmax and \
             Scalable-Softmax share matrices to begin with, optimiser and schedule as well; Multiscreen is another model with settings \
             of its own, {}.",
            grown(),
            merged(&[MULTISCREEN, small(args)]).join(" ")
        ),
        further,
    })
}

fn planned(args: &ExperimentArgs) -> Vec<Planned> {
    let flags = merged(&[MULTISCREEN, small(args)]);
    let full = decoder_flags(args, &["--variant", "softmax", "--layer-pattern", "rotary"]);
    vec![
        Planned::decoder(args, SOFTMAX, "softmax"),
        Planned::decoder(args, "(b) ssmax", "ssmax"),
        Planned::once(args, NAME, NAME, Origin::Trained(flags)).with_all_seeds(args),
        Planned {
            ships: false,
            evaluated: false,
            ..Planned::once(args, FULL, "full", Origin::Trained(full))
        },
    ]
}

fn small(args: &ExperimentArgs) -> &'static [(&'static str, &'static str)] {
    if args.small { SMALL } else { &[] }
}

fn exponents(args: &ExperimentArgs) -> &'static [i32] {
    if args.small { &SMALL_RATES } else { &RATES }
}

fn rounds(args: &ExperimentArgs) -> usize {
    if args.small { SMALL_ROUNDS } else { ROUNDS }
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

/// Parameters at equal loss.
fn sizes(args: &ExperimentArgs, stages: &mut Stages) -> Result<Vec<Block>> {
    let steps = (args.steps / SIZE_STEPS).max(1);
    let base = family(args, "softmax", steps, stages, |size| {
        vec![
            ("--variant", "softmax"),
            ("--hidden-size", size.hidden_size),
            ("--intermediate-size", size.intermediate_size),
        ]
    })?;
    let other = family(args, NAME, steps, stages, |size| {
        let own = [("--hidden-size", size.hidden_size), ("--num-attention-heads", size.tiles)];
        MULTISCREEN.iter().copied().chain(own).collect()
    })?;
    let method = format!(
        "{} sizes of each family are trained for {steps} steps with each of {} seeds on sequences of text from a grammar, the same for both \
         families, each with its own optimiser settings, and the loss is measured on {TEXTS} texts of {} tokens whose sentences \
         training never draws.",
        SIZES.len(),
        args.seeds.len(),
        args.context_length
    );
    Ok(sizes::section(&sizes::Sizes { method, base, other }))
}

/// The sizes of a family, each with the flags that `of` gives it.
fn family(
    args: &ExperimentArgs,
    name: &str,
    steps: usize,
    stages: &mut Stages,
    of: fn(&Size) -> Vec<(&'static str, &'static str)>,
) -> Result<sizes::Family> {
    let steps = steps.to_string();
    let mut models = Vec::new();
    for size in if args.small { &SMALL_SIZES } else { &SIZES } {
        for &seed in &args.seeds {
            let stage = format!("{name}-{}-{seed}", size.hidden_size);
            let flags = merged(&[small(args), &of(size), &[("--mix", "text=1"), TEXT, ("--steps", &steps)]]);
            let checkpoint = stages.run(&training(args, format!("size-{stage}"), flags, seed))?;
            let losses = text_loss(args, &format!("size-loss-{stage}"), checkpoint, stages)?;
            models.push(sized(&losses, seed)?);
        }
    }
    Ok(sizes::Family { name: name.to_string(), models })
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

/// The loss after a fixed number of steps by learning rate.
fn rates(args: &ExperimentArgs, stages: &mut Stages) -> Result<Vec<Block>> {
    let steps = if args.small { SMALL_RATE_STEPS } else { RATE_STEPS };
    let count = steps.to_string();
    let mut family = |name: &str, model: Vec<String>, own: &[(&str, &str)]| -> Result<rates::Family> {
        let (mut runs, mut entries) = (Vec::new(), 0);
        for &exponent in exponents(args) {
            let lr = f64::from(exponent).exp2().to_string();
            let mut flags = model.clone();
            flags.extend(merged(&[own, ALIKE, &[("--steps", &count), ("--lr", &lr)]]));
            let stage = format!("rate-{name}-{}", exponent.unsigned_abs());
            let stage = Stage { may_end_early: true, ..training(args, stage, flags, args.seeds[0]) };
            let directory = stages.run(&stage)?;
            entries = vocabulary(&directory)?;
            runs.push(rate_run(&directory, exponent, steps)?);
        }
        Ok(rates::Family { name: name.to_string(), vocabulary: entries, runs })
    };
    let base = family("softmax", decoder_flags(args, &["--variant", "softmax"]), &[])?;
    let tiles: Vec<_> = MULTISCREEN.iter().chain(small(args)).copied().collect();
    let other = family(NAME, vec![], &tiles)?;
    let method = format!(
        "Both families, at the sizes of the main trainings, are trained for {steps} steps with seed {} on the same sequences of text at \
         learning rates that are powers of two. So that it is the same test for both, neither has a decay of its rate after the warm-up, a limit on the gradient or \
         a decay of weights.",
        args.seeds[0]
    );
    Ok(rates::section(&method, &base, &other))
}

/// The time of a pass over a whole context; nothing where Multiscreen or every Transformer is missing.
fn speed(args: &ExperimentArgs, trained: &[Trained], stages: &mut Stages) -> Result<Vec<Block>> {
    let find = |name: &str| trained.iter().find(|trained| trained.configuration.name == name);
    let bases: Vec<&Trained> = [SOFTMAX, FULL].into_iter().filter_map(find).collect();
    let Some(screening) = find(NAME).filter(|_| !bases.is_empty()) else { return Ok(vec![]) };
    let models = [bases, vec![screening]].concat();
    let mut timed = Vec::new();
    for model in &models {
        let name = &model.configuration.name;
        let losses =
            text_loss(args, &format!("speed-loss-{}", word(name)), model.checkpoint.clone(), stages)?;
        timed.push(speed::Timed { name: name.clone(), losses: text_losses(&losses)?, rounds: vec![] });
    }
    let mut machines = BTreeSet::new();
    for round in 1..=rounds(args) {
        for (model, timed) in models.iter().zip(&mut timed) {
            let measured = bench(args, &timed.name, &model.checkpoint, round, stages)?;
            timed.rounds.push(seconds(&measured)?);
            machines.insert(machine(&measured)?);
        }
    }
    let Some(other) = timed.pop() else { return Ok(vec![]) };
    let machines: Vec<String> = machines.into_iter().collect();
    let method = format!(
        "Every model reads a prompt of random tokens in f32 by the kernels of this program, {} rounds by turns; the time is that of the \
         prompt alone, on {}. The numbers are those of this machine and of these models, whose training is above: {SOFTMAX} sees \
         everything in every other layer and a window in those between, {FULL} has its sizes and no window. Losses are those of \
         {TEXTS} held-out texts of {} tokens.",
        rounds(args),
        machines.join("; and on "),
        args.context_length
    );
    Ok(speed::section(&speed::Speeds { method, bases: timed, other }))
}

/// The directory of one round of a model: each length once. The prompts of a round are those of its seed.
fn bench(
    args: &ExperimentArgs,
    name: &str,
    checkpoint: &Path,
    round: usize,
    stages: &mut Stages,
) -> Result<PathBuf> {
    let lengths = if args.small { SMALL_LENGTHS } else { LENGTHS };
    let (model, round) = (checkpoint.display().to_string(), round.to_string());
    let arguments = [
        "bench",
        "--model",
        &model,
        "--context-lengths",
        lengths,
        "--max-new-tokens",
        "1",
        "--repeats",
        "1",
        "--seed",
        &round,
    ];
    let name = format!("bench-{}-{round}", word(name));
    let arguments = arguments.map(String::from).to_vec();
    let reads = vec![checkpoint.to_path_buf()];
    stages.run(&Stage::new(name, arguments, reads))
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
