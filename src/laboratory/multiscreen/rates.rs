//! The loss after a fixed number of steps by learning rate.

use super::super::configurations::decoder_flags;
use super::super::stages::{Stage, Stages};
use super::{MULTISCREEN, NAME, merged, small, training};
use crate::cli::ExperimentArgs;
use crate::error::Result;
use crate::laboratory::measured::{rate_run, vocabulary};
use crate::laboratory::report::rates;
use crate::report::document::Block;

/// Exponents of the learning rates.
const RATES: [i32; 11] = [-10, -9, -8, -7, -6, -5, -4, -3, -2, -1, 0];
const SMALL_RATES: [i32; 3] = [-10, -5, 0];
const RATE_STEPS: usize = 100;
const SMALL_RATE_STEPS: usize = 8;
/// What is the same for both families at every rate.
const ALIKE: &[(&str, &str)] =
    &[("--mix", "text=1"), ("--schedule", "constant"), ("--clip", "0"), ("--weight-decay", "0")];

fn exponents(args: &ExperimentArgs) -> &'static [i32] {
    if args.small { &SMALL_RATES } else { &RATES }
}

/// How many stages it takes.
pub(super) fn count(args: &ExperimentArgs) -> usize {
    2 * exponents(args).len()
}

/// Trains and reads them.
pub(super) fn run(args: &ExperimentArgs, stages: &mut Stages) -> Result<Vec<Block>> {
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
        "Both families, at the sizes of the main trainings, are trained for {steps} steps with seed {} on the \
         same sequences of text at learning rates that are powers of two. So that it is the same test for \
         both, neither has a decay of its rate after the warm-up, a limit on the gradient or a decay of \
         weights.",
        args.seeds[0]
    );
    Ok(rates::section(&method, &base, &other))
}
