//! What GGUF files say of heads that differ from Llama's: latent attention, sinks, and heads of two sizes.

use serde_json::{Map, Value, json};

use super::gguf_architectures::{SIGMOID, SOFTMAX};
use super::gguf_config::Translation;
use crate::error::Result;

/// DeepSeek 2 and 3 and Mistral 4, told apart by their routers. llama.cpp computes their latent attention
/// with one wide key head; what heads are made of stands under keys of its own, which old files do not have.
pub(super) fn deepseek2(of: &mut Translation<'_>) -> Result<()> {
    let sums_to_1 = of.config.get("norm_topk_prob") == Some(&json!(true));
    let (family, share) = match of.integer("expert_gating_func")? {
        Some(2) => ("deepseek_v3", Some(json!(1.0))),
        _ if sums_to_1 => ("mistral4", None),
        _ => ("deepseek_v2", Some(json!(1.0))),
    };
    of.set("model_type", family);
    of.set("norm_topk_prob", sums_to_1);
    of.set("rope_interleave", true);
    if family != "deepseek_v3" {
        of.gating(SOFTMAX)?;
        let groups = of.size("n_group").unwrap_or(1);
        of.set("topk_method", if groups > 1 { "group_limited_greedy" } else { "greedy" });
    }
    let of_heads = |name: &str, old: &str| match of.integer(name)? {
        Some(width) => Ok(width),
        None => of.required(old),
    };
    let query = of_heads("attention.key_length_mla", "attention.key_length")?;
    let value = of_heads("attention.value_length_mla", "attention.value_length")?;
    latent(of, query, value, share)?;
    // A tenth of it is stored.
    let all = of.number("rope.scaling.yarn_log_multiplier")?;
    if let (Some(all), Some(rope)) = (all, rope(of)) {
        rope.insert("mscale".to_string(), json!(10.0 * all));
        rope.insert("mscale_all_dim".to_string(), json!(10.0 * all));
    }
    temperature(of)
}

/// Latent attention, with multipliers that are the same in all models.
pub(super) fn minicpm3(of: &mut Translation<'_>) -> Result<()> {
    let mean = of.size("hidden_size").zip(of.size("num_attention_heads"));
    let value = match of.integer("attention.value_length")? {
        Some(width) => width,
        None => mean.and_then(|(hidden, heads)| hidden.checked_div(heads)).unwrap_or(0),
    };
    latent(of, of.required("attention.key_length")?, value, Some(json!(1.0)))?;
    of.set("scale_emb", 12);
    of.set("scale_depth", 1.4);
    of.set("dim_model_base", 256);
    Ok(())
}

/// Kimi Delta Attention in layers without a latent, and no positions in those with one.
pub(super) fn kimi_linear(of: &mut Translation<'_>) -> Result<()> {
    of.gating(SIGMOID)?;
    of.set("norm_topk_prob", true);
    let (query, value) =
        (of.required("attention.key_length_mla")?, of.required("attention.value_length_mla")?);
    latent(of, query, value, None)?;
    of.config.remove("rope_parameters");
    for (key, size) in [
        ("linear_num_heads", of.required("attention.head_count")?),
        ("linear_head_dim", of.required("kda.head_dim")?),
        ("linear_conv_kernel_dim", of.required("ssm.conv_kernel")?),
    ] {
        of.set(key, size);
    }
    of.set_layer_kinds("attn_kv_a_mqa.weight", "linear_attention");
    Ok(())
}

/// The sizes of latent attention whose queries are `query` wide, and the `share` of rotary coordinates that
/// turn.
fn latent(of: &mut Translation<'_>, query: u64, value: u64, share: Option<Value>) -> Result<()> {
    let rotary = of.required("rope.dimension_count")?;
    let Some(plain) = query.checked_sub(rotary) else {
        let expected = format!("at most the {query} numbers of a query");
        return Err(of.wrong("rope.dimension_count", expected, rotary));
    };
    for (key, size) in [
        ("qk_nope_head_dim", plain),
        ("qk_rope_head_dim", rotary),
        ("v_head_dim", value),
        ("kv_lora_rank", of.required("attention.kv_lora_rank")?),
    ] {
        of.set(key, size);
    }
    of.set("q_lora_rank", json!(of.integer("attention.q_lora_rank")?.filter(|rank| *rank > 0)));
    if let Some(rope) = rope(of) {
        rope.remove("partial_rotary_factor");
        share.map(|share| rope.insert("partial_rotary_factor".to_string(), share));
    }
    Ok(())
}

fn rope<'a>(of: &'a mut Translation<'_>) -> Option<&'a mut Map<String, Value>> {
    of.config.get_mut("rope_parameters")?.as_object_mut()
}

/// Mistral's dense models of the third generation.
pub(super) fn mistral3(of: &mut Translation<'_>) -> Result<()> {
    if of.number("attention.temperature_scale")?.is_none_or(|scale| scale == 0.0) {
        of.set("model_type", "mistral");
    }
    temperature(of)
}

/// The temperature of Mistral's attention, which grows by steps of the original context.
fn temperature(of: &mut Translation<'_>) -> Result<()> {
    let Some(scale) = of.number("attention.temperature_scale")?.filter(|scale| *scale != 0.0) else {
        return Ok(());
    };
    let original = of.integer("rope.scaling.original_context_length")?;
    let steps = of.integer("attention.temperature_length")?.filter(|length| *length > 0);
    if let Some(steps) = steps.filter(|steps| Some(*steps) != original) {
        return Err(of.wrong("attention.temperature_length", "that of the original context", steps));
    }
    if let Some(rope) = rope(of) {
        rope.insert("llama_4_scaling_beta".to_string(), json!(scale));
    }
    Ok(())
}

/// Layers with a window have twice the key heads, and sinks; values may be narrower than keys.
pub(super) fn mimo2(of: &mut Translation<'_>) -> Result<()> {
    of.gating(SIGMOID)?;
    of.set("norm_topk_prob", true);
    of.set("v_head_dim", of.required("attention.value_length")?);
    let scale = of.number("attention.value_scale")?.filter(|scale| *scale != 0.0);
    of.set("attention_value_scale", json!(scale));
    let types = of.config.get("layer_types").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(mut heads) = of.by_layer("attention.head_count_kv")? {
        heads.truncate(types.len());
        let slides = |layer: usize| types.get(layer).is_some_and(|kind| kind == "sliding_attention");
        let first = heads.first().map_or(0, |heads| if slides(0) { heads / 2 } else { *heads });
        let odd = |(layer, heads): &(usize, &u64)| **heads != if slides(*layer) { 2 * first } else { first };
        if let Some((layer, heads)) = heads.iter().enumerate().find(odd) {
            let expected = format!("{first}, and twice as many in layers with a window");
            return Err(of.wrong("attention.head_count_kv", expected, format!("{heads} in layer {layer}")));
        }
        of.set("num_key_value_heads", first);
    }
    let share = rope(of).and_then(|rope| rope.get("partial_rotary_factor").cloned());
    let local = of.number("rope.freq_base_swa")?.unwrap_or(10000.0);
    of.set_ropes_by_window(local);
    if let Some(local) = rope(of).and_then(|ropes| ropes.get_mut("sliding_attention")?.as_object_mut()) {
        local.insert("partial_rotary_factor".to_string(), json!(share));
    }
    Ok(())
}

/// Every other layer has a window. What clamps experts, and how YaRN's ramp begins, is the same in all
/// models.
pub(super) fn gpt_oss(of: &mut Translation<'_>) -> Result<()> {
    of.gating(SOFTMAX)?;
    let width = of.size("moe_intermediate_size");
    of.set("intermediate_size", json!(width));
    if let Some(rope) = of.config.get_mut("rope_parameters").and_then(Value::as_object_mut) {
        rope.insert("truncate".to_string(), json!(false));
    }
    Ok(())
}

/// Heads of layers with a window are narrower; the others may have fewer key heads, and no values of their
/// own.
pub(super) fn gemma4(of: &mut Translation<'_>) -> Result<()> {
    let (wide, narrow) = (of.required("attention.key_length")?, of.required("attention.key_length_swa")?);
    of.set("head_dim", narrow);
    of.set("global_head_dim", wide);
    let types = of.config.get("layer_types").and_then(Value::as_array).cloned().unwrap_or_default();
    let full: Vec<u64> = of
        .layers()
        .filter(|layer| types.get(*layer as usize).is_some_and(|kind| kind == "full_attention"))
        .collect();
    let no_values = |layer: &u64| !of.has(&format!("blk.{layer}.attn_v.weight"));
    of.set("attention_k_eq_v", full.first().is_some_and(no_values));
    if let Some(heads) = of.by_layer("attention.head_count_kv")? {
        let of_kind = |wanted: bool| {
            let layers = heads.iter().enumerate();
            layers
                .filter(|(layer, _)| full.contains(&(*layer as u64)) == wanted)
                .map(|(_, heads)| *heads)
                .next()
        };
        let (global, local) = (of_kind(true), of_kind(false));
        of.set("num_global_key_value_heads", json!(global));
        of.set("num_key_value_heads", json!(local.or(global)));
    }
    of.set("num_kv_shared_layers", of.integer("attention.shared_kv_layers")?.unwrap_or(0));
    of.set("hidden_size_per_layer_input", of.integer("embedding_length_per_layer_input")?.unwrap_or(0));
    let rows = of.file.shape("per_layer_token_embd.weight").and_then(|shape| shape.first().copied());
    if let Some(rows) = rows {
        of.set("vocab_size_per_layer_input", rows as u64);
    }
    if let Some(widths) = of.by_layer("feed_forward_length")? {
        let (least, most) = (widths.iter().min().copied(), widths.iter().max().copied());
        of.set("intermediate_size", json!(least));
        of.set("use_double_wide_mlp", least != most);
    }
    of.gating(SOFTMAX)?;
    of.set("enable_moe_block", of.has("blk.0.ffn_gate_inp.weight"));
    of.set("top_k_experts", json!(of.size("num_experts_per_tok")));
    let local = of.number("rope.freq_base_swa")?.unwrap_or(10000.0);
    of.set_ropes_by_window(local);
    Ok(())
}
