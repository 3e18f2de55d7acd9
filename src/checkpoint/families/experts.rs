//! What configurations say of mixtures of experts.

use super::common::listed_layers;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{
    DecoderSpec, ExpertGroups, GroupScore, MoeSpec, RouterKind, Score, ScoreRouter, SharedExpert,
};

/// The key that most families have for the number of experts that a token meets.
pub(super) const PER_TOKEN: &str = "num_experts_per_tok";

/// The experts of `config`: under the keys of their number, of how many a token meets and of their inner
/// width.
pub(super) fn read(config: &Config, keys: [&str; 3], router: RouterKind) -> Result<MoeSpec> {
    let [experts, per_token, inner] = keys;
    let num_experts = config.size(experts)?;
    let num_experts_per_tok = config.size(per_token)?;
    if num_experts_per_tok > num_experts {
        let expected = format!("at most the {num_experts} experts of a layer");
        return Err(config.wrong(per_token, expected, num_experts_per_tok));
    }
    Ok(MoeSpec::new(num_experts, num_experts_per_tok, config.size(inner)?, router))
}

/// The key under which a number stands: its own, or that of other families, which is taken as well and goes
/// before it.
pub(super) fn or_alias<'a>(config: &Config, own: &'a str, alias: &'a str) -> &'a str {
    if config.get(alias).is_some() { alias } else { own }
}

/// Puts `experts` into the layers that `sparse` names.
pub(super) fn set(spec: &mut DecoderSpec, experts: MoeSpec, sparse: &[bool]) {
    for (layer, sparse) in spec.layers.iter_mut().zip(sparse) {
        layer.moe = sparse.then_some(experts);
    }
}

/// Every `decoder_sparse_step`th layer that `mlp_only_layers` does not name.
pub(super) fn every_step(config: &Config, layers: usize) -> Result<Vec<bool>> {
    let dense = listed_layers(config, "mlp_only_layers", layers)?.unwrap_or_else(|| vec![false; layers]);
    let step = config.size("decoder_sparse_step")?;
    Ok((0..layers).map(|layer| !dense[layer] && (layer + 1).is_multiple_of(step)).collect())
}

/// The layers that `mlp_layer_types` calls sparse, else all but the first `dense`.
pub(super) fn by_type(config: &Config, layers: usize, dense: usize) -> Result<Vec<bool>> {
    const KEY: &str = "mlp_layer_types";
    let Some(types) = config.optional_strings(KEY)? else {
        return Ok((0..layers).map(|layer| layer >= dense).collect());
    };
    if types.len() != layers {
        return Err(config.wrong(KEY, format!("{layers} entries, one a layer"), types.len()));
    }
    let sparse = types.iter().map(|kind| match kind.as_str() {
        "dense" => Ok(false),
        "sparse" => Ok(true),
        _ => Err(config.wrong(KEY, "dense or sparse", kind)),
    });
    sparse.collect()
}

/// One shared expert as wide as the number of experts under `key` together; none where that is 0.
pub(super) fn shared(config: &Config, key: &str, inner: usize) -> Result<Option<SharedExpert>> {
    let width = match config.count(key)? {
        0 => return Ok(None),
        1 => None,
        count => Some(count * inner),
    };
    Ok(Some(SharedExpert { intermediate_size: width, gated: false }))
}

/// DeepSeek 3's router of `experts` experts: sigmoids with a bias for the choice, of the best `topk_group` of
/// `n_group` groups, made to sum to 1 under `norm_topk_prob`.
pub(super) fn deepseek_v3_router(config: &Config, experts: &str) -> Result<ScoreRouter> {
    Ok(ScoreRouter {
        score: Score::Sigmoid,
        choice_bias: true,
        groups: groups(config, experts, GroupScore::BestTwo)?,
        norm_floor: config.required_flag("norm_topk_prob")?.then_some(NORM_FLOOR),
        routed_scaling_factor: config.number("routed_scaling_factor")?,
    })
}

/// What a sum of scores is at least.
pub(super) const NORM_FLOOR: f64 = 1e-20;

/// The groups of the experts that `experts` counts; nothing where all of one group are chosen from.
pub(super) fn groups(config: &Config, experts: &str, by: GroupScore) -> Result<Option<ExpertGroups>> {
    let (n_group, topk_group) = (config.size("n_group")?, config.size("topk_group")?);
    let (count, chosen) = (config.size(experts)?, config.size(PER_TOKEN)?);
    if !count.is_multiple_of(n_group) {
        return Err(config.wrong("n_group", format!("a divisor of {experts} = {count}"), n_group));
    }
    let size = count / n_group;
    if n_group > 1 && by == GroupScore::BestTwo && size < 2 {
        let expected = "groups of at least two experts, as the best two of each are compared";
        return Err(config.wrong("n_group", expected, n_group));
    }
    if topk_group > n_group || topk_group * size < chosen {
        let expected = format!("at most n_group = {n_group}, and enough to choose {chosen} experts from");
        return Err(config.wrong("topk_group", expected, topk_group));
    }
    Ok((topk_group < n_group).then_some(ExpertGroups { n_group, topk_group, by }))
}

/// Refuses biases of MLPs where those of experts are not known.
pub(super) fn refuse_bias(config: &Config, key: &str) -> Result<()> {
    if config.flag(key)? {
        return Err(config.wrong(key, "false: experts with such biases are not known", true));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;
    use crate::checkpoint::families::{describe, warnings};

    /// The configurations as they stand on the hub, without what says nothing of the model, and billions of
    /// parameters as their makers count them, in all and for each token.
    fn published() -> Vec<(Value, f64, f64)> {
        let yarn = |factor: f64, keys: Value| {
            let mut yarn = json!({
                "beta_fast": 32, "beta_slow": 1, "factor": factor, "original_max_position_embeddings": 4096
            });
            yarn.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
            yarn
        };
        let gpt_oss = json!({
            "model_type": "gpt_oss", "attention_bias": true, "experts_per_token": 4, "head_dim": 64,
            "hidden_act": "silu", "hidden_size": 2880, "initial_context_length": 4096,
            "intermediate_size": 2880, "max_position_embeddings": 131_072, "num_attention_heads": 64,
            "num_experts_per_tok": 4, "num_hidden_layers": 24, "num_key_value_heads": 8,
            "num_local_experts": 32, "rms_norm_eps": 1e-5, "rope_theta": 150_000,
            "rope_scaling": yarn(32.0, json!({"rope_type": "yarn", "truncate": false})),
            "sliding_window": 128, "swiglu_limit": 7.0, "tie_word_embeddings": false, "vocab_size": 201_088
        });
        let deepseek = json!({
            "model_type": "deepseek_v3", "attention_bias": false, "ep_size": 1, "first_k_dense_replace": 3,
            "hidden_act": "silu", "hidden_size": 7168, "intermediate_size": 18432, "kv_lora_rank": 512,
            "max_position_embeddings": 163_840, "moe_intermediate_size": 2048, "moe_layer_freq": 1,
            "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1, "norm_topk_prob": true,
            "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61,
            "num_key_value_heads": 128, "num_nextn_predict_layers": 1, "q_lora_rank": 1536,
            "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000,
            "rope_scaling": yarn(40.0, json!({"type": "yarn", "mscale": 1.0, "mscale_all_dim": 1.0})),
            "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "tie_word_embeddings": false,
            "topk_group": 4, "topk_method": "noaux_tc", "v_head_dim": 128, "vocab_size": 129_280
        });
        let olmoe = json!({
            "model_type": "olmoe", "attention_bias": false, "clip_qkv": null, "hidden_act": "silu",
            "hidden_size": 2048, "intermediate_size": 1024, "max_position_embeddings": 4096,
            "norm_topk_prob": false, "num_attention_heads": 16, "num_experts": 64, "num_experts_per_tok": 8,
            "num_hidden_layers": 16, "num_key_value_heads": 16, "rms_norm_eps": 1e-5, "rope_scaling": null,
            "rope_theta": 10000.0, "tie_word_embeddings": false, "vocab_size": 50304
        });
        vec![(gpt_oss, 20.9, 3.6), (deepseek, 671.0, 37.5), (olmoe, 6.9, 1.3)]
    }

    #[test]
    fn published_configurations_have_as_many_parameters_as_their_makers_say() {
        for (keys, total, active) in published() {
            let config = Config::new(Path::new("config.json"), keys.as_object().unwrap().clone());
            let (family, spec) = describe(&config).unwrap();
            let billions = |count: usize| (count as f64 / 1e8).round() / 10.0;
            assert_eq!(billions(spec.parameter_count()), total, "{}", family.name);
            // Some leave out the embedding, or the head.
            let tables = 2.0 * (spec.vocab_size * spec.hidden_size) as f64 / 1e9;
            let found = billions(spec.active_parameter_count());
            assert!((active - 0.1..=active + tables + 0.1).contains(&found), "{}: {found}", family.name);
            assert_eq!(warnings(&config, &spec).unwrap(), [""; 0], "{}", family.name);
        }
    }
}
