//! The architectures of GGUF files, and what each has of its own in the metadata.

use serde_json::json;

use super::gguf_config::{MOST_LAYERS, Translation};
use super::gguf_hybrids;
use super::gguf_latent;
use crate::error::Result;
use crate::registry::Entry;

/// How a GGUF architecture is read.
#[derive(Debug, Clone, Copy)]
pub struct Architecture {
    /// The `model_type` of its family.
    pub(super) model_type: &'static str,
    /// Whether rows of q and k are stored in the order of interleaved rotary positions, though the family
    /// turns halves.
    pub(super) interleaved: bool,
    /// Whether the attention's output has a bias exactly when there is one, whatever those of q, k and v.
    pub(super) own_biases: bool,
    /// Whether some sizes may differ from layer to layer.
    pub(super) by_layer: bool,
    /// Whether a value may be of another width than a key.
    pub(super) unlike_heads: bool,
    /// Whether its layers may have experts.
    pub(super) experts: bool,
    /// What is its own in the metadata.
    pub(super) own_keys: fn(&mut Translation<'_>) -> Result<()>,
}

const fn halves(model_type: &'static str, own_keys: fn(&mut Translation<'_>) -> Result<()>) -> Architecture {
    Architecture {
        model_type,
        interleaved: false,
        own_biases: false,
        by_layer: false,
        unlike_heads: false,
        experts: false,
        own_keys,
    }
}

const fn interleaved(
    model_type: &'static str,
    own_keys: fn(&mut Translation<'_>) -> Result<()>,
) -> Architecture {
    Architecture { interleaved: true, ..halves(model_type, own_keys) }
}

/// The same with experts.
const fn mixed(architecture: Architecture) -> Architecture {
    Architecture { experts: true, ..architecture }
}

/// The same with heads whose widths its own keys say.
const fn unlike_heads(architecture: Architecture) -> Architecture {
    Architecture { unlike_heads: true, ..architecture }
}

/// The same with layers of several kinds.
const fn hybrid(architecture: Architecture) -> Architecture {
    Architecture { by_layer: true, ..architecture }
}

/// Every architecture of GGUF files that can be read, by `general.architecture`.
#[rustfmt::skip]
pub const ARCHITECTURES: &[Entry<Architecture>] = &[
    Entry { name: "llama", about: "llama, mistral, mixtral", value: Architecture { own_biases: true, ..mixed(interleaved("llama", llama)) } },
    Entry { name: "qwen2", about: "qwen2", value: halves("qwen2", nothing) },
    Entry { name: "qwen3", about: "qwen3", value: halves("qwen3", nothing) },
    Entry { name: "qwen3moe", about: "qwen3_moe", value: mixed(halves("qwen3_moe", qwen3moe)) },
    Entry { name: "qwen2moe", about: "qwen2_moe", value: mixed(halves("qwen2_moe", qwen2moe)) },
    Entry { name: "qwen2vl", about: "qwen2", value: halves("qwen2", nothing) },
    Entry { name: "qwen3vl", about: "qwen3", value: halves("qwen3", nothing) },
    Entry { name: "qwen3vlmoe", about: "qwen3_moe", value: mixed(halves("qwen3_moe", qwen3moe)) },
    Entry { name: "llama4", about: "llama4_text", value: mixed(halves("llama4_text", llama4)) },
    Entry { name: "gemma", about: "gemma", value: halves("gemma", nothing) },
    Entry { name: "gemma2", about: "gemma2", value: halves("gemma2", gemma2) },
    Entry { name: "gemma3", about: "gemma3_text", value: halves("gemma3_text", gemma3) },
    Entry { name: "gemma4", about: "gemma4_text", value: unlike_heads(hybrid(mixed(halves("gemma4_text", gguf_latent::gemma4)))) },
    Entry { name: "phi3", about: "phi3", value: halves("phi3", nothing) },
    Entry { name: "phi2", about: "phi", value: halves("phi", nothing) },
    Entry { name: "smollm3", about: "smollm3", value: interleaved("smollm3", nothing) },
    Entry { name: "command-r", about: "cohere", value: halves("cohere", command_r) },
    Entry { name: "cohere2", about: "cohere2", value: halves("cohere2", cohere2) },
    Entry { name: "olmo", about: "olmo", value: interleaved("olmo", olmo) },
    Entry { name: "olmo2", about: "olmo2, olmo3", value: halves("olmo2", olmo2) },
    Entry { name: "granite", about: "granite", value: interleaved("granite", granite) },
    Entry { name: "granitemoe", about: "granitemoe, granitemoeshared", value: mixed(interleaved("granitemoe", granite_with_positions)) },
    Entry { name: "olmoe", about: "olmoe", value: mixed(halves("olmoe", olmoe)) },
    Entry { name: "glm4moe", about: "glm4_moe", value: mixed(halves("glm4_moe", glm4moe)) },
    Entry { name: "minimax-m2", about: "minimax_m2", value: mixed(halves("minimax_m2", minimax_m2)) },
    Entry { name: "ernie4_5-moe", about: "ernie4_5_moe", value: mixed(halves("ernie4_5_moe", ernie4_5_moe)) },
    Entry { name: "exaone-moe", about: "exaone_moe", value: mixed(halves("exaone_moe", sigmoid_router)) },
    Entry { name: "exaone4", about: "exaone4", value: halves("exaone4", nothing) },
    Entry { name: "ernie4_5", about: "ernie4_5", value: halves("ernie4_5", nothing) },
    Entry { name: "chatglm", about: "glm", value: halves("glm", nothing) },
    Entry { name: "glm4", about: "glm4", value: halves("glm4", nothing) },
    Entry { name: "seed_oss", about: "seed_oss", value: halves("seed_oss", seed_oss) },
    Entry { name: "hunyuan-dense", about: "hunyuan_v1_dense", value: halves("hunyuan_v1_dense", nothing) },
    Entry { name: "arcee", about: "arcee", value: interleaved("arcee", nothing) },
    Entry { name: "apertus", about: "apertus", value: halves("apertus", nothing) },
    Entry { name: "nemotron", about: "nemotron", value: halves("nemotron", nothing) },
    Entry { name: "qwen35", about: "qwen3_5_text", value: hybrid(halves("qwen3_5_text", gguf_hybrids::delta_nets)) },
    Entry { name: "qwen35moe", about: "qwen3_5_moe_text", value: hybrid(mixed(halves("qwen3_5_moe_text", gguf_hybrids::delta_nets))) },
    Entry { name: "qwen3next", about: "qwen3_next", value: hybrid(mixed(halves("qwen3_next", gguf_hybrids::delta_nets))) },
    Entry { name: "deepseek2", about: "deepseek_v2, deepseek_v3, mistral4", value: unlike_heads(mixed(halves("deepseek_v2", gguf_latent::deepseek2))) },
    Entry { name: "mistral4", about: "mistral4", value: unlike_heads(mixed(halves("mistral4", gguf_latent::deepseek2))) },
    Entry { name: "minicpm3", about: "minicpm3", value: unlike_heads(halves("minicpm3", gguf_latent::minicpm3)) },
    Entry { name: "mistral3", about: "ministral3", value: interleaved("ministral3", gguf_latent::mistral3) },
    Entry { name: "mimo2", about: "mimo_v2_flash", value: unlike_heads(hybrid(mixed(halves("mimo_v2_flash", gguf_latent::mimo2)))) },
    Entry { name: "kimi-linear", about: "kimi_linear", value: unlike_heads(hybrid(mixed(halves("kimi_linear", gguf_latent::kimi_linear)))) },
    Entry { name: "gpt-oss", about: "gpt_oss", value: mixed(halves("gpt_oss", gguf_latent::gpt_oss)) },
    Entry { name: "lfm2", about: "lfm2", value: hybrid(halves("lfm2", gguf_hybrids::lfm2)) },
    Entry { name: "lfm2moe", about: "lfm2_moe", value: hybrid(mixed(halves("lfm2_moe", gguf_hybrids::lfm2moe))) },
    Entry { name: "granitehybrid", about: "granitemoehybrid", value: hybrid(mixed(interleaved("granitemoehybrid", gguf_hybrids::granite))) },
    Entry { name: "falcon-h1", about: "falcon_h1", value: halves("falcon_h1", gguf_hybrids::falcon_h1) },
    Entry { name: "nemotron_h", about: "nemotron_h", value: hybrid(halves("nemotron_h", gguf_hybrids::nemotron_h)) },
    Entry { name: "nemotron_h_moe", about: "nemotron_h", value: hybrid(mixed(halves("nemotron_h", gguf_hybrids::nemotron_h))) },
    Entry { name: "jamba", about: "jamba", value: hybrid(mixed(halves("jamba", gguf_hybrids::jamba))) },
    Entry { name: "mamba", about: "mamba, falcon_mamba", value: halves("mamba", gguf_hybrids::mamba) },
    Entry { name: "mamba2", about: "mamba2", value: halves("mamba2", gguf_hybrids::mamba_2) },
    Entry { name: "gptneox", about: "gpt_neox", value: halves("gpt_neox", nothing) },
    Entry { name: "stablelm", about: "stablelm", value: halves("stablelm", stablelm) },
    Entry { name: "starcoder2", about: "starcoder2", value: halves("starcoder2", nothing) },
    Entry { name: "gpt2", about: "gpt2", value: halves("gpt2", gpt2) },
];

fn nothing(_: &mut Translation<'_>) -> Result<()> {
    Ok(())
}

/// Files of Mistral and Mixtral are of this architecture; only a window and experts tell them apart.
fn llama(of: &mut Translation<'_>) -> Result<()> {
    if of.config.contains_key("num_experts") {
        // The other name of their number goes before this one.
        of.config.remove("num_experts");
        of.set("model_type", "mixtral");
    } else if of.config.contains_key("sliding_window") {
        of.set("model_type", "mistral");
    }
    Ok(())
}

/// llama.cpp makes the weights of the chosen experts sum to 1, in Qwen 2 it does not.
fn qwen3moe(of: &mut Translation<'_>) -> Result<()> {
    of.gating(SOFTMAX)?;
    of.set("norm_topk_prob", true);
    Ok(())
}

fn qwen2moe(of: &mut Translation<'_>) -> Result<()> {
    of.gating(SOFTMAX)?;
    of.set("norm_topk_prob", false);
    if !of.config.contains_key("shared_expert_intermediate_size") {
        let width = of.size("intermediate_size");
        of.set("shared_expert_intermediate_size", json!(width));
    }
    Ok(())
}

fn olmoe(of: &mut Translation<'_>) -> Result<()> {
    of.gating(SOFTMAX)?;
    of.set("norm_topk_prob", false);
    Ok(())
}

/// Scores of routers, as GGUF numbers them.
pub(super) const SOFTMAX: u64 = 1;
pub(super) const SIGMOID: u64 = 2;

pub(super) fn sigmoid_router(of: &mut Translation<'_>) -> Result<()> {
    of.gating(SIGMOID)?;
    of.config.entry("norm_topk_prob").or_insert(json!(false));
    Ok(())
}

fn glm4moe(of: &mut Translation<'_>) -> Result<()> {
    of.set("use_qk_norm", of.has("blk.0.attn_q_norm.weight"));
    sigmoid_router(of)
}

fn minimax_m2(of: &mut Translation<'_>) -> Result<()> {
    let width = of.size("moe_intermediate_size");
    of.set("intermediate_size", json!(width));
    of.gating(SIGMOID)
}

fn ernie4_5_moe(of: &mut Translation<'_>) -> Result<()> {
    of.gating(SOFTMAX)?;
    let mixed: Vec<u64> = of.layers_with_experts().collect();
    of.set("moe_layer_start_index", json!(mixed.first()));
    of.set("moe_layer_end_index", json!(mixed.last()));
    let interval = of.integer("interleave_moe_layer_step")?.filter(|step| *step > 0).unwrap_or(1);
    of.set("moe_layer_interval", interval);
    Ok(())
}

/// Every fourth layer sees everything and has no positions; the others see chunks of 8192 keys. With a window
/// of 0 there are no chunks, and only the last layer has no positions. Models of 128 experts have no norm of
/// queries and keys.
fn llama4(of: &mut Translation<'_>) -> Result<()> {
    let layers = of.size("num_hidden_layers").unwrap_or(0).min(MOST_LAYERS);
    let windowless = of.integer("attention.sliding_window")? == Some(0);
    let period = match of.integer("attention.sliding_window_pattern")? {
        _ if windowless => layers.max(1),
        period => period.unwrap_or(4).max(1),
    };
    let rotary: Vec<bool> = (1..=layers).map(|layer| !layer.is_multiple_of(period)).collect();
    let chunked = |rotary: &bool| if *rotary && !windowless { "chunked_attention" } else { "full_attention" };
    of.set("layer_types", rotary.iter().map(chunked).collect::<Vec<_>>());
    of.set("no_rope_layers", rotary.iter().map(|rotary| u8::from(*rotary)).collect::<Vec<_>>());
    of.set("attention_chunk_size", 8192);
    of.set("attn_temperature_tuning", !windowless);
    of.set("floor_scale", 8192);
    of.set("attn_scale", 0.1);
    of.set("use_qk_norm", of.size("num_local_experts") != Some(128));
    let mixed: Vec<u64> = of.layers_with_experts().collect();
    of.set("moe_layers", mixed);
    let (dense, expert) = (of.size("intermediate_size"), of.size("moe_intermediate_size"));
    of.set("intermediate_size_mlp", json!(dense));
    of.set("intermediate_size", json!(expert));
    Ok(())
}

fn gemma2(of: &mut Translation<'_>) -> Result<()> {
    for (key, value) in [
        ("sliding_window", json!(4096)),
        ("attn_logit_softcapping", json!(50.0)),
        ("final_logit_softcapping", json!(30.0)),
    ] {
        of.config.entry(key).or_insert(value);
    }
    gemma_scale(of, 46);
    Ok(())
}

/// Layers with a window have a rotary base of their own, and no scaling.
fn gemma3(of: &mut Translation<'_>) -> Result<()> {
    let local = of.number("rope.freq_base_swa")?.unwrap_or(10000.0);
    of.set_ropes_by_window(local);
    if !of.config.contains_key("sliding_window") {
        let layers = of.size("num_hidden_layers").unwrap_or(0).min(MOST_LAYERS);
        of.set_layer_types((0..layers).map(|_| false));
    }
    gemma_scale(of, 62);
    Ok(())
}

/// Scores are scaled by the width of a head, in the models of 27B, told by their number of layers, by
/// `hidden_size / heads`.
fn gemma_scale(of: &mut Translation<'_>, layers_of_27b: u64) {
    let scalar = if of.size("num_hidden_layers") == Some(layers_of_27b) {
        let heads = of.size("num_attention_heads").unwrap_or(0);
        of.size("hidden_size").and_then(|hidden| hidden.checked_div(heads))
    } else {
        Some(of.head_dim())
    };
    of.set("query_pre_attn_scalar", json!(scalar));
}

fn cohere2(of: &mut Translation<'_>) -> Result<()> {
    let scale = of.number("logit_scale")?.ok_or_else(|| of.missing(&of.key("logit_scale")))?;
    of.set("logit_scale", scale);
    Ok(())
}

fn command_r(of: &mut Translation<'_>) -> Result<()> {
    of.set("use_qk_norm", of.has("blk.0.attn_q_norm.weight"));
    cohere2(of)
}

fn olmo(of: &mut Translation<'_>) -> Result<()> {
    let clip = of.number("attention.clamp_kqv")?.filter(|clip| *clip != 0.0);
    of.set("clip_qkv", json!(clip));
    Ok(())
}

/// OLMo 3 shares the architecture, and has windows: on three layers of four where the file does not say.
/// Layers with a window have the base of the others and no scaling.
fn olmo2(of: &mut Translation<'_>) -> Result<()> {
    if of.config.contains_key("sliding_window") {
        of.set("model_type", "olmo3");
        let base = of.number("rope.freq_base")?.unwrap_or(10000.0);
        let local = of.number("rope.freq_base_swa")?.unwrap_or(base);
        of.set_ropes_by_window(local);
    }
    Ok(())
}

fn seed_oss(of: &mut Translation<'_>) -> Result<()> {
    of.set("attention_out_bias", of.has("blk.0.attn_output.bias"));
    Ok(())
}

/// Granite 4 without rotary positions and without states has this architecture as well.
fn granite(of: &mut Translation<'_>) -> Result<()> {
    if of.flag("rope.scaling.finetuned")? == Some(false) {
        of.set("model_type", "granitemoehybrid");
        of.set("position_embedding_type", "nope");
        of.set_layer_kinds("attn_norm.weight", "full_attention");
        gguf_hybrids::without_experts(of);
    }
    granite_multipliers(of)
}

fn granite_with_positions(of: &mut Translation<'_>) -> Result<()> {
    if of.flag("rope.scaling.finetuned")? == Some(false) {
        let expected = "true: Granite's experts without rotary positions are not known without a shared one";
        return Err(of.wrong("rope.scaling.finetuned", expected, false));
    }
    if gguf_hybrids::any_has(of, "ffn_up_shexp.weight") {
        of.set("model_type", "granitemoeshared");
        of.set("shared_intermediate_size", json!(of.size("shared_expert_intermediate_size")));
    }
    granite_multipliers(of)
}

pub(super) fn granite_multipliers(of: &mut Translation<'_>) -> Result<()> {
    of.set("attention_multiplier", (of.head_dim() as f64).powf(-0.5));
    for (name, key) in [
        ("attention.scale", "attention_multiplier"),
        ("embedding_scale", "embedding_multiplier"),
        ("residual_scale", "residual_multiplier"),
        ("logit_scale", "logits_scaling"),
    ] {
        if let Some(number) = of.number(name)? {
            of.set(key, number);
        }
    }
    Ok(())
}

/// What a block is like follows from the tensors that it has: files say `use_parallel_residual` where there
/// is none.
fn stablelm(of: &mut Translation<'_>) -> Result<()> {
    of.set("use_parallel_residual", !of.has("blk.0.ffn_norm.weight"));
    of.set("qk_layernorm", of.has("blk.0.attn_q_norm.weight"));
    Ok(())
}

fn gpt2(of: &mut Translation<'_>) -> Result<()> {
    for (key, own) in [
        ("hidden_size", "n_embd"),
        ("intermediate_size", "n_inner"),
        ("num_hidden_layers", "n_layer"),
        ("num_attention_heads", "n_head"),
        ("max_position_embeddings", "n_positions"),
    ] {
        if let Some(value) = of.config.remove(key) {
            of.set(own, value);
        }
    }
    Ok(())
}
