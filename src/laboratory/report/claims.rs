//! What became of the paper's findings on the retrieval of the configurations beside the main pair.

use std::cmp::Ordering;

use super::{Configuration, Experiment, SeedRun};
use crate::report::comparison::{Comparison, ComparisonRow};
use crate::trial::Outcome;

/// What the paper finds of a configuration's retrieval past the training length, beside the first two, (a)
/// and (b).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Better than (a), with a lower loss that rises less past the training length: (b) itself.
    Better,
    /// Worse than (b): SSMax without the scale or with a bias.
    Worse,
    /// Better than (a) and worse than (b): SSMax swapped in.
    Partly,
}

/// The second configuration, (b), where its finding is held against the paper's.
pub(super) fn headline(experiment: &Experiment) -> Option<&Configuration> {
    experiment.configurations.get(1).filter(|best| best.claim == Some(Claim::Better))
}

/// A sentence for every configuration that is a main one or has a claim, and has trials past the training
/// length: answers of its first seed against those of the first two on the same prompts, and whether that is
/// what the paper finds.
pub(super) fn claims(experiment: &Experiment, trials: fn(&SeedRun) -> &[Outcome]) -> Vec<String> {
    let [base, best, others @ ..] = experiment.configurations.as_slice() else { return Vec::new() };
    let first = headline(experiment).and_then(|best| {
        let [a, b] = [base, best].map(|pair| pair.runs.first().map(trials).unwrap_or_default());
        let gain = Comparison::of(a, b, &[], Some(experiment.training_length)).ok()?.beyond?;
        let sides = [side(&gain), side(&gain), Some(Ordering::Equal)];
        let verdict = verdict(best.claim?, sides, [&base.name, &best.name]);
        Some(format!(
            "Past the training length {} with seed {} answers {:.3} exactly ({} of {}), {} against {}, on the \
             same prompts: {verdict}.",
            best.name,
            best.runs.first()?.seed,
            gain.accuracy_b?,
            gain.n_correct_b,
            gain.n,
            difference(&gain)?,
            base.name
        ))
    });
    let sentence = |configuration: &Configuration| {
        let run = configuration.runs.iter().find(|run| !trials(run).is_empty())?;
        let same_seed = |pair: &Configuration| {
            let run = pair.runs.iter().find(|other| other.seed == run.seed)?;
            Some(trials(run).to_vec())
        };
        let (a, b) = (same_seed(base)?, same_seed(best)?);
        let beyond = |from: &[Outcome], to: &[Outcome]| {
            Comparison::of(from, to, &[], Some(experiment.training_length)).ok()?.beyond
        };
        let [gain, to_a, to_b] = [beyond(&a, &b)?, beyond(&a, trials(run))?, beyond(&b, trials(run))?];
        let names = [&base.name, &best.name].map(String::as_str);
        let verdict = configuration
            .claim
            .map(|claim| format!(": {}", verdict(claim, [&gain, &to_a, &to_b].map(side), names)));
        Some(format!(
            "Past the training length {} with seed {} answers {:.3} exactly ({} of {}), {} against {} and {} \
             against {}, on the same prompts{}.",
            configuration.name,
            run.seed,
            to_a.accuracy_b?,
            to_a.n_correct_b,
            to_a.n,
            difference(&to_a)?,
            names[0],
            difference(&to_b)?,
            names[1],
            verdict.unwrap_or_default()
        ))
    };
    let told = |(index, configuration): (usize, &Configuration)| {
        (index + 2 < experiment.main || configuration.claim.is_some())
            .then(|| sentence(configuration))
            .flatten()
    };
    first.into_iter().chain(others.iter().enumerate().filter_map(told)).collect()
}

/// The difference in accuracy with its interval, or why there is none.
fn difference(row: &ComparisonRow) -> Option<String> {
    let signed = |value: f64| format!("{value:+.3}");
    let interval = row.accuracy_interval.told(row.n_trials, "trial", signed);
    Some(format!("{} ({interval})", signed(row.accuracy_difference?)))
}

/// On which side of zero the interval of the difference lies.
fn side(row: &ComparisonRow) -> Option<Ordering> {
    row.accuracy_interval.side()
}

/// Whether the claim holds. `sides` are those of (b) against (a), and of the configuration against (a) and
/// against (b).
fn verdict(claim: Claim, sides: [Option<Ordering>; 3], [a, b]: [&str; 2]) -> String {
    let [Some(gain), Some(to_a), Some(to_b)] = sides else {
        return "too few trials to hold it against the paper's finding".to_string();
    };
    match (claim, to_a, to_b) {
        (Claim::Better, Ordering::Greater, _) => format!("better than {a}, as the paper finds"),
        (Claim::Better, Ordering::Equal, _) => {
            format!("not clearly better than {a}, where the paper finds it to be")
        }
        (Claim::Better, Ordering::Less, _) => format!("worse than {a}, where the paper finds it better"),
        (Claim::Worse, _, Ordering::Less) => format!("worse than {b}, as the paper finds"),
        (Claim::Worse, _, Ordering::Equal) => {
            format!("not clearly worse than {b}, where the paper finds it to be")
        }
        (Claim::Worse, _, Ordering::Greater) => format!("better than {b}, where the paper finds it worse"),
        (Claim::Partly, ..) if gain != Ordering::Greater => {
            format!(
                "{b} is not clearly better than {a} here, so there is no gain of which a swap could bring a \
                 part"
            )
        }
        (Claim::Partly, Ordering::Greater, Ordering::Less) => {
            format!("a part of the way from {a} to {b}, as the paper finds")
        }
        (Claim::Partly, Ordering::Greater, _) => {
            format!("all of the way from {a} to {b}, where the paper finds a part of it")
        }
        (Claim::Partly, Ordering::Equal, _) => {
            format!("not clearly better than {a}, where the paper finds a part of the way to {b}")
        }
        (Claim::Partly, Ordering::Less, _) => {
            format!("worse than {a}, where the paper finds a part of the way to {b}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laboratory::report::Paper;
    use crate::report::tests::outcome;

    /// One trial at the training length of 64, always right, and twenty at 16 times of it, the first `right`
    /// of them right.
    fn configuration(name: &str, right: usize, claim: Option<Claim>) -> Configuration {
        let beyond = (0..20).map(|trial| outcome(1024, 50.0, trial, trial < right, None));
        let outcomes = beyond.chain([outcome(64, 50.0, 0, true, None)]).collect();
        let run = SeedRun { seed: 1, outcomes, ..SeedRun::default() };
        Configuration { name: name.to_string(), part: "", claim, runs: vec![run] }
    }

    /// A configuration with `right` answers beside a pair with these.
    fn experiment(pair: [usize; 2], right: usize, claim: Option<Claim>) -> Experiment {
        Experiment {
            title: String::new(),
            method: vec![],
            command: String::new(),
            training_length: 64,
            main: 3,
            paper: Paper::default(),
            configurations: vec![
                configuration("(a)", pair[0], None),
                configuration("(b)", pair[1], None),
                configuration("(x)", right, claim),
            ],
        }
    }

    fn said(pair: [usize; 2], right: usize, claim: Option<Claim>) -> String {
        claims(&experiment(pair, right, claim), |run| &run.outcomes).concat()
    }

    #[test]
    fn a_swap_is_held_against_both_sides_whichever_way_it_comes_out() {
        let partly = Some(Claim::Partly);
        for (pair, right, words) in [
            ([0, 20], 10, "a part of the way from (a) to (b), as the paper finds."),
            ([0, 20], 20, "all of the way from (a) to (b), where the paper finds a part of it."),
            ([0, 20], 0, "not clearly better than (a), where the paper finds a part of the way to (b)."),
            ([12, 20], 0, "worse than (a), where the paper finds a part of the way to (b)."),
            ([20, 20], 10, "(b) is not clearly better than (a) here"),
            ([20, 8], 10, "(b) is not clearly better than (a) here"),
        ] {
            let said = said(pair, right, partly);
            assert!(said.contains(words), "{pair:?} {right}: {words} in {said}");
        }
    }

    #[test]
    fn the_main_finding_is_held_against_the_paper_where_it_is_claimed() {
        for (pair, words) in [
            ([0, 20], "Past the training length (b) with seed 1 answers 1.000 exactly (20 of 20), +1.000"),
            ([0, 20], "on the same prompts: better than (a), as the paper finds."),
            ([20, 20], "not clearly better than (a), where the paper finds it to be."),
            ([20, 0], "worse than (a), where the paper finds it better."),
        ] {
            let mut experiment = experiment(pair, 5, None);
            assert_eq!(claims(&experiment, |run| &run.outcomes).len(), 1);
            experiment.configurations[1].claim = Some(Claim::Better);
            let said = claims(&experiment, |run| &run.outcomes);
            assert!(said[0].contains(words), "{words} in {said:?}");
        }
    }

    #[test]
    fn what_the_paper_finds_worse_may_be_found_no_worse_or_better() {
        for (best, right, words) in [
            (16, 4, ": worse than (b), as the paper finds."),
            (16, 16, ": not clearly worse than (b), where the paper finds it to be."),
            (8, 20, ": better than (b), where the paper finds it worse."),
        ] {
            let said = said([0, best], right, Some(Claim::Worse));
            assert!(said.contains(words), "{best} {right}: {words} in {said}");
        }
    }

    #[test]
    fn numbers_are_those_of_the_trials_past_the_training_length_and_no_claim_is_no_verdict() {
        let said = said([0, 20], 10, None);
        assert!(said.starts_with(
            "Past the training length (x) with seed 1 answers 0.500 exactly (10 of 20), +0.500 (95 % interval \
             +0."
        ));
        assert!(said.contains(", paired score interval over 20 trials) against (a) and"), "{said}");
        assert!(said.ends_with("against (b), on the same prompts."), "{said}");
    }

    #[test]
    fn one_trial_has_no_interval_and_no_verdict_and_none_has_no_sentence() {
        let mut experiment = experiment([1, 1], 1, Some(Claim::Partly));
        for configuration in &mut experiment.configurations {
            configuration.runs[0].outcomes.retain(|outcome| outcome.trial == 0);
            let twice = outcome(1024, 0.0, 0, true, None);
            configuration.runs[0].outcomes.push(twice);
        }
        let said = claims(&experiment, |run| &run.outcomes).concat();
        assert!(
            said.contains("+0.000 (no interval: that takes two trials) against (a)")
                && said.contains("too few trials"),
            "{said}"
        );
        assert!(claims(&experiment, |run| &run.key_values).is_empty());
        experiment.configurations.truncate(1);
        assert!(claims(&experiment, |run| &run.outcomes).is_empty());
    }
}
