//! OLMo 3: OLMo 2 with windows on three layers of four; the scaling of rotary positions is for the other
//! layers.

use super::common::{ropes, sliding_layers, windows_of_types};
use super::{olmo2, rope_config};
use crate::checkpoint::Config;
use crate::error::Result;
use crate::spec::DecoderSpec;

/// Reads an OLMo 3 configuration: rotary positions by kind of layer, or, on the hub, a base for both and a
/// scaling.
pub(super) fn spec(config: &Config) -> Result<DecoderSpec> {
    // Both kinds of layers turn whole heads; what they turn by is read below.
    let whole = config.narrowed(|key| !["rope_parameters", "rope_scaling"].contains(&key));
    let mut spec = olmo2::spec(&whole)?;
    let sliding = sliding_layers(config, spec.num_hidden_layers, |layer| (layer + 1) % 4 != 0)?;
    windows_of_types(&mut spec, config, &sliding)?;
    let [global, local] = rope_config::by_window(config, spec.rotary_dim, "rope_theta")?;
    ropes(&mut spec, |layer, _| Some(if sliding[layer] { local.clone() } else { global.clone() }));
    Ok(spec)
}
