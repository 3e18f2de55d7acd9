//! The decoder: embedding, blocks of attention and MLP, head. One forward pass for every family.

use candle_core::{D, DType, Device, Tensor};

use super::kv_cache::KvCache;
use super::layers::{Linear, RmsNorm};
use super::rope::Rope;
use super::spec::DecoderSpec;
use crate::attention::{self, AttentionContext, AttentionProbe, AttentionVariant};
use crate::checkpoint::Weights;
use crate::error::{Error, Result};

/// A decoder with its weights.
#[derive(Debug)]
pub struct Decoder {
    spec: DecoderSpec,
    embed_tokens: Tensor, // [vocab, hidden]
    layers: Vec<Block>,
    norm: RmsNorm,
    lm_head: Linear,
    rope: Rope,
    device: Device,
}

#[derive(Debug)]
struct Block {
    input_layernorm: RmsNorm,
    attention: Attention,
    post_attention_layernorm: RmsNorm,
    mlp: Mlp,
}

#[derive(Debug)]
struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
}

/// `down(silu(gate x) * up x)` (SwiGLU, arXiv 2002.05202).
#[derive(Debug)]
struct Mlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

/// What a forward pass is given besides its tokens.
pub struct Forward<'a> {
    /// The attention rule.
    pub variant: &'a dyn AttentionVariant,
    /// How many of the last rows get logits; 0 for none.
    pub keep_logits: usize,
    /// Where to record attention.
    pub probe: Option<&'a mut AttentionProbe>,
}

impl Decoder {
    /// Loads the decoder that `spec` describes from `weights`, whose names are Hugging Face's.
    ///
    /// # Errors
    /// [`Error::Tensor`] when a tensor is missing, has another shape or holds numbers that are not finite.
    pub fn load(spec: DecoderSpec, weights: &Weights<'_>) -> Result<Self> {
        let (hidden, eps) = (spec.hidden_size, spec.rms_norm_eps);
        let model = weights.pp("model");
        let norm =
            |w: &Weights<'_>, name| Ok::<_, Error>(RmsNorm::new(w.pp(name).get("weight", &[hidden])?, eps));
        let embed_tokens = model.pp("embed_tokens").get("weight", &[spec.vocab_size, hidden])?;
        let layers = (0..spec.num_hidden_layers).map(|i| {
            let layer = model.pp("layers").pp(i);
            Ok(Block {
                input_layernorm: norm(&layer, "input_layernorm")?,
                attention: Attention::load(&spec, &layer.pp("self_attn"))?,
                post_attention_layernorm: norm(&layer, "post_attention_layernorm")?,
                mlp: Mlp::load(&spec, &layer.pp("mlp"))?,
            })
        });
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let head = match spec.tie_word_embeddings {
            true => embed_tokens.clone(),
            false => weights.pp("lm_head").get("weight", &[spec.vocab_size, hidden])?,
        };
        Ok(Self {
            layers,
            norm: norm(&model, "norm")?,
            lm_head: Linear::new(head, None),
            rope: Rope::new(&spec.rope, spec.head_dim),
            device: embed_tokens.device().clone(),
            embed_tokens,
            spec,
        })
    }

    /// What the decoder is made of.
    #[must_use]
    pub fn spec(&self) -> &DecoderSpec {
        &self.spec
    }

    /// An empty cache with room for `capacity` tokens.
    #[must_use]
    pub fn new_cache(&self, capacity: usize) -> KvCache {
        KvCache::new(self.spec.num_hidden_layers, capacity)
    }

    /// Runs `tokens` `[t]` behind what `cache` holds and returns the logits of the last `keep_logits` rows,
    /// `[keep_logits, vocab]`, in f32.
    ///
    /// # Errors
    /// [`Error::Compute`] when memory is out or logits are not finite.
    pub fn forward(&self, tokens: &[u32], cache: &mut KvCache, mut forward: Forward<'_>) -> Result<Tensor> {
        let (t, first_position) = (tokens.len(), cache.len());
        let ids = Tensor::new(tokens, &self.device)?; // [t]
        let (cos, sin) = self.rope.tables(first_position, t, &self.device)?; // [t, head_dim / 2]
        let mut x = self.embed_tokens.index_select(&ids, 0)?; // [t, hidden]
        for (index, block) in self.layers.iter().enumerate() {
            let context = AttentionContext {
                layer: index,
                first_position,
                scale: self.spec.attention_scale(),
                variant: forward.variant,
            };
            let normed = block.input_layernorm.forward(&x)?; // [t, hidden]
            let (q, k, v) = block.attention.project(&self.spec, &normed, &cos, &sin)?; // [heads, t, head_dim]
            let (keys, values) = cache.append(index, &k, &v)?; // [kv_heads, s, head_dim]
            let mixed = attention::attend(&q, &keys, &values, context, forward.probe.as_deref_mut())?;
            x = (x + block.attention.o_proj.forward(&mixed)?)?; // [t, hidden]
            let normed = block.post_attention_layernorm.forward(&x)?; // [t, hidden]
            x = (x + block.mlp.forward(&normed)?)?; // [t, hidden]
        }
        cache.advance(t);
        let kept = x.narrow(0, t - forward.keep_logits, forward.keep_logits)?; // [kept, hidden]
        if forward.keep_logits == 0 {
            return Ok(kept);
        }
        let logits = self.lm_head.forward(&self.norm.forward(&kept)?)?.to_dtype(DType::F32)?; // [kept, vocab]
        check_finite(&logits, first_position + t - forward.keep_logits)?;
        Ok(logits)
    }
}

impl Attention {
    fn load(spec: &DecoderSpec, weights: &Weights<'_>) -> Result<Self> {
        let hidden = spec.hidden_size;
        let query_width = spec.num_attention_heads * spec.head_dim;
        let kv_width = spec.num_key_value_heads * spec.head_dim;
        let linear = |name, shape| linear(&weights.pp(name), shape, spec.attention_bias);
        Ok(Self {
            q_proj: linear("q_proj", [query_width, hidden])?,
            k_proj: linear("k_proj", [kv_width, hidden])?,
            v_proj: linear("v_proj", [kv_width, hidden])?,
            o_proj: linear("o_proj", [hidden, query_width])?,
        })
    }

    /// Rotated queries `[heads, t, d]`, rotated keys and values `[kv_heads, t, d]` of `x` `[t, hidden]`.
    fn project(
        &self,
        spec: &DecoderSpec,
        x: &Tensor,
        cos: &Tensor,
        sin: &Tensor,
    ) -> candle_core::Result<(Tensor, Tensor, Tensor)> {
        let t = x.dim(0)?;
        let heads = |x: Tensor| -> candle_core::Result<Tensor> {
            x.reshape((t, (), spec.head_dim))?.transpose(0, 1)?.contiguous() // [heads, t, d]
        };
        let rotate = |x: Tensor| -> candle_core::Result<Tensor> {
            candle_nn::rotary_emb::rope(&x.unsqueeze(0)?, cos, sin)?.squeeze(0) // [heads, t, d]
        };
        let q = rotate(heads(self.q_proj.forward(x)?)?)?;
        let k = rotate(heads(self.k_proj.forward(x)?)?)?;
        let v = heads(self.v_proj.forward(x)?)?;
        Ok((q, k, v))
    }
}

impl Mlp {
    fn load(spec: &DecoderSpec, weights: &Weights<'_>) -> Result<Self> {
        let (hidden, inner) = (spec.hidden_size, spec.intermediate_size);
        let linear = |name, shape| linear(&weights.pp(name), shape, spec.mlp_bias);
        Ok(Self {
            gate_proj: linear("gate_proj", [inner, hidden])?,
            up_proj: linear("up_proj", [inner, hidden])?,
            down_proj: linear("down_proj", [hidden, inner])?,
        })
    }

    /// `x` `[t, hidden]` to `[t, hidden]`.
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let gated = (self.gate_proj.forward(x)?.silu()? * self.up_proj.forward(x)?)?; // [t, intermediate]
        self.down_proj.forward(&gated)
    }
}

fn linear(weights: &Weights<'_>, shape: [usize; 2], with_bias: bool) -> Result<Linear> {
    let bias = if with_bias { Some(weights.get("bias", &shape[..1])?) } else { None };
    Ok(Linear::new(weights.get("weight", &shape)?, bias))
}

/// Refuses logits with a NaN or an infinity, naming the first position they appear at.
fn check_finite(logits: &Tensor, first_position: usize) -> Result<()> {
    let sums = logits.sum(D::Minus1)?.to_vec1::<f32>()?; // [kept]
    match sums.iter().position(|sum| !sum.is_finite()) {
        None => Ok(()),
        Some(row) => Err(Error::Compute(format!(
            "the logits at position {} are not finite: the weights are damaged or overflow at this length",
            first_position + row
        ))),
    }
}
