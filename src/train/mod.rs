//! Training decoders and Multiscreen models from scratch or from a checkpoint, on needles and on key-value
//! lines.
//!
//! Gradients are computed by hand over plain f32 buffers: each forward pass ([`decoder`], [`multiscreen`])
//! has its backward pass beside it, so nothing can cut a gradient in silence, and finite differences and
//! PyTorch's gradients hold both together in tests. Sequences are independent of each other, so each is one
//! thread's; the gradients of a few groups of sequences are summed in a fixed order, which makes a training
//! the same on any number of threads.

pub mod data;
pub mod decoder;
mod initial;
mod layout;
pub mod multiscreen;
mod plan;
mod schedule;
mod sizes;
mod trainer;

pub use initial::{Initial, from_checkpoint, initial};
pub use layout::{Layout, TensorLayout};
pub use plan::{TRAINED, TrainingOptions, TrainingPlan};
pub use schedule::{SCHEDULES, Schedule};
pub use sizes::{LAYER_KINDS, LayerKind, ModelSizes, QK_NORMS, ScreeningSizes, Sizes, initializer_range};
pub use trainer::{State, StepReport, Trainer, TrainingSettings};

use crate::error::{Error, Result};
use crate::kernel::training::cross_entropy;

/// A model whose parameters can be trained. They stand in one buffer, in the order of its [`Layout`].
pub trait Trainable: Send + Sync {
    /// Names, shapes and places of the parameters.
    fn layout(&self) -> &Layout;

    /// The values that a tensor has before training, drawn by `seed`.
    fn initial(&self, tensor: &TensorLayout, seed: u64) -> Vec<f32>;

    /// What computes losses and gradients of one sequence after the other, each on as many tokens as the
    /// model is trained on.
    fn worker(&self) -> Box<dyn Worker + '_>;

    /// The learned scales s in use, of all layers and heads.
    fn scales<'p>(&self, parameters: &'p [f32]) -> Vec<&'p [f32]>;

    /// The learned windows of all layers and tiles, in tokens; none where windows are not learned.
    fn windows(&self, _parameters: &[f32]) -> Vec<f64> {
        Vec::new()
    }
}

/// Computes losses and gradients; one a thread.
pub trait Worker: Send {
    /// The cross entropy of each of `tokens` after the first, in nats.
    ///
    /// # Errors
    /// [`Error::Compute`] when the number of tokens is not that of the model, or one is not in its
    /// vocabulary.
    fn losses(&mut self, parameters: &[f32], tokens: &[u32]) -> Result<Vec<f32>>;

    /// The same, and adds to `gradients` those of the sum of the losses, each times its factor.
    ///
    /// # Errors
    /// Like [`Self::losses`].
    fn gradients(
        &mut self,
        parameters: &[f32],
        tokens: &[u32],
        factors: &[f32],
        gradients: &mut [f32],
    ) -> Result<Vec<f32>>;
}

/// Refuses sequences of another length than `rows` and one, and tokens outside of the vocabulary.
fn check_tokens(tokens: &[u32], rows: usize, vocab: usize) -> Result<()> {
    match tokens.iter().find(|&&token| token as usize >= vocab) {
        _ if tokens.len() != rows + 1 => Err(Error::Compute(format!(
            "a training sequence has {} tokens instead of {}",
            tokens.len(),
            rows + 1
        ))),
        Some(token) => Err(Error::Compute(format!("token {token} is not among the {vocab} of the model"))),
        None => Ok(()),
    }
}

/// The cross entropy of every token after the first; the rows of `logits`, `vocab` numbers each, become the
/// gradient of the losses, each times its factor.
fn cross_entropies(logits: &mut [f32], vocab: usize, tokens: &[u32], factors: &[f32]) -> Vec<f32> {
    let rows = logits.chunks_exact_mut(vocab).zip(&tokens[1..]);
    rows.zip(factors).map(|((row, &target), &factor)| cross_entropy(row, target as usize, factor)).collect()
}
