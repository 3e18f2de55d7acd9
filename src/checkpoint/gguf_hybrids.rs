//! What GGUF files say of layers whose past is a state. Which kind a layer is of is told by its tensors.

use serde_json::json;

use super::gguf_architectures::{granite_multipliers, sigmoid_router};
use super::gguf_config::Translation;
use crate::error::Result;

/// Layers without queries of their own have a delta net.
pub(super) fn delta_nets(of: &mut Translation<'_>) -> Result<()> {
    let values = of.required("ssm.time_step_rank")?;
    let inner = of.required("ssm.inner_size")?;
    for (key, size) in [
        ("linear_conv_kernel_dim", of.required("ssm.conv_kernel")?),
        ("linear_key_head_dim", of.required("ssm.state_size")?),
        ("linear_num_key_heads", of.required("ssm.group_count")?),
        ("linear_num_value_heads", values),
        ("linear_value_head_dim", inner.checked_div(values).unwrap_or(0)),
    ] {
        of.set(key, size);
    }
    of.set_layer_kinds("attn_q.weight", "linear_attention");
    // llama.cpp makes the weights of the chosen experts sum to 1.
    of.set("norm_topk_prob", true);
    Ok(())
}

/// The tensor of the first layer that has one of this name.
pub(super) fn any_has(of: &Translation<'_>, tensor: &str) -> bool {
    of.layers().any(|layer| of.has(&format!("blk.{layer}.{tensor}")))
}

/// Sizes of Mamba-2 under the names of Granite 4.
fn mamba2(of: &mut Translation<'_>) -> Result<()> {
    let (inner, heads) = (of.required("ssm.inner_size")?, of.required("ssm.time_step_rank")?);
    for (key, size) in [
        ("mamba_n_heads", heads),
        ("mamba_d_head", inner.checked_div(heads).unwrap_or(0)),
        ("mamba_n_groups", of.required("ssm.group_count")?),
        ("mamba_d_state", of.required("ssm.state_size")?),
        ("mamba_d_conv", of.required("ssm.conv_kernel")?),
        ("mamba_expand", expansion(of, inner)?),
    ] {
        of.set(key, size);
    }
    of.set("mamba_conv_bias", any_has(of, "ssm_conv1d.bias"));
    of.set("mamba_proj_bias", any_has(of, "ssm_in.bias"));
    Ok(())
}

/// How many times as wide as the decoder a mixer of `inner` numbers is.
fn expansion(of: &Translation<'_>, inner: u64) -> Result<u64> {
    let hidden = of.size("hidden_size").unwrap_or(0);
    match inner.checked_div(hidden).filter(|expansion| expansion * hidden == inner) {
        Some(expansion) => Ok(expansion),
        None => {
            Err(of.wrong("ssm.inner_size", format!("a multiple of the {hidden} numbers of a row"), inner))
        }
    }
}

pub(super) fn mamba(of: &mut Translation<'_>) -> Result<()> {
    if of.flag("ssm.dt_b_c_rms")? == Some(true) {
        // Norms without weights, with the epsilon of the others.
        of.set("model_type", "falcon_mamba");
        of.set("mixer_rms_eps", json!(of.config.get("rms_norm_eps")));
    }
    let inner = of.required("ssm.inner_size")?;
    // The width of an MLP, of which there is none, is 0 in these files.
    of.set("intermediate_size", inner);
    for (key, size) in [
        ("expand", expansion(of, inner)?),
        ("state_size", of.required("ssm.state_size")?),
        ("conv_kernel", of.required("ssm.conv_kernel")?),
        ("time_step_rank", of.required("ssm.time_step_rank")?),
    ] {
        of.set(key, size);
    }
    of.set("use_conv_bias", any_has(of, "ssm_conv1d.bias"));
    of.set("use_bias", any_has(of, "ssm_in.bias"));
    Ok(())
}

pub(super) fn mamba_2(of: &mut Translation<'_>) -> Result<()> {
    mamba(of)?;
    let (inner, heads) = (of.required("ssm.inner_size")?, of.required("ssm.time_step_rank")?);
    of.set("num_heads", heads);
    of.set("head_dim", inner.checked_div(heads).unwrap_or(0));
    of.set("n_groups", of.required("ssm.group_count")?);
    Ok(())
}

/// Granite 4. Its width of an expert is that of the MLP, where it has no experts.
pub(super) fn granite(of: &mut Translation<'_>) -> Result<()> {
    granite_multipliers(of)?;
    mamba2(of)?;
    of.set_layer_kinds("attn_q.weight", "linear_attention");
    without_experts(of);
    let rotates = of.flag("rope.scaling.finetuned")?.unwrap_or(true);
    of.set("position_embedding_type", if rotates { "rope" } else { "nope" });
    Ok(())
}

/// The keys of Granite 4 where there are no experts.
pub(super) fn without_experts(of: &mut Translation<'_>) {
    of.config.entry("num_local_experts").or_insert(json!(0));
    let shared = of.size("shared_expert_intermediate_size").or(of.size("intermediate_size"));
    of.set("shared_intermediate_size", json!(shared));
}

pub(super) fn lfm2(of: &mut Translation<'_>) -> Result<()> {
    of.set_layer_kinds("attn_q.weight", "conv");
    of.set("conv_L_cache", of.required("shortconv.l_cache")?);
    of.set("conv_bias", any_has(of, "shortconv.conv.bias"));
    of.set("block_auto_adjust_ff_dim", false);
    Ok(())
}

/// LFM2 with experts, whose weights llama.cpp makes sum to 1.
pub(super) fn lfm2moe(of: &mut Translation<'_>) -> Result<()> {
    lfm2(of)?;
    of.config.remove("block_auto_adjust_ff_dim");
    of.config.entry("norm_topk_prob").or_insert(json!(true));
    of.set("num_dense_layers", json!(of.size("first_k_dense_replace")));
    of.set("use_expert_bias", any_has(of, "exp_probs_b.bias"));
    sigmoid_router(of)
}

pub(super) fn jamba(of: &mut Translation<'_>) -> Result<()> {
    let inner = of.required("ssm.inner_size")?;
    for (key, size) in [
        ("mamba_expand", expansion(of, inner)?),
        ("mamba_d_state", of.required("ssm.state_size")?),
        ("mamba_d_conv", of.required("ssm.conv_kernel")?),
        ("mamba_dt_rank", of.required("ssm.time_step_rank")?),
    ] {
        of.set(key, size);
    }
    of.set("mamba_conv_bias", any_has(of, "ssm_conv1d.bias"));
    of.set("mamba_proj_bias", any_has(of, "ssm_in.bias"));
    of.config.entry("num_experts").or_insert(json!(1));
    of.config.entry("num_experts_per_tok").or_insert(json!(1));
    for (keys, tensor) in [
        (["attn_layer_offset", "attn_layer_period"], "attn_q.weight"),
        (["expert_layer_offset", "expert_layer_period"], "ffn_gate_inp.weight"),
    ] {
        let with: Vec<u64> = of.layers().filter(|layer| of.has(&format!("blk.{layer}.{tensor}"))).collect();
        let layers = of.layers().count() as u64;
        let offset = with.first().copied().unwrap_or(0);
        let period = with.get(1).map_or(layers.max(offset + 1), |second| second - offset);
        let expected: Vec<u64> = of.layers().filter(|layer| layer % period == offset).collect();
        if !with.is_empty() && with != expected {
            let expected = format!("layers that have {tensor} at equal distances, as those of the family");
            return Err(of.wrong("block_count", expected, format!("layers {with:?}")));
        }
        let [first, distance] = keys;
        of.set(first, offset);
        of.set(distance, period);
    }
    Ok(())
}

/// Factors are in the weights already.
pub(super) fn falcon_h1(of: &mut Translation<'_>) -> Result<()> {
    let (inner, heads) = (of.required("ssm.inner_size")?, of.required("ssm.time_step_rank")?);
    for (key, size) in [
        ("mamba_d_ssm", inner),
        ("mamba_n_heads", heads),
        ("mamba_d_head", inner.checked_div(heads).unwrap_or(0)),
        ("mamba_n_groups", of.required("ssm.group_count")?),
        ("mamba_d_state", of.required("ssm.state_size")?),
        ("mamba_d_conv", of.required("ssm.conv_kernel")?),
    ] {
        of.set(key, size);
    }
    for (key, tensor) in [
        ("mamba_conv_bias", "ssm_conv1d.bias"),
        ("mamba_proj_bias", "ssm_in.bias"),
        ("projectors_bias", "ssm_out.bias"),
        ("mamba_rms_norm", "ssm_norm.weight"),
    ] {
        of.set(key, any_has(of, tensor));
    }
    of.set("mamba_norm_before_gate", false);
    Ok(())
}

pub(super) fn nemotron_h(of: &mut Translation<'_>) -> Result<()> {
    let (inner, heads) = (of.required("ssm.inner_size")?, of.required("ssm.time_step_rank")?);
    for (key, size) in [
        ("mamba_num_heads", heads),
        ("mamba_head_dim", inner.checked_div(heads).unwrap_or(0)),
        ("n_groups", of.required("ssm.group_count")?),
        ("ssm_state_size", of.required("ssm.state_size")?),
        ("conv_kernel", of.required("ssm.conv_kernel")?),
    ] {
        of.set(key, size);
    }
    of.set("use_conv_bias", any_has(of, "ssm_conv1d.bias"));
    of.set("use_bias", any_has(of, "ssm_in.bias"));
    let kind = |layer: u64| {
        let has = |tensor: &str| of.has(&format!("blk.{layer}.{tensor}.weight"));
        match () {
            () if has("attn_q") || has("attn_qkv") => "full_attention",
            () if has("ssm_in") => "linear_attention",
            () if has("ffn_gate_inp") => "moe",
            () => "mlp",
        }
    };
    let kinds: Vec<&str> = of.layers().map(kind).collect();
    let mlp = kinds.iter().position(|kind| *kind == "mlp");
    let widths = of.by_layer("feed_forward_length")?.unwrap_or_default();
    if let Some(width) = mlp.and_then(|layer| widths.get(layer)) {
        of.set("intermediate_size", *width);
    }
    of.set("layers_block_type", kinds);
    let shared = of.size("shared_expert_intermediate_size");
    of.set("moe_shared_expert_intermediate_size", json!(shared));
    of.set("moe_latent_size", json!(of.integer("moe_latent_size")?));
    sigmoid_router(of)
}
