//! RWKV-4 (arXiv 2305.13048).
//!
//! With `x` the normed row of a token, `x'` that of the token before, and `m * x + (1 - m) * x'` written as
//! `m(x)`:
//!
//! ```text
//! time mixing      k, v = W_k m_k(x), W_v m_v(x);   r = sigmoid(W_r m_r(x))
//!                  out = W_o (r * wkv(k, v))        wkv: kernel/scan/wkv.rs, decays by -exp(time_decay)
//! channel mixing   out = sigmoid(W_r m_r(x)) * W_v relu(W_k m_k(x))²
//! ```

use candle_core::{Result, Tensor};

use super::{RecurrentState, back_from_cpu, numbers, on_cpu};
use crate::attention::with_f32;
use crate::kernel::scan::{WKV_START, Wkv, wkv};
use crate::model::linear::Linear;
use crate::model::spent::Spent;
use crate::spec::{ChannelMixSpec, TimeMixSpec};
use crate::weights::Weights;

/// How a row and the one before it are mixed.
#[derive(Debug)]
struct Mix {
    of_row: Tensor,    // [1, hidden]
    of_before: Tensor, // [1, hidden], 1 - of_row
}

impl Mix {
    fn load(weights: &Weights<'_>, name: &str, hidden: usize) -> crate::error::Result<Self> {
        let of_row = weights.get(&format!("time_mix_{name}"), &[1, 1, hidden])?.reshape((1, hidden))?;
        let of_before = (1.0 - &of_row)?;
        Ok(Self { of_row, of_before })
    }

    fn forward(&self, x: &Tensor, before: &Tensor) -> Result<Tensor> {
        x.broadcast_mul(&self.of_row)? + before.broadcast_mul(&self.of_before)?
    }
}

/// The rows `[t, hidden]` before those of `x`; the state then keeps the last of `x`.
fn before(x: &Tensor, state: &mut RecurrentState) -> Result<Tensor> {
    let (t, hidden) = x.dims2()?;
    state.tail.resize(hidden, 0.0);
    let last = x.narrow(0, t - 1, 1)?.flatten_all()?.to_vec1()?;
    let first = std::mem::replace(&mut state.tail, last);
    let first = Tensor::from_vec(first, (1, hidden), x.device())?;
    Tensor::cat(&[&first, &x.narrow(0, 0, t - 1)?], 0)
}

/// Time mixing with its weights.
#[derive(Debug)]
pub struct TimeMix {
    mixes: [Mix; 3],   // of key, value and receptance
    maps: [Linear; 3], // [channels, hidden] each
    decay: Vec<f32>,   // [channels], -exp(time_decay)
    first: Vec<f32>,   // [channels]
    output: Linear,    // [hidden, channels]
}

impl TimeMix {
    /// The mixer stored in the layer `weights`.
    pub(super) fn load(
        spec: &TimeMixSpec,
        hidden: usize,
        weights: &Weights<'_>,
    ) -> crate::error::Result<Self> {
        let (weights, channels) = (weights.pp("attention"), spec.attention_hidden_size);
        let mix = |name| Mix::load(&weights, name, hidden);
        let map = |name: &str| Linear::load(&weights.pp(name), [channels, hidden], false);
        let negative = |decay: Vec<f32>| decay.into_iter().map(|decay| -decay.exp()).collect();
        Ok(Self {
            mixes: [mix("key")?, mix("value")?, mix("receptance")?],
            maps: [map("key")?, map("value")?, map("receptance")?],
            decay: negative(numbers(&weights, "time_decay", &[channels])?),
            first: numbers(&weights, "time_first", &[channels])?,
            output: Linear::load(&weights.pp("output"), [hidden, channels], false)?,
        })
    }

    /// `x` `[t, hidden]` to `[t, hidden]`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        state: &mut RecurrentState,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        if state.is_empty() {
            state.hidden = WKV_START.repeat(self.decay.len());
        }
        let before = before(x, state)?; // [t, hidden]
        let mut mapped = |which: usize| {
            let mixed = self.mixes[which].forward(x, &before)?;
            spent.on_linear(|| self.maps[which].forward(&mixed)) // [t, channels]
        };
        let (key, value) = (on_cpu(&mapped(0)?)?, on_cpu(&mapped(1)?)?);
        let receptance = candle_nn::ops::sigmoid(&mapped(2)?)?; // [t, channels]
        let mut run = |key: &[f32], value: &[f32]| {
            wkv(&Wkv { key, value, decay: &self.decay, first: &self.first }, &mut state.hidden)
        };
        let mean =
            spent.on_attention(|| with_f32(&key, |key| with_f32(&value, |value| run(key, value))))??;
        let mean = back_from_cpu(mean, key.dims2()?, x.device())?; // [t, channels]
        let read = (receptance * mean)?; // [t, channels]
        spent.on_linear(|| self.output.forward(&read)) // [t, hidden]
    }
}

/// Channel mixing with its weights.
#[derive(Debug)]
pub struct ChannelMix {
    mixes: [Mix; 2],    // of key and receptance
    key: Linear,        // [inner, hidden]
    receptance: Linear, // [hidden, hidden]
    value: Linear,      // [hidden, inner]
}

impl ChannelMix {
    /// The mixer stored in the layer `weights`.
    pub(super) fn load(
        spec: &ChannelMixSpec,
        hidden: usize,
        weights: &Weights<'_>,
    ) -> crate::error::Result<Self> {
        let (weights, inner) = (weights.pp("feed_forward"), spec.intermediate_size);
        let map = |name: &str, shape| Linear::load(&weights.pp(name), shape, false);
        Ok(Self {
            mixes: [Mix::load(&weights, "key", hidden)?, Mix::load(&weights, "receptance", hidden)?],
            key: map("key", [inner, hidden])?,
            receptance: map("receptance", [hidden, hidden])?,
            value: map("value", [hidden, inner])?,
        })
    }

    /// `x` `[t, hidden]` to `[t, hidden]`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        state: &mut RecurrentState,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        let before = before(x, state)?; // [t, hidden]
        let [key, receptance] = [self.mixes[0].forward(x, &before)?, self.mixes[1].forward(x, &before)?];
        let inner = spent.on_linear(|| self.key.forward(&key))?.relu()?.sqr()?; // [t, inner]
        let value = spent.on_linear(|| self.value.forward(&inner))?; // [t, hidden]
        let gate = candle_nn::ops::sigmoid(&spent.on_linear(|| self.receptance.forward(&receptance))?)?;
        gate * value // [t, hidden]
    }
}
