//! Gemma 3n (text): several residual streams, a learned residual beside attention, MLPs whose gates are cut
//! to the largest few in the first layers, vectors of each token for each layer, and last layers that use the
//! keys and values of earlier ones.

use serde_json::{Value, json};

use super::common::{llama_like, ropes, sliding_layers, windows_of_types};
use super::gemma4::share_keys;
use super::rope_config;
use super::state_space::leave_aside;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{AltUpSpec, BlockKind, DecoderSpec, Extras, LaurelRank, PerLayerInput, QkNorm};

/// Reads a Gemma 3n configuration.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    // Weights are clipped in training alone.
    leave_aside(config, &["altup_coef_clip"]);
    let widths = widths(config)?;
    // Rotary positions and widths differ by layer, and are read here.
    let own = ["rope_parameters", "rope_scaling", "intermediate_size"];
    let whole = config.narrowed(|key| !own.contains(&key));
    let first = json!(widths.first());
    let spec = llama_like(&whole.with_defaults([("intermediate_size", &first)]))?;
    if config.count("altup_active_idx")? != 0 {
        let expected = "0: that layers compute another stream than the first is not known";
        return Err(config.wrong("altup_active_idx", expected, config.count("altup_active_idx")?));
    }
    let streams = config.size("altup_num_inputs")?;
    if !(2..=MOST_STREAMS).contains(&streams) {
        return Err(config.wrong("altup_num_inputs", format!("2 to {MOST_STREAMS}"), streams));
    }
    let mut spec = DecoderSpec {
        block: BlockKind::SandwichNorm,
        qk_norm: QkNorm::PerHead,
        attention_scale: 1.0,
        embedding_multiplier: (spec.hidden_size as f64).sqrt(),
        final_logit_softcapping: Some(config.positive("final_logit_softcapping")?),
        extras: Extras {
            value_norm: true,
            per_layer_input: Some(PerLayerInput {
                hidden_size_per_layer_input: config.size("hidden_size_per_layer_input")?,
                vocab_size_per_layer_input: config.size("vocab_size_per_layer_input")?,
            }),
            alt_up: Some(AltUpSpec {
                altup_num_inputs: streams,
                altup_correct_scale: config.required_flag("altup_correct_scale")?,
            }),
            laurel_rank: Some(LaurelRank(config.size("laurel_rank")?)),
            ..spec.extras
        },
        ..spec
    };
    let count = spec.num_hidden_layers;
    let sliding = sliding_layers(config, count, |layer| !(layer + 1).is_multiple_of(5))?;
    windows_of_types(&mut spec, config, &sliding)?;
    let [global, local] = rope_config::by_window(config, spec.rotary_dim, "rope_local_base_freq")?;
    ropes(&mut spec, |layer, _| Some(if sliding[layer] { local.clone() } else { global.clone() }));
    share_keys(&mut spec, config, &sliding)?;
    let sparsity = sparsity(config, count)?;
    for (index, layer) in spec.layers.iter_mut().enumerate() {
        let width = widths.get(index).copied();
        layer.intermediate_size = width.filter(|width| *width != spec.intermediate_size);
        layer.activation_sparsity = Some(sparsity[index]).filter(|share| *share > 0.0);
    }
    Ok(spec)
}

/// Streams of a configuration, at most: each layer has a map of their third power.
const MOST_STREAMS: usize = 64;

/// The widths of the MLPs: one for each layer, or one for all.
fn widths(config: &Config) -> Result<Vec<usize>> {
    const KEY: &str = "intermediate_size";
    let Some(Value::Array(listed)) = config.get(KEY) else { return Ok(vec![config.size(KEY)?]) };
    let layers = config.size("num_hidden_layers")?;
    let width = |width: &Value| usize::try_from(width.as_u64()?).ok().filter(|w| (1..=1 << 31).contains(w));
    match listed.iter().map(width).collect::<Option<Vec<_>>>() {
        Some(widths) if widths.len() == layers => Ok(widths),
        _ => Err(config.wrong(KEY, format!("a size, or {layers} of them, one a layer"), json!(listed))),
    }
}

/// The share of gates that each layer's MLP cuts off.
fn sparsity(config: &Config, layers: usize) -> Result<Vec<f64>> {
    const KEY: &str = "activation_sparsity_pattern";
    let Some(found) = config.get(KEY) else {
        let sparse = if layers > 10 { 10 } else { 0 };
        return Ok((0..layers).map(|layer| if layer < sparse { 0.95 } else { 0.0 }).collect());
    };
    let share = |share: &Value| share.as_f64().filter(|share| (0.0..1.0).contains(share));
    let shares = found.as_array().and_then(|shares| shares.iter().map(share).collect::<Option<Vec<_>>>());
    match shares {
        Some(shares) if shares.len() == layers => Ok(shares),
        _ => Err(config.wrong(KEY, format!("{layers} numbers from 0 on and below 1, one a layer"), found)),
    }
}
