//! Several residual streams in place of one, and a learned residual beside attention (Gemma 3n).

use serde::Serialize;

use super::tensors::{Visit, linear};

/// Alternating updates (AltUp, arXiv 2301.13310): `n` streams of which a layer computes the first, and
/// predicts and corrects the others. With `m(y) = tanh(W_m norm(y) / hidden_size)`, `n` numbers a row,
///
/// - before the layer `p_j = x_j + sum_i P(x_0)_{ji} x_i`, `P(y) = W_p m(y)`;
/// - the layer makes `a` of `p_0`;
/// - behind it `x_j = p_j + (1 + (W_c m(a))_j) (a - p_0)`.
///
/// The streams begin as the embedding and as maps of it, and end as the mean of the first and of maps of the
/// others; each map is rescaled to the root mean square of the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AltUpSpec {
    /// How many streams there are.
    pub altup_num_inputs: usize,
    /// Whether the first one is scaled where the vectors of each token read it.
    pub altup_correct_scale: bool,
}

impl AltUpSpec {
    /// Weights of the maps of a layer.
    pub(super) fn layer_maps(&self, hidden: usize) -> usize {
        let n = self.altup_num_inputs;
        n * hidden + n * n * n + n * n
    }

    /// Weights of the maps before the layers and behind them.
    pub(super) fn end_maps(&self, hidden: usize) -> usize {
        2 * (self.altup_num_inputs - 1) * hidden * hidden
    }

    /// Hands the tensors of a layer to `visit`, but for its norm.
    pub(super) fn each_tensor<E>(&self, hidden: usize, visit: Visit<'_, E>) -> Result<(), E> {
        let n = self.altup_num_inputs;
        linear("altup.modality_router", [n, hidden], false, visit)?;
        linear("altup.prediction_coefs", [n * n, n], false, visit)?;
        linear("altup.correction_coefs", [n, n], false, visit)?;
        visit("altup.correct_output_scale", &[hidden])
    }

    /// Hands the maps before the layers and behind them to `visit`.
    pub(super) fn each_end<E>(&self, hidden: usize, visit: Visit<'_, E>) -> Result<(), E> {
        for maps in ["altup_projections", "altup_unembed_projections"] {
            for stream in 0..self.altup_num_inputs - 1 {
                linear(&format!("model.{maps}.{stream}"), [hidden, hidden], false, visit)?;
            }
        }
        Ok(())
    }
}

/// A learned residual (LAuReL, arXiv 2411.07501): what the mixer is given, `y`, and `norm(R L y)`, with `L`
/// to this many numbers and `R` back, join what it makes: `(x + mixed + y + norm(R L y)) / sqrt(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct LaurelRank(pub usize);

impl LaurelRank {
    /// Weights of its maps.
    pub(super) fn maps(self, hidden: usize) -> usize {
        2 * self.0 * hidden
    }

    /// Hands its tensors to `visit`, but for its norm.
    pub(super) fn each_tensor<E>(self, hidden: usize, visit: Visit<'_, E>) -> Result<(), E> {
        linear("laurel.linear_left", [self.0, hidden], false, visit)?;
        linear("laurel.linear_right", [hidden, self.0], false, visit)
    }
}
