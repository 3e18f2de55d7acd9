//! Trials that are read for how sharp the rows of their answering query are: nothing is generated or scored.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::attention::{AttentionVariant, Sharpness, SharpnessProbe, largest_of_check};
use crate::error::{Error, Result};
use crate::generate::DecoderModel;
use crate::progress::Progress;
use crate::prompt::{PromptPlan, PromptSequence};
use crate::tokenizer::Tokenize;
use crate::trial::Trial;

/// What the heads do at the answering query of one trial.
pub struct SharpTrial {
    /// Which.
    pub trial: Trial,
    /// Tokens of its prompt, the answering query included.
    pub prompt_tokens: usize,
    /// One entry a head.
    pub heads: Vec<Sharpness>,
}

/// Reads the prompts of `trials` in their order.
///
/// # Errors
/// When a prompt cannot be built or the computation fails, for a model that is to think first, and
/// [`Error::Interrupted`] when `stop` is set.
pub fn read_trials(
    (prompts, tokenizer): (&PromptPlan, &dyn Tokenize),
    trials: &[Trial],
    model: &mut DecoderModel,
    progress: &mut dyn Progress,
    stop: &AtomicBool,
) -> Result<Vec<SharpTrial>> {
    let mut sequence = PromptSequence::new(prompts, tokenizer);
    let read = |trial: &Trial| {
        let Trial { cell, index, .. } = trial;
        progress.at(&format!("length {} depth {} trial {index}", cell.context_length, cell.depth));
        let prompt = sequence.build(trial)?;
        if prompt.thought.is_some() {
            let expected = "off: where a model thinks first, what answers is no query of the prompt";
            return Err(Error::invalid("thinking", "on", expected));
        }
        let prompt_tokens = prompt.tokens.len();
        let mut probe = SharpnessProbe::new(prompt_tokens - 1, prompt.needles.clone());
        model.read_query(&prompt.tokens, &prompt.forks(), &mut probe, &mut |tokens| {
            progress.advance(tokens);
            !stop.load(Ordering::Relaxed)
        })?;
        Ok(SharpTrial { trial: *trial, prompt_tokens, heads: probe.finish() })
    };
    trials.iter().map(read).collect()
}

/// [`largest_of_check`], the mean over `heads` heads of each of these layers; `None` of a rule without
/// scores, or that reads rows, of which the check has none.
#[must_use]
pub fn check_weight(variant: &dyn AttentionVariant, layers: &[usize], heads: usize, n: usize) -> Option<f64> {
    let unlike = |&layer: &usize| {
        variant.screens(layer).is_some() || variant.reads_rows(layer) || variant.forgets(layer)
    };
    if layers.iter().any(unlike) {
        return None;
    }
    let alike = |layer: &usize| variant.needs_scores(*layer) && variant.sinks(*layer).is_none();
    // What looks at scores alone does the same in every head.
    let of = if layers.iter().all(alike) { (&layers[..layers.len().min(1)], 1) } else { (layers, heads) };
    let of_layer = |&layer: &usize| (0..of.1).map(move |head| largest_of_check(variant, layer, head, n));
    let (sum, count) =
        of.0.iter().flat_map(of_layer).fold((0.0, 0), |(sum, n), weight| (sum + weight, n + 1));
    (count > 0).then(|| sum / f64::from(count))
}
