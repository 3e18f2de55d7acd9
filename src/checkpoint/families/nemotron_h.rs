//! Nemotron-H: one thing a layer, on a norm: Mamba-2, attention without positions, an MLP or experts.

use super::experts::{self, PER_TOKEN};
use super::state_space::{Mamba2Keys, leave_aside, mamba2, under_other_name, without_positions};
use crate::checkpoint::{Config, Stored};
use crate::error::Result;
use crate::spec::{
    Biases, BlockKind, DecoderSpec, ExpertKind, LayerSpec, Mamba2Spec, Mixer, MlpKind, MoeSpec,
    RecurrentSpec, RouterKind, SharedExpert,
};

const KEYS: Mamba2Keys = Mamba2Keys {
    heads: "mamba_num_heads",
    head_dim: "mamba_head_dim",
    groups: "n_groups",
    state: "ssm_state_size",
    conv: "conv_kernel",
    conv_bias: "use_conv_bias",
    in_bias: "use_bias",
    out_bias: "use_bias",
};

/// Reads a Nemotron-H configuration. The list of kinds says how many layers there are.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    let kinds = kinds(config)?;
    let layers = serde_json::json!(kinds.len());
    let config = &under_other_name(config, "hidden_act", "mlp_hidden_act");
    let config = &under_other_name(config, "head_dim", "attention_head_dim");
    let config =
        &config.narrowed(|key| key != "num_hidden_layers").with_defaults([("num_hidden_layers", &layers)]);
    leave_aside(
        config,
        &["expand", "mamba_proj_bias", "n_shared_experts", "sliding_window", "time_step_limit"],
    );
    let spec = without_positions(config)?;
    let bias = Biases { qkv: false, output: false, ..spec.bias };
    let mut spec = DecoderSpec { mlp: MlpKind::Plain, block: BlockKind::MixerAlone, bias, ..spec };
    let inner = config.size(KEYS.heads)?.saturating_mul(config.size(KEYS.head_dim)?);
    // The reference takes the least step that weights were initialised with for a limit, and leaves
    // `time_step_limit` aside.
    let time_step_limit = (config.positive("time_step_min")?, None);
    let mixer = Mamba2Spec { time_step_limit, ..mamba2(config, &KEYS, inner, spec.norm_eps)? };
    let mixer = RecurrentSpec::Mamba2(mixer);
    let experts = if kinds.contains(&Kind::Experts) { Some(mixture(config)?) } else { None };
    for (layer, kind) in spec.layers.iter_mut().zip(kinds) {
        let alone = LayerSpec { mixer: Mixer::None, block: Some(BlockKind::MlpAlone), ..layer.clone() };
        match kind {
            Kind::Attention => {}
            Kind::Mamba => layer.mixer = Mixer::Recurrent(mixer.clone()),
            Kind::Mlp => *layer = alone,
            Kind::Experts => *layer = LayerSpec { moe: experts, ..alone },
        }
    }
    Ok(spec)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mamba,
    Attention,
    Mlp,
    Experts,
}

/// The kind of each layer, by a list of names or by a letter each.
fn kinds(config: &Config) -> Result<Vec<Kind>> {
    let listed = [
        ("layers_block_type", config.optional_strings("layers_block_type")?),
        ("layer_types", config.optional_strings("layer_types")?),
    ];
    let letters = config.optional_string("hybrid_override_pattern")?;
    let (key, kinds) = match listed.into_iter().find_map(|(key, kinds)| Some((key, kinds?))) {
        Some(listed) => listed,
        None => {
            let letters = letters.as_deref().unwrap_or("ME*-");
            ("hybrid_override_pattern", letters.chars().map(String::from).collect())
        }
    };
    let kinds = kinds.iter().map(|kind| match kind.as_str() {
        "M" | "linear_attention" | "mamba" => Ok(Kind::Mamba),
        "*" | "full_attention" | "attention" => Ok(Kind::Attention),
        "-" | "mlp" => Ok(Kind::Mlp),
        "E" | "moe" => Ok(Kind::Experts),
        kind => Err(config.wrong(key, "mamba (M), attention (*), mlp (-) or moe (E)", kind)),
    });
    kinds.collect()
}

/// DeepSeek 3's router over experts without gates, which may work in a narrower space, and a shared one.
fn mixture(config: &Config) -> Result<MoeSpec> {
    const EXPERTS: &str = "n_routed_experts";
    experts::refuse_bias(config, "mlp_bias")?;
    let router = RouterKind::Scores(experts::deepseek_v3_router(config, EXPERTS)?);
    Ok(MoeSpec {
        experts: ExpertKind::Plain,
        latent_size: config.optional_size("moe_latent_size")?,
        shared_expert: Some(SharedExpert {
            intermediate_size: Some(config.size("moe_shared_expert_intermediate_size")?),
            gated: false,
        }),
        ..experts::read(config, [EXPERTS, PER_TOKEN, "moe_intermediate_size"], router)?
    })
}

/// Nemotron-H's names.
pub(super) fn stored(_spec: &DecoderSpec, name: &str) -> Stored {
    Stored::whole(
        name.replace("model.embed_tokens.", "backbone.embeddings.")
            .replace("model.norm.", "backbone.norm_f.")
            .replace("model.layers.", "backbone.layers.")
            .replace(".input_layernorm.", ".norm.")
            .replace(".mlp.shared_expert.", ".mlp.shared_experts.")
            .replace(".mamba.", ".mixer.")
            .replace(".self_attn.", ".mixer.")
            .replace(".mlp.", ".mixer."),
    )
}
