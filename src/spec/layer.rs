//! What differs from layer to layer.

use serde::Serialize;

use super::{BlockKind, DecoderSpec, MoeSpec, RecurrentSpec, RopeSpec, Window};

/// What differs from layer to layer. What a layer leaves open (`None`) is as the decoder has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerSpec {
    /// The keys that a row sees.
    pub window: Window,
    /// Rotary positions; `None` has none.
    pub rope: Option<RopeSpec>,
    /// A mixture of experts in place of the MLP.
    pub moe: Option<MoeSpec>,
    /// What mixes the rows.
    #[serde(skip_serializing_if = "Mixer::is_attention")]
    pub mixer: Mixer,
    /// Key and value heads, where they are of another size than the decoder's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<HeadSizes>,
    /// Where the block normalises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<BlockKind>,
    /// Inner width of the MLP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intermediate_size: Option<usize>,
}

impl Default for LayerSpec {
    /// Attention over all keys, without positions.
    fn default() -> Self {
        Self {
            window: Window::Full,
            rope: None,
            moe: None,
            mixer: Mixer::Attention,
            heads: None,
            block: None,
            intermediate_size: None,
        }
    }
}

/// What mixes the rows of a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mixer {
    /// Attention over keys and values; screening tiles, where the decoder has these.
    Attention,
    /// A state of fixed size, which every token changes and reads.
    Recurrent(RecurrentSpec),
    /// Both on one norm; what they mix is summed (Falcon-H1).
    Both(RecurrentSpec),
    /// Nothing: the block is its MLP alone (Nemotron-H).
    None,
}

impl Mixer {
    /// The mixer that has a state, where there is one.
    #[must_use]
    pub fn recurrent(&self) -> Option<&RecurrentSpec> {
        match self {
            Self::Recurrent(mixer) | Self::Both(mixer) => Some(mixer),
            Self::Attention | Self::None => None,
        }
    }

    /// Whether rows attend to keys here: such a layer has rows of attention to look at.
    #[must_use]
    pub fn is_attention(&self) -> bool {
        matches!(self, Self::Attention | Self::Both(_))
    }
}

/// Key and value heads of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeadSizes {
    /// How many there are; divides the query heads.
    pub num_key_value_heads: usize,
    /// Width of a query and of a key.
    pub head_dim: usize,
    /// Width of a value.
    pub value_dim: usize,
    /// Coordinates of a head that rotate, from the first on.
    pub rotary_dim: usize,
    /// Factor on `q · k`.
    pub attention_scale: f64,
}

impl HeadSizes {
    /// Numbers of a cached key, and of a cached value: both are kept as wide as the wider of the two.
    #[must_use]
    pub fn cached_width(&self) -> usize {
        self.head_dim.max(self.value_dim)
    }
}

impl DecoderSpec {
    /// Key and value heads of one of its layers.
    #[must_use]
    pub fn heads(&self, layer: &LayerSpec) -> HeadSizes {
        layer.heads.unwrap_or(HeadSizes {
            num_key_value_heads: self.num_key_value_heads,
            head_dim: self.head_dim,
            value_dim: self.value_dim(),
            rotary_dim: self.rotary_dim,
            attention_scale: self.attention_scale,
        })
    }

    /// Where a layer normalises.
    #[must_use]
    pub fn block_of(&self, layer: &LayerSpec) -> BlockKind {
        layer.block.unwrap_or(self.block)
    }

    /// Inner width of a layer's MLP.
    #[must_use]
    pub fn intermediate_of(&self, layer: &LayerSpec) -> usize {
        layer.intermediate_size.unwrap_or(self.intermediate_size)
    }

    /// The mixers that have a state, in the order of their layers.
    pub fn recurrent(&self) -> impl Iterator<Item = &RecurrentSpec> {
        self.layers.iter().filter_map(|layer| layer.mixer.recurrent())
    }

    /// Bytes of the states of one sequence, whatever its length; none where all layers have keys and values.
    #[must_use]
    pub fn state_bytes(&self) -> usize {
        self.recurrent().map(|mixer| mixer.state_bytes(self.hidden_size)).fold(0, usize::saturating_add)
    }

    /// The layers that attend, in order: those that have rows of attention.
    pub fn attention_layers(&self) -> impl Iterator<Item = usize> {
        let attends = |layer: &LayerSpec| layer.mixer.is_attention();
        self.layers.iter().enumerate().filter(move |(_, layer)| attends(layer)).map(|(index, _)| index)
    }
}
