//! Rotary position embedding (arXiv 2104.09864).
//!
//! Pairs of the first `d` coordinates of a head turn by the angle `position * f_j`, with `f_j = theta^(-2j/d)` before scaling:
//! `(x_j, x_{j + d/2})` in the half-split layout, `(x_{2j}, x_{2j + 1})` in the interleaved one. The others stay.
//! Positions are absolute, so chunks and cached keys need no correction.

use std::f64::consts::PI;

use candle_core::{Device, Result, Tensor};

use super::spec::{RopeScaling, RopeSpec, RotaryLayout};

/// The frequencies of a rotary embedding.
#[derive(Debug, Clone)]
pub struct Rope {
    /// Angle per position of each coordinate pair, `[head_dim / 2]`.
    frequencies: Vec<f64>,
    /// Factor on cos and sin (YaRN's temperature; 1 otherwise).
    attention_factor: f64,
}

impl Rope {
    /// The frequencies that `spec` describes, for heads of which `head_dim` coordinates rotate.
    #[must_use]
    pub fn new(spec: &RopeSpec, head_dim: usize) -> Self {
        let pairs = head_dim / 2;
        let plain = |j: usize| spec.theta.powf(-2.0 * j as f64 / head_dim as f64);
        let mut attention_factor = 1.0;
        let frequencies = match &spec.scaling {
            RopeScaling::Default => (0..pairs).map(plain).collect(),
            RopeScaling::Linear { factor } => (0..pairs).map(|j| plain(j) / factor).collect(),
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
        let shape = (count, pairs);
        Ok((Tensor::from_vec(cos, shape, device)?, Tensor::from_vec(sin, shape, device)?))
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
        RotaryLayout::Interleaved => candle_nn::rotary_emb::rope_i(&turned, cos, sin)?,
    };
    let turned = turned.squeeze(0)?; // [heads, t, rotary]
    if rotary == d { Ok(turned) } else { Tensor::cat(&[&turned, &x.narrow(2, rotary, d - rotary)?], 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(scaling: RopeScaling) -> RopeSpec {
        RopeSpec { theta: 10000.0, scaling, original_max_position_embeddings: None }
    }

    #[test]
    fn the_first_pair_turns_one_radian_a_position() {
        let (cos, sin) = Rope::new(&spec(RopeScaling::Default), 8).tables(3, 1, &Device::Cpu).unwrap();
        let (cos, sin) = (cos.to_vec2::<f32>().unwrap(), sin.to_vec2::<f32>().unwrap());
        assert!((cos[0][0] - 3f32.cos()).abs() < 1e-7 && (sin[0][0] - 3f32.sin()).abs() < 1e-7);
        assert!((cos[0][2] - 0.03f32.cos()).abs() < 1e-6);
    }

    #[test]
    fn linear_scaling_slows_every_pair() {
        let rope = Rope::new(&spec(RopeScaling::Linear { factor: 4.0 }), 4);
        assert_eq!(rope.frequencies, [0.25, 0.0025]);
    }
}
