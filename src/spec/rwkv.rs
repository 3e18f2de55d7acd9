//! The two halves of a block of RWKV-4 (arXiv 2305.13048), each a mixer of its own on a norm: both see the
//! row of the token before.

use serde::Serialize;

use super::tensors::Visit;

/// Time mixing. Its tensors stand under `attention`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimeMixSpec {
    /// Channels, each with a weighted mean as its state.
    pub attention_hidden_size: usize,
}

impl TimeMixSpec {
    pub(super) fn state_numbers(&self, hidden: usize) -> usize {
        self.attention_hidden_size.saturating_mul(3).saturating_add(hidden)
    }

    pub(super) fn each_tensor<E>(&self, hidden: usize, visit: Visit<'_, E>) -> Result<(), E> {
        let channels = self.attention_hidden_size;
        let maps = ["key", "value", "receptance"];
        for map in maps {
            visit(&format!("attention.time_mix_{map}"), &[1, 1, hidden])?;
        }
        for map in maps {
            visit(&format!("attention.{map}.weight"), &[channels, hidden])?;
        }
        for name in ["time_decay", "time_first"] {
            visit(&format!("attention.{name}"), &[channels])?;
        }
        visit("attention.output.weight", &[hidden, channels])
    }
}

/// Channel mixing. Its tensors stand under `feed_forward`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelMixSpec {
    /// Inner width.
    pub intermediate_size: usize,
}

impl ChannelMixSpec {
    pub(super) fn each_tensor<E>(&self, hidden: usize, visit: Visit<'_, E>) -> Result<(), E> {
        for map in ["key", "receptance"] {
            visit(&format!("feed_forward.time_mix_{map}"), &[1, 1, hidden])?;
        }
        for (map, width) in [("key", self.intermediate_size), ("receptance", hidden)] {
            visit(&format!("feed_forward.{map}.weight"), &[width, hidden])?;
        }
        visit("feed_forward.value.weight", &[hidden, self.intermediate_size])
    }
}
