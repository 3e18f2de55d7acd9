//! What GGUF files say of heads that differ from Llama's.

use serde_json::{Value, json};

use super::gguf_config::Translation;
use crate::error::Result;

/// Heads of layers with a window are narrower; the others may have fewer key heads, and no values of their own.
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
    of.set("enable_moe_block", of.has("blk.0.ffn_gate_inp.weight"));
    let local = of.number("rope.freq_base_swa")?.unwrap_or(10000.0);
    of.set_ropes_by_window(local);
    Ok(())
}
