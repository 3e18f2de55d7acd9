//! The table of claims: what the SSMax paper (arXiv 2501.19399) claims, what was found here, with the
//! interval over seeds, and a word for it.
//!
//! Seeds are the unit of what is said about training: without two of them nothing is claimed.

use std::cmp::Ordering;

use super::{
    Configuration, Experiment, SeedRun, by_length, counterparts, fading, final_loss, joined, over_seeds,
    positions, several, tokens,
};
use crate::laboratory::published::SSMAX_LOSS;
use crate::report::Tally;
use crate::report::document::{Block, Table};
use crate::stats::{mean, size_fit};
use crate::trial::Outcome;

/// Times the training length that most rows are about.
const FACTOR: usize = 16;

/// Share of right answers at the training length from which a task counts as learned.
const LEARNED: f64 = 0.9;

/// How a difference is to come out for the claim to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claimed {
    More,
    Less,
}

/// The section; nothing where the pair is not there.
#[must_use]
pub fn section(experiment: &Experiment) -> Vec<Block> {
    let [softmax, ssmax, ..] = experiment.configurations.as_slice() else { return Vec::new() };
    let (length, long) = (experiment.training_length, FACTOR * experiment.training_length);
    let mut rows = Vec::new();
    let needles: fn(&SeedRun) -> &[Outcome] = |run| &run.outcomes;
    let lines: fn(&SeedRun) -> &[Outcome] = |run| &run.key_values;
    let farthest =
        softmax.runs.iter().flat_map(|run| run.outcomes.iter().map(|outcome| outcome.context_length)).max();
    let mut grids = vec![
        ("single needles in prose".to_string(), long, needles),
        ("key-value lines".to_string(), length, lines),
        ("key-value lines".to_string(), long, lines),
        ("a needle among three distractors".to_string(), long, |run: &SeedRun| run.other("magic-multikey")),
        ("key-value lines of 5 letters".to_string(), long, |run: &SeedRun| run.other("abcdigits-5x6")),
        ("key-value lines of 5 letters and 2 digits".to_string(), long, |run: &SeedRun| {
            run.other("abcdigits-5x2")
        }),
    ];
    grids.extend(
        farthest.filter(|&far| far > long).map(|far| ("single needles in prose".to_string(), far, needles)),
    );
    for (what, length, trials) in grids {
        for base in std::iter::once(softmax).chain(experiment.configurations.get(2)) {
            let accuracy = |run: &SeedRun| accuracy(trials(run), length);
            let claim = format!(
                "{} retrieves {what} at {} more often than {}",
                ssmax.name,
                tokens(length),
                base.name
            );
            let paper = if base.name == softmax.name { "claimed" } else { "its control" };
            let mut row = compared(claim, paper, base, ssmax, accuracy, Claimed::More);
            if length > experiment.training_length {
                row[2] += &unlearned(experiment, base, ssmax, trials).unwrap_or_default();
            }
            rows.push(row);
        }
    }
    rows.extend(several(experiment, softmax, ssmax, long));
    for base in std::iter::once(softmax).chain(experiment.configurations.get(2)) {
        let paper = match base.name == softmax.name {
            true => format!("claimed: {} nats", SSMAX_LOSS.low),
            false => "its control".to_string(),
        };
        let claim = format!(
            "the training loss of {} is lower than that of {}, at equal steps",
            ssmax.name, base.name
        );
        rows.push(compared(
            claim,
            &paper,
            base,
            ssmax,
            |run| final_loss(&run.steps, |step| Some(step.loss)),
            Claimed::Less,
        ));
    }
    let claim = format!("the loss of {} rises less past the training length", ssmax.name);
    rows.push(compared(claim, "claimed", softmax, ssmax, |run| positions::rise(run, length), Claimed::Less));
    rows.push(fades_less("claimed", softmax, ssmax, length));
    rows.extend(experiment.configurations.get(2).map(|base| fades_less("its control", base, ssmax, length)));
    rows.push(equal_loss(experiment, softmax, ssmax, long));
    rows.push(sizes(experiment));
    rows.extend(screened(experiment, long));
    for (part, what) in [
        (counterparts::NORMS, "with other norms on queries and keys"),
        (counterparts::LONGER, "trained longer"),
    ] {
        let pairs = counterparts::of(experiment, part);
        if pairs.is_empty() {
            let row = [&format!("the same {what}"), "its control", "not measured", "not tested"];
            rows.push(row.map(String::from).to_vec());
        }
        for (base, other) in pairs {
            rows.push(lines_of_counterparts(experiment, base, other, long));
            rows.push(fades_less("its control", base, other, length));
        }
    }
    for claim in ["larger models and other data", "tasks that are no retrieval"] {
        rows.push(
            [claim, "claimed", "not tested: no such training here", "not tested"].map(String::from).to_vec(),
        );
    }
    vec![
        Block::Heading("Claims".to_string()),
        Block::Paragraph(
            "Differences are taken seed by seed; an interval is Student's t over seeds. Found means that it \
             lies on the side of the claim, not found that it holds zero or that no seed differs, and the \
             reverse that it lies on the other side. With one seed there is no claim."
                .to_string(),
        ),
        Block::Table(Table {
            caption: "What the paper claims and what was found here.".to_string(),
            header: ["claim", "paper", "here", "verdict"].map(String::from).to_vec(),
            rows,
        }),
    ]
}

fn accuracy(trials: &[Outcome], length: usize) -> Option<f64> {
    Tally::of(by_length(trials).get(&length)?).accuracy
}

fn compared(
    claim: String,
    paper: &str,
    base: &Configuration,
    other: &Configuration,
    value: impl Fn(&SeedRun) -> Option<f64>,
    claimed: Claimed,
) -> Vec<String> {
    let values = |(base, other): &(&SeedRun, &SeedRun)| Some((value(base)?, value(other)?));
    row(claim, paper, &base.beside(other).iter().filter_map(values).collect::<Vec<_>>(), claimed)
}

/// A row from the values of both, seed by seed.
fn row(claim: String, paper: &str, pairs: &[(f64, f64)], claimed: Claimed) -> Vec<String> {
    let (of_base, of_other): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let differences: Vec<f64> = pairs.iter().map(|(base, other)| other - base).collect();
    let (Some(a), Some(b), Some(difference)) = (mean(&of_base), mean(&of_other), mean(&differences)) else {
        return vec![claim, paper.to_string(), "not measured".to_string(), "not tested".to_string()];
    };
    let interval = over_seeds(&differences);
    let told = interval.told(differences.len(), "seed", |value| format!("{value:+.3}"));
    let here = format!("{b:.3} against {a:.3}: {difference:+.3} ({told})");
    vec![claim, paper.to_string(), here, verdict(&differences, interval.side(), claimed).to_string()]
}

/// How the gap of needles in prose grows with length.
fn fades_less(paper: &str, base: &Configuration, other: &Configuration, length: usize) -> Vec<String> {
    let claim = format!(
        "attention of {} fades less than that of {}: the slope of the gap against ln n is larger",
        other.name, base.name
    );
    compared(claim, paper, base, other, |run| fading::slope(run, length), Claimed::More)
}

/// Key-value lines of two configurations that were trained otherwise than the main ones, and alike.
fn lines_of_counterparts(
    experiment: &Experiment,
    base: &Configuration,
    other: &Configuration,
    length: usize,
) -> Vec<String> {
    let claim = format!(
        "{} retrieves key-value lines at {} more often than {}",
        other.name,
        tokens(length),
        base.name
    );
    let lines: fn(&SeedRun) -> &[Outcome] = |run| &run.key_values;
    let value = |run: &SeedRun| accuracy(lines(run), length);
    let mut row = compared(claim, "its control", base, other, value, Claimed::More);
    row[2] += &unlearned(experiment, base, other, lines).unwrap_or_default();
    row
}

/// That one of them has not learned a task: what it does not do at the training length tells nothing of
/// lengths beyond. Nothing where both have, and of what was not asked at that length.
fn unlearned(
    experiment: &Experiment,
    base: &Configuration,
    other: &Configuration,
    trials: impl Fn(&SeedRun) -> &[Outcome],
) -> Option<String> {
    // Of the seeds that both have.
    let learned = |run: &SeedRun| accuracy(trials(run), experiment.training_length);
    let pairs = base.beside(other);
    let pairs = pairs.iter().map(|(base, other)| Some((learned(base)?, learned(other)?)));
    let (of_base, of_other): (Vec<f64>, Vec<f64>) = pairs.collect::<Option<Vec<_>>>()?.into_iter().unzip();
    let (of_base, of_other) = (mean(&of_base)?, mean(&of_other)?);
    let length = tokens(experiment.training_length);
    (of_base.min(of_other) < LEARNED)
        .then(|| format!("; learned or not: at {length}, in training, {of_other:.3} against {of_base:.3}"))
}

/// A word for it. Differences that are all alike have no interval; they are told by what they are.
fn verdict(differences: &[f64], side: Option<Ordering>, claimed: Claimed) -> &'static str {
    let alike = differences.len() > 1 && side.is_none();
    let side = if alike { differences[0].partial_cmp(&0.0) } else { side };
    match (side, claimed) {
        (None, _) => "one seed: no claim",
        (Some(Ordering::Equal), _) => "not found",
        (Some(Ordering::Greater), Claimed::More) | (Some(Ordering::Less), Claimed::Less) if alike => {
            "found: every seed alike"
        }
        (Some(Ordering::Greater), Claimed::More) | (Some(Ordering::Less), Claimed::Less) => "found",
        _ => "the reverse",
    }
}

/// The tasks of several parts, of the configurations that were trained on them.
fn several(
    experiment: &Experiment,
    softmax: &Configuration,
    ssmax: &Configuration,
    length: usize,
) -> Vec<Vec<String>> {
    let trained_on = |main: &Configuration| {
        let mut further = experiment.configurations.iter().filter(|other| other.part == several::PART);
        further.find(|other| other.name.starts_with(&main.name))
    };
    let Some(ssmax) = trained_on(ssmax) else { return Vec::new() };
    let mut rows = Vec::new();
    for (task, what) in [
        ("multi", "four needles at once"),
        ("multi-8", "eight needles at once"),
        ("updates", "the last of many values"),
        ("ruler-vt", "a chain of variables"),
    ] {
        let bases = std::iter::once(softmax).chain(experiment.configurations.get(2));
        for base in bases.filter_map(trained_on) {
            let claim =
                format!("{} scores higher in {what} at {} than {}", ssmax.name, tokens(length), base.name);
            let score = |run: &SeedRun| several::score(run, task, length);
            rows.push(compared(claim, "not in the paper", base, ssmax, score, Claimed::More));
        }
    }
    rows
}

/// SSMax against the shortest longer training of Softmax with the same seed that ends at no larger loss.
fn equal_loss(
    experiment: &Experiment,
    softmax: &Configuration,
    ssmax: &Configuration,
    length: usize,
) -> Vec<String> {
    let loss = |run: &SeedRun| final_loss(&run.steps, |step| Some(step.loss));
    let longer: Vec<&Configuration> = std::iter::once(softmax)
        .chain(
            experiment
                .configurations
                .iter()
                .filter(|other| other.name.starts_with(&softmax.name) && other.part == counterparts::LONGER),
        )
        .collect();
    let no_larger = |run: &SeedRun| {
        let wanted = loss(run)?;
        let mut bases = longer.iter().filter_map(|other| Some((*other, other.of_seed(run.seed)?)));
        bases.find(|(_, base)| loss(base).is_some_and(|loss| loss <= wanted))
    };
    let found = ssmax.runs.iter().filter_map(|run| Some((no_larger(run)?, run)));
    let (mut pairs, mut each) = (Vec::new(), Vec::new());
    for ((other, base), run) in found {
        let [of_base, of_run] = [base, run].map(|run| accuracy(&run.key_values, length));
        let (Some(of_base), Some(of_run), Some(a), Some(b)) = (of_base, of_run, loss(base), loss(run)) else {
            continue;
        };
        pairs.push((of_base, of_run));
        each.push(format!("seed {}: {} (loss {b:.4} against {a:.4})", run.seed, other.name));
    }
    let claim = format!(
        "at no larger loss of Softmax, {} retrieves key-value lines at {} more often",
        ssmax.name,
        tokens(length)
    );
    let control = "its control";
    if pairs.is_empty() {
        let none = "no training of Softmax that was measured ends at so small a loss";
        return vec![claim, control.to_string(), none.to_string(), "not tested".to_string()];
    }
    let mut row = row(claim, control, &pairs, Claimed::More);
    row[2] = format!("{}; against {}", row[2], joined(&each));
    row
}

/// Whether learned multipliers grow with the logarithm of the number of keys.
fn sizes(experiment: &Experiment) -> Vec<String> {
    let learned = experiment.configurations.iter().filter_map(|configuration| configuration.runs.first());
    let fit = learned.filter(|run| !run.sizes.is_empty()).find_map(|run| size_fit(&run.sizes));
    let (here, verdict) = match fit {
        Some(fit) => (
            format!(
                "slope {:.3} with R² {:.3} over ln n (root of n: R² {:.3}), one seed",
                fit.logarithm.slope, fit.logarithm.r_squared, fit.square_root.r_squared
            ),
            "one seed: no claim",
        ),
        None => ("not measured".to_string(), "not tested"),
    };
    vec!["learned multipliers p_n grow as ln n".to_string(), "claimed".to_string(), here, verdict.to_string()]
}

/// What was trained once: no claim, the numbers alone.
fn screened(experiment: &Experiment, length: usize) -> Vec<Vec<String>> {
    let told = |words: &str, claim: &str, part: &str| {
        let found = experiment.configurations.iter().filter(|other| other.part == part);
        let each: Vec<String> = found
            .filter_map(|other| {
                let run = other.runs.first()?;
                let [needles, lines] =
                    [&run.outcomes, &run.key_values].map(|trials| accuracy(trials, length));
                needles.or(lines)?;
                Some(format!("{} {} and {}", other.name, super::number(needles), super::number(lines)))
            })
            .collect();
        let (here, verdict) = match each.is_empty() {
            true => ("not measured".to_string(), "not tested"),
            false => (
                format!("needles and lines at {}, one seed: {}", tokens(length), joined(&each)),
                "one seed: no claim",
            ),
        };
        vec![words.to_string(), claim.to_string(), here, verdict.to_string()]
    };
    vec![
        told("the learned s is needed, and a bias b harms", "claimed", "rules"),
        told("swapping SSMax in late gives a part of its gain", "claimed", "swaps"),
        told("the same with rotary positions on all layers, and theta x 50", "as in the paper", "rotary"),
        told("the same trained on other lengths", "its control", "lengths"),
        told("the same with answers weighing as other tokens", "its control", "weights"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(losses: [[f64; 3]; 2]) -> Experiment {
        let run = |seed: usize, loss: f64| SeedRun {
            seed: seed as u64,
            steps: vec![super::super::StepLoss {
                step: 1,
                loss,
                answer_loss: None,
                learning_rate: 0.1,
                gradient_norm: 1.0,
                scale: None,
                largest_window: None,
                windows_beyond: None,
            }],
            ..SeedRun::default()
        };
        let configuration = |name: &str, losses: [f64; 3]| Configuration {
            name: name.to_string(),
            part: "",
            claim: None,
            runs: losses.into_iter().enumerate().map(|(seed, loss)| run(seed, loss)).collect(),
        };
        Experiment {
            training_length: 64,
            main: 2,
            configurations: vec![
                configuration("softmax, gain", losses[0]),
                configuration("ssmax, gain", losses[1]),
            ],
            ..Experiment::default()
        }
    }

    fn loss_row(experiment: &Experiment) -> Vec<String> {
        row_about(experiment, "training loss")
    }

    fn row_about(experiment: &Experiment, words: &str) -> Vec<String> {
        let blocks = section(experiment);
        let Block::Table(table) = &blocks[2] else { panic!("{blocks:?}") };
        table.rows.iter().find(|row| row[0].contains(words)).unwrap().clone()
    }

    /// A run's answer to key-value lines.
    fn line(context_length: usize, correct: bool) -> Outcome {
        Outcome {
            row_id: context_length.to_string(),
            context_length,
            correct: Some(correct),
            status: crate::trial::Status::Ok,
            ..Outcome::default()
        }
    }

    #[test]
    fn equal_loss_takes_of_each_seed_the_first_training_that_ends_as_low() {
        let long = 64 * FACTOR;
        let mut experiment = experiment([[0.4, 1.0, 1.0], [0.5; 3]]);
        let mut longer = experiment.configurations[0].clone();
        (longer.name, longer.part) = ("softmax, gain, 2 x steps".to_string(), counterparts::LONGER);
        longer.runs[1].steps[0].loss = 0.5;
        experiment.configurations.push(longer);
        for (configuration, correct) in experiment.configurations.iter_mut().zip([true, true, false]) {
            configuration.runs.iter_mut().for_each(|run| run.key_values = vec![line(long, correct)]);
        }
        let row = row_about(&experiment, "at no larger loss");
        assert!(row[2].starts_with("1.000 against 0.500: +0.500"), "{}", row[2]);
        assert!(row[2].contains("seed 0: softmax, gain (loss 0.5000 against 0.4000)"), "{}", row[2]);
        assert!(row[2].contains("seed 1: softmax, gain, 2 x steps (") && !row[2].contains("seed 2"));
        assert_eq!(row[3], "not found");
    }

    #[test]
    fn a_claim_is_found_by_its_interval_and_not_by_its_sign() {
        let clear = loss_row(&experiment([[1.0, 1.1, 1.2], [0.5, 0.59, 0.71]]));
        assert_eq!(clear[3], "found");
        assert!(clear[2].contains("95 % interval -0.") && clear[2].contains("over 3 seeds"), "{}", clear[2]);
        let wide = loss_row(&experiment([[1.0, 1.1, 1.2], [0.5, 1.6, 0.9]]));
        assert_eq!(wide[3], "not found");
        let reverse = loss_row(&experiment([[0.5, 0.59, 0.71], [1.0, 1.1, 1.2]]));
        assert_eq!(reverse[3], "the reverse");
        let alike = loss_row(&experiment([[1.0; 3], [1.0; 3]]));
        assert_eq!(alike[3], "not found");
    }

    #[test]
    fn what_was_not_learned_at_the_training_length_is_said_of_longer_ones() {
        let mut experiment = experiment([[1.0; 3], [0.5; 3]]);
        let mut lines = |of: usize, correct: [bool; 2]| {
            for run in &mut experiment.configurations[of].runs {
                let lengths = [64, 64 * FACTOR].into_iter().zip(correct);
                run.key_values = lengths.map(|(length, correct)| line(length, correct)).collect();
            }
        };
        lines(0, [false, false]);
        lines(1, [true, true]);
        let told = |experiment: &Experiment| {
            let blocks = section(experiment);
            let Block::Table(table) = &blocks[2] else { panic!("{blocks:?}") };
            let rows = table
                .rows
                .iter()
                .filter(|row| row[0].starts_with("ssmax, gain retrieves key-value lines at"));
            rows.map(|row| row[2].clone()).collect::<Vec<_>>()
        };
        let [near, far] = &told(&experiment)[..] else { panic!() };
        assert!(
            !near.contains("learned") && far.contains("at 64 tokens, in training, 1.000 against 0.000"),
            "{far}"
        );
        // Of the seeds that both have.
        experiment.configurations[0].runs.truncate(1);
        experiment.configurations[1].runs[2].key_values[0].correct = Some(false);
        assert!(told(&experiment)[1].contains("in training, 1.000 against 0.000"));
        for run in &mut experiment.configurations[0].runs {
            run.key_values[0].correct = Some(true);
        }
        assert!(told(&experiment).iter().all(|here| !here.contains("learned")));
    }

    #[test]
    fn one_seed_claims_nothing_and_what_was_not_measured_is_not_tested() {
        let mut one = experiment([[1.0; 3], [0.5; 3]]);
        one.configurations.iter_mut().for_each(|configuration| configuration.runs.truncate(1));
        let blocks = section(&one);
        let Block::Table(table) = &blocks[2] else { panic!("{blocks:?}") };
        let verdicts: std::collections::BTreeSet<&str> =
            table.rows.iter().map(|row| row[3].as_str()).collect();
        assert_eq!(verdicts.into_iter().collect::<Vec<_>>(), ["not tested", "one seed: no claim"]);
    }
}
