//! What a decoder is made of: the description that every family turns its configuration into, as data. What
//! reads checkpoints and what computes meet here, and nowhere else.

mod alt_up;
mod black_box;
mod dtype;
mod head;
mod layer;
mod moe;
mod recurrent;
mod rope;
mod rwkv;
mod screening;
mod state_space;
mod tensors;
mod window;
mod work;

use serde::Serialize;

pub use alt_up::{AltUpSpec, LaurelRank};
pub(crate) use black_box::WITHOUT_ENGINE;
pub use black_box::{
    BlackBoxSpec, ChatGlmSpec, ENGINES, Engine, MixFormerSpec, RWKV7_HEAD, Rwkv7Spec, RwkvSpec,
};
pub use dtype::{DTYPES, Dtype, WEIGHT_FORMS, WeightForm};
pub use head::{HeadPlace, LayerRanges};
pub use layer::{HeadSizes, IndexerSpec, LatentSpec, LayerSpec, Mixer};
pub use moe::{
    ExpertGroups, ExpertKind, GroupScore, MoeSpec, NORMS_BESIDE_MLP, RouterKind, RouterParts, Score,
    ScoreRouter, SharedExpert,
};
pub use recurrent::{DeltaDecay, DeltaGate, DeltaNetSpec, RecurrentSpec};
pub use rope::{RopeScaling, RopeSpec};
pub use rwkv::{ChannelMixSpec, TimeMixSpec};
pub use screening::{MipePositions, Screen, ScreeningSpec, WINDOW_EXPANSIONS};
pub use state_space::{GatedUnitSpec, Mamba2Spec, MambaSpec, ReadNorm, SelectionNorms, ShortConvSpec};
pub use window::Window;

/// A decoder described by its sizes and choices, with Hugging Face's names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecoderSpec {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Inner width of the MLP, on layers without experts.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads of a layer.
    pub num_attention_heads: usize,
    /// Key and value heads of a layer; divides the query heads (grouped-query attention).
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// The normalisation of every block, and of the output.
    pub norm: NormKind,
    /// Its epsilon.
    pub norm_eps: f64,
    /// Where a block normalises, and in which order it adds attention and MLP.
    pub block: BlockKind,
    /// Normalisation of queries and keys before rotary positions.
    pub qk_norm: QkNorm,
    /// Which linear maps carry a bias.
    pub bias: Biases,
    /// The MLP.
    pub mlp: MlpKind,
    /// Its activation.
    pub hidden_act: Activation,
    /// Whether the head is the transposed embedding.
    pub tie_word_embeddings: bool,
    /// Window, positions and experts of each layer.
    pub layers: Vec<LayerSpec>,
    /// Layout of the rotated pairs.
    pub rotary_layout: RotaryLayout,
    /// Coordinates of a head that rotate, from the first on.
    pub rotary_dim: usize,
    /// Rows of a learned position embedding, when positions are learned.
    pub learned_positions: Option<usize>,
    /// Factor on `q · k`; `1 / sqrt(head_dim)` in most families.
    pub attention_scale: f64,
    /// Soft cap `c tanh(z / c)` on attention scores.
    pub attn_logit_softcapping: Option<f64>,
    /// Soft cap on logits.
    pub final_logit_softcapping: Option<f64>,
    /// Factor on embeddings.
    pub embedding_multiplier: f64,
    /// Factor on what attention and MLP add to the residual stream.
    pub residual_multiplier: f64,
    /// Factor on logits.
    pub logits_multiplier: f64,
    /// Positions the checkpoint declares, when it does.
    pub max_position_embeddings: Option<usize>,
    /// Screening tiles in place of attention, MLP and norms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screening: Option<ScreeningSpec>,
    /// What few families have.
    #[serde(flatten)]
    pub extras: Extras,
}

/// What few families have; by default, none of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Extras {
    /// A gate on what attention has mixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_gate: Option<OutputGate>,
    /// Queries, keys and values are cut to `-c..=c` as they are projected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_qkv: Option<f64>,
    /// The norm of queries and keys stands behind their rotation.
    #[serde(skip_serializing_if = "is_false")]
    pub qk_norm_after_rope: bool,
    /// The bias on scores by the distance between query and key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alibi: Option<Alibi>,
    /// The row of the learned positions that position 0 has; those before it are for padding (OPT).
    #[serde(skip_serializing_if = "is_zero")]
    pub position_offset: usize,
    /// Width of the embedding, where it is not the residual stream's: linear maps stand between the two,
    /// before the layers and before the head (OPT 350M).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_size: Option<usize>,
    /// A norm over each value head, without a weight.
    #[serde(skip_serializing_if = "is_false")]
    pub value_norm: bool,
    /// A factor on values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_multiplier: Option<f64>,
    /// A vector of each token for each layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_layer_input: Option<PerLayerInput>,
    /// A learned factor on the residual stream behind each layer.
    #[serde(skip_serializing_if = "is_false")]
    pub layer_scalar: bool,
    /// Layers behind each of which the reference halves its residual stream. The decoder leaves it whole, and
    /// has the epsilon of norms count for as much beside it ([`DecoderSpec::norm_eps_at`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halved_every: Option<usize>,
    /// A norm of the embedding, as the decoder's.
    #[serde(skip_serializing_if = "is_false")]
    pub embedding_norm: bool,
    /// Factors that are in the weights as they are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mup: Option<MupMultipliers>,
    /// Several residual streams in place of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alt_up: Option<AltUpSpec>,
    /// The rank of a learned residual beside attention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub laurel_rank: Option<LaurelRank>,
    /// The model that another engine computes in place of the decoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub black_box: Option<BlackBoxSpec>,
}

/// Factors of a checkpoint made with muP (Falcon-H1), on what goes into a branch of a block or comes out of
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MupMultipliers {
    /// On the rows that queries, keys and values are made of.
    pub attention_in: f64,
    /// On what attention adds.
    pub attention_out: f64,
    /// On the rows that the mixer with a state is given.
    pub ssm_in: f64,
    /// On what it adds.
    pub ssm_out: f64,
    /// On the gates of the MLP.
    pub mlp_gate: f64,
    /// On what the MLP adds.
    pub mlp_down: f64,
}

fn is_zero(offset: &usize) -> bool {
    *offset == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Attention with linear biases (arXiv 2108.12409): `a (b_h(j) - b_h(i))` is added to the score of query `i`
/// and key `j`, with `b_h(j) = m_h j` and slopes `m_h = 2^(-8 h / heads)`, `h` from 1, where the number of
/// heads is a power of two; else those of the power below, and every other one of the power above.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Alibi {
    /// The factor `a`.
    pub scale: f64,
    /// Whether slopes and biases `b` are rounded to bf16, as a model was trained with (Falcon).
    pub rounded: bool,
}

impl Alibi {
    /// The slope of each of `heads` query heads.
    ///
    /// ```
    /// use niah::spec::Alibi;
    /// assert_eq!(Alibi::slopes(2), [0.0625, 0.00390625]);
    /// assert_eq!(Alibi::slopes(3), [0.0625, 0.00390625, 0.25]);
    /// ```
    #[must_use]
    pub fn slopes(heads: usize) -> Vec<f64> {
        let below = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
        let slope = |power: usize, head: usize| (-8.0 * head as f64 / power as f64).exp2();
        let whole = (1..=below).map(|head| slope(below, head));
        let between = (1..=heads - below).map(|head| slope(2 * below, 2 * head - 1));
        whole.chain(between).collect()
    }
}

/// Vectors of each token for each layer (Gemma 3n, Gemma 4): with `e` the embedding and `e_l` one that a
/// layer has of its own, layer `l` adds `norm(P act(G x) * p_l)` behind its MLP, where `p_l = (norm(W_l e /
/// sqrt(hidden_size)) + sqrt(width) e_l) / sqrt(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PerLayerInput {
    /// Numbers of such a vector.
    pub hidden_size_per_layer_input: usize,
    /// Tokens that have one; any other has that of token 0.
    pub vocab_size_per_layer_input: usize,
}

/// A gate on what attention has mixed: `o_proj(mixed * sigmoid(W_g x))`, `x` what queries are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputGate {
    /// One gate for each coordinate of each query head (Qwen 3.5).
    ByElement,
    /// One gate for each query head.
    ByHead,
}

/// A normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormKind {
    /// `x / sqrt(mean(x²) + eps) * w` (arXiv 1910.07467).
    Rms,
    /// The same with `1 + w` for `w` (Gemma).
    RmsPlusOne,
    /// `(x - mean) / sqrt(var + eps) * w` (arXiv 1607.06450), without bias.
    Layer,
    /// The same plus a bias.
    LayerWithBias,
    /// The same with `1 + w` for `w`, plus a bias (Nemotron).
    LayerPlusOneWithBias,
    /// [`Self::Rms`] without a weight (nanochat).
    RmsWithoutWeight,
    /// [`Self::Layer`] without a weight (OLMo).
    LayerWithoutWeight,
}

impl NormKind {
    /// Whether it has a weight.
    #[must_use]
    pub fn has_weight(self) -> bool {
        !matches!(self, Self::RmsWithoutWeight | Self::LayerWithoutWeight)
    }

    /// Whether it has a bias.
    #[must_use]
    pub fn has_bias(self) -> bool {
        matches!(self, Self::LayerWithBias | Self::LayerPlusOneWithBias)
    }
}

/// The order of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockKind {
    /// `x += attn(norm x); x += mlp(norm x)`.
    PreNorm,
    /// `x += norm(attn x); x += norm(mlp x)` (OLMo 2).
    PostNorm,
    /// `x += norm(attn(norm x)); x += norm(mlp(norm x))` (Gemma 2 and 3).
    SandwichNorm,
    /// `x += attn(norm x) + mlp(norm x)`, one norm for both (Phi, Cohere).
    ParallelOneNorm,
    /// `x += attn(norm x) + mlp(norm' x)` (GPT-NeoX).
    ParallelTwoNorms,
    /// `x = norm(x + attn x); x = norm(x + mlp x)` (arXiv 1706.03762; OPT 350M).
    NormAfterSum,
    /// `x += mixer(norm x)`, without an MLP (Mamba, Nemotron-H).
    MixerAlone,
    /// `x += mlp(norm x)`, without a mixer (Nemotron-H).
    MlpAlone,
}

impl BlockKind {
    /// Whether it has an MLP, or experts.
    #[must_use]
    pub fn has_mlp(self) -> bool {
        self != Self::MixerAlone
    }
}

/// Normalisation of queries and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum QkNorm {
    /// None.
    None,
    /// Over each head, with one weight of `head_dim` (Qwen 3, Gemma 3).
    PerHead,
    /// Over the whole projection (OLMo 2).
    Projection,
    /// Over each head, without a weight, on layers with rotary positions (Llama 4; it normalises after
    /// rotating, which is the same, as a rotation keeps the length).
    WeightlessPerHead,
    /// Over each head, without a weight, on every layer.
    WeightlessOnAllLayers,
    /// A LayerNorm over each head, with one weight and bias of `head_dim` (Phi).
    LayerPerHead,
    /// A LayerNorm over each head without bias, each head with a weight of its own (StableLM, Cohere).
    LayerByHead,
    /// [`Self::PerHead`], each head with a weight of its own (OLMo's hybrids).
    RmsByHead,
}

/// Which linear maps carry a bias.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Biases {
    /// Those of q, k and v.
    pub qkv: bool,
    /// That of the attention's output.
    pub output: bool,
    /// Those of the MLP.
    pub mlp: bool,
    /// That of the head.
    pub head: bool,
}

/// An MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MlpKind {
    /// `down(act(gate x) * up x)` (arXiv 2002.05202).
    Gated,
    /// `down(act(up x))`.
    Plain,
    /// [`Self::Plain`] with xIELU (arXiv 2411.13010), whose numbers `alpha_p`, `alpha_n`, `beta` and `eps`
    /// each layer has learned: `a_p x² + beta x` for `x > 0`, else `(expm1(min(x, eps)) - x) a_n + beta x`,
    /// with `a_p = softplus(alpha_p)` and `a_n = beta + softplus(alpha_n)` (Apertus).
    Xielu,
}

/// An activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `x sigmoid(x)`.
    Silu,
    /// `x Phi(x)`, exactly.
    Gelu,
    /// `x Phi(x)`, by its tanh approximation.
    GeluTanh,
    /// `x sigmoid(1.702 x)`.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²`.
    Relu2,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `max(x, 0) + 0.01 min(x, 0)`.
    LeakyRelu,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `x tanh(ln(1 + e^x))`.
    Mish,
    /// `x`.
    Linear,
}

/// Which coordinates rotate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RotaryLayout {
    /// `(x_j, x_{j + d/2})` (GPT-NeoX, Llama).
    Half,
    /// `(x_{2j}, x_{2j + 1})` (GPT-J, Cohere).
    Interleaved,
    /// [`Self::Half`], turned the other way (nanochat).
    HalfBackwards,
}

impl DecoderSpec {
    /// Length the weights were trained on: the rotary scaling's original context before the declared
    /// positions.
    #[must_use]
    pub fn training_length(&self) -> Option<usize> {
        let original = |layer: &LayerSpec| layer.rope.as_ref()?.original_max_position_embeddings;
        self.layers.iter().find_map(original).or(self.max_position_embeddings)
    }

    /// The epsilon of the norms of a layer, and of the last norm as that of the layer behind the last. Beside
    /// a stream that the reference has halved `n` times it counts for `4^n` times as much as beside a whole
    /// one.
    #[must_use]
    pub fn norm_eps_at(&self, layer: usize) -> f64 {
        let halved = self.extras.halved_every.map_or(0, |every| layer / every.max(1));
        self.norm_eps * 4f64.powi(i32::try_from(halved).unwrap_or(i32::MAX))
    }

    /// The largest size that a score `scale q·k` can have before any multiplier, where norms on queries and
    /// keys without a gain bound it on every layer: both have at most length `sqrt(head_dim)` then, so that
    /// `|q·k| <= head_dim`. `None` without such a bound.
    #[must_use]
    pub fn largest_score(&self) -> Option<f64> {
        let bounded = match self.qk_norm {
            QkNorm::WeightlessOnAllLayers => true,
            QkNorm::WeightlessPerHead => self.layers.iter().all(|layer| layer.rope.is_some()),
            _ => false,
        };
        // These two change the length of what they rotate.
        let tempered = |rope: &&RopeSpec| {
            matches!(rope.scaling, RopeScaling::Yarn { .. } | RopeScaling::LongRope { .. })
        };
        let lengths_stay = !self.ropes().iter().any(tempered);
        (bounded && lengths_stay).then_some(self.attention_scale * self.head_dim as f64)
    }

    /// Width of the embedding, and of what the head reads.
    #[must_use]
    pub fn embedding_size(&self) -> usize {
        self.extras.embedding_size.unwrap_or(self.hidden_size)
    }

    /// Whether a norm stands behind the layers: not behind screening tiles, nor behind layers that end with
    /// one.
    #[must_use]
    pub fn has_last_norm(&self) -> bool {
        self.screening.is_none() && self.block != BlockKind::NormAfterSum
    }

    /// Whether something is added to scores, which only the precision of f32 knows how to do.
    #[must_use]
    pub fn has_score_bias(&self) -> bool {
        self.extras.alibi.is_some()
    }

    /// Width of a value; that of a head but for screening tiles.
    #[must_use]
    pub fn value_dim(&self) -> usize {
        self.screening.as_ref().map_or(self.head_dim, |screening| screening.value_dim)
    }

    /// Bytes of cached keys and values per token, in f32.
    #[must_use]
    pub fn cache_bytes_per_token(&self) -> usize {
        if let Some(black_box) = self.extras.black_box {
            return black_box.cache_bytes_per_token(self);
        }
        if self.screening.is_some() {
            let numbers = self.num_key_value_heads * (self.head_dim + self.value_dim());
            return self.num_hidden_layers * numbers * size_of::<f32>();
        }
        let numbers = |heads: HeadSizes| 2 * heads.num_key_value_heads * heads.cached_width();
        self.cached_heads().map(numbers).sum::<usize>() * size_of::<f32>()
    }

    /// The heads of each layer that keeps keys and values.
    pub fn cached_heads(&self) -> impl Iterator<Item = HeadSizes> {
        let keeps = |layer: &&LayerSpec| layer.mixer.is_attention() && layer.shares.is_none();
        self.layers.iter().filter(keeps).map(|layer| self.heads(layer))
    }

    /// Number of weights.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.parameters(|moe| moe.num_experts)
    }

    /// Number of weights that the computation of one token reads: of a mixture, the experts that it meets.
    #[must_use]
    pub fn active_parameter_count(&self) -> usize {
        self.parameters(|moe| moe.num_experts_per_tok)
    }

    /// Weights of the linear maps that a token goes through in all blocks, each one multiply and one add: of
    /// a mixture, those of the router and of the experts that it meets. Biases and the head are left out.
    #[must_use]
    pub fn linear_weights_per_token(&self) -> usize {
        let h = self.hidden_size;
        if let Some(black_box) = self.extras.black_box {
            // All but the embedding and the head; vectors are few.
            return black_box.parameters(self).saturating_sub(2 * self.vocab_size * h);
        }
        if let Some(screening) = &self.screening {
            let maps = 2 * self.head_dim + 3 * screening.value_dim;
            return self.num_hidden_layers * self.num_attention_heads * h * maps;
        }
        let maps = if self.mlp == MlpKind::Gated { 3 } else { 2 };
        let feed_forward = |layer: &LayerSpec| match layer.moe {
            _ if !self.block_of(layer).has_mlp() => 0,
            Some(moe) => {
                let dense = if moe.beside_mlp { maps * h * self.intermediate_of(layer) } else { 0 };
                dense + moe.linear_weights(h, moe.num_experts_per_tok)
            }
            None => maps * h * self.intermediate_of(layer),
        };
        let around = self.maps_around_layer();
        self.layers.iter().map(|layer| self.mixer_maps(layer) + feed_forward(layer) + around).sum()
    }

    fn parameters(&self, experts: impl Fn(&MoeSpec) -> usize) -> usize {
        if let Some(black_box) = self.extras.black_box {
            return black_box.parameters(self);
        }
        if let Some(screening) = &self.screening {
            let layer = screening.layer_parameters(self.hidden_size, self.num_attention_heads, self.head_dim);
            return self.vocab_size * self.hidden_size + self.num_hidden_layers * layer + 2;
        }
        let h = self.hidden_size;
        let when = |there: bool, count: usize| if there { count } else { 0 };
        let norm = h * (usize::from(self.norm.has_weight()) + usize::from(self.norm.has_bias()));
        let norms = |layer: &LayerSpec| match self.block_of(layer) {
            BlockKind::ParallelOneNorm | BlockKind::MixerAlone | BlockKind::MlpAlone => norm,
            BlockKind::PreNorm
            | BlockKind::PostNorm
            | BlockKind::NormAfterSum
            | BlockKind::ParallelTwoNorms => 2 * norm,
            BlockKind::SandwichNorm => 4 * norm,
        };
        let dense = |layer: &LayerSpec| {
            let i = self.intermediate_of(layer);
            let (maps, bias) = match self.mlp {
                MlpKind::Gated => (3, 2 * i + h),
                MlpKind::Plain => (2, i + h),
                MlpKind::Xielu => return 2 * h * i + 4 + when(self.bias.mlp, i + h),
            };
            maps * h * i + when(self.bias.mlp, bias)
        };
        let feed_forward = |layer: &LayerSpec| match &layer.moe {
            _ if !self.block_of(layer).has_mlp() => 0,
            Some(moe) => {
                let beside = when(moe.beside_mlp, dense(layer) + NORMS_BESIDE_MLP.len() * norm);
                beside + moe.parameters(h, experts(moe))
            }
            None => dense(layer),
        };
        let layers = self.layers.iter().map(|layer| {
            let mixer = self.mixer_maps(layer) + self.mixer_vectors(layer);
            mixer + norms(layer) + feed_forward(layer) + self.maps_around_layer()
        });
        let around = norm;
        let norm = norm * (usize::from(self.has_last_norm()) + usize::from(self.extras.embedding_norm));
        let e = self.embedding_size();
        let projections = when(self.extras.embedding_size.is_some(), 2 * e * h);
        let count = self.num_hidden_layers;
        let per_layer = self.extras.per_layer_input.map_or(0, |input| {
            let width = input.hidden_size_per_layer_input;
            let of_layers = count * (width * (input.vocab_size_per_layer_input + 3 * h) + h);
            of_layers + width
        });
        let scalars = when(self.extras.layer_scalar, count);
        // Each has a norm, and streams one vector more.
        let streams = self.extras.alt_up.map_or(0, |alt_up| count * (around + h) + alt_up.end_maps(h));
        let scalars = scalars + streams + when(self.extras.laurel_rank.is_some(), count * around);
        let tables = e * self.vocab_size + h * self.learned_positions.unwrap_or(0) + projections;
        let head =
            when(!self.tie_word_embeddings, self.vocab_size * e) + when(self.bias.head, self.vocab_size);
        tables + head + norm + per_layer + scalars + layers.sum::<usize>()
    }

    /// Weights of the linear maps of each layer beside its mixer and its MLP.
    fn maps_around_layer(&self) -> usize {
        let h = self.hidden_size;
        let streams = self.extras.alt_up.map_or(0, |alt_up| alt_up.layer_maps(h));
        streams + self.extras.laurel_rank.map_or(0, |rank| rank.maps(h))
    }

    /// Weights of the linear maps of what mixes a layer's rows.
    fn mixer_maps(&self, layer: &LayerSpec) -> usize {
        let recurrent = layer.mixer.recurrent().map_or(0, |mixer| mixer.linear_weights(self.hidden_size));
        if !layer.mixer.is_attention() {
            return recurrent;
        }
        let (heads, queries) = (self.heads(layer), self.num_attention_heads);
        if let Some(latent) = layer.latent {
            let gates = self.hidden_size * self.gates(queries * latent.v_head_dim);
            return latent.maps(queries, self.hidden_size) + gates + recurrent;
        }
        let (keys, values) = (heads.num_key_value_heads, layer.value_width(&heads));
        let of_queries = queries * (heads.head_dim + values);
        let of_keys = match (layer.shares, layer.values_are_keys) {
            (Some(_), _) => 0,
            (None, true) => keys * heads.head_dim,
            (None, false) => keys * (heads.head_dim + values),
        };
        self.hidden_size * (of_queries + of_keys + self.gates(queries * values)) + recurrent
    }

    /// Gates on `mixed` numbers a row.
    fn gates(&self, mixed: usize) -> usize {
        match self.extras.output_gate {
            Some(OutputGate::ByElement) => mixed,
            Some(OutputGate::ByHead) => self.num_attention_heads,
            None => 0,
        }
    }

    /// Biases, norms and the like of what mixes a layer's rows.
    fn mixer_vectors(&self, layer: &LayerSpec) -> usize {
        let beside_maps = |mixer: &RecurrentSpec| {
            mixer.parameters(self.hidden_size) - mixer.linear_weights(self.hidden_size)
        };
        let recurrent = layer.mixer.recurrent().map_or(0, beside_maps);
        if !layer.mixer.is_attention() {
            return recurrent;
        }
        if let Some(latent) = layer.latent {
            let kept = latent.kv_lora_rank + latent.qk_rope_head_dim;
            let queries = latent.q_lora_rank.unwrap_or(0);
            let biases = if self.bias.qkv { queries + kept + self.hidden_size } else { 0 };
            let indexer = latent.indexer.map_or(0, |indexer| 2 * indexer.index_head_dim);
            return queries + latent.kv_lora_rank + indexer + biases + recurrent;
        }
        let heads = self.heads(layer);
        let (d, keys) = (heads.head_dim, heads.num_key_value_heads);
        let own = usize::from(layer.shares.is_none());
        let rows = (self.num_attention_heads + own * keys) * d;
        let qk_norm = match self.qk_norm {
            QkNorm::None | QkNorm::WeightlessPerHead | QkNorm::WeightlessOnAllLayers => 0,
            QkNorm::PerHead => (1 + own) * d,
            QkNorm::LayerPerHead => 2 * (1 + own) * d,
            QkNorm::LayerByHead | QkNorm::RmsByHead | QkNorm::Projection => rows,
        };
        let values = if layer.values_are_keys { 0 } else { own * keys * layer.value_width(&heads) };
        let qkv = if self.bias.qkv { rows + values } else { 0 };
        let sinks = if layer.sinks { self.num_attention_heads } else { 0 };
        let lambdas = if layer.differential.is_some() { 4 * d } else { 0 };
        let output = if self.bias.output { self.hidden_size } else { 0 };
        qk_norm + qkv + sinks + lambdas + output + recurrent
    }

    /// The different rotary positions of the layers, each with the number of coordinates that rotate, in the
    /// order of the first layer that has each.
    #[must_use]
    pub fn turns(&self) -> Vec<(&RopeSpec, usize)> {
        let mut turns = Vec::new();
        for turn in self.layers.iter().filter_map(|layer| self.turn(layer)) {
            if !turns.contains(&turn) {
                turns.push(turn);
            }
        }
        turns
    }

    /// The rotary positions of a layer with the number of coordinates that rotate.
    #[must_use]
    pub fn turn<'a>(&self, layer: &'a LayerSpec) -> Option<(&'a RopeSpec, usize)> {
        layer.rope.as_ref().map(|rope| (rope, self.heads(layer).rotary_dim))
    }

    /// The different rotary positions of the layers, in the order of the first layer that has each.
    #[must_use]
    pub fn ropes(&self) -> Vec<&RopeSpec> {
        let mut ropes = Vec::new();
        for rope in self.layers.iter().filter_map(|layer| layer.rope.as_ref()) {
            if !ropes.contains(&rope) {
                ropes.push(rope);
            }
        }
        ropes
    }

    /// The sequence that one of `length` tokens is planned as, so that it shares keys with as many sequences
    /// of at most `longest` tokens as can be: with all of those that are planned as the same.
    ///
    /// Rotary positions that depend on the length of the sequence share with that length alone; screening
    /// windows that are widened beyond the training length tell the sequences within it from those beyond it.
    #[must_use]
    pub fn planned_length(&self, length: usize, longest: usize) -> usize {
        let depends = |rope: &RopeSpec| {
            matches!(rope.scaling, RopeScaling::Dynamic { .. } | RopeScaling::LongRope { .. })
        };
        if self.layers.iter().filter_map(|layer| layer.rope.as_ref()).any(depends) {
            return length;
        }
        match &self.screening {
            Some(screening) if screening.expands(length) => longest.max(length),
            Some(screening) if screening.expands(longest) => screening.training_length,
            _ => longest,
        }
    }

    /// Changes the rotary base of every layer that has one.
    pub fn change_theta(&mut self, change: impl Fn(f64) -> f64) {
        for rope in self.layers.iter_mut().filter_map(|layer| layer.rope.as_mut()) {
            rope.theta = change(rope.theta);
        }
    }
}
