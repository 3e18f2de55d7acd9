//! The experiment `multiscreen`: screening tiles (arXiv 2604.01178) beside Softmax and Scalable-Softmax, in miniature.

use std::path::Path;

use super::configurations::{Origin, Planned, Trained, count, decoder_flags, run as run_all};
use super::stages::{Stage, Stages};
use super::{Kind, Made};
use crate::cli::ExperimentArgs;
use crate::error::Result;
use crate::export::experiment::{rate_run, seconds, sized, vocabulary};
use crate::report::document::Block;
use crate::report::experiment::{Configuration, Paper, rates, sizes, speed};
use crate::report::loss::mean_within;

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
/// The flags of a Multiscreen training.
const MULTISCREEN: &[(&str, &str)] = &[
    ("--family", "multiscreen"),
    ("--num-attention-heads", "8"),
    ("--value-dim", "32"),
    ("--acceptance-init", "2"),
    ("--lr", "0.03"),
];
/// Share of the steps over which key-value lines grow: two fifths.
const CURRICULUM: (usize, usize) = (2, 5);
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

const LENGTHS: &str = "1k,2k,4k,8k,16k,32k,64k,100k";
const SMALL_LENGTHS: &str = "64,128,256";
const ROUNDS: usize = 5;
const SMALL_ROUNDS: usize = 2;

/// Runs every stage and reads what they made.
fn run(args: &ExperimentArgs) -> Result<Made> {
    let plan = planned(args);
    let total = count(args, &plan) + 4 * SIZES.len() + 2 * exponents(args).len() + 1 + 3 * rounds(args);
    let mut stages = Stages::new(&args.output, args.threads, total);
    let trained = run_all(args, &plan, &mut stages)?;
    let mut further = Vec::new();
    if !trained.is_empty() {
        further.extend(sizes(args, &mut stages)?);
        further.extend(rates(args, &mut stages)?);
        further.extend(speed(args, &trained, &mut stages)?);
    }
    Ok(Made {
        configurations: trained.into_iter().map(|trained| trained.configuration).collect(),
        training: format!(
            "Softmax and Scalable-Softmax share sequences, matrices to begin with, optimiser and schedule. Multiscreen is another model \
             with settings of its own, {}; its key-value lines grow over the first two fifths of the steps, and behind them its sequences \
             are those of the others.",
            merged(&[MULTISCREEN, small(args)]).join(" ")
        ),
        further,
    })
}

fn planned(args: &ExperimentArgs) -> Vec<Planned> {
    let curriculum = (args.steps * CURRICULUM.0 / CURRICULUM.1).to_string();
    let flags = merged(&[MULTISCREEN, &[("--curriculum-steps", &curriculum)], small(args)]);
    vec![
        Planned::decoder(args, SOFTMAX, "softmax"),
        Planned::decoder(args, "(b) ssmax", "ssmax"),
        Planned { seeds: args.seeds.clone(), ..Planned::once(args, NAME, NAME, Origin::Trained(flags)) },
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

/// A training with the first seed, from scratch, with these flags.
fn training(args: &ExperimentArgs, name: String, flags: Vec<String>) -> Stage {
    let mut arguments = vec!["train".to_string()];
    arguments.extend(flags);
    arguments.extend(args.sequences());
    arguments.extend(["--seed".to_string(), args.seeds[0].to_string()]);
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
        "Three sizes of each family are trained for {steps} steps on the same sequences of text from a grammar, each family with its own \
         optimiser settings, and the loss is measured on {TEXTS} texts of {} tokens whose sentences training never draws.",
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
    let (steps, length) = (steps.to_string(), args.context_length.0.to_string());
    let mut models = Vec::new();
    for size in if args.small { &SMALL_SIZES } else { &SIZES } {
        let stage = format!("{name}-{}", size.hidden_size);
        let flags = merged(&[small(args), &of(size), &[("--mix", "text=1"), TEXT, ("--steps", &steps)]]);
        let checkpoint = stages.run(&training(args, format!("size-{stage}"), flags))?;
        let model = checkpoint.display().to_string();
        let mut arguments = vec!["loss".to_string()];
        arguments.extend(merged(&[&[
            ("--model", &model),
            ("--split", "held-out"),
            ("--context-length", &length),
            ("--trials", TEXTS),
            TEXT,
        ]]));
        let losses = stages.run(&Stage::new(format!("size-loss-{stage}"), arguments, vec![checkpoint]))?;
        models.push(sized(&losses)?);
    }
    Ok(sizes::Family { name: name.to_string(), models })
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
            let stage = Stage { may_end_early: true, ..training(args, stage, flags) };
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
        "Both families, at the sizes of the main trainings, are trained for {steps} steps on the same sequences of text at learning rates \
         that are powers of two. So that it is the same test for both, neither has a decay of its rate after the warm-up, a limit on the gradient or \
         a decay of weights."
    );
    Ok(rates::section(&method, &base, &other))
}

/// The time of a pass over a whole context; nothing where one of the models is missing.
fn speed(args: &ExperimentArgs, trained: &[Trained], stages: &mut Stages) -> Result<Vec<Block>> {
    let find = |name: &str| trained.iter().find(|trained| trained.configuration.name == name);
    let (Some(softmax), Some(screening)) = (find(SOFTMAX), find(NAME)) else { return Ok(vec![]) };
    let mut flags = decoder_flags(args, &["--variant", "softmax", "--layer-pattern", "rotary"]);
    flags.extend(["--steps", "0"].map(String::from));
    let full = stages.run(&training(args, "train-full".to_string(), flags))?;
    let models = [
        (softmax.configuration.name.as_str(), softmax.checkpoint.as_path()),
        ("softmax in all layers", full.as_path()),
        (NAME, screening.checkpoint.as_path()),
    ];
    let mut timed = models.map(|(name, _)| speed::Timed { name: name.to_string(), rounds: vec![] });
    for round in 1..=rounds(args) {
        for ((name, checkpoint), timed) in models.iter().zip(&mut timed) {
            timed.rounds.push(bench(args, name, checkpoint, round, stages)?);
        }
    }
    let [windowed, full, other] = timed;
    let method = format!(
        "Every model reads a prompt of random tokens in f32 by the kernels of this program, {} rounds by turns; the time is that of the \
         prompt alone. The numbers are those of the machine that ran the stages, and of these models: {} sees everything in every \
         other layer and a window in those between, and {} has its sizes and no window (untrained: its time does not depend on its \
         weights). {}",
        rounds(args),
        windowed.name,
        full.name,
        losses(args, [&softmax.configuration, &screening.configuration])
    );
    Ok(speed::section(&speed::Speeds { method, bases: vec![windowed, full], other }))
}

/// One round of a model: each length once. The prompts of a round are those of its seed.
fn bench(
    args: &ExperimentArgs,
    name: &str,
    checkpoint: &Path,
    round: usize,
    stages: &mut Stages,
) -> Result<Vec<(usize, f64)>> {
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
    let name = format!("bench-{}-{round}", name.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
    let arguments = arguments.map(String::from).to_vec();
    let reads = vec![checkpoint.to_path_buf()];
    seconds(&stages.run(&Stage::new(name, arguments, reads))?)
}

/// How far the models are of equal loss.
fn losses(args: &ExperimentArgs, pair: [&Configuration; 2]) -> String {
    let told = pair.map(|configuration| {
        let run = configuration.runs.first()?;
        let loss = mean_within(&run.positions, args.context_length.0)?;
        Some(format!("{loss:.3} nats a token for {}", configuration.name))
    });
    match told {
        [Some(base), Some(other)] => {
            format!("Within the training length their loss on held-out text is {base} and {other}.")
        }
        _ => String::new(),
    }
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
