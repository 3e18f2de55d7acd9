//! Which experts a token meets, and with which weight: see [`RouterKind`].
//!
//! The router's map is kept and applied in f32 whatever the precision of the others, and all that follows is
//! computed in f64: a choice among experts has no tolerance. The order of a token's routes is that of the
//! choice, and experts that the router weighs for every token come last.

use candle_core::{Result, Tensor};

use crate::error;
use crate::model::layers::Norm;
use crate::model::linear::Linear;
use crate::model::spent::Spent;
use crate::spec::{
    DecoderSpec, Dtype, ExpertGroups, GroupScore, MoeSpec, NormKind, RouterKind, Score, ScoreRouter,
};
use crate::weights::Weights;

/// Where a token goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Route {
    pub(super) expert: usize,
    pub(super) weight: f32,
}

/// A router and its learned numbers.
#[derive(Debug)]
pub(super) struct Router {
    moe: MoeSpec,
    map: Linear, // [experts, hidden]
    norm: Option<Norm>,
    choice: Choice,
}

/// What decides on a token by the numbers that the map gives it.
#[derive(Debug, Default)]
struct Choice {
    bias: Vec<f64>,         // [experts], or none
    expert_scale: Vec<f64>, // [experts], or none
    global_scale: Option<f64>,
}

impl Router {
    pub(super) fn load(spec: &DecoderSpec, moe: MoeSpec, weights: &Weights<'_>) -> error::Result<Self> {
        let (hidden, count) = (spec.hidden_size, moe.num_experts);
        let rows = count + moe.weighed_shared();
        let bias = if moe.router_parts.bias { Some(weights.get("bias", &[rows])?) } else { None };
        let numbers = |there: bool, name: &str, count: usize| -> error::Result<Vec<f64>> {
            if !there {
                return Ok(Vec::new());
            }
            Ok(weights.get(name, &[count])?.to_vec1::<f32>()?.into_iter().map(f64::from).collect())
        };
        let norm = if moe.router_parts.norm {
            let scale = (weights.get("scale", &[hidden])? * (hidden as f64).powf(-0.5))?; // [hidden]
            Some(Norm::new(NormKind::Rms, scale, None, spec.norm_eps)?)
        } else {
            None
        };
        Ok(Self {
            moe,
            map: Linear::new(&weights.get("weight", &[rows, hidden])?, bias, Dtype::F32)?,
            norm,
            choice: Choice {
                bias: numbers(moe.has_choice_bias(), "e_score_correction_bias", count)?,
                expert_scale: numbers(moe.router_parts.expert_scale, "per_expert_scale", count)?,
                global_scale: numbers(moe.weighed_shared() > 0, "global_scale", 1)?.first().copied(),
            },
        })
    }

    /// The routes of the rows of `x` `[t, hidden]`, and how many each row has.
    pub(super) fn routes(&self, x: &Tensor, spent: &mut Spent) -> Result<(Vec<Route>, usize)> {
        let x = self.norm.as_ref().map_or_else(|| Ok(x.clone()), |norm| norm.forward(x))?;
        let numbers = spent.on_linear(|| self.map.forward(&x))?.to_vec2::<f32>()?; // [t, experts]
        let routes = numbers.iter().flat_map(|row| routes(&self.moe, &self.choice, row));
        Ok((routes.collect(), self.moe.routes()))
    }
}

/// The routes of a token by its `numbers`, one an expert.
fn routes(moe: &MoeSpec, choice: &Choice, numbers: &[f32]) -> Vec<Route> {
    // Zeros of both signs are equal.
    let numbers: Vec<f64> = numbers.iter().map(|&number| f64::from(number) + 0.0).collect();
    let k = moe.num_experts_per_tok;
    let mut routes = match moe.router {
        RouterKind::Softmax { norm_topk_prob } => {
            let chosen = largest(&numbers, k);
            let over: Vec<f64> = match norm_topk_prob {
                true => chosen.iter().map(|&expert| numbers[expert]).collect(),
                false => numbers.clone(),
            };
            let sum = log_sum_exp(&over);
            weighed(chosen, |expert| (numbers[expert] - sum).exp())
        }
        RouterKind::Sigmoid => weighed(largest(&numbers, k), |expert| sigmoid(numbers[expert])),
        RouterKind::Scores(router) => by_scores(&router, choice, k, &numbers),
        RouterKind::SparseMixer { jitter_eps } => sparse_mixer(&numbers, k, jitter_eps),
        RouterKind::WithShared { route_scale, .. } => {
            let scale = route_scale * choice.global_scale.unwrap_or(1.0);
            with_shared(moe.num_experts, choice, k, &numbers, scale)
        }
    };
    for (expert, weight) in &mut routes {
        *weight *= choice.expert_scale.get(*expert).copied().unwrap_or(1.0);
    }
    routes.into_iter().map(|(expert, weight)| Route { expert, weight: weight as f32 }).collect()
}

/// Experts with their weights.
type Weighed = Vec<(usize, f64)>;

fn weighed(chosen: Vec<usize>, weight: impl Fn(usize) -> f64) -> Weighed {
    chosen.into_iter().map(|expert| (expert, weight(expert))).collect()
}

/// The places of the `k` largest numbers, the largest first; the first of equals.
fn largest(numbers: &[f64], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[b].total_cmp(&numbers[a]));
    order.truncate(k);
    order
}

fn log_sum_exp(numbers: &[f64]) -> f64 {
    let max = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + numbers.iter().map(|number| (number - max).exp()).sum::<f64>().ln()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn by_scores(router: &ScoreRouter, choice: &Choice, k: usize, numbers: &[f64]) -> Weighed {
    let scores: Vec<f64> = match router.score {
        Score::Softmax => {
            let sum = log_sum_exp(numbers);
            numbers.iter().map(|number| (number - sum).exp()).collect()
        }
        Score::Sigmoid => numbers.iter().copied().map(sigmoid).collect(),
    };
    let mut compared = scores.clone();
    compared.iter_mut().zip(&choice.bias).for_each(|(score, bias)| *score += bias);
    if let Some(groups) = &router.groups {
        mask_groups(groups, &mut compared);
    }
    let chosen = largest(&compared, k);
    let sum = match router.norm_floor {
        Some(floor) => chosen.iter().map(|&expert| scores[expert]).sum::<f64>().max(floor),
        None => 1.0,
    };
    weighed(chosen, |expert| scores[expert] / sum * router.routed_scaling_factor)
}

/// Leaves the experts of the best groups alone to be chosen.
fn mask_groups(groups: &ExpertGroups, compared: &mut [f64]) {
    let size = compared.len() / groups.n_group;
    let worth = |group: &[f64]| match groups.by {
        GroupScore::Best => group.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        GroupScore::BestTwo => largest(group, 2).iter().map(|&place| group[place]).sum(),
    };
    let worths: Vec<f64> = compared.chunks(size).map(worth).collect();
    let best = largest(&worths, groups.topk_group);
    for (number, group) in compared.chunks_mut(size).enumerate() {
        if !best.contains(&number) {
            group.fill(f64::NEG_INFINITY);
        }
    }
}

/// Each expert in turn is weighed by a softmax over those of the rest that are close to it.
fn sparse_mixer(numbers: &[f64], k: usize, jitter_eps: f64) -> Weighed {
    let mut rest = numbers.to_vec();
    let mut routes = Vec::new();
    for _ in 0..k {
        let Some(&expert) = largest(&rest, 1).first() else { break };
        let max = rest[expert];
        let close = |place: &usize| {
            let number: f64 = numbers[*place];
            (max - number) / number.abs().max(max) <= 2.0 * jitter_eps
        };
        let near: Vec<f64> = (0..rest.len()).filter(close).map(|place| rest[place]).collect();
        routes.push((expert, (max - log_sum_exp(&near)).exp()));
        rest[expert] = f64::NEG_INFINITY;
    }
    routes
}

fn with_shared(experts: usize, choice: &Choice, k: usize, numbers: &[f64], scale: f64) -> Weighed {
    let scored = |(expert, number): (usize, &f64)| sigmoid(*number) + choice.bias.get(expert).unwrap_or(&0.0);
    let compared: Vec<f64> = numbers[..experts].iter().enumerate().map(scored).collect();
    let mut met = largest(&compared, k);
    met.extend(experts..numbers.len());
    // ln sigmoid(x) = -ln(1 + e^-x), without overflow.
    let log_sigmoid = |expert: usize| numbers[expert].min(0.0) - (-numbers[expert].abs()).exp().ln_1p();
    let sum = log_sum_exp(&met.iter().map(|&expert| log_sigmoid(expert)).collect::<Vec<_>>());
    weighed(met, |expert| (log_sigmoid(expert) - sum).exp() * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(moe: MoeSpec, choice: &Choice, numbers: &[f64]) -> Vec<(usize, f64)> {
        let numbers: Vec<f32> = numbers.iter().map(|number| *number as f32).collect();
        let routes = routes(&moe, choice, &numbers);
        routes.into_iter().map(|route| (route.expert, f64::from(route.weight))).collect()
    }

    fn assert_routes(found: &[(usize, f64)], expected: &[(usize, f64)], what: &str) {
        let experts = |routes: &[(usize, f64)]| routes.iter().map(|route| route.0).collect::<Vec<_>>();
        assert_eq!(experts(found), experts(expected), "{what}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!((found.1 - expected.1).abs() < 1e-6, "{what}: {found:?} instead of {expected:?}");
        }
    }

    const PLAIN: ScoreRouter = ScoreRouter {
        score: Score::Sigmoid,
        choice_bias: true,
        groups: None,
        norm_floor: Some(1e-20),
        routed_scaling_factor: 2.0,
    };

    /// Numbers whose sigmoids are these.
    fn logits(scores: &[f64]) -> Vec<f64> {
        scores.iter().map(|score| (score / (1.0 - score)).ln()).collect()
    }

    #[test]
    fn a_token_goes_to_its_largest_experts_with_the_weights_of_its_router() {
        let numbers = [2f64, 5.0, 1.0].map(f64::ln);
        for (router, weights) in [
            (RouterKind::Softmax { norm_topk_prob: false }, [5.0 / 8.0, 2.0 / 8.0]),
            (RouterKind::Softmax { norm_topk_prob: true }, [5.0 / 7.0, 2.0 / 7.0]),
            (RouterKind::Sigmoid, [5.0 / 6.0, 2.0 / 3.0]),
        ] {
            let found = found(MoeSpec::new(3, 2, 1, router), &Choice::default(), &numbers);
            assert_routes(&found, &[(1, weights[0]), (0, weights[1])], &format!("{router:?}"));
        }
    }

    #[test]
    fn the_first_of_equal_experts_is_chosen() {
        let moe = MoeSpec::new(4, 2, 1, RouterKind::Softmax { norm_topk_prob: true });
        assert_routes(&found(moe, &Choice::default(), &[1.0, 3.0, 3.0, 3.0]), &[(1, 0.5), (2, 0.5)], "ties");
    }

    #[test]
    fn a_bias_changes_which_experts_are_chosen_and_not_what_they_weigh() {
        let moe = MoeSpec::new(3, 2, 1, RouterKind::Scores(PLAIN));
        let choice = Choice { bias: vec![0.0, -1.0, 0.5], ..Choice::default() };
        let found = found(moe, &choice, &logits(&[0.5, 0.9, 0.25]));
        assert_routes(&found, &[(2, 2.0 * 0.25 / 0.75), (0, 2.0 * 0.5 / 0.75)], "a bias");
    }

    #[test]
    fn groups_are_compared_by_their_best_expert_or_their_best_two() {
        let scores = [0.8, 0.1, 0.1, 0.5, 0.6, 0.2];
        for (by, expected) in [
            // 0.8 against 0.6: the first three experts.
            (GroupScore::Best, [(0, 2.0 * 0.8), (1, 2.0 * 0.1)]),
            // 0.9 against 1.1: the last three.
            (GroupScore::BestTwo, [(4, 2.0 * 0.6), (3, 2.0 * 0.5)]),
        ] {
            let groups = Some(ExpertGroups { n_group: 2, topk_group: 1, by });
            let router = ScoreRouter { groups, norm_floor: None, choice_bias: false, ..PLAIN };
            let moe = MoeSpec::new(6, 2, 1, RouterKind::Scores(router));
            assert_routes(&found(moe, &Choice::default(), &logits(&scores)), &expected, &format!("{by:?}"));
        }
    }

    #[test]
    fn softmax_scores_are_renormalised_over_the_chosen_when_asked() {
        let numbers = [2f64, 5.0, 1.0].map(f64::ln);
        for (norm_floor, sum) in [(None, 8.0), (Some(1e-12), 7.0)] {
            let router = ScoreRouter { score: Score::Softmax, norm_floor, choice_bias: false, ..PLAIN };
            let found =
                found(MoeSpec::new(3, 2, 1, RouterKind::Scores(router)), &Choice::default(), &numbers);
            assert_routes(&found, &[(1, 10.0 / sum), (0, 4.0 / sum)], "softmax scores");
        }
    }

    #[test]
    fn a_sparse_mixer_weighs_an_expert_against_those_that_are_close_to_it() {
        let moe = MoeSpec::new(4, 2, 1, RouterKind::SparseMixer { jitter_eps: 0.1 });
        // Within a fifth of 1: 0.9. Within a fifth of 0.9, of the rest: 0.75; 1 itself is taken.
        let found = found(moe, &Choice::default(), &[0.75, 1.0, -3.0, 0.9]);
        let share = |own: f64, other: f64| 1.0 / (1.0 + (other - own).exp());
        assert_routes(&found, &[(1, share(1.0, 0.9)), (3, share(0.9, 0.75))], "a sparse mixer");
    }

    #[test]
    fn experts_that_every_token_meets_share_the_weight_of_those_chosen() {
        let router = RouterKind::WithShared { shared_experts: 1, route_scale: 3.0 };
        let choice = Choice { bias: vec![0.0, 0.0, 0.4], global_scale: Some(0.5), ..Choice::default() };
        let found = found(MoeSpec::new(3, 1, 1, router), &choice, &logits(&[0.5, 0.2, 0.25, 0.75]));
        assert_routes(&found, &[(2, 1.5 * 0.25), (3, 1.5 * 0.75)], "with shared experts");
    }

    #[test]
    fn a_scale_by_expert_multiplies_its_weight() {
        let moe = MoeSpec::new(2, 1, 1, RouterKind::Softmax { norm_topk_prob: true });
        let choice = Choice { expert_scale: vec![7.0, 3.0], ..Choice::default() };
        assert_routes(&found(moe, &choice, &[0.0, 1.0]), &[(1, 3.0)], "a scale");
    }
}
