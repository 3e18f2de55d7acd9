//! Mamba-2 (arXiv 2405.21060).
//!
//! With `x` the normed row of a token:
//!
//! ```text
//! [z, xBC, dt] = W_in x;   [x B C] = silu(conv(xBC) + b);   dt = clamp(softplus(dt + dt_bias), limits)
//! S = exp(-exp(A_log) dt) S + dt x Bᵀ;   y = S C + D x        of each head; B and C of its group
//! out = W_out norm(y silu(z)),  or W_out (norm(y) silu(z)),  or W_out (y silu(z))
//! ```
//!
//! The norm is over each group. The recurrence, in chunks, is in `kernel/scan/ssd.rs`.

use candle_core::{Result, Tensor};

use super::conv::CausalConv;
use super::{RecurrentState, back_from_cpu, numbers, on_cpu};
use crate::attention::with_f32;
use crate::kernel::scan::{Ssd, SsdSizes, softplus, ssd};
use crate::kernel::{self, gated, silu_gate};
use crate::model::linear::Linear;
use crate::model::spent::Spent;
use crate::spec::{Mamba2Spec, ReadNorm};
use crate::weights::Weights;

/// The mixer with its weights.
#[derive(Debug)]
pub struct Mamba2 {
    spec: Mamba2Spec,
    in_proj: Linear, // [z | x | B | C | dt, hidden]
    conv: CausalConv,
    dt_bias: Vec<f32>, // [heads]
    a: Vec<f32>,       // [heads], -exp(A_log)
    d: Vec<f32>,       // [heads]
    norm: Vec<f32>,    // [inner], or empty
    out_proj: Linear,  // [hidden, inner]
}

impl Mamba2 {
    /// The mixer stored in the layer `weights`.
    pub(super) fn load(
        spec: &Mamba2Spec,
        hidden: usize,
        weights: &Weights<'_>,
    ) -> crate::error::Result<Self> {
        let weights = weights.pp("mamba");
        let (inner, conv, heads) = (spec.inner(), spec.conv_width(), spec.mamba_n_heads);
        Ok(Self {
            in_proj: load_input(spec, hidden, &weights.pp("in_proj"))?,
            conv: CausalConv::load(
                &weights,
                &[("conv1d", conv)],
                spec.mamba_d_conv,
                spec.mamba_conv_bias,
                true,
            )?,
            a: numbers(&weights, "A_log", &[heads])?.into_iter().map(|a_log| -a_log.exp()).collect(),
            d: numbers(&weights, "D", &[heads])?,
            dt_bias: numbers(&weights, "dt_bias", &[heads])?,
            norm: match spec.norm {
                ReadNorm::None => Vec::new(),
                ReadNorm::AfterGate | ReadNorm::BeforeGate => {
                    numbers(&weights.pp("norm"), "weight", &[inner])?
                }
            },
            out_proj: Linear::load(&weights.pp("out_proj"), [hidden, inner], spec.out_bias)?,
            spec: spec.clone(),
        })
    }

    /// `x` `[t, hidden]` to `[t, hidden]`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        state: &mut RecurrentState,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        let (t, inner, conv) = (x.dim(0)?, self.spec.inner(), self.spec.conv_width());
        let projected = spent.on_linear(|| self.in_proj.forward(x))?; // [t, inner + conv + heads]
        let z = on_cpu(&projected.narrow(1, 0, inner)?)?; // [t, inner]
        let xbc = on_cpu(&projected.narrow(1, inner, conv)?)?; // [t, conv]
        let dt = on_cpu(&projected.narrow(1, inner + conv, self.spec.mamba_n_heads)?)?; // [t, heads]
        let read = spent.on_attention(|| self.mix(&z, &xbc, &dt, state))?; // [t * inner]
        let read = back_from_cpu(read, (t, inner), x.device())?; // [t, inner]
        spent.on_linear(|| self.out_proj.forward(&read)) // [t, hidden]
    }

    /// What is read from the states, normed and gated: `[t, inner]`.
    fn mix(&self, z: &Tensor, xbc: &Tensor, dt: &Tensor, state: &mut RecurrentState) -> Result<Vec<f32>> {
        let spec = &self.spec;
        let sizes = SsdSizes {
            heads: spec.mamba_n_heads,
            head_dim: spec.mamba_d_head,
            groups: spec.mamba_n_groups,
            state: spec.mamba_d_state,
        };
        let xbc = self.conv.forward(xbc, &mut state.tail)?; // [t, conv]
        let dt = with_f32(dt, |raw| self.step_sizes(raw))?; // [t, heads]
        let input = Ssd { sizes, xbc: &xbc, dt: &dt, a: &self.a, d: &self.d };
        let read = ssd(&input, state.hidden(spec.inner() * spec.mamba_d_state)); // [t, inner]
        let normed = |read: &[f32]| {
            kernel::rms_norm_groups(read, &self.norm, spec.mamba_n_groups, spec.norm_eps as f32)
        };
        with_f32(z, |z| match spec.norm {
            ReadNorm::AfterGate => normed(&gated(silu_gate, z, &read)),
            ReadNorm::BeforeGate => gated(silu_gate, z, &normed(&read)),
            ReadNorm::None => gated(silu_gate, z, &read),
        })
    }

    fn step_sizes(&self, raw: &[f32]) -> Vec<f32> {
        let (least, most) = self.spec.time_step_limit;
        let (least, most) = (least as f32, most.map_or(f32::INFINITY, |most| most as f32));
        let held = |dt: f32| {
            if dt < least {
                least
            } else if dt > most {
                most
            } else {
                dt
            }
        };
        raw.iter().zip(self.dt_bias.iter().cycle()).map(|(raw, bias)| held(softplus(raw + bias))).collect()
    }
}

/// The projection from the residual stream, with the multipliers of a checkpoint in its weights.
fn load_input(spec: &Mamba2Spec, hidden: usize, weights: &Weights<'_>) -> crate::error::Result<Linear> {
    let Some(multipliers) = &spec.ssm_multipliers else {
        return Linear::load(weights, [spec.projected(), hidden], spec.mamba_proj_bias);
    };
    let widths = [spec.inner(), spec.inner(), spec.shared(), spec.shared(), spec.mamba_n_heads];
    let factors = { multipliers.iter().zip(widths) }
        .flat_map(|(factor, width)| std::iter::repeat_n(*factor as f32, width));
    let factors = Tensor::from_iter(factors, weights.device())?; // [projected]
    let bias = match spec.mamba_proj_bias {
        true => Some((weights.get("bias", &[spec.projected()])? * &factors)?),
        false => None,
    };
    let weight = weights.get("weight", &[spec.projected(), hidden])?;
    let weight = weight.broadcast_mul(&factors.unsqueeze(1)?)?; // [projected, hidden]
    Ok(Linear::new(&weight, bias, weights.dtype())?)
}
