//! A mixture of experts in words.

use super::bound::significant;
use super::inspection::label;
use crate::spec::{ExpertKind, MoeSpec, RouterKind};

/// How many experts a layer has and a token meets, what weighs them, and which it always meets.
pub(super) fn describe(moe: &MoeSpec) -> String {
    let (met, all, width) = (moe.num_experts_per_tok, moe.num_experts, moe.moe_intermediate_size);
    let kind = match moe.experts {
        ExpertKind::Gated => "",
        ExpertKind::Plain => " without gates",
        ExpertKind::ClampedSwiglu { .. } => " with clamped gates",
    };
    let space = moe.latent_size.map(|latent| format!(" in a space of {latent}")).unwrap_or_default();
    let shared = match (moe.weighed_shared(), moe.shared_expert, moe.shared_width()) {
        (0, Some(shared), Some(own)) => {
            let own = if own == width { String::new() } else { format!(" of width {own}") };
            format!(" and a shared one{own}{}", if shared.gated { " behind a gate" } else { "" })
        }
        (0, _, _) => String::new(),
        (weighed, _, _) => format!(" and {weighed} shared ones"),
    };
    let beside = if moe.beside_mlp { " beside the MLP" } else { "" };
    format!("{met} of {all} experts of width {width}{kind}{space}{shared}{beside} ({})", router(moe.router))
}

/// How a router chooses and weighs.
fn router(router: RouterKind) -> String {
    match router {
        RouterKind::Softmax { norm_topk_prob: true } => "softmax over the chosen".to_string(),
        RouterKind::Softmax { norm_topk_prob: false } => "softmax over all".to_string(),
        RouterKind::Sigmoid => "inputs times a sigmoid".to_string(),
        RouterKind::SparseMixer { .. } => "sparse mixer".to_string(),
        RouterKind::WithShared { .. } => "softmax over the chosen and the shared".to_string(),
        RouterKind::Scores(router) => {
            let mut words = vec![label(&router.score)];
            words.extend(router.choice_bias.then(|| "a bias for the choice".to_string()));
            let groups = router.groups.filter(|groups| groups.topk_group < groups.n_group);
            words.extend(groups.map(|groups| format!("{} of {} groups", groups.topk_group, groups.n_group)));
            words.extend(router.norm_floor.map(|_| "made to sum to 1".to_string()));
            let factor = router.routed_scaling_factor;
            words.extend((factor != 1.0).then(|| format!("times {}", significant(factor))));
            words.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{ExpertGroups, GroupScore, Score, ScoreRouter, SharedExpert};

    #[test]
    fn a_mixture_says_how_it_chooses_and_what_every_token_meets() {
        let softmax = |norm_topk_prob| RouterKind::Softmax { norm_topk_prob };
        let scores = RouterKind::Scores(ScoreRouter {
            score: Score::Sigmoid,
            choice_bias: true,
            groups: Some(ExpertGroups { n_group: 4, topk_group: 2, by: GroupScore::BestTwo }),
            norm_floor: Some(0.0),
            routed_scaling_factor: 2.5,
        });
        for (moe, expected) in [
            (MoeSpec::new(8, 2, 16, softmax(true)), "2 of 8 experts of width 16 (softmax over the chosen)"),
            (
                MoeSpec {
                    shared_expert: Some(SharedExpert { intermediate_size: Some(20), gated: true }),
                    ..MoeSpec::new(8, 2, 16, softmax(false))
                },
                "2 of 8 experts of width 16 and a shared one of width 20 behind a gate (softmax over all)",
            ),
            (
                MoeSpec {
                    experts: ExpertKind::Plain,
                    latent_size: Some(12),
                    shared_expert: Some(SharedExpert::default()),
                    ..MoeSpec::new(8, 2, 16, scores)
                },
                "2 of 8 experts of width 16 without gates in a space of 12 and a shared one (sigmoid, a bias \
                 for the choice, 2 of 4 groups, made to sum to 1, times 2.5)",
            ),
        ] {
            assert_eq!(describe(&moe), expected);
        }
    }
}
