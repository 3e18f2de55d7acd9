//! Mixture of experts (arXiv 1701.06538, arXiv 2401.04088): a router sends each token to a few of many MLPs.
//!
//! With `w_e` the weight that the router gives the expert `e` of those it chooses for a token, `E(x)`:
//!
//! - `y = sum over e in E(x) of w_e expert_e(x)`;
//! - `y = sum over e in E(x) of expert_e(w_e x)` where inputs are weighed (Llama 4);
//! - `y = fc2 (sum over e in E(x) of w_e expert_e(fc1 x))` where experts work in a narrower space;
//!
//! and a shared expert, where there is one, adds `mlp(x)` for every token, or `sigmoid(g x) mlp(x)`. An
//! expert computes the rows of its own tokens alone, so the work follows `num_experts_per_tok`, not
//! `num_experts`.

mod experts;
mod router;

use candle_core::{Result, Tensor};

use super::linear::Linear;
use super::mlp::Mlp;
use super::spent::Spent;
use crate::spec::{Activation, DecoderSpec, ExpertKind, MlpKind, MoeSpec, RouterKind};
use crate::weights::Weights;
use experts::Expert;
use router::Router;

/// A router, its experts, and the expert that every token meets.
#[derive(Debug)]
pub(super) struct Moe {
    router: Router,
    weighs_inputs: bool,
    /// Into the space that experts work in, and back.
    latent: Option<[Linear; 2]>,
    /// Those that the router chooses of, then those that every token meets with a weight of the router.
    experts: Vec<Expert>,
    shared_expert: Option<Mlp>,
    shared_gate: Option<Linear>,
}

impl Moe {
    pub(super) fn load(
        spec: &DecoderSpec,
        moe: MoeSpec,
        weights: &Weights<'_>,
    ) -> crate::error::Result<Self> {
        let hidden = spec.hidden_size;
        let latent = |latent: usize| -> crate::error::Result<_> {
            let fc1 = Linear::load(&weights.pp("fc1_latent_proj"), [latent, hidden], false)?;
            let fc2 = Linear::load(&weights.pp("fc2_latent_proj"), [hidden, latent], false)?;
            Ok([fc1, fc2])
        };
        let kind = if moe.experts == ExpertKind::Plain { MlpKind::Plain } else { MlpKind::Gated };
        let shared = |width| Mlp::load(&weights.pp("shared_expert"), kind, hidden, width, false);
        let gate = || Linear::load(&weights.pp("shared_expert_gate"), [1, hidden], false);
        Ok(Self {
            router: Router::load(spec, moe, &weights.pp("gate"))?,
            weighs_inputs: moe.router == RouterKind::Sigmoid,
            latent: moe.latent_size.map(latent).transpose()?,
            experts: experts::load(moe, hidden, weights)?,
            shared_expert: moe.shared_width().map(shared).transpose()?,
            shared_gate: moe.shared_expert.filter(|shared| shared.gated).map(|_| gate()).transpose()?,
        })
    }

    /// `x` `[t, hidden]` to `[t, hidden]`, by the experts that the router chooses for the rows of `routed_by`
    /// `[t, hidden]`: `x` itself in most families.
    pub(super) fn forward(
        &self,
        act: Activation,
        x: &Tensor,
        routed_by: &Tensor,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        let (t, _) = x.dims2()?;
        let (routes, k) = self.router.routes(routed_by, spent)?; // [t * k]
        // Places among the routes in the order of their experts, so that each expert's rows lie together.
        let mut order: Vec<usize> = (0..t * k).collect();
        order.sort_by_key(|&place| routes[place].expert);

        let device = x.device();
        let indices = |numbers: Vec<u32>| Tensor::new(numbers, device);
        let weights: Vec<f32> = order.iter().map(|&place| routes[place].weight).collect();
        let weights = Tensor::from_vec(weights, (t * k, 1), device)?; // [t * k, 1], by expert
        let inputs = match &self.latent {
            Some([into, _]) => spent.on_linear(|| into.forward(x))?, // [t, latent]
            None => x.clone(),
        };
        let tokens = order.iter().map(|place| (place / k) as u32).collect();
        let rows = inputs.index_select(&indices(tokens)?, 0)?; // [t * k, width], by expert
        let rows = if self.weighs_inputs { rows.broadcast_mul(&weights)? } else { rows };
        let mut computed = Vec::new();
        let mut start = 0;
        for same in order.chunk_by(|&a, &b| routes[a].expert == routes[b].expert) {
            let rows = rows.narrow(0, start, same.len())?; // [rows of this expert, width]
            computed.push(self.experts[routes[same[0]].expert].forward(act, &rows, spent)?);
            start += same.len();
        }
        let computed = Tensor::cat(&computed, 0)?; // [t * k, width], by expert
        let computed = if self.weighs_inputs { computed } else { computed.broadcast_mul(&weights)? };
        let mut back = vec![0; t * k];
        order.iter().zip(0..).for_each(|(&place, row)| back[place] = row);
        let by_token = computed.index_select(&indices(back)?, 0)?.reshape((t, k, ()))?; // [t, k, width]
        let mixed = by_token.sum(1)?; // [t, width]
        let mixed = match &self.latent {
            Some([_, back]) => spent.on_linear(|| back.forward(&mixed))?, // [t, hidden]
            None => mixed,
        };
        let Some(shared) = &self.shared_expert else { return Ok(mixed) };
        let shared = shared.forward(act, x, spent)?; // [t, hidden]
        match &self.shared_gate {
            Some(gate) => {
                let gate = candle_nn::ops::sigmoid(&spent.on_linear(|| gate.forward(x))?)?; // [t, 1]
                mixed + shared.broadcast_mul(&gate)?
            }
            None => mixed + shared,
        }
    }
}
