//! What differs from layer to layer.

use serde::Serialize;

use super::tensors::{Visit, linear};
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
    /// The vector that keys and values are made of, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latent: Option<LatentSpec>,
    /// Where the block normalises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<BlockKind>,
    /// Whether each of its query heads has a sink: a learned logit in the normaliser beside those of the
    /// keys.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sinks: bool,
    /// Where it attends by the difference of two maps: how much of the second is taken off before anything is
    /// learned. Values are as wide as two heads then, one of each half of the value heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differential: Option<f64>,
    /// The layer before it whose keys and values it uses in place of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares: Option<usize>,
    /// Whether values are made of what keys are made of, before that is normed and rotated.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub values_are_keys: bool,
    /// Inner width of the MLP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intermediate_size: Option<usize>,
    /// The share of gates that the MLP cuts off, were they normally distributed: it takes `relu(g - c)` of a
    /// gate, `c` as many deviations above the mean of a row's gates as leave that share below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_sparsity: Option<f64>,
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
            latent: None,
            block: None,
            sinks: false,
            differential: None,
            shares: None,
            values_are_keys: false,
            intermediate_size: None,
            activation_sparsity: None,
        }
    }
}

impl LayerSpec {
    /// Numbers of a value as it is projected, and of what a head hands on: those of a value that is mixed, or
    /// half of them where heads are subtracted in pairs.
    #[must_use]
    pub fn value_width(&self, heads: &HeadSizes) -> usize {
        if self.differential.is_some() { heads.value_dim / 2 } else { heads.value_dim }
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

/// Multi-head latent attention (arXiv 2405.04434, section 2.1): with `c = norm(W_a x)`, `kv_lora_rank`
/// numbers, and `r = R(W_r x)`, `qk_rope_head_dim` numbers for all heads alike, head `h` has the key `[W_h c
/// | r]` and the value `U_h c`.
///
/// What is kept of a token is `[c | r]` and `c`: the query `[q | q_r]` meets `W_h c` as `W_hᵀ q` meets `c`,
/// and values are mixed before `U_h`. So there is one key head of `kv_lora_rank + qk_rope_head_dim` numbers
/// ([`Self::heads`]), whatever the number of query heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LatentSpec {
    /// Width of the vector that queries are made of; `None` makes them of the rows themselves.
    pub q_lora_rank: Option<usize>,
    /// Width of `c`.
    pub kv_lora_rank: usize,
    /// Coordinates of a query that meet `W_h c`.
    pub qk_nope_head_dim: usize,
    /// Coordinates of a query that meet `r`.
    pub qk_rope_head_dim: usize,
    /// Width of a value.
    pub v_head_dim: usize,
    /// What chooses the keys that a row sees; `None` shows it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indexer: Option<IndexerSpec>,
}

/// An indexer: heads that score each key for each row, of which a row sees those with the largest scores
/// alone (DeepSeek 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IndexerSpec {
    /// Heads that score.
    pub index_n_heads: usize,
    /// Width of such a head, and of the key that is kept of a token for them all.
    pub index_head_dim: usize,
    /// Keys that a row sees.
    pub index_topk: usize,
}

impl IndexerSpec {
    /// Weights of its linear maps, for queries made of `rank` numbers and rows of `hidden`.
    fn maps(&self, rank: usize, hidden: usize) -> usize {
        let (heads, d) = (self.index_n_heads, self.index_head_dim);
        rank * heads * d + hidden * (d + heads)
    }

    /// Hands its tensors below `self_attn.indexer` to `visit`.
    fn each_tensor<E>(&self, rank: usize, hidden: usize, visit: Visit<'_, E>) -> Result<(), E> {
        let (heads, d) = (self.index_n_heads, self.index_head_dim);
        visit("self_attn.indexer.k_norm.weight", &[d])?;
        visit("self_attn.indexer.k_norm.bias", &[d])?;
        linear("self_attn.indexer.wq_b", [heads * d, rank], false, visit)?;
        linear("self_attn.indexer.wk", [d, hidden], false, visit)?;
        linear("self_attn.indexer.weights_proj", [heads, hidden], false, visit)
    }
}

impl LatentSpec {
    /// Width of a query.
    #[must_use]
    pub fn qk_head_dim(&self) -> usize {
        self.qk_nope_head_dim + self.qk_rope_head_dim
    }

    /// The heads that are kept in a cache, with this factor on `q · k`. The key of an indexer stands behind
    /// the value.
    #[must_use]
    pub fn heads(&self, attention_scale: f64) -> HeadSizes {
        HeadSizes {
            num_key_value_heads: 1,
            head_dim: self.kv_lora_rank + self.qk_rope_head_dim,
            value_dim: self.kv_lora_rank + self.indexer.map_or(0, |indexer| indexer.index_head_dim),
            rotary_dim: self.qk_rope_head_dim,
            attention_scale,
        }
    }

    /// Weights of its linear maps, for `heads` query heads and rows of `hidden` numbers.
    #[must_use]
    pub fn maps(&self, heads: usize, hidden: usize) -> usize {
        let queries = heads * self.qk_head_dim();
        let of_queries = self.q_lora_rank.map_or(hidden * queries, |rank| rank * (hidden + queries));
        let of_keys = hidden * (self.kv_lora_rank + self.qk_rope_head_dim);
        let of_heads = self.kv_lora_rank * heads * (self.qk_nope_head_dim + self.v_head_dim);
        let rank = self.q_lora_rank.unwrap_or(hidden);
        let of_indexer = self.indexer.map_or(0, |indexer| indexer.maps(rank, hidden));
        of_queries + of_keys + of_heads + heads * self.v_head_dim * hidden + of_indexer
    }

    /// Hands its tensors below `self_attn` to `visit`; `bias` says whether what rows are projected to, and
    /// the output, have one.
    pub(super) fn each_tensor<E>(
        &self,
        heads: usize,
        hidden: usize,
        bias: bool,
        visit: Visit<'_, E>,
    ) -> Result<(), E> {
        let made = heads * (self.qk_nope_head_dim + self.v_head_dim);
        linear("self_attn.kv_b_proj", [made, self.kv_lora_rank], false, visit)?;
        let queries = heads * self.qk_head_dim();
        match self.q_lora_rank {
            None => linear("self_attn.q_proj", [queries, hidden], false, visit)?,
            Some(rank) => {
                linear("self_attn.q_a_proj", [rank, hidden], bias, visit)?;
                visit("self_attn.q_a_layernorm.weight", &[rank])?;
                linear("self_attn.q_b_proj", [queries, rank], false, visit)?;
            }
        }
        let kept = self.kv_lora_rank + self.qk_rope_head_dim;
        linear("self_attn.kv_a_proj_with_mqa", [kept, hidden], bias, visit)?;
        visit("self_attn.kv_a_layernorm.weight", &[self.kv_lora_rank])?;
        linear("self_attn.o_proj", [hidden, heads * self.v_head_dim], bias, visit)?;
        match self.indexer {
            Some(indexer) => indexer.each_tensor(self.q_lora_rank.unwrap_or(hidden), hidden, visit),
            None => Ok(()),
        }
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
        if let Some(black_box) = self.extras.black_box {
            return black_box.state_bytes(self);
        }
        self.recurrent().map(|mixer| mixer.state_bytes(self.hidden_size)).fold(0, usize::saturating_add)
    }

    /// Whether every prompt is read whole, whatever it has in common with the one before.
    #[must_use]
    pub fn reads_whole_prompts(&self) -> bool {
        self.extras.black_box.is_some_and(|unseen| !unseen.is_recurrent())
    }

    /// Whether rows of some layer choose the keys that they see.
    #[must_use]
    pub fn chooses_keys(&self) -> bool {
        self.layers.iter().any(|layer| layer.latent.is_some_and(|latent| latent.indexer.is_some()))
    }

    /// The layers that attend, in order: those that have rows of attention.
    pub fn attention_layers(&self) -> impl Iterator<Item = usize> {
        let attends = |layer: &LayerSpec| layer.mixer.is_attention();
        self.layers.iter().enumerate().filter(move |(_, layer)| attends(layer)).map(|(index, _)| index)
    }
}
