//! Models that another engine computes as a whole: what they are made of, and what they hold. Nothing is seen
//! of how they mix their rows.

use serde::{Deserialize, Serialize};

use super::DecoderSpec;
use super::tensors::{Visit, linear};
use crate::registry::Entry;

/// Who computes a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The decoder of this crate, whose attention is measured.
    #[default]
    Niah,
    /// The models of candle-transformers, as black boxes.
    Candle,
}

/// Every engine that can be named with `--engine`.
pub const ENGINES: &[Entry<Engine>] = &[
    Entry { name: "niah", about: "the own decoder, whose attention is measured", value: Engine::Niah },
    Entry {
        name: "candle",
        about: "candle-transformers as a black box, for architectures without a decoder here: answers, \
                log-probabilities and ranks, no attention",
        value: Engine::Candle,
    },
];

/// What is expected in place of candle's engine where it is not there.
pub(crate) const WITHOUT_ENGINE: &str =
    "niah: this binary was built without the feature candle-engine, which is on by default";

impl Engine {
    /// Whether it is the decoder of this crate.
    #[must_use]
    pub fn is_own(&self) -> bool {
        *self == Self::Niah
    }
}

/// A model that candle-transformers computes, with the sizes that a [`DecoderSpec`] has no place for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BlackBoxSpec {
    /// RWKV 5 (Eagle, arXiv 2404.05892).
    Rwkv5(RwkvSpec),
    /// RWKV 6 (Finch, arXiv 2404.05892).
    Rwkv6(RwkvSpec),
    /// RWKV 7 (Goose, arXiv 2503.14456).
    Rwkv7(Rwkv7Spec),
    /// ChatGLM 2 and 3, and GLM 4 under its first names.
    ChatGlm(ChatGlmSpec),
    /// Phi 1 to 2 under their first names.
    MixFormer(MixFormerSpec),
}

/// RWKV 5 and 6.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RwkvSpec {
    /// Width of a head.
    pub head_size: usize,
    /// What heads are divided by before their norm.
    pub head_size_divisor: f64,
}

/// RWKV 7: the ranks of its four low-rank maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rwkv7Spec {
    /// Of the decay.
    pub decay_low_rank_dim: usize,
    /// Of the rate that the state learns in context at.
    pub a_low_rank_dim: usize,
    /// Of the share of the first layer's values.
    pub v_low_rank_dim: usize,
    /// Of the gate.
    pub gate_low_rank_dim: usize,
}

/// ChatGLM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ChatGlmSpec {
    /// Factor on the base 10,000 of the rotary frequencies.
    pub rope_ratio: usize,
    /// Positions that there are.
    pub seq_length: usize,
    /// Whether q, k and v have a bias.
    pub add_qkv_bias: bool,
}

/// MixFormer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MixFormerSpec {
    /// Coordinates of a head that rotate.
    pub rotary_dim: usize,
}

/// Width of a head of RWKV 7: candle's group norm has the epsilon of this one.
pub const RWKV7_HEAD: usize = 64;

/// Positions of MixFormer: candle's table ends there.
const MIXFORMER_POSITIONS: usize = 4096;

const F32: usize = size_of::<f32>();

impl BlackBoxSpec {
    /// The architecture by its usual name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rwkv5(_) => "RWKV 5",
            Self::Rwkv6(_) => "RWKV 6",
            Self::Rwkv7(_) => "RWKV 7",
            Self::ChatGlm(_) => "ChatGLM",
            Self::MixFormer(_) => "MixFormer",
        }
    }

    /// Whether it keeps a state of fixed size, so that prompts share what they begin with. Others keep keys
    /// and values, and read a prompt whole.
    #[must_use]
    pub fn is_recurrent(&self) -> bool {
        matches!(self, Self::Rwkv5(_) | Self::Rwkv6(_) | Self::Rwkv7(_))
    }

    /// Positions that there are, where they end.
    #[must_use]
    pub fn positions(&self) -> Option<usize> {
        match self {
            Self::ChatGlm(spec) => Some(spec.seq_length),
            Self::MixFormer(_) => Some(MIXFORMER_POSITIONS),
            Self::Rwkv5(_) | Self::Rwkv6(_) | Self::Rwkv7(_) => None,
        }
    }

    /// Bytes of the states of one sequence: in each layer the two rows before, and a square for each head.
    pub(super) fn state_bytes(&self, spec: &DecoderSpec) -> usize {
        let size = match self {
            Self::Rwkv5(rwkv) | Self::Rwkv6(rwkv) => rwkv.head_size,
            Self::Rwkv7(_) => RWKV7_HEAD,
            Self::ChatGlm(_) | Self::MixFormer(_) => return 0,
        };
        let layer = spec.hidden_size.saturating_mul(size + 2);
        spec.num_hidden_layers.saturating_mul(layer).saturating_mul(F32)
    }

    /// Bytes of cached keys and values per token.
    pub(super) fn cache_bytes_per_token(&self, spec: &DecoderSpec) -> usize {
        match self.is_recurrent() {
            true => 0,
            false => 2 * spec.num_hidden_layers * spec.num_key_value_heads * spec.head_dim * F32,
        }
    }

    /// Bytes of the scores of a prompt of `tokens` tokens that is read whole: candle holds five copies of
    /// them at once, and makes a new cache of the old one.
    #[must_use]
    pub fn whole_bytes(&self, spec: &DecoderSpec, tokens: usize) -> usize {
        if self.is_recurrent() {
            return 0;
        }
        let scores = spec.num_attention_heads.saturating_mul(tokens).saturating_mul(tokens);
        let layer = self.cache_bytes_per_token(spec) / spec.num_hidden_layers.max(1);
        scores.saturating_mul(5 * F32).saturating_add(layer.saturating_mul(tokens))
    }

    /// Hands every tensor to `visit`, by the name that candle has for it. Numbers for each channel that
    /// candle has in three dimensions are a vector here where files have one.
    pub(super) fn each_tensor<E>(&self, spec: &DecoderSpec, visit: Visit<'_, E>) -> Result<(), E> {
        match self {
            Self::Rwkv5(rwkv) => rwkv.each_tensor(spec, false, visit),
            Self::Rwkv6(rwkv) => rwkv.each_tensor(spec, true, visit),
            Self::Rwkv7(rwkv) => rwkv.each_tensor(spec, visit),
            Self::ChatGlm(chatglm) => chatglm.each_tensor(spec, visit),
            Self::MixFormer(_) => mixformer_tensors(spec, visit),
        }
    }

    /// Number of weights.
    pub(super) fn parameters(&self, spec: &DecoderSpec) -> usize {
        let mut count = 0usize;
        let add = &mut |_: &str, shape: &[usize]| {
            count = count.saturating_add(shape.iter().copied().fold(1, usize::saturating_mul));
            Ok::<_, std::convert::Infallible>(())
        };
        let Ok(()) = self.each_tensor(spec, add);
        count
    }
}

impl RwkvSpec {
    fn each_tensor<E>(&self, spec: &DecoderSpec, finch: bool, visit: Visit<'_, E>) -> Result<(), E> {
        let (h, inner, vocab) = (spec.hidden_size, spec.intermediate_size, spec.vocab_size);
        let (size, heads) = (self.head_size, spec.num_attention_heads);
        visit("rwkv.embeddings.weight", &[vocab, h])?;
        norm("rwkv.blocks.0.pre_ln", h, visit)?;
        for layer in 0..spec.num_hidden_layers {
            let block = format!("rwkv.blocks.{layer}");
            norm(&format!("{block}.ln1"), h, visit)?;
            norm(&format!("{block}.ln2"), h, visit)?;
            let (attention, feed_forward) = (format!("{block}.attention"), format!("{block}.feed_forward"));
            for map in ["key", "receptance", "value", "gate", "output"] {
                linear(&format!("{attention}.{map}"), [h, h], false, visit)?;
            }
            norm(&format!("{attention}.ln_x"), h, visit)?;
            visit(&format!("{attention}.time_faaaa"), &[heads, size])?;
            for mix in ["key", "value", "receptance", "gate"] {
                visit(&format!("{attention}.time_mix_{mix}"), &[1, 1, h])?;
            }
            if finch {
                for vector in ["time_mix_x", "time_mix_w", "time_decay"] {
                    visit(&format!("{attention}.{vector}"), &[1, 1, h])?;
                }
                visit(&format!("{attention}.time_mix_w1"), &[h, 5 * heads])?;
                visit(&format!("{attention}.time_mix_w2"), &[5, heads, h])?;
                visit(&format!("{attention}.time_decay_w1"), &[h, 2 * heads])?;
                visit(&format!("{attention}.time_decay_w2"), &[2 * heads, h])?;
            } else {
                visit(&format!("{attention}.time_decay"), &[heads, size])?;
            }
            for mix in ["key", "receptance"] {
                visit(&format!("{feed_forward}.time_mix_{mix}"), &[1, 1, h])?;
            }
            linear(&format!("{feed_forward}.key"), [inner, h], false, visit)?;
            linear(&format!("{feed_forward}.receptance"), [h, h], false, visit)?;
            linear(&format!("{feed_forward}.value"), [h, inner], false, visit)?;
        }
        norm("rwkv.ln_out", h, visit)?;
        linear("head", [vocab, h], false, visit)
    }
}

impl Rwkv7Spec {
    fn each_tensor<E>(&self, spec: &DecoderSpec, visit: Visit<'_, E>) -> Result<(), E> {
        let (h, inner, vocab) = (spec.hidden_size, spec.intermediate_size, spec.vocab_size);
        visit("emb.weight", &[vocab, h])?;
        norm("blocks.0.ln0", h, visit)?;
        for layer in 0..spec.num_hidden_layers {
            let block = format!("blocks.{layer}");
            norm(&format!("{block}.ln1"), h, visit)?;
            norm(&format!("{block}.ln2"), h, visit)?;
            let att = format!("{block}.att");
            for mix in ["x_r", "x_w", "x_k", "x_v", "x_a", "x_g"] {
                visit(&format!("{att}.{mix}"), &[1, 1, h])?;
            }
            for (map, rank) in self.ranks() {
                // Layer 0 has the values that the others share.
                if layer == 0 && map == "v" {
                    continue;
                }
                visit(&format!("{att}.{map}1"), &[h, rank])?;
                visit(&format!("{att}.{map}2"), &[rank, h])?;
                if map != "g" {
                    visit(&format!("{att}.{map}0"), &[h])?;
                }
            }
            visit(&format!("{att}.k_k"), &[h])?;
            visit(&format!("{att}.k_a"), &[h])?;
            visit(&format!("{att}.r_k"), &[h / RWKV7_HEAD, RWKV7_HEAD])?;
            for map in ["receptance", "key", "value", "output"] {
                linear(&format!("{att}.{map}"), [h, h], false, visit)?;
            }
            norm(&format!("{att}.ln_x"), h, visit)?;
            visit(&format!("{block}.ffn.x_k"), &[h])?;
            linear(&format!("{block}.ffn.key"), [inner, h], false, visit)?;
            linear(&format!("{block}.ffn.value"), [h, inner], false, visit)?;
        }
        norm("ln_out", h, visit)?;
        linear("head", [vocab, h], false, visit)
    }

    fn ranks(&self) -> [(&'static str, usize); 4] {
        [
            ("w", self.decay_low_rank_dim),
            ("a", self.a_low_rank_dim),
            ("v", self.v_low_rank_dim),
            ("g", self.gate_low_rank_dim),
        ]
    }
}

impl ChatGlmSpec {
    fn each_tensor<E>(&self, spec: &DecoderSpec, visit: Visit<'_, E>) -> Result<(), E> {
        let (h, inner, vocab) = (spec.hidden_size, spec.intermediate_size, spec.vocab_size);
        let rows = (spec.num_attention_heads + 2 * spec.num_key_value_heads) * spec.head_dim;
        visit("transformer.embedding.word_embeddings.weight", &[vocab, h])?;
        for layer in 0..spec.num_hidden_layers {
            let block = format!("transformer.encoder.layers.{layer}");
            visit(&format!("{block}.input_layernorm.weight"), &[h])?;
            visit(&format!("{block}.post_attention_layernorm.weight"), &[h])?;
            let qkv = format!("{block}.self_attention.query_key_value");
            linear(&qkv, [rows, h], self.add_qkv_bias, visit)?;
            linear(&format!("{block}.self_attention.dense"), [h, h], false, visit)?;
            linear(&format!("{block}.mlp.dense_h_to_4h"), [2 * inner, h], false, visit)?;
            linear(&format!("{block}.mlp.dense_4h_to_h"), [h, inner], false, visit)?;
        }
        visit("transformer.encoder.final_layernorm.weight", &[h])?;
        linear("transformer.output_layer", [vocab, h], false, visit)
    }
}

fn mixformer_tensors<E>(spec: &DecoderSpec, visit: Visit<'_, E>) -> Result<(), E> {
    let (h, inner, vocab) = (spec.hidden_size, spec.intermediate_size, spec.vocab_size);
    visit("layers.0.wte.weight", &[vocab, h])?;
    for layer in 1..=spec.num_hidden_layers {
        let block = format!("layers.{layer}");
        norm(&format!("{block}.ln"), h, visit)?;
        linear(&format!("{block}.mixer.Wqkv"), [3 * h, h], true, visit)?;
        linear(&format!("{block}.mixer.out_proj"), [h, h], true, visit)?;
        linear(&format!("{block}.mlp.fc1"), [inner, h], true, visit)?;
        linear(&format!("{block}.mlp.fc2"), [h, inner], true, visit)?;
    }
    let head = format!("layers.{}", spec.num_hidden_layers + 1);
    norm(&format!("{head}.ln"), h, visit)?;
    linear(&format!("{head}.linear"), [vocab, h], true, visit)
}

/// A norm with weight and bias.
fn norm<E>(name: &str, width: usize, visit: Visit<'_, E>) -> Result<(), E> {
    visit(&format!("{name}.weight"), &[width])?;
    visit(&format!("{name}.bias"), &[width])
}
