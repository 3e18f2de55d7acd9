//! Mixture of experts (arXiv 1701.06538, arXiv 2401.04088): a router sends each token to a few of many MLPs.
//!
//! With `r = R x`, the router's number for each expert, and `E(x)` the experts of the `num_experts_per_tok`
//! largest:
//!
//! - softmax router: `y = sum over e in E(x) of p_e mlp_e(x)`, `p = softmax(r)` over all experts, or over
//!   `E(x)` alone with `norm_topk_prob`;
//! - sigmoid router (Llama 4): `y = sum over e in E(x) of mlp_e(sigmoid(r_e) x)`;
//!
//! and a shared expert, where there is one, adds `mlp(x)` for every token. An expert computes the rows of its
//! own tokens alone, so the work follows `num_experts_per_tok`, not `num_experts`.

use candle_core::{Result, Tensor};

use super::linear::Linear;
use super::mlp::Mlp;
use super::spent::Spent;
use crate::spec::Dtype;
use crate::spec::{Activation, DecoderSpec, MlpKind, MoeSpec, RouterKind};
use crate::weights::Weights;

/// A router, its experts, and the expert that every token meets.
#[derive(Debug)]
pub(super) struct Moe {
    spec: MoeSpec,
    router: Linear,
    experts: Vec<Mlp>,
    shared_expert: Option<Mlp>,
}

/// Where a token goes: an expert, and the weight it has there.
type Route = (usize, f32);

impl Moe {
    pub(super) fn load(
        spec: &DecoderSpec,
        moe: MoeSpec,
        weights: &Weights<'_>,
    ) -> crate::error::Result<Self> {
        let (hidden, inner, count) = (spec.hidden_size, moe.moe_intermediate_size, moe.num_experts);
        let mlp = |weights: &Weights<'_>| Mlp::load(weights, MlpKind::Gated, hidden, inner, false);
        let router = Linear::load(&weights.pp("gate"), [count, hidden], false)?;
        let experts = weights.pp("experts");
        Ok(Self {
            spec: moe,
            router,
            // Both forms are in use for the same families.
            experts: if experts.contains("gate_up_proj") {
                let gate_up = experts.get("gate_up_proj", &[count, 2 * inner, hidden])?;
                let down = experts.get("down_proj", &[count, hidden, inner])?;
                unstacked(&gate_up, &down, weights.dtype())?
            } else {
                (0..count).map(|expert| mlp(&experts.pp(expert))).collect::<crate::error::Result<_>>()?
            },
            shared_expert: match moe.shared_expert {
                true => Some(mlp(&weights.pp("shared_expert"))?),
                false => None,
            },
        })
    }

    /// `x` `[t, hidden]` to `[t, hidden]`.
    pub(super) fn forward(&self, act: Activation, x: &Tensor, spent: &mut Spent) -> Result<Tensor> {
        let (t, hidden) = x.dims2()?;
        let k = self.spec.num_experts_per_tok;
        let logits = spent.on_linear(|| self.router.forward(x))?.to_vec2::<f32>()?; // [t, experts]
        let routes: Vec<Route> = logits.iter().flat_map(|row| routes(self.spec, row)).collect(); // [t * k]
        // Places among the routes in the order of their experts, so that each expert's rows lie together.
        let mut order: Vec<usize> = (0..t * k).collect();
        order.sort_by_key(|&place| routes[place].0);

        let device = x.device();
        let indices = |numbers: Vec<u32>| Tensor::new(numbers, device);
        let weights: Vec<f32> = order.iter().map(|&place| routes[place].1).collect();
        let weights = Tensor::from_vec(weights, (t * k, 1), device)?; // [t * k, 1], by expert
        let weighs_inputs = self.spec.router == RouterKind::Sigmoid;
        let tokens = order.iter().map(|place| (place / k) as u32).collect();
        let rows = x.index_select(&indices(tokens)?, 0)?; // [t * k, hidden], by expert
        let rows = if weighs_inputs { rows.broadcast_mul(&weights)? } else { rows };
        let mut computed = Vec::new();
        let mut start = 0;
        for same in order.chunk_by(|&a, &b| routes[a].0 == routes[b].0) {
            let rows = rows.narrow(0, start, same.len())?; // [rows of this expert, hidden]
            computed.push(self.experts[routes[same[0]].0].forward(act, &rows, spent)?);
            start += same.len();
        }
        let computed = Tensor::cat(&computed, 0)?; // [t * k, hidden], by expert
        let computed = if weighs_inputs { computed } else { computed.broadcast_mul(&weights)? };
        let mut back = vec![0; t * k];
        order.iter().zip(0..).for_each(|(&place, row)| back[place] = row);
        let by_token = computed.index_select(&indices(back)?, 0)?.reshape((t, k, hidden))?; // [t, k, hidden]
        let mixed = by_token.sum(1)?; // [t, hidden]
        match &self.shared_expert {
            Some(shared) => mixed + shared.forward(act, x, spent)?,
            None => Ok(mixed),
        }
    }
}

/// The experts of a token by its `logits` `[experts]`, the largest first; the first of equals.
fn routes(spec: MoeSpec, logits: &[f32]) -> Vec<Route> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let chosen = &order[..spec.num_experts_per_tok];
    let exp = |&expert: &usize| f64::from(logits[expert] - logits[order[0]]).exp();
    let weight = |expert: &usize| match spec.router {
        RouterKind::Softmax { norm_topk_prob } => {
            let weighed = if norm_topk_prob { chosen } else { &order[..] };
            exp(expert) / weighed.iter().map(exp).sum::<f64>()
        }
        RouterKind::Sigmoid => 1.0 / (1.0 + f64::from(-logits[*expert]).exp()),
    };
    chosen.iter().map(|expert| (*expert, weight(expert) as f32)).collect()
}

/// The experts of `gate_up` `[experts, 2 * inner, hidden]`, whose first rows are the gates, and `down`
/// `[experts, hidden, inner]`.
fn unstacked(gate_up: &Tensor, down: &Tensor, dtype: Dtype) -> Result<Vec<Mlp>> {
    let inner = gate_up.dim(1)? / 2;
    let expert = |expert| {
        let gate_up = gate_up.get(expert)?; // [2 * inner, hidden]
        let (gate, up) = (gate_up.narrow(0, 0, inner)?, gate_up.narrow(0, inner, inner)?);
        Mlp::gated(&gate, &up, &down.get(expert)?, dtype)
    };
    (0..gate_up.dim(0)?).map(expert).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_its_largest_experts_with_the_weights_of_its_router() {
        let logits = [2f32, 5.0, 1.0].map(f32::ln);
        let routes = |router| {
            let spec = MoeSpec {
                num_experts: 3,
                num_experts_per_tok: 2,
                moe_intermediate_size: 1,
                router,
                shared_expert: false,
            };
            routes(spec, &logits)
        };
        for (router, weights) in [
            (RouterKind::Softmax { norm_topk_prob: false }, [5.0 / 8.0, 2.0 / 8.0]),
            (RouterKind::Softmax { norm_topk_prob: true }, [5.0 / 7.0, 2.0 / 7.0]),
            (RouterKind::Sigmoid, [5.0 / 6.0, 2.0 / 3.0]),
        ] {
            let found = routes(router);
            assert_eq!((found[0].0, found[1].0), (1, 0));
            for (route, weight) in found.iter().zip(weights) {
                assert!((route.1 - weight).abs() < 1e-6, "{router:?}: {found:?}");
            }
        }
    }
}
