//! Rotary position embedding (arXiv 2104.09864).
//!
//! Pairs of the first `d` coordinates of a head turn by the angle `position * f_j`, with
//! `f_j = theta^(-2j/d)` before scaling: `(x_j, x_{j + d/2})` in the half-split layout,
//! `(x_{2j}, x_{2j + 1})` in the interleaved one. The others stay. Positions are absolute, so chunks and
//! cached keys need no correction.
//!
//! Two scalings look at the length `s` of the sequence: `dynamic` (the base grows with `s`) and `longrope`
//! (other divisors beyond the original context). Here `s` is the length that a sequence is planned for,
//! prompt and answer together, and every token of it turns by the same frequencies: those of one forward pass
//! of transformers over `s` tokens. While it generates, transformers goes by the tokens so far instead, so
//! keys in the cache and new queries may turn by different frequencies (Phi-3 computes its prompt again at
//! the border); vLLM decides once by the longest context it serves.

use std::f64::consts::PI;

use candle_core::{DType, Device, Result, Tensor};

use crate::attention::with_f32;
use crate::kernel::{self, Turn};
use crate::spec::{RopeScaling, RopeSpec, RotaryLayout};

/// The frequencies of a rotary embedding.
#[derive(Debug, Clone)]
pub struct Rope {
    /// Angle per position of each coordinate pair, `[head_dim / 2]`.
    frequencies: Vec<f64>,
    /// Factor on cos and sin (the temperature of YaRN and LongRoPE; 1 otherwise).
    attention_factor: f64,
}

impl Rope {
    /// The frequencies that `spec` describes, for heads of which `head_dim` coordinates rotate and a sequence
    /// of `sequence_length` tokens.
    #[must_use]
    pub fn new(spec: &RopeSpec, head_dim: usize, sequence_length: usize) -> Self {
        let pairs = head_dim / 2;
        let with_base = |base: f64, j: usize| base.powf(-2.0 * j as f64 / head_dim as f64);
        let plain = |j: usize| with_base(spec.theta, j);
        let mut attention_factor = 1.0;
        let frequencies = match &spec.scaling {
            RopeScaling::Default => (0..pairs).map(plain).collect(),
            RopeScaling::Linear { factor } => (0..pairs).map(|j| plain(j) / factor).collect(),
            &RopeScaling::Dynamic { factor, max_position_embeddings } => {
                let longer =
                    sequence_length.max(max_position_embeddings) as f64 / max_position_embeddings as f64;
                let exponent = head_dim as f64 / (head_dim as f64 - 2.0);
                let base = spec.theta * (factor * longer - (factor - 1.0)).powf(exponent);
                (0..pairs).map(|j| with_base(base, j)).collect()
            }
            RopeScaling::LongRope {
                short_factor,
                long_factor,
                attention_factor: temperature,
                long_attention_factor,
                original_max_position_embeddings,
            } => {
                let long = sequence_length > *original_max_position_embeddings;
                attention_factor = long_attention_factor.filter(|_| long).unwrap_or(*temperature);
                let divisors = if long { long_factor } else { short_factor };
                (0..pairs).map(|j| plain(j) / f64::from(divisors[j])).collect()
            }
            &RopeScaling::Proportional { factor, pairs: rotating } => {
                (0..pairs).map(|j| if j < rotating { plain(j) / factor } else { 0.0 }).collect()
            }
            RopeScaling::Divisors { divisors } => {
                (0..pairs).map(|j| plain(j) / f64::from(divisors[j])).collect()
            }
            &RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => {
                let original = original_max_position_embeddings as f64;
                let scale = |f: f64| {
                    let rotations = original * f / (2.0 * PI);
                    let kept = (rotations - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    let kept = kept.clamp(0.0, 1.0);
                    (1.0 - kept) * f / factor + kept * f
                };
                (0..pairs).map(|j| scale(plain(j))).collect()
            }
            &RopeScaling::Yarn {
                factor,
                attention_factor: temperature,
                beta_fast,
                beta_slow,
                truncate,
                original_max_position_embeddings,
            } => {
                attention_factor = temperature;
                let original = original_max_position_embeddings as f64;
                // The dimension that turns `rotations` times over the original context.
                let dimension = |rotations: f64| {
                    head_dim as f64 * (original / (rotations * 2.0 * PI)).ln() / (2.0 * spec.theta.ln())
                };
                let (mut low, mut high) = (dimension(beta_fast), dimension(beta_slow));
                if truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let low = low.max(0.0);
                let high = high.min(head_dim as f64 - 1.0);
                let width = if high == low { 0.001 } else { high - low };
                let scale = |j: usize| {
                    let interpolated = ((j as f64 - low) / width).clamp(0.0, 1.0);
                    interpolated * plain(j) / factor + (1.0 - interpolated) * plain(j)
                };
                (0..pairs).map(scale).collect()
            }
        };
        Self { frequencies, attention_factor }
    }

    /// Cosines and sines of `count` positions from `start` on, each `[count, head_dim / 2]`, computed in f64.
    ///
    /// # Errors
    /// When the device is out of memory.
    pub fn tables(&self, start: usize, count: usize, device: &Device) -> Result<(Tensor, Tensor)> {
        let (cos, sin) = self.cosines_and_sines(start, count);
        let shape = (count, self.frequencies.len());
        Ok((Tensor::from_vec(cos, shape, device)?, Tensor::from_vec(sin, shape, device)?))
    }

    /// The numbers of [`Self::tables`], row by row.
    #[must_use]
    pub fn cosines_and_sines(&self, start: usize, count: usize) -> (Vec<f32>, Vec<f32>) {
        let pairs = self.frequencies.len();
        let mut cos = Vec::with_capacity(count * pairs);
        let mut sin = Vec::with_capacity(count * pairs);
        for position in start..start + count {
            for frequency in &self.frequencies {
                let (s, c) = (position as f64 * frequency).sin_cos();
                cos.push((c * self.attention_factor) as f32);
                sin.push((s * self.attention_factor) as f32);
            }
        }
        (cos, sin)
    }
}

/// Rotates the first `2 * pairs` coordinates of `x` `[heads, t, d]` by `cos` and `sin` `[t, pairs]`.
///
/// # Errors
/// When shapes do not fit together.
pub fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor, layout: RotaryLayout) -> Result<Tensor> {
    let (d, rotary) = (x.dim(2)?, 2 * cos.dim(1)?);
    let turned = x.narrow(2, 0, rotary)?.contiguous()?.unsqueeze(0)?; // [1, heads, t, rotary]
    let turned = match layout {
        RotaryLayout::Half => candle_nn::rotary_emb::rope(&turned, cos, sin)?,
        RotaryLayout::HalfBackwards => candle_nn::rotary_emb::rope(&turned, cos, &sin.neg()?)?,
        RotaryLayout::Interleaved => candle_nn::rotary_emb::rope_i(&turned, cos, sin)?,
    };
    let turned = turned.squeeze(0)?; // [heads, t, rotary]
    if rotary == d { Ok(turned) } else { Tensor::cat(&[&turned, &x.narrow(2, rotary, d - rotary)?], 2) }
}

/// `x` `[t, heads * d]` as `[heads, t, d]`, rotated as [`rotate`] rotates where a table `[t, rotary_dim / 2]`
/// is given.
///
/// # Errors
/// When shapes do not fit together.
pub(crate) fn split_heads(
    x: &Tensor,
    d: usize,
    table: Option<&(Tensor, Tensor)>,
    layout: RotaryLayout,
) -> Result<Tensor> {
    let (t, width) = x.dims2()?;
    let shape = [t, width / d, d];
    if !x.device().is_cpu() || x.dtype() != DType::F32 {
        let x = x.reshape(&shape)?.transpose(0, 1)?.contiguous()?; // [heads, t, d]
        return match table {
            Some((cos, sin)) => rotate(&x, cos, sin, layout),
            None => Ok(x),
        };
    }
    if let (RotaryLayout::HalfBackwards, Some((cos, sin))) = (layout, table) {
        return split_heads(x, d, Some(&(cos.clone(), sin.neg()?)), RotaryLayout::Half);
    }
    let split = with_f32(x, |x| match table {
        None => Ok(kernel::split_heads(x, shape, None)),
        Some((cos, sin)) => with_f32(cos, |cos| {
            with_f32(sin, |sin| {
                let interleaved = layout == RotaryLayout::Interleaved;
                let turn = Turn { cos, sin, rotary_dim: 2 * cos.len() / t.max(1), interleaved };
                kernel::split_heads(x, shape, Some(turn))
            })
        })?,
    })??;
    Tensor::from_vec(split, (shape[1], t, d), x.device())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(scaling: RopeScaling) -> RopeSpec {
        RopeSpec { theta: 10000.0, scaling, original_max_position_embeddings: None }
    }

    #[test]
    fn the_first_pair_turns_one_radian_a_position() {
        let (cos, sin) = Rope::new(&spec(RopeScaling::Default), 8, 4).tables(3, 1, &Device::Cpu).unwrap();
        let (cos, sin) = (cos.to_vec2::<f32>().unwrap(), sin.to_vec2::<f32>().unwrap());
        assert!((cos[0][0] - 3f32.cos()).abs() < 1e-7 && (sin[0][0] - 3f32.sin()).abs() < 1e-7);
        assert!((cos[0][2] - 0.03f32.cos()).abs() < 1e-6);
    }

    #[test]
    fn heads_taken_apart_are_rotated_as_whole_tensors_are() {
        let (t, heads, d) = (5, 3, 12);
        let x = Tensor::rand(-1f32, 1.0, (t, heads * d), &Device::Cpu).unwrap();
        let apart = x.reshape((t, heads, d)).unwrap().transpose(0, 1).unwrap().contiguous().unwrap();
        for rotary_dim in [12, 8] {
            let tables = Rope::new(&spec(RopeScaling::Default), rotary_dim, 64);
            let table = tables.tables(40, t, &Device::Cpu).unwrap();
            for layout in [RotaryLayout::Half, RotaryLayout::Interleaved] {
                let expected = rotate(&apart, &table.0, &table.1, layout).unwrap();
                let found = split_heads(&x, d, Some(&table), layout).unwrap();
                let off = (found - expected).unwrap().abs().unwrap().max_all().unwrap();
                assert!(off.to_scalar::<f32>().unwrap() < 1e-6, "{layout:?}, {rotary_dim} of {d}");
            }
        }
        let found = split_heads(&x, d, None, RotaryLayout::Half).unwrap();
        assert_eq!(found.to_vec3::<f32>().unwrap(), apart.to_vec3::<f32>().unwrap());
    }

    #[test]
    fn linear_scaling_slows_every_pair() {
        let rope = Rope::new(&spec(RopeScaling::Linear { factor: 4.0 }), 4, 1);
        assert_eq!(rope.frequencies, [0.25, 0.0025]);
    }

    #[test]
    fn proportional_positions_turn_the_first_pairs_of_a_whole_head_alone() {
        let rope = Rope::new(&spec(RopeScaling::Proportional { factor: 2.0, pairs: 2 }), 8, 1);
        assert_eq!(rope.frequencies, [0.5, 0.05, 0.0, 0.0]);
    }

    #[test]
    fn dynamic_scaling_begins_beyond_the_declared_positions() {
        let dynamic = spec(RopeScaling::Dynamic { factor: 2.0, max_position_embeddings: 8 });
        let frequencies = |length| Rope::new(&dynamic, 4, length).frequencies;
        for length in [1, 8] {
            assert_eq!(frequencies(length), [1.0, 0.01]);
        }
        // Twice as long: the base is multiplied by (2 * 2 - 1)^(4 / 2) = 9, so the second pair turns a third
        // as fast.
        assert!((frequencies(16)[1] - 0.01 / 3.0).abs() < 1e-15 && frequencies(16)[0] == 1.0);
    }

    #[test]
    fn longrope_changes_its_divisors_beyond_the_original_context() {
        let scaling = |long| RopeScaling::LongRope {
            short_factor: vec![1.0, 2.0],
            long_factor: vec![4.0, 8.0],
            attention_factor: 1.5,
            long_attention_factor: long,
            original_max_position_embeddings: 16,
        };
        for (long, expected) in [(None, 1.5), (Some(1.75), 1.75)] {
            let rope = |length| Rope::new(&spec(scaling(long)), 4, length);
            assert_eq!(rope(16).frequencies, [1.0, 0.005]);
            assert_eq!(rope(17).frequencies, [0.25, 0.00125]);
            assert_eq!((rope(16).attention_factor, rope(17).attention_factor), (1.5, expected));
        }
    }
}
