//! Layers with a state in place of keys, in words.

use super::inspection::bytes;
use crate::model::kv_cache::MARKS;
use crate::spec::{DecoderSpec, DeltaDecay, DeltaGate, DeltaNetSpec, Mamba2Spec, ReadNorm, RecurrentSpec};

/// A mixer with a state, by its kind and sizes.
pub(super) fn describe(mixer: &RecurrentSpec) -> String {
    let sizes = match mixer {
        RecurrentSpec::DeltaNet(spec) => delta_net(spec),
        RecurrentSpec::Mamba2(spec) => mamba2(spec),
        RecurrentSpec::Mamba(spec) => format!(
            "{} channels with states of {}, convolution over {}",
            spec.intermediate_size, spec.mamba_d_state, spec.mamba_d_conv
        ),
        RecurrentSpec::ShortConv(spec) => format!("over {} tokens", spec.conv_l_cache),
        RecurrentSpec::GatedUnit(spec) => {
            format!("{} channels, convolution over {}", spec.lru_width, spec.conv1d_width)
        }
        RecurrentSpec::TimeMix(spec) => format!("{} channels", spec.attention_hidden_size),
        RecurrentSpec::ChannelMix(spec) => format!("inner width {}", spec.intermediate_size),
    };
    format!("{}, {sizes}", mixer.name())
}

fn delta_net(spec: &DeltaNetSpec) -> String {
    let (keys, values) = (spec.linear_num_key_heads, spec.linear_num_value_heads);
    let heads =
        if keys == values { format!("{keys} heads") } else { format!("{values} heads on {keys} of keys") };
    let decay = match spec.decay {
        DeltaDecay::PerHead => "decay by head".to_string(),
        DeltaDecay::LowRank { .. } | DeltaDecay::Full => "decay by channel".to_string(),
        DeltaDecay::Bounded { lower_bound } => format!("decay by channel, down to e^{lower_bound} a token"),
    };
    let gate = if spec.output_gate == DeltaGate::Silu { "silu" } else { "sigmoid" };
    format!(
        "{heads} with states {} x {}, convolution over {}, {decay}, {gate} gate",
        spec.linear_key_head_dim, spec.linear_value_head_dim, spec.linear_conv_kernel_dim
    )
}

fn mamba2(spec: &Mamba2Spec) -> String {
    let groups = match spec.mamba_n_groups {
        1 => "one group".to_string(),
        groups => format!("{groups} groups"),
    };
    let norm = match spec.norm {
        ReadNorm::AfterGate => "norm behind the gate",
        ReadNorm::BeforeGate => "norm before the gate",
        ReadNorm::None => "no norm",
    };
    format!(
        "{} heads in {groups} with states {} x {}, convolution over {}, {norm}",
        spec.mamba_n_heads, spec.mamba_d_head, spec.mamba_d_state, spec.mamba_d_conv
    )
}

/// What the states of a sequence take; `None` where all layers keep keys.
pub(super) fn states(spec: &DecoderSpec) -> Option<String> {
    let size = spec.state_bytes();
    let layers = match spec.extras.black_box {
        Some(_) if size > 0 => spec.num_hidden_layers,
        _ => spec.recurrent().count(),
    };
    (layers > 0).then(|| {
        format!(
            "{} in {layers} of {} layers, whatever the length, and up to {MARKS} copies to go back to",
            bytes(size as f64),
            spec.num_hidden_layers
        )
    })
}
