//! What attention rules have learned to read from rows: maps of each layer that follows such a rule.
//!
//! | below `model.layers.N.self_attn.` | | rule |
//! |---|---|---|
//! | `attn_scale_beta_proj.weight`, `attn_scale_gamma_proj.weight` | `[heads, hidden]` | `asentmax`, by the names of its authors |
//! | `fgate_proj.weight`, `fgate_proj.bias` | `[heads, hidden]`, `[heads]` | `forgetting`, likewise |

use candle_core::Device;

use crate::attention::variant::{RowMap, ScaleMaps};
use crate::error::Result;
use crate::spec::{DecoderSpec, Dtype};
use crate::weights::{TensorSource, Weights};

/// Those of `asentmax`.
pub(super) fn entmax_scales(
    spec: &DecoderSpec,
    source: &dyn TensorSource,
    follows: &[bool],
) -> Result<Vec<Option<ScaleMaps>>> {
    let of_layer = |(layer, &follows): (usize, &bool)| {
        let map = |name: &str| map(spec, source, layer, name);
        let both =
            || Ok(ScaleMaps { beta: map("attn_scale_beta_proj")?, gamma: map("attn_scale_gamma_proj")? });
        follows.then(both).transpose()
    };
    follows.iter().enumerate().map(of_layer).collect()
}

/// What the gates of `forgetting` are made of.
pub(super) fn forget_gates(
    spec: &DecoderSpec,
    source: &dyn TensorSource,
    follows: &[bool],
) -> Result<Vec<Option<RowMap>>> {
    let of_layer = |(layer, &follows): (usize, &bool)| {
        let gate = || {
            let weights = Weights::new(source, &Device::Cpu, Dtype::F32);
            let name = format!("model.layers.{layer}.self_attn.fgate_proj.bias");
            let bias = weights.get(&name, &[spec.num_attention_heads])?.to_vec1()?;
            Ok(RowMap { bias, ..map(spec, source, layer, "fgate_proj")? })
        };
        follows.then(gate).transpose()
    };
    follows.iter().enumerate().map(of_layer).collect()
}

/// The map `name` of a layer, without a bias.
fn map(spec: &DecoderSpec, source: &dyn TensorSource, layer: usize, name: &str) -> Result<RowMap> {
    let weights = Weights::new(source, &Device::Cpu, Dtype::F32);
    let heads = spec.num_attention_heads;
    let place = weights.pp(format!("model.layers.{layer}.self_attn.{name}"));
    let weight = place.get("weight", &[heads, spec.hidden_size])?.flatten_all()?.to_vec1()?;
    Ok(RowMap { weight, bias: vec![0.0; heads] })
}
