//! A causal convolution of each channel along the text, which keeps the rows that the next tokens see.

use candle_core::{Result, Tensor};

use super::numbers;
use crate::attention::with_f32;
use crate::kernel;
use crate::weights::Weights;

/// `y_t = act(bias + sum over j of weight_j x_{t - (taps - 1) + j})`, channel by channel.
#[derive(Debug)]
pub(super) struct CausalConv {
    weight: Vec<f32>, // [taps, channels]
    bias: Vec<f32>,   // [channels], or empty
    taps: usize,
    silu: bool,
}

impl CausalConv {
    /// The convolutions `names`, with the number of channels of each, as one over all of their channels.
    pub(super) fn load(
        weights: &Weights<'_>,
        names: &[(&str, usize)],
        taps: usize,
        with_bias: bool,
        silu: bool,
    ) -> crate::error::Result<Self> {
        let (mut by_channel, mut bias) = (Vec::new(), Vec::new()); // [channels, taps] and [channels]
        for &(name, channels) in names {
            let weights = weights.pp(name);
            by_channel.extend(numbers(&weights, "weight", &[channels, 1, taps])?);
            if with_bias {
                bias.extend(numbers(&weights, "bias", &[channels])?);
            }
        }
        let channels = by_channel.len() / taps;
        let places = (0..taps).flat_map(|tap| (0..channels).map(move |channel| channel * taps + tap));
        let weight = places.map(|place| by_channel[place]).collect();
        Ok(Self { weight, bias, taps, silu })
    }

    /// Numbers of a row.
    pub(super) fn channels(&self) -> usize {
        self.weight.len() / self.taps
    }

    /// Rows `x` `[t, channels]` on the CPU to as many, behind those of `tail`, which then are the last ones
    /// of `x`.
    pub(super) fn forward(&self, x: &Tensor, tail: &mut Vec<f32>) -> Result<Vec<f32>> {
        with_f32(x, |x| {
            tail.resize((self.taps - 1) * self.channels(), 0.0);
            let y = kernel::causal_conv(x, tail, &self.weight, &self.bias, self.silu);
            let (kept, new) = (tail.len(), x.len().min(tail.len()));
            tail.copy_within(new.., 0);
            tail[kept - new..].copy_from_slice(&x[x.len() - new..]);
            y
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn a_text_in_parts_of_any_length_gives_what_it_gives_whole() {
        let (taps, channels, t) = (4, 3, 11);
        let weight = (0..taps * channels).map(|i| (i as f32 * 0.7).sin()).collect();
        let conv = CausalConv { weight, bias: vec![0.1, -0.2, 0.3], taps, silu: true };
        let rows: Vec<f32> = (0..t * channels).map(|i| (i as f32).cos()).collect();
        let rows = Tensor::from_vec(rows, (t, channels), &Device::Cpu).unwrap();
        let mut tail = Vec::new();
        let whole = conv.forward(&rows, &mut tail).unwrap();
        for parts in [vec![1; 11], vec![2, 1, 5, 3], vec![10, 1]] {
            let (mut start, mut found, mut tail_of_parts) = (0, Vec::new(), Vec::new());
            for len in parts {
                found.extend(conv.forward(&rows.narrow(0, start, len).unwrap(), &mut tail_of_parts).unwrap());
                start += len;
            }
            assert_eq!((&found, &tail_of_parts), (&whole, &tail));
        }
    }
}
