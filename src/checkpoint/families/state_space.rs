//! What families with state spaces have in common: the sizes of their mixers, under each family's names, and
//! which layers have one.

use serde_json::{Value, json};

use super::common::{activation, like_llama};
use super::gpt_like::{Sizes, gpt_like};
use super::rope_config::ROPE_KEYS;
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::{BlockKind, DecoderSpec, LayerSpec, Mamba2Spec, MlpKind, NormKind, ReadNorm};

/// How a family names the sizes of Mamba-2.
pub(super) struct Mamba2Keys {
    pub(super) heads: &'static str,
    pub(super) head_dim: &'static str,
    pub(super) groups: &'static str,
    pub(super) state: &'static str,
    pub(super) conv: &'static str,
    pub(super) conv_bias: &'static str,
    /// The key of the bias of the projection from the residual stream.
    pub(super) in_bias: &'static str,
    /// That of the projection back.
    pub(super) out_bias: &'static str,
}

/// The names of Granite 4, Bamba and Falcon-H1.
pub(super) const MAMBA2_KEYS: Mamba2Keys = Mamba2Keys {
    heads: "mamba_n_heads",
    head_dim: "mamba_d_head",
    groups: "mamba_n_groups",
    state: "mamba_d_state",
    conv: "mamba_d_conv",
    conv_bias: "mamba_conv_bias",
    in_bias: "mamba_proj_bias",
    out_bias: "mamba_proj_bias",
};

/// Mamba-2 of `config`, `inner` numbers wide, with the norm behind its gate, and steps of any size.
pub(super) fn mamba2(config: &Config, keys: &Mamba2Keys, inner: usize, norm_eps: f64) -> Result<Mamba2Spec> {
    silu_alone(config)?;
    let heads = config.size(keys.heads)?;
    if !inner.is_multiple_of(heads) {
        return Err(config.wrong(
            keys.heads,
            format!("a divisor of the {inner} numbers of all heads"),
            heads,
        ));
    }
    let head_dim = inner / heads;
    let given = config.get(keys.head_dim).is_some_and(|given| given != "auto");
    if given && config.size(keys.head_dim)? != head_dim {
        let expected = format!("{head_dim}: {inner} numbers in {heads} heads");
        return Err(config.wrong(keys.head_dim, expected, config.size(keys.head_dim)?));
    }
    let groups = config.size(keys.groups)?;
    if !heads.is_multiple_of(groups) {
        return Err(config.wrong(keys.groups, format!("a divisor of {} = {heads}", keys.heads), groups));
    }
    Ok(Mamba2Spec {
        mamba_n_heads: heads,
        mamba_d_head: head_dim,
        mamba_n_groups: groups,
        mamba_d_state: config.size(keys.state)?,
        mamba_d_conv: config.size(keys.conv)?,
        mamba_conv_bias: config.required_flag(keys.conv_bias)?,
        mamba_proj_bias: config.required_flag(keys.in_bias)?,
        out_bias: config.required_flag(keys.out_bias)?,
        time_step_limit: (0.0, None),
        norm: ReadNorm::AfterGate,
        norm_eps,
        ssm_multipliers: None,
    })
}

/// Refuses another activation than SiLU: mixers have no other here.
pub(super) fn silu_alone(config: &Config) -> Result<()> {
    let key = if config.has("mamba_hidden_act") { "mamba_hidden_act" } else { "hidden_act" };
    let name = config.string(key)?;
    if ["silu", "swish"].contains(&name.as_str()) {
        return Ok(());
    }
    Err(config.wrong(key, "silu: a state space with another activation is not known here", name))
}

/// Where step sizes are held: two numbers, the second of which may be infinite, in Python's way or in that of
/// transformers.
pub(super) fn time_step_limit(config: &Config) -> Result<(f64, Option<f64>)> {
    const KEY: &str = "time_step_limit";
    let Some(limit) = config.get(KEY) else { return Ok((0.0, None)) };
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        Value::Object(named) => named.get("__float__")?.as_str()?.parse().ok(),
        value => value.as_f64(),
    };
    let limits = limit.as_array().map(|limits| limits.iter().map(number).collect::<Option<Vec<f64>>>());
    match limits.flatten().as_deref() {
        Some([least, most]) if *least >= 0.0 && least.is_finite() && least <= most => {
            Ok((*least, most.is_finite().then_some(*most)))
        }
        _ => Err(config.wrong(KEY, "two numbers from 0 on, the smaller one first", limit)),
    }
}

/// Which layers attend, as the list under `key` says; nothing where there is no list. The others have a mixer
/// that the list calls by one of the names `recurrent`.
pub(super) fn attending(
    config: &Config,
    key: &str,
    layers: usize,
    recurrent: &[&str],
) -> Result<Option<Vec<bool>>> {
    let Some(kinds) = config.optional_strings(key)? else { return Ok(None) };
    if kinds.len() != layers {
        return Err(config.wrong(key, format!("{layers} entries, one a layer"), kinds.len()));
    }
    let attends = kinds.iter().map(|kind| match kind.as_str() {
        "full_attention" | "attention" => Ok(true),
        kind if recurrent.contains(&kind) => Ok(false),
        kind => Err(config.wrong(key, format!("full_attention or {}", recurrent.join(" or ")), kind)),
    });
    attends.collect::<Result<Vec<_>>>().map(Some)
}

/// Asks for keys that a family's class knows and that its model does not read: they change nothing.
pub(super) fn leave_aside(config: &Config, keys: &[&str]) {
    for key in keys {
        let _ = config.get(key);
    }
}

/// The same configuration, with what stands under `other` in the place of `key`.
pub(super) fn under_other_name(config: &Config, key: &str, other: &str) -> Config {
    match config.get(other) {
        None => config.clone(),
        Some(value) => config.narrowed(|known| known != key).with_defaults([(key, value)]),
    }
}

/// A decoder like Llama without positions, of a configuration that does not mention them.
pub(super) fn without_positions(config: &Config) -> Result<DecoderSpec> {
    let mut spec = like_llama(&config.with_defaults([("rope_theta", &json!(10_000.0))]), &ROPE_KEYS)?;
    spec.layers.iter_mut().for_each(|layer| layer.rope = None);
    Ok(spec)
}

/// A decoder whose layers are `layer`, each a mixer that does not attend, on a norm before it: no MLP.
pub(super) fn mixers_alone(config: &Config, layer: &LayerSpec) -> Result<DecoderSpec> {
    let hidden_size = config.size("hidden_size")?;
    let sizes = Sizes {
        hidden_size,
        num_attention_heads: 1,
        num_key_value_heads: None,
        num_hidden_layers: "num_hidden_layers",
        intermediate_size: hidden_size,
    };
    let spec = gpt_like(config, sizes)?;
    Ok(DecoderSpec {
        norm: NormKind::Rms,
        norm_eps: config.positive("layer_norm_epsilon")?,
        block: BlockKind::MixerAlone,
        mlp: MlpKind::Gated,
        hidden_act: activation(config)?,
        layers: vec![layer.clone(); spec.num_hidden_layers],
        rotary_dim: hidden_size,
        attention_scale: 1.0,
        ..spec
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(keys: Value) -> Config {
        Config::new(Path::new("config.json"), keys.as_object().unwrap().clone())
    }

    #[test]
    fn limits_of_steps_are_read_however_infinity_is_written() {
        for (limit, expected) in [
            (json!([0.0, {"__float__": "Infinity"}]), (0.0, None)),
            (json!([0.0, "Infinity"]), (0.0, None)),
            (json!([0.001, 0.1]), (0.001, Some(0.1))),
            (Value::Null, (0.0, None)),
        ] {
            assert_eq!(time_step_limit(&config(json!({"time_step_limit": limit}))).unwrap(), expected);
        }
        for limit in
            [json!([0.1, 0.01]), json!([-1.0, 2.0]), json!([0.0]), json!("wide"), json!([0.0, "NaN"])]
        {
            let error = time_step_limit(&config(json!({"time_step_limit": limit}))).unwrap_err().to_string();
            assert!(error.contains("time_step_limit") && error.contains("two numbers"), "{error}");
        }
    }

    #[test]
    fn sizes_that_do_not_fit_together_are_refused_by_name() {
        let keys = |heads: Value, head_dim: Value, groups: Value| {
            config(json!({
                "hidden_act": "silu", "mamba_n_heads": heads, "mamba_d_head": head_dim,
                "mamba_n_groups": groups, "mamba_d_state": 8, "mamba_d_conv": 4, "mamba_conv_bias": true, "mamba_proj_bias": false
            }))
        };
        let read = |config: &Config| mamba2(config, &MAMBA2_KEYS, 64, 1e-5);
        assert_eq!(read(&keys(json!(4), json!("auto"), json!(2))).unwrap().mamba_d_head, 16);
        for (config, key) in [
            (keys(json!(5), json!("auto"), json!(1)), "mamba_n_heads"),
            (keys(json!(4), json!(8), json!(1)), "mamba_d_head"),
            (keys(json!(4), json!(16), json!(3)), "mamba_n_groups"),
        ] {
            let error = read(&config).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
