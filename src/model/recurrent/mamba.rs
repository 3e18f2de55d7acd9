//! Mamba (arXiv 2312.00752).
//!
//! With `x` the normed row of a token:
//!
//! ```text
//! [x, z] = W_in x;   x = silu(conv(x) + b);   [dt B C] = W_x x, each normed in some
//! dt = softplus(W_dt dt + b_dt);   h = exp(-exp(A_log) dt) h + dt B x;   y = C h + D x     of each channel
//! out = W_out (y silu(z))
//! ```
//!
//! The recurrence is in `kernel/scan/selective.rs`.

use candle_core::{DType, Device, Result, Tensor};

use super::conv::CausalConv;
use super::{RecurrentState, back_from_cpu, numbers, on_cpu};
use crate::attention::with_f32;
use crate::kernel::scan::{Selective, selective};
use crate::kernel::{gated, silu_gate};
use crate::model::layers::Norm;
use crate::model::linear::Linear;
use crate::model::spent::Spent;
use crate::spec::{MambaSpec, NormKind, SelectionNorms};
use crate::weights::Weights;

/// The mixer with its weights.
#[derive(Debug)]
pub struct Mamba {
    spec: MambaSpec,
    in_proj: Linear, // [x | z, hidden]
    conv: CausalConv,
    x_proj: Linear,           // [rank + 2 state, inner]
    norms: Option<[Norm; 3]>, // of dt, B and C
    dt_proj: Linear,          // [inner, rank]
    a: Vec<f32>,              // [inner, state], -exp(A_log)
    d: Vec<f32>,              // [inner]
    out_proj: Linear,         // [hidden, inner]
}

impl Mamba {
    /// The mixer stored in the layer `weights`.
    pub(super) fn load(spec: &MambaSpec, hidden: usize, weights: &Weights<'_>) -> crate::error::Result<Self> {
        let weights = weights.pp("mamba");
        let (inner, state, rank) = (spec.intermediate_size, spec.mamba_d_state, spec.mamba_dt_rank);
        let linear = |name: &str, shape, with_bias| Linear::load(&weights.pp(name), shape, with_bias);
        let norms = || -> crate::error::Result<Option<[Norm; 3]>> {
            let (eps, learned) = match spec.norms {
                SelectionNorms::None => return Ok(None),
                SelectionNorms::Learned { eps } => (eps, true),
                SelectionNorms::Weightless { eps } => (eps, false),
            };
            let norm = |name: &str, width: usize| -> crate::error::Result<Norm> {
                let weight = match learned {
                    true => weights.pp(name).get("weight", &[width])?,
                    false => Tensor::ones(width, DType::F32, weights.device())?,
                }; // [width]
                Ok(Norm::new(NormKind::Rms, weight, None, eps)?)
            };
            Ok(Some([norm("dt_layernorm", rank)?, norm("b_layernorm", state)?, norm("c_layernorm", state)?]))
        };
        let negative = |a_log: Vec<f32>| a_log.into_iter().map(|a_log| -a_log.exp()).collect();
        let taps = spec.mamba_d_conv;
        Ok(Self {
            in_proj: linear("in_proj", [2 * inner, hidden], spec.mamba_proj_bias)?,
            conv: CausalConv::load(&weights, &[("conv1d", inner)], taps, spec.mamba_conv_bias, true)?,
            x_proj: linear("x_proj", [spec.selected(), inner], false)?,
            norms: norms()?,
            dt_proj: linear("dt_proj", [inner, rank], true)?,
            a: negative(numbers(&weights, "A_log", &[inner, state])?),
            d: numbers(&weights, "D", &[inner])?,
            out_proj: linear("out_proj", [hidden, inner], spec.mamba_proj_bias)?,
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
        let MambaSpec { intermediate_size: inner, mamba_d_state: n, mamba_dt_rank: rank, .. } = self.spec;
        let (t, device) = (x.dim(0)?, x.device());
        let projected = spent.on_linear(|| self.in_proj.forward(x))?; // [t, 2 inner]
        let x = on_cpu(&projected.narrow(1, 0, inner)?)?; // [t, inner]
        let z = on_cpu(&projected.narrow(1, inner, inner)?)?; // [t, inner]
        let x = spent.on_attention(|| self.conv.forward(&x, &mut state.tail))?; // [t * inner]
        let rows = Tensor::from_vec(x, (t, inner), &Device::Cpu)?; // [t, inner]
        let selected = spent.on_linear(|| self.x_proj.forward(&rows.to_device(device)?))?; // [t, rank + 2 n]
        let part = |which: usize, start: usize, width: usize| -> Result<Tensor> {
            let part = selected.narrow(1, start, width)?.contiguous()?;
            self.norms.as_ref().map_or(Ok(part.clone()), |norms| norms[which].forward(&part))
        };
        let raw_dt = on_cpu(&spent.on_linear(|| self.dt_proj.forward(&part(0, 0, rank)?))?)?; // [t, inner]
        let [b, c] = [on_cpu(&part(1, rank, n)?)?, on_cpu(&part(2, rank + n, n)?)?]; // [t, n]
        let read = spent.on_attention(|| {
            let state = state.hidden(inner * n);
            let mut scan = |x: &[f32], raw_dt: &[f32], b: &[f32], c: &[f32]| {
                selective(&Selective { x, raw_dt, b, c, a: &self.a, d: &self.d }, state)
            };
            let read = with_f32(&rows, |x| {
                with_f32(&raw_dt, |raw_dt| with_f32(&b, |b| with_f32(&c, |c| scan(x, raw_dt, b, c))))
            })????;
            with_f32(&z, |z| gated(silu_gate, z, &read))
        })?; // [t * inner]
        let read = back_from_cpu(read, (t, inner), device)?; // [t, inner]
        spent.on_linear(|| self.out_proj.forward(&read)) // [t, hidden]
    }
}
