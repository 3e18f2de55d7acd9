//! The activations of one sequence, kept from the forward pass for the backward pass.

use super::TrainableDecoder;

/// Buffers for one sequence of `t` tokens.
pub(super) struct Workspace {
    /// The residual stream before each layer and after the last, `[t, hidden]` each.
    pub(super) streams: Vec<Vec<f32>>,
    pub(super) layers: Vec<LayerActivations>,
    pub(super) normed: Vec<f32>,  // [t, hidden]
    pub(super) factors: Vec<f32>, // [t]
    pub(super) logits: Vec<f32>,  // [t, vocab]; their gradient after the loss
    pub(super) scratch: Scratch,
}

/// What a layer keeps.
pub(super) struct LayerActivations {
    pub(super) attention_input: Vec<f32>,   // [t, hidden], behind the norm
    pub(super) attention_factors: Vec<f32>, // [t], those of the norm
    pub(super) qkv: Vec<f32>,               // [t, qkv]
    pub(super) queries: Vec<f32>,           // [heads, t, d], with every factor
    pub(super) keys: Vec<f32>,              // [kv_heads, t, d]
    pub(super) readings: Vec<f32>,          // [t, readings], what the rule reads from rows
    pub(super) sums: Vec<f64>,              // [heads, t], of ln f up to each row, where keys fade
    pub(super) row_factors: Vec<f32>,       // [heads, t], scale times multiplier
    pub(super) weights: Vec<f32>,           // the blocks of attention weights, head by head
    pub(super) mixed: Vec<f32>,             // [t, heads * d]
    pub(super) wide: Vec<f32>,              // [t, heads * 2 d], where heads are subtracted in pairs
    pub(super) differences: Vec<f32>,       // [t, heads / 2 * 2 d], likewise
    pub(super) pair_factors: Vec<f32>,      // [t, heads / 2], those of the norm of differences
    pub(super) middle: Vec<f32>,            // [t, hidden], the stream between attention and MLP
    pub(super) mlp_input: Vec<f32>,         // [t, hidden], behind the norm
    pub(super) mlp_factors: Vec<f32>,       // [t]
    pub(super) gate_up: Vec<f32>,           // [t, 2 inner]; its gradient in the backward pass
    pub(super) gated: Vec<f32>,             // [t, inner]
}

/// Gradients on their way through a layer.
pub(super) struct Scratch {
    pub(super) stream: Vec<f32>,      // [t, hidden]
    pub(super) normed: Vec<f32>,      // [t, hidden]
    pub(super) gated: Vec<f32>,       // [t, inner]
    pub(super) mixed: Vec<f32>,       // [t, heads * d]
    pub(super) qkv: Vec<f32>,         // [t, qkv]
    pub(super) queries: Vec<f32>,     // [t, d]
    pub(super) keys: Vec<f32>,        // [kv_heads, t, d]
    pub(super) weights: Vec<f32>,     // one block
    pub(super) row_factors: Vec<f32>, // [t]
    pub(super) readings: Vec<f32>,    // [t, readings]
}

impl Workspace {
    pub(super) fn new(decoder: &TrainableDecoder) -> Self {
        let (spec, t) = (&decoder.spec, decoder.rows);
        let (hidden, inner, d) = (spec.hidden_size, spec.intermediate_size, spec.head_dim);
        let (heads, kv_heads) = (spec.num_attention_heads, spec.num_key_value_heads);
        let zeros = |count: usize| vec![0f32; count];
        let layer = |layer: &super::Layer| LayerActivations {
            attention_input: zeros(t * hidden),
            attention_factors: zeros(t),
            qkv: zeros(t * decoder.qkv_width()),
            queries: zeros(heads * t * d),
            keys: zeros(kv_heads * t * d),
            readings: zeros(t * decoder.readings(layer)),
            sums: if layer.forgets() { vec![0.0; heads * t] } else { Vec::new() },
            row_factors: zeros(heads * t),
            weights: zeros(heads * layer.blocks.weights()),
            mixed: zeros(t * heads * d),
            wide: zeros(if layer.differential.is_some() { t * heads * 2 * d } else { 0 }),
            differences: zeros(if layer.differential.is_some() { t * heads * d } else { 0 }),
            pair_factors: zeros(if layer.differential.is_some() { t * heads / 2 } else { 0 }),
            middle: zeros(t * hidden),
            mlp_input: zeros(t * hidden),
            mlp_factors: zeros(t),
            gate_up: zeros(t * 2 * inner),
            gated: zeros(t * inner),
        };
        let readings = decoder.layers.iter().map(|layer| decoder.readings(layer)).max().unwrap_or(0);
        let largest = decoder.layers.iter().map(|layer| layer.blocks.largest()).max().unwrap_or(0);
        Self {
            streams: vec![zeros(t * hidden); decoder.layers.len() + 1],
            layers: decoder.layers.iter().map(layer).collect(),
            normed: zeros(t * hidden),
            factors: zeros(t),
            logits: zeros(t * spec.vocab_size),
            scratch: Scratch {
                stream: zeros(t * hidden),
                normed: zeros(t * hidden),
                gated: zeros(t * inner),
                mixed: zeros(t * heads * d),
                qkv: zeros(t * decoder.qkv_width()),
                queries: zeros(t * d),
                keys: zeros(kv_heads * t * d),
                weights: zeros(largest),
                row_factors: zeros(t),
                readings: zeros(t * readings),
            },
        }
    }
}
