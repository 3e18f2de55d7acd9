//! Mixtures of experts: sizes, routers, and the tensors that they are made of.

use serde::{Serialize, Serializer};

use super::MlpKind;
use super::tensors::{Visit, linear, mlp};

/// A mixture of experts: MLPs of which each token meets a few.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MoeSpec {
    /// Experts of a layer, of which a router chooses.
    pub num_experts: usize,
    /// Experts that it chooses for a token.
    pub num_experts_per_tok: usize,
    /// Inner width of an expert.
    pub moe_intermediate_size: usize,
    /// How the router chooses experts, and weighs them.
    pub router: RouterKind,
    /// One more expert, which meets every token.
    #[serde(serialize_with = "shared_expert")]
    pub shared_expert: Option<SharedExpert>,
    /// What an expert computes.
    #[serde(skip_serializing_if = "ExpertKind::is_gated")]
    pub experts: ExpertKind,
    /// Width of the space that experts work in, where it is not that of the residual stream: `fc2 experts(fc1
    /// x)` (Nemotron-H).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latent_size: Option<usize>,
    /// What the router has besides its matrix.
    #[serde(skip_serializing_if = "RouterParts::are_none")]
    pub router_parts: RouterParts,
    /// Whether it stands beside the MLP of its layer and not in its place (Gemma 4).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub beside_mlp: bool,
}

/// The norms behind the MLP, before the experts and behind them where both stand side by side.
pub const NORMS_BESIDE_MLP: [&str; 3] =
    ["post_feedforward_layernorm_1", "pre_feedforward_layernorm_2", "post_feedforward_layernorm_2"];

/// How a router with the numbers `r = R x`, one an expert, chooses experts and weighs them. Of equals it
/// chooses the first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouterKind {
    /// The largest `r`; outputs are weighed by a softmax over all experts (Mixtral, Qwen 3).
    Softmax {
        /// Whether the weights of the chosen experts are made to sum to 1. That is the same as a softmax over
        /// the chosen alone (Granite, gpt-oss).
        norm_topk_prob: bool,
    },
    /// The largest `r`; inputs are weighed by its sigmoid (Llama 4).
    Sigmoid,
    /// By scores, which may have a bias for the choice and be compared within groups (DeepSeek 2 and 3).
    Scores(ScoreRouter),
    /// Two experts, each weighed by a softmax over those whose `r` is close to its own (Phi 3.5 MoE; arXiv
    /// 2409.12136).
    SparseMixer {
        /// An expert is close when `(max - r) / max(|r|, max)` is at most twice this.
        jitter_eps: f64,
    },
    /// The largest `sigmoid(r) + b`; outputs of the chosen experts and of those that every token meets, which
    /// have numbers `r` as well, are weighed by a softmax of `ln sigmoid(r)` over them (Inkling).
    WithShared {
        /// Experts that every token meets.
        shared_experts: usize,
        /// Factor on all weights.
        route_scale: f64,
    },
}

/// A router by scores `s`: it chooses the largest of `s + b`, and weighs outputs by `s`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ScoreRouter {
    /// The scores.
    pub score: Score,
    /// Whether there is a learned bias `b`, for the choice alone.
    pub choice_bias: bool,
    /// Groups of which the best alone are chosen from.
    pub groups: Option<ExpertGroups>,
    /// The least sum that the scores of the chosen experts are divided by; `None` leaves them as they are.
    pub norm_floor: Option<f64>,
    /// Factor on the weights.
    pub routed_scaling_factor: f64,
}

/// What scores are made of a router's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Score {
    /// `softmax(r)` over all experts.
    Softmax,
    /// `1 / (1 + e^-r)` of each.
    Sigmoid,
}

/// Experts in groups of equal size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ExpertGroups {
    /// Groups; divides the number of experts.
    pub n_group: usize,
    /// Groups that are chosen from.
    pub topk_group: usize,
    /// What groups are compared by.
    pub by: GroupScore,
}

/// What a group of experts is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupScore {
    /// Its best `s + b` (DeepSeek 2).
    Best,
    /// The sum of its best two (DeepSeek 3).
    BestTwo,
}

/// What a router has besides its matrix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RouterParts {
    /// A bias on its numbers (gpt-oss).
    pub bias: bool,
    /// What it reads is `x / sqrt(mean(x²) + eps) * w / sqrt(hidden)` (Gemma 4).
    pub norm: bool,
    /// A factor on the weight of each expert (Gemma 4).
    pub expert_scale: bool,
}

/// What an expert computes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpertKind {
    /// `down(act(gate x) * up x)`.
    #[default]
    Gated,
    /// `down(act(up x))` (Nemotron-H).
    Plain,
    /// `down((up' + 1) * gate' sigmoid(alpha gate'))` with `gate' = min(gate x, limit)` and `up'` = `up x`
    /// within `±limit`; all three maps have a bias (gpt-oss).
    ClampedSwiglu {
        /// Factor in the sigmoid.
        alpha: f64,
        /// The largest size of a number.
        limit: f64,
    },
}

/// An expert that every token meets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SharedExpert {
    /// Its inner width, where it is not that of the others.
    pub intermediate_size: Option<usize>,
    /// Whether its output is weighed by a sigmoid of one learned map of `x` (Qwen 2 and 3.5).
    pub gated: bool,
}

impl ExpertKind {
    fn is_gated(&self) -> bool {
        *self == Self::Gated
    }

    /// Maps of an expert.
    fn maps(self) -> usize {
        if self == Self::Plain { 2 } else { 3 }
    }

    /// Its MLP.
    fn mlp(self) -> MlpKind {
        if self == Self::Plain { MlpKind::Plain } else { MlpKind::Gated }
    }

    /// Whether its maps have biases.
    #[must_use]
    pub fn has_bias(self) -> bool {
        matches!(self, Self::ClampedSwiglu { .. })
    }

    /// Name of the stack of all experts' matrices into the inner width: gates before up projections.
    #[must_use]
    pub fn stack_name(self) -> &'static str {
        if self == Self::Plain { "up_proj" } else { "gate_up_proj" }
    }
}

impl RouterParts {
    fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What old specs have: whether there is one, as wide as the others.
fn shared_expert<S: Serializer>(shared: &Option<SharedExpert>, serializer: S) -> Result<S::Ok, S::Error> {
    match shared {
        None => serializer.serialize_bool(false),
        Some(plain) if *plain == SharedExpert::default() => serializer.serialize_bool(true),
        Some(shared) => shared.serialize(serializer),
    }
}

impl MoeSpec {
    /// Gated experts as wide as the residual stream, without a shared one.
    #[must_use]
    pub fn new(
        num_experts: usize,
        num_experts_per_tok: usize,
        moe_intermediate_size: usize,
        router: RouterKind,
    ) -> Self {
        Self {
            num_experts,
            num_experts_per_tok,
            moe_intermediate_size,
            router,
            shared_expert: None,
            experts: ExpertKind::Gated,
            latent_size: None,
            router_parts: RouterParts::default(),
            beside_mlp: false,
        }
    }

    /// Inner width of the shared expert, where there is one.
    #[must_use]
    pub fn shared_width(&self) -> Option<usize> {
        Some(self.shared_expert?.intermediate_size.unwrap_or(self.moe_intermediate_size))
    }

    /// Experts that every token meets and that the router weighs.
    #[must_use]
    pub fn weighed_shared(&self) -> usize {
        match self.router {
            RouterKind::WithShared { shared_experts, .. } => shared_experts,
            _ => 0,
        }
    }

    /// Experts that a token meets by the router.
    #[must_use]
    pub fn routes(&self) -> usize {
        self.num_experts_per_tok + self.weighed_shared()
    }

    /// Whether the router has a bias for its choice.
    #[must_use]
    pub fn has_choice_bias(&self) -> bool {
        match self.router {
            RouterKind::Scores(router) => router.choice_bias,
            RouterKind::WithShared { .. } => true,
            _ => false,
        }
    }

    /// Weights of the linear maps of the router, of `experts` of the experts that it chooses of, and of all
    /// that every token goes through.
    pub(super) fn linear_weights(&self, hidden_size: usize, experts: usize) -> usize {
        let maps = self.experts.maps();
        let rows = self.num_experts + self.weighed_shared();
        let width = self.latent_size.unwrap_or(hidden_size);
        let latent = self.latent_size.map_or(0, |latent| 2 * latent * hidden_size);
        let gate = usize::from(self.shared_expert.is_some_and(|shared| shared.gated)) * hidden_size;
        let shared = maps * hidden_size * self.shared_width().unwrap_or(0);
        let experts = maps * (experts + self.weighed_shared()) * width * self.moe_intermediate_size;
        rows * hidden_size + latent + experts + gate + shared
    }

    /// The same with all other numbers.
    pub(super) fn parameters(&self, hidden_size: usize, experts: usize) -> usize {
        let RouterParts { bias, norm, expert_scale } = self.router_parts;
        let by_expert = usize::from(bias) + usize::from(expert_scale) + usize::from(self.has_choice_bias());
        let router = by_expert * self.num_experts
            + usize::from(norm) * hidden_size
            + usize::from(self.weighed_shared() > 0);
        let biases = match self.experts.has_bias() {
            true => experts * (2 * self.moe_intermediate_size + hidden_size),
            false => 0,
        };
        self.linear_weights(hidden_size, experts) + router + biases
    }

    /// Hands every tensor of the mixture to `visit`. `contains` says what there is: experts are stored one by
    /// one, or as one stack.
    pub(super) fn each_tensor<E>(
        &self,
        hidden: usize,
        contains: &dyn Fn(&str) -> bool,
        visit: Visit<'_, E>,
    ) -> Result<(), E> {
        let (count, inner) = (self.num_experts, self.moe_intermediate_size);
        let RouterParts { bias, norm, expert_scale } = self.router_parts;
        linear("mlp.gate", [count + self.weighed_shared(), hidden], bias, visit)?;
        if self.has_choice_bias() {
            visit("mlp.gate.e_score_correction_bias", &[count])?;
        }
        if norm {
            visit("mlp.gate.scale", &[hidden])?;
        }
        if expert_scale {
            visit("mlp.gate.per_expert_scale", &[count])?;
        }
        if self.weighed_shared() > 0 {
            visit("mlp.gate.global_scale", &[1])?;
        }
        if let Some(latent) = self.latent_size {
            linear("mlp.fc1_latent_proj", [latent, hidden], false, visit)?;
            linear("mlp.fc2_latent_proj", [hidden, latent], false, visit)?;
        }
        let (width, kind, with_bias) =
            (self.latent_size.unwrap_or(hidden), self.experts.mlp(), self.experts.has_bias());
        let stack = format!("mlp.experts.{}", self.experts.stack_name());
        if contains(&stack) {
            let inner_maps = self.experts.maps() - 1;
            visit(&stack, &[count, inner_maps * inner, width])?;
            visit("mlp.experts.down_proj", &[count, width, inner])?;
            if with_bias {
                visit(&format!("{stack}_bias"), &[count, inner_maps * inner])?;
                visit("mlp.experts.down_proj_bias", &[count, width])?;
            }
        } else {
            (0..count).try_for_each(|expert| {
                mlp(&format!("mlp.experts.{expert}"), kind, [inner, width], with_bias, visit)
            })?;
        }
        match self.weighed_shared() {
            0 => {}
            shared => {
                visit("mlp.shared_experts.gate_proj", &[shared, inner, hidden])?;
                visit("mlp.shared_experts.up_proj", &[shared, inner, hidden])?;
                visit("mlp.shared_experts.down_proj", &[shared, hidden, inner])?;
            }
        }
        if let Some(width) = self.shared_width() {
            mlp("mlp.shared_expert", kind, [width, hidden], false, visit)?;
        }
        match self.shared_expert {
            Some(SharedExpert { gated: true, .. }) => {
                linear("mlp.shared_expert_gate", [1, hidden], false, visit)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_of_an_old_spec_is_written_as_it_was() {
        let softmax = MoeSpec::new(8, 2, 16, RouterKind::Softmax { norm_topk_prob: true });
        let llama4 = MoeSpec {
            shared_expert: Some(SharedExpert::default()),
            ..MoeSpec::new(8, 1, 16, RouterKind::Sigmoid)
        };
        for (moe, expected) in [
            (
                softmax,
                r#"{"num_experts":8,"num_experts_per_tok":2,"moe_intermediate_size":16,"router":{"softmax":{"norm_topk_prob":true}},"shared_expert":false}"#,
            ),
            (
                llama4,
                r#"{"num_experts":8,"num_experts_per_tok":1,"moe_intermediate_size":16,"router":"sigmoid","shared_expert":true}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&moe).unwrap(), expected);
        }
    }

    /// Every part that a mixture can have.
    fn all_parts() -> [MoeSpec; 3] {
        let router = RouterKind::Scores(ScoreRouter {
            score: Score::Sigmoid,
            choice_bias: true,
            groups: None,
            norm_floor: None,
            routed_scaling_factor: 1.0,
        });
        let plain = MoeSpec {
            experts: ExpertKind::Plain,
            latent_size: Some(3),
            shared_expert: Some(SharedExpert { intermediate_size: Some(7), gated: true }),
            router_parts: RouterParts { bias: true, norm: true, expert_scale: true },
            ..MoeSpec::new(4, 2, 6, router)
        };
        let clamped = MoeSpec {
            experts: ExpertKind::ClampedSwiglu { alpha: 1.7, limit: 7.0 },
            ..MoeSpec::new(4, 2, 6, RouterKind::Softmax { norm_topk_prob: true })
        };
        let weighed = RouterKind::WithShared { shared_experts: 2, route_scale: 1.0 };
        [plain, clamped, MoeSpec::new(4, 2, 6, weighed)]
    }

    #[test]
    fn the_tensors_of_a_mixture_hold_its_parameters_stacked_or_not() {
        for moe in all_parts() {
            for stacked in [false, true] {
                let mut numbers = 0;
                let count = &mut |_: &str, shape: &[usize]| {
                    numbers += shape.iter().product::<usize>();
                    Ok::<_, ()>(())
                };
                moe.each_tensor(10, &|_| stacked, count).unwrap();
                assert_eq!(numbers, moe.parameters(10, moe.num_experts), "{moe:?}");
            }
        }
    }
}
