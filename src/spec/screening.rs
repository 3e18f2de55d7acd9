//! What screening tiles are made of (Multiscreen, arXiv 2604.01178).

use std::f64::consts::PI;

use serde::Serialize;

use crate::registry::Entry;

/// What a tile lets through.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Screen {
    /// `w`, in tokens and not whole: a key `d` positions back is inside if `d < w`. Infinite for all keys
    /// alike.
    pub window: f64,
    /// `r`, in (0, 1): a key passes if its similarity with the query is above `1 - r`.
    pub acceptance: f64,
}

impl Screen {
    /// The number of keys inside the window at `row` (absolute position), itself among them.
    ///
    /// ```
    /// use niah::spec::Screen;
    /// let keys = |window, row| Screen { window, acceptance: 0.5 }.visible(row);
    /// assert_eq!([0, 1, 2, 9].map(|row| keys(2.5, row)), [1, 2, 3, 3]);
    /// assert_eq!((keys(2.0, 9), keys(f64::INFINITY, 9)), (2, 10));
    /// ```
    #[must_use]
    pub fn visible(&self, row: usize) -> usize {
        // The largest number of all is what an infinite window becomes.
        (self.window.ceil() as usize).min(row + 1)
    }

    /// `m`, of a key `distance` positions back.
    pub(crate) fn softmask(&self, distance: usize) -> f64 {
        let part = distance as f64 / self.window;
        if part < 1.0 { 0.5 * ((PI * part).cos() + 1.0) } else { 0.0 }
    }
}

/// Screening tiles in place of attention, MLP and norms.
///
/// Of a [`DecoderSpec`](crate::spec::DecoderSpec) that has them, `num_attention_heads` counts the tiles of a
/// layer and `head_dim` is the width of keys; norms, MLP, rotary positions and multipliers say nothing.
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
    /// Whether windows above the training length are unlimited in sequences longer than it
    /// (`--screening-window-expansion`).
    pub window_expansion: bool,
}

/// Which positions MiPE turns by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MipePositions {
    /// The absolute one (`mipe_position_mode: paper_absolute`).
    Absolute,
    /// The absolute one before the training length, and from there on the remainder by the tile's window
    /// (checkpoints whose configuration names no mode).
    Wrapped,
}

/// What becomes of windows above the training length in sequences beyond it, by the name that
/// `--screening-window-expansion` knows.
pub const WINDOW_EXPANSIONS: &[Entry<bool>] = &[
    Entry { name: "on", about: "they are unlimited: a plain causal mask, and no positions", value: true },
    Entry { name: "off", about: "they are taken as learned", value: false },
];

impl ScreeningSpec {
    /// Whether a sequence of `sequence_length` tokens widens the windows above the training length.
    #[must_use]
    pub fn expands(&self, sequence_length: usize) -> bool {
        self.window_expansion && sequence_length > self.training_length
    }

    /// Whether a window is wider than the training length.
    #[must_use]
    pub fn is_wide(&self, window: f64) -> bool {
        window > self.training_length as f64
    }

    /// What a tile that has learned `screen` screens with in a sequence of `sequence_length` tokens.
    #[must_use]
    pub fn in_sequence(&self, screen: Screen, sequence_length: usize) -> Screen {
        let endless = self.expands(sequence_length) && self.is_wide(screen.window);
        Screen { window: if endless { f64::INFINITY } else { screen.window }, ..screen }
    }

    /// Whether a tile of this window turns anything by position.
    #[must_use]
    pub fn has_positions(&self, window: f64) -> bool {
        window < self.mipe_threshold
    }

    /// The angle by which a tile of this window turns the first two coordinates of queries and keys at
    /// `position`: `phi_i = pi i gamma / w` with `gamma = (cos(pi w / w_th) + 1) / 2` below `w_th`, else 0.
    #[must_use]
    pub fn angle(&self, window: f64, position: usize) -> f64 {
        if !self.has_positions(window) {
            return 0.0;
        }
        let gamma = 0.5 * ((PI * window / self.mipe_threshold).cos() + 1.0);
        let position = match self.mipe_positions {
            MipePositions::Wrapped if position >= self.training_length => position as f64 % window,
            _ => position as f64,
        };
        PI * position * gamma / window
    }

    /// Numbers of a layer's tiles: q, k, v, gate and output maps, window, acceptance width and output scale
    /// of each tile.
    #[must_use]
    pub fn layer_parameters(&self, hidden_size: usize, tiles: usize, key_dim: usize) -> usize {
        tiles * (hidden_size * (2 * key_dim + 3 * self.value_dim) + 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: ScreeningSpec = ScreeningSpec {
        value_dim: 64,
        mipe_threshold: 256.0,
        mipe_positions: MipePositions::Absolute,
        training_length: 4096,
        window_expansion: true,
    };

    #[test]
    fn wide_windows_are_endless_in_long_sequences_alone() {
        let window = |spec: &ScreeningSpec, window, length| {
            spec.in_sequence(Screen { window, acceptance: 0.5 }, length).window
        };
        assert_eq!(window(&SPEC, 5000.0, 4096), 5000.0);
        assert_eq!(window(&SPEC, 5000.0, 4097), f64::INFINITY);
        assert_eq!(window(&SPEC, 4096.0, 4097), 4096.0);
        assert_eq!(window(&ScreeningSpec { window_expansion: false, ..SPEC }, 5000.0, 4097), 5000.0);
    }

    #[test]
    fn positions_turn_half_a_circle_a_window_and_wrap_where_they_wrap() {
        let narrow = SPEC.angle(2.0, 2);
        assert!((narrow - PI).abs() < 1e-3 && SPEC.angle(128.0, 128) < PI * 0.5 + 1e-12);
        assert_eq!((SPEC.angle(256.0, 9), SPEC.angle(f64::INFINITY, 9)), (0.0, 0.0));
        let wrapped = ScreeningSpec { mipe_positions: MipePositions::Wrapped, ..SPEC };
        assert_eq!(wrapped.angle(2.5, 4095), SPEC.angle(2.5, 4095));
        assert!((wrapped.angle(2.5, 4096) - SPEC.angle(2.5, 1)).abs() < 1e-9);
    }

    #[test]
    fn parameters_are_as_many_as_the_paper_counts() {
        // Psi layers of Psi tiles, hidden size Psi², key 16, value 64, GPT-2's vocabulary; the embedding and
        // its two scales.
        for (psi, count) in [(8, 4_134_146), (16, 27_546_626), (32, 286_347_266)] {
            let hidden = psi * psi;
            let layers = psi * SPEC.layer_parameters(hidden, psi, 16);
            assert_eq!(50_257 * hidden + layers + 2, count);
        }
    }
}
