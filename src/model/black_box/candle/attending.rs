//! Models with keys and values: a prompt goes in whole, what follows one token at a time.

use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{glm4, mixformer};
use serde_json::json;

use crate::model::black_box::Reader;
use crate::spec::{ChatGlmSpec, DecoderSpec, MixFormerSpec};

/// A model that holds its own keys and values. Copies share weights, and keys as long as neither adds to
/// them: tensors are never changed in place.
trait Attending: Clone + Send + Sync + 'static {
    /// The logits behind `tokens` `[1, t]`, `vocab` of them in any shape.
    fn run(&mut self, tokens: &Tensor) -> Result<Tensor>;
}

impl Attending for glm4::Model {
    fn run(&mut self, tokens: &Tensor) -> Result<Tensor> {
        self.forward(tokens)
    }
}

impl Attending for mixformer::MixFormerSequentialForCausalLM {
    fn run(&mut self, tokens: &Tensor) -> Result<Tensor> {
        self.forward(tokens)
    }
}

/// A model, and what it has been given and has not computed.
#[derive(Clone)]
struct Attend<M> {
    model: M,
    device: Device,
    computed: bool,
    waiting: Vec<u32>,
}

impl<M: Attending> Attend<M> {
    fn boxed(model: M, device: Device) -> Box<dyn Reader> {
        Box::new(Self { model, device, computed: false, waiting: Vec::new() })
    }

    fn run(&mut self, tokens: &[u32]) -> Result<Tensor> {
        self.computed = true;
        self.model.run(&Tensor::new(tokens, &self.device)?.unsqueeze(0)?)
    }
}

impl<M: Attending> Reader for Attend<M> {
    fn read(&mut self, tokens: &[u32]) -> Result<()> {
        self.waiting.extend_from_slice(tokens);
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let at_once = if self.computed { 1 } else { waiting.len().max(1) };
        waiting.chunks(at_once).try_for_each(|tokens| self.run(tokens).map(drop))
    }

    fn next(&mut self, token: u32) -> Result<Tensor> {
        self.run(&[token])?.flatten_all()
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

/// ChatGLM: candle's GLM 4, which is its ChatGLM with a factor on the base of the rotary frequencies.
pub(super) fn chatglm(
    spec: &DecoderSpec,
    chatglm: ChatGlmSpec,
    vb: VarBuilder<'_>,
) -> Result<Box<dyn Reader>> {
    let config = glm4::Config {
        num_layers: spec.num_hidden_layers,
        padded_vocab_size: spec.vocab_size,
        hidden_size: spec.hidden_size,
        ffn_hidden_size: spec.intermediate_size,
        kv_channels: spec.head_dim,
        num_attention_heads: spec.num_attention_heads,
        seq_length: chatglm.seq_length,
        layernorm_epsilon: spec.norm_eps,
        rmsnorm: true,
        apply_residual_connection_post_layernorm: false,
        post_layer_norm: true,
        add_bias_linear: false,
        add_qkv_bias: chatglm.add_qkv_bias,
        bias_dropout_fusion: true,
        multi_query_attention: true,
        multi_query_group_num: spec.num_key_value_heads,
        apply_query_key_layer_scaling: true,
        attention_softmax_in_fp32: true,
        fp32_residual_connection: false,
        rope_ratio: chatglm.rope_ratio,
        eos_token_id: None,
    };
    let device = vb.device().clone();
    Ok(Attend::boxed(glm4::Model::new(&config, vb)?, device))
}

/// MixFormer.
pub(super) fn mixformer(
    spec: &DecoderSpec,
    mixformer: MixFormerSpec,
    vb: VarBuilder<'_>,
) -> Result<Box<dyn Reader>> {
    let config = json!({
        "vocab_size": spec.vocab_size,
        "n_positions": spec.max_position_embeddings,
        "n_embd": spec.hidden_size,
        "n_layer": spec.num_hidden_layers,
        "n_inner": spec.intermediate_size,
        "n_head": spec.num_attention_heads,
        "rotary_dim": mixformer.rotary_dim,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": spec.norm_eps,
        "tie_word_embeddings": false,
        "pad_vocab_size_multiple": 64,
    });
    let config: mixformer::Config = serde_json::from_value(config).map_err(candle_core::Error::wrap)?;
    let device = vb.device().clone();
    Ok(Attend::boxed(mixformer::MixFormerSequentialForCausalLM::new(&config, vb)?, device))
}
