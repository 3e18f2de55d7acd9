//! Gated DeltaNet (arXiv 2412.06464) and Kimi Delta Attention (arXiv 2510.26692).
//!
//! With `x` the normed row of a token, and `q`, `k`, `v` of each head from a short convolution:
//!
//! ```text
//! [q k v] = silu(conv(W_qkv x));   q = q / (|q| sqrt(dk)),  k = k / |k|
//! beta = sigmoid(b x), twice that where eigenvalues may be negative
//! g = -exp(A_log) softplus(a x + dt_bias), for a head or for each channel of its keys, or bounded
//! S = diag(exp(g)) S;   S += k (beta (v - Sᵀ k))ᵀ;   o = Sᵀ q
//! y = W_o [norm(o) * act(gate x)]
//! ```
//!
//! Lengths are taken with 1e-6 under the root. Value heads that share a query and key head are neighbours.
//! The rule itself, in chunks, is in `kernel/delta.rs`.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::conv::CausalConv;
use super::{RecurrentState, back_from_cpu, numbers, on_cpu, stacked};
use crate::attention::with_f32;
use crate::kernel::scan::softplus;
use crate::kernel::{self, DeltaHeads, DeltaRows, GatedNorm};
use crate::model::linear::{Input, Linear};
use crate::model::spent::Spent;
use crate::spec::{DeltaDecay, DeltaGate, DeltaNetSpec};
use crate::weights::Weights;

/// The mixer with its weights.
#[derive(Debug)]
pub struct DeltaNet {
    spec: DeltaNetSpec,
    qkv: Linear, // [2 keys + values, hidden]
    conv: CausalConv,
    b: Linear,         // [heads, hidden]
    decay: Projection, // to [decays]
    rate: Vec<f32>,    // [heads], exp(A_log)
    dt_bias: Vec<f32>, // [decays]
    gate: Projection,  // to [values]
    norm: Vec<f32>,    // [value_head_dim]
    o_proj: Linear,    // [hidden, values]
}

/// A linear map, or two of them with few numbers between.
#[derive(Debug)]
struct Projection {
    first: Linear,
    second: Option<Linear>,
}

impl Projection {
    /// The map `names[0]`, or with a rank `names[1]` and `names[2]`, the latter with a bias or not.
    fn load(
        weights: &Weights<'_>,
        names: [&str; 3],
        [width, hidden]: [usize; 2],
        between: Option<(usize, bool)>,
    ) -> crate::error::Result<Self> {
        let [whole, down, up] = names.map(|name| weights.pp(name));
        let (first, second) = match between {
            None => (Linear::load(&whole, [width, hidden], false)?, None),
            Some((rank, bias)) => {
                let first = Linear::load(&down, [rank, hidden], false)?;
                (first, Some(Linear::load(&up, [width, rank], bias)?))
            }
        };
        Ok(Self { first, second })
    }

    fn apply(&self, input: &Input) -> Result<Tensor> {
        let first = self.first.apply(input)?;
        self.second.as_ref().map_or(Ok(first.clone()), |second| second.forward(&first))
    }
}

impl DeltaNet {
    /// The mixer stored in the layer `weights`.
    pub(super) fn load(
        spec: &DeltaNetSpec,
        hidden: usize,
        weights: &Weights<'_>,
    ) -> crate::error::Result<Self> {
        let weights = weights.pp(spec.place);
        let (keys, values, heads) = (spec.key_width(), spec.value_width(), spec.linear_num_value_heads);
        let (decays, rank_of_gate) = (
            spec.decay_width(),
            match spec.output_gate {
                DeltaGate::LowRankSigmoid { rank, bias } => Some((rank, bias)),
                DeltaGate::Silu | DeltaGate::Sigmoid => None,
            },
        );
        let (whole, rank) = match spec.decay {
            DeltaDecay::PerHead => ("a_proj", None),
            DeltaDecay::LowRank { rank } => ("f_proj", Some((rank, false))),
            DeltaDecay::Full | DeltaDecay::Bounded { .. } => ("f_proj", None),
        };
        let convs = [("q_conv1d", keys), ("k_conv1d", keys), ("v_conv1d", values)];
        let maps = [("q_proj", keys), ("k_proj", keys), ("v_proj", values)];
        let gates = ["g_proj", "g_a_proj", "g_b_proj"];
        Ok(Self {
            qkv: stacked(&weights, hidden, &maps)?,
            conv: CausalConv::load(&weights, &convs, spec.linear_conv_kernel_dim, false, true)?,
            b: Linear::load(&weights.pp("b_proj"), [heads, hidden], false)?,
            decay: Projection::load(&weights, [whole, "f_a_proj", "f_b_proj"], [decays, hidden], rank)?,
            rate: numbers(&weights, "A_log", &[heads])?.into_iter().map(f32::exp).collect(),
            dt_bias: numbers(&weights, "dt_bias", &[decays])?,
            gate: Projection::load(&weights, gates, [values, hidden], rank_of_gate)?,
            norm: numbers(&weights.pp("o_norm"), "weight", &[spec.linear_value_head_dim])?,
            o_proj: Linear::load(&weights.pp("o_proj"), [hidden, values], false)?,
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
        let t = x.dim(0)?;
        let input = Input::new(x)?;
        let [qkv, gate, decay, beta] = spent.on_linear(|| -> Result<_> {
            Ok([
                on_cpu(&self.qkv.apply(&input)?)?,   // [t, 2 keys + values]
                on_cpu(&self.gate.apply(&input)?)?,  // [t, values]
                on_cpu(&self.decay.apply(&input)?)?, // [t, decays]
                on_cpu(&self.b.apply(&input)?)?,     // [t, heads]
            ])
        })?;
        let gated = spent.on_attention(|| self.mix(&qkv, &gate, &decay, &beta, state))?; // [t * values]
        let gated = back_from_cpu(gated, (t, self.spec.value_width()), x.device())?; // [t, values]
        spent.on_linear(|| self.o_proj.forward(&gated)) // [t, hidden]
    }

    /// What is read from the states, normed and gated: `[t, values]`.
    fn mix(
        &self,
        qkv: &Tensor,
        gate: &Tensor,
        decay: &Tensor,
        beta: &Tensor,
        state: &mut RecurrentState,
    ) -> Result<Vec<f32>> {
        let spec = &self.spec;
        let heads = DeltaHeads {
            keys: spec.linear_num_key_heads,
            values: spec.linear_num_value_heads,
            key_dim: spec.linear_key_head_dim,
            value_dim: spec.linear_value_head_dim,
        };
        let qkv = self.conv.forward(qkv, &mut state.tail)?; // [t, 2 keys + values]
        let decay = with_f32(decay, |numbers| self.decays(numbers))?; // [t, decays]
        let largest = if spec.linear_allow_neg_eigval { 2.0 } else { 1.0 };
        let beta = with_f32(beta, |numbers| -> Vec<f32> {
            numbers.iter().map(|x| largest / (1.0 + (-x).exp())).collect()
        })?; // [t, heads]
        let rows = DeltaRows { qkv: &qkv, decay: &decay, beta: &beta };
        let hidden = state.hidden(heads.values * heads.key_dim * heads.value_dim);
        let read = kernel::delta_rule(heads, rows, hidden); // [heads, t, value_dim]
        let norm = GatedNorm {
            weight: &self.norm,
            eps: spec.norm_eps as f32,
            silu: spec.output_gate == DeltaGate::Silu,
        };
        with_f32(gate, |gate| kernel::gated_head_norm(&read, gate, heads.values, norm))
    }

    /// `g` of numbers `[t, decays]`.
    fn decays(&self, numbers: &[f32]) -> Vec<f32> {
        let width = self.dt_bias.len();
        let of_head = width / self.rate.len();
        let decay = |x: f32, place: usize| {
            let (x, rate) = (x + self.dt_bias[place], self.rate[place / of_head]);
            match self.spec.decay {
                DeltaDecay::Bounded { lower_bound } => lower_bound as f32 / (1.0 + (-rate * x).exp()),
                _ => -rate * softplus(x),
            }
        };
        let row =
            |row: &[f32]| -> Vec<f32> { row.iter().enumerate().map(|(place, &x)| decay(x, place)).collect() };
        numbers.par_chunks(width).flat_map_iter(row).collect()
    }
}
