//! The tiny checkpoint as a GGUF file, written as llama.cpp's converter writes it.

use std::fs::File;
use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

/// What a GGUF file says besides its tensors.
pub(crate) type Metadata = Vec<(&'static str, Value)>;

const LAYERS: usize = 4;

/// The metadata of the tiny checkpoint.
pub(crate) fn metadata() -> Metadata {
    let text = |text: &str| Value::String(text.to_string());
    let tokens = super::byte_tokens().into_iter().map(Value::String).collect();
    vec![
        ("general.architecture", text("llama")),
        ("llama.embedding_length", Value::U32(32)),
        ("llama.feed_forward_length", Value::U32(64)),
        ("llama.block_count", Value::U32(LAYERS as u32)),
        ("llama.attention.head_count", Value::U32(4)),
        ("llama.attention.head_count_kv", Value::U32(2)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-6)),
        ("llama.context_length", Value::U32(512)),
        ("llama.rope.freq_base", Value::F32(10000.0)),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text("gpt-2")),
        ("tokenizer.ggml.tokens", Value::Array(tokens)),
        ("tokenizer.ggml.token_type", Value::Array(vec![Value::I32(1); 256])),
        ("tokenizer.ggml.merges", Value::Array(vec![])),
    ]
}

/// Writes the golden llama under GGUF names, with this metadata.
pub(crate) fn write(path: &Path, metadata: &Metadata) {
    write_tensors(path, metadata, &tensors());
}

/// The tensors of the golden llama under GGUF names.
pub(crate) fn tensors() -> Vec<(String, Tensor)> {
    let source = super::fixture("vectors/llama/model.safetensors");
    let weights = candle_core::safetensors::load(source, &Device::Cpu).unwrap();
    let mut tensors = vec![
        ("token_embd.weight".to_string(), weights["model.embed_tokens.weight"].clone()),
        ("output_norm.weight".to_string(), weights["model.norm.weight"].clone()),
    ];
    for layer in 0..LAYERS {
        for (stored, name, heads) in [
            ("attn_norm", "input_layernorm", None),
            ("ffn_norm", "post_attention_layernorm", None),
            ("attn_q", "self_attn.q_proj", Some(4)),
            ("attn_k", "self_attn.k_proj", Some(2)),
            ("attn_v", "self_attn.v_proj", None),
            ("attn_output", "self_attn.o_proj", None),
            ("ffn_gate", "mlp.gate_proj", None),
            ("ffn_up", "mlp.up_proj", None),
            ("ffn_down", "mlp.down_proj", None),
        ] {
            let weight = &weights[&format!("model.layers.{layer}.{name}.weight")];
            let weight = heads.map_or_else(|| weight.clone(), |heads| interleaved(weight, heads));
            tensors.push((format!("blk.{layer}.{stored}.weight"), weight));
        }
    }
    tensors
}

/// Writes a GGUF file of these tensors.
pub(crate) fn write_tensors(path: &Path, metadata: &Metadata, tensors: &[(String, Tensor)]) {
    write_quantised(path, metadata, tensors, &|_| GgmlDType::F32);
}

/// Writes a GGUF file of these tensors, each of the type that `kind` says by its name; vectors are in f32.
pub(crate) fn write_quantised(
    path: &Path,
    metadata: &Metadata,
    tensors: &[(String, Tensor)],
    kind: &dyn Fn(&str) -> GgmlDType,
) {
    let quantised = |(name, tensor): &(String, Tensor)| {
        let kind = if tensor.rank() < 2 { GgmlDType::F32 } else { kind(name) };
        QTensor::quantize(tensor, kind).unwrap()
    };
    let tensors: Vec<_> = tensors.iter().map(|named| (named.0.as_str(), quantised(named))).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    gguf_file::write(&mut File::create(path).unwrap(), &metadata, &tensors).unwrap();
}

/// Rows `[heads, 2, d/2]` in the order of interleaved rotary positions, `[heads, d/2, 2]`.
fn interleaved(weight: &Tensor, heads: usize) -> Tensor {
    let shape = weight.dims().to_vec();
    let split = weight.reshape((heads, 2, shape[0] / heads / 2, shape[1])).unwrap();
    split.transpose(1, 2).unwrap().contiguous().unwrap().reshape(shape).unwrap()
}
