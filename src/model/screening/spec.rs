//! What screening tiles are made of (Multiscreen, arXiv 2604.01178).

use serde::Serialize;

/// Screening tiles in place of attention, MLP and norms.
///
/// Of a [`DecoderSpec`](crate::model::spec::DecoderSpec) that has them, `num_attention_heads` counts the tiles of a layer and
/// `head_dim` is the width of keys; norms, MLP, rotary positions and multipliers say nothing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScreeningSpec {
    /// Width of values.
    pub value_dim: usize,
    /// `w_th`: windows below it turn the first two coordinates of queries and keys by position (MiPE).
    pub mipe_threshold: f64,
    /// Which positions MiPE turns by.
    pub mipe_positions: MipePositions,
    /// Length the weights were trained on.
    pub training_length: usize,
    /// Whether windows above the training length are without end in sequences longer than it (`--screening-window-expansion`).
    pub window_expansion: bool,
}

/// Which positions MiPE turns by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MipePositions {
    /// The absolute one (`mipe_position_mode: paper_absolute`).
    Absolute,
    /// The absolute one before the training length, and from there on the remainder by the tile's window (checkpoints whose
    /// configuration names no mode).
    Wrapped,
}

impl ScreeningSpec {
    /// Whether a sequence of `sequence_length` tokens widens the windows above the training length.
    #[must_use]
    pub fn expands(&self, sequence_length: usize) -> bool {
        self.window_expansion && sequence_length > self.training_length
    }

    /// Numbers of a layer's tiles: q, k, v, gate and output maps, window, acceptance width and output scale of each tile.
    #[must_use]
    pub fn layer_parameters(&self, hidden_size: usize, tiles: usize, key_dim: usize) -> usize {
        tiles * (hidden_size * (2 * key_dim + 3 * self.value_dim) + 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_as_many_as_the_paper_counts() {
        // Psi layers of Psi tiles, hidden size Psi², key 16, value 64, GPT-2's vocabulary; the embedding and its two scales.
        let screening = ScreeningSpec {
            value_dim: 64,
            mipe_threshold: 256.0,
            mipe_positions: MipePositions::Absolute,
            training_length: 4096,
            window_expansion: true,
        };
        for (psi, count) in [(8, 4_134_146), (16, 27_546_626), (32, 286_347_266)] {
            let hidden = psi * psi;
            let layers = psi * screening.layer_parameters(hidden, psi, 16);
            assert_eq!(50_257 * hidden + layers + 2, count);
        }
    }
}
