//! The gated short convolution of LFM2.
//!
//! With `x` the normed row of a token: `[B, C, x] = W_in x;   out = W_out (C * conv(B * x))`.

use candle_core::{Device, Result, Tensor};

use super::conv::CausalConv;
use super::{RecurrentState, on_cpu};
use crate::model::linear::Linear;
use crate::model::spent::Spent;
use crate::spec::ShortConvSpec;
use crate::weights::Weights;

/// The mixer with its weights.
#[derive(Debug)]
pub struct ShortConv {
    in_proj: Linear, // [B | C | x, hidden]
    conv: CausalConv,
    out_proj: Linear, // [hidden, hidden]
}

impl ShortConv {
    /// The mixer stored in the layer `weights`.
    pub(super) fn load(
        spec: &ShortConvSpec,
        hidden: usize,
        weights: &Weights<'_>,
    ) -> crate::error::Result<Self> {
        let weights = weights.pp("conv");
        let (taps, bias) = (spec.conv_l_cache, spec.conv_bias);
        Ok(Self {
            in_proj: Linear::load(&weights.pp("in_proj"), [3 * hidden, hidden], bias)?,
            conv: CausalConv::load(&weights, &[("conv", hidden)], taps, bias, false)?,
            out_proj: Linear::load(&weights.pp("out_proj"), [hidden, hidden], bias)?,
        })
    }

    /// `x` `[t, hidden]` to `[t, hidden]`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        state: &mut RecurrentState,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        let (t, hidden) = x.dims2()?;
        let projected = on_cpu(&spent.on_linear(|| self.in_proj.forward(x))?)?; // [t, 3 hidden]
        let mixed = spent.on_attention(|| -> Result<_> {
            let part = |which| projected.narrow(1, which * hidden, hidden);
            let given = (part(0)? * part(2)?)?; // [t, hidden]
            let seen = self.conv.forward(&given, &mut state.tail)?; // [t * hidden]
            part(1)? * Tensor::from_vec(seen, (t, hidden), &Device::Cpu)?
        })?; // [t, hidden]
        spent.on_linear(|| self.out_proj.forward(&mixed.to_device(x.device())?)) // [t, hidden]
    }
}
