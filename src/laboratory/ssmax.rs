//! The experiment `ssmax`: the six configurations of the SSMax paper (arXiv 2501.19399) and its learned multipliers p_n, in
//! miniature.

use super::configurations::{Origin, Planned, count, decoder_flags, grown, run as run_all};
use super::stages::Stages;
use super::{Kind, Made};
use crate::cli::ExperimentArgs;
use crate::error::Result;
use crate::laboratory::report::{Claim, Paper};

pub(super) const KIND: Kind = Kind {
    title: "Scalable-Softmax against Softmax, in miniature",
    main: 2,
    paper: Paper {
        retrieval: "The paper finds retrieval to about ten times the training length with SSMax where Softmax fails.",
        loss: "The paper finds about 0.008 nats less with SSMax for a model of 162 million parameters.",
        positions: "The paper sees the loss of Softmax rise past the training length and that of SSMax stay low to about twenty \
                    times of it.",
    },
    run,
};

/// Share of the steps that a swap during training leaves to the new variant, and that a swap after it is tuned for: an eighth.
const SWAPPED: usize = 8;
/// Learning rate of tuning, in that of training.
const TUNING_LR: &str = "3e-4";

/// The step behind which (f) is swapped.
fn late(args: &ExperimentArgs) -> usize {
    args.steps - args.steps / SWAPPED
}

/// The steps that (e) is tuned for.
fn tuning(args: &ExperimentArgs) -> usize {
    (args.steps / SWAPPED).max(1)
}

fn planned(args: &ExperimentArgs) -> Vec<Planned> {
    let tuning = tuning(args).to_string();
    let late = late(args).to_string();
    let tuned = ["--variant", "ssmax", "--steps", &tuning, "--lr", TUNING_LR].map(String::from).to_vec();
    let one = |name, shipped, origin| Planned::once(args, name, shipped, origin);
    let trained = |flags: &[&str]| Origin::Trained(decoder_flags(args, flags));
    let variant = |name| trained(&["--variant", name]);
    let claimed = |claim, planned| Planned { claim: Some(claim), ..planned };
    vec![
        Planned::decoder(args, "(a) softmax", "softmax").with_all_seeds(args),
        claimed(Claim::Better, Planned::decoder(args, "(b) ssmax", "ssmax").with_all_seeds(args)),
        claimed(Claim::Worse, one("(c) ssmax-fixed", "ssmax-fixed", variant("ssmax-fixed"))),
        claimed(Claim::Worse, one("(d) ssmax-bias", "ssmax-bias", variant("ssmax-bias"))),
        claimed(Claim::Partly, one("(e) swapped after training", "softmax", Origin::Swapped)),
        one("(e) swapped and tuned", "swapped-after", Origin::Tuned(tuned)),
        claimed(
            Claim::Partly,
            one(
                "(f) swapped during training",
                "swapped-during",
                trained(&["--variant", "ssmax", "--swap-at-step", &late]),
            ),
        ),
        Planned { evaluated: false, ..one("adaptive", "adaptive", variant("adaptive")) },
    ]
}

/// Runs every stage and reads what they made.
fn run(args: &ExperimentArgs) -> Result<Made> {
    let plan = planned(args);
    let mut stages = Stages::new(&args.output, args.threads, count(args, &plan));
    let trials = args.trials(None);
    let configurations = run_all(args, &plan, trials, &mut stages)?;
    Ok(Made {
        trials,
        configurations: configurations.into_iter().map(|trained| trained.configuration).collect(),
        training: format!(
            "Sequences, whose key-value lines grow over the first {} % of the steps, matrices to begin with, optimiser and \
             schedule are the same for all configurations of a seed that are trained from scratch: only the rule that turns scores into \
             weights differs, on the layers without a window; (f) swaps it behind step {}, near the end of a rate that falls to 0. (e) takes \
             the weights of (a) as they are, and trained further for {} steps, whose rate begins at {TUNING_LR} and whose key-value \
             lines are full from the first step on.",
            grown(),
            late(args),
            tuning(args)
        ),
        further: vec![],
    })
}
