//! The activations of one sequence, kept from the forward pass for the backward pass.

use super::TrainableMultiscreen;

/// Buffers for one sequence of `t` tokens.
pub(super) struct Workspace {
    /// The residual stream before each layer and after the last, `[t, hidden]` each.
    pub(super) streams: Vec<Vec<f32>>,
    pub(super) layers: Vec<LayerActivations>,
    pub(super) table: Vec<f32>, // [vocab, hidden], rows of the embedding over their norms
    pub(super) scaled: Vec<f32>, // [t, hidden], what the head reads
    pub(super) logits: Vec<f32>, // [t, vocab]; their gradient after the loss
    pub(super) relevance: Vec<f32>, // one block
    pub(super) scratch: Scratch,
}

/// What a layer keeps.
pub(super) struct LayerActivations {
    pub(super) projection: Vec<f32>, // [t, tiles * (2 key + 2 value)]: q, k, v, g of all tiles
    pub(super) tiles: Vec<TileActivations>,
    pub(super) gated: Vec<f32>, // [t, tiles * value], what W_O reads
}

/// What a tile keeps.
pub(super) struct TileActivations {
    pub(super) queries: Vec<f32>, // [t, key], turned unit vectors
    pub(super) keys: Vec<f32>,    // [t, key]
    pub(super) values: Vec<f32>,  // [t, value]
    pub(super) trims: Vec<f32>,   // block by block
    pub(super) mixed: Vec<f32>,   // [t, value]
    pub(super) mask: Vec<f32>,    // [t], softmask by distance, the nearest last
    pub(super) slope: Vec<f32>,   // [t], its derivative by s_w
    pub(super) cos: Vec<f32>,     // [t], MiPE
    pub(super) sin: Vec<f32>,     // [t]
}

/// Gradients on their way through a layer.
pub(super) struct Scratch {
    pub(super) stream: Vec<f32>,     // [t, hidden]
    pub(super) linear: Vec<f32>,     // [t, hidden]
    pub(super) projection: Vec<f32>, // [t, tiles * (2 key + 2 value)]
    pub(super) gated: Vec<f32>,      // [t, tiles * value]
    pub(super) mixed: Vec<f32>,      // [t, value]
    pub(super) queries: Vec<f32>,    // [t, key]
    pub(super) keys: Vec<f32>,       // [t, key]
    pub(super) values: Vec<f32>,     // [t, value]
    pub(super) relevance: Vec<f32>,  // one block
    pub(super) table: Vec<f32>,      // [vocab, hidden]
}

impl Workspace {
    pub(super) fn new(model: &TrainableMultiscreen) -> Self {
        let (spec, t) = (&model.spec, model.rows);
        let (hidden, tiles) = (spec.hidden_size, spec.num_attention_heads);
        let (key, value) = (spec.head_dim, spec.value_dim());
        let zeros = |count: usize| vec![0f32; count];
        let tile = || TileActivations {
            queries: zeros(t * key),
            keys: zeros(t * key),
            values: zeros(t * value),
            trims: zeros(model.blocks.iter().map(|block| block.room()).sum()),
            mixed: zeros(t * value),
            mask: zeros(t),
            slope: zeros(t),
            cos: zeros(t),
            sin: zeros(t),
        };
        let layer = |_| LayerActivations {
            projection: zeros(t * model.projection_width()),
            tiles: (0..tiles).map(|_| tile()).collect(),
            gated: zeros(t * tiles * value),
        };
        let largest = model.blocks.iter().map(|block| block.room()).max().unwrap_or(0);
        Self {
            streams: vec![zeros(t * hidden); model.layers.len() + 1],
            layers: (0..model.layers.len()).map(layer).collect(),
            table: zeros(spec.vocab_size * hidden),
            scaled: zeros(t * hidden),
            logits: zeros(t * spec.vocab_size),
            relevance: zeros(largest),
            scratch: Scratch {
                stream: zeros(t * hidden),
                linear: zeros(t * hidden),
                projection: zeros(t * model.projection_width()),
                gated: zeros(t * tiles * value),
                mixed: zeros(t * value),
                queries: zeros(t * key),
                keys: zeros(t * key),
                values: zeros(t * value),
                relevance: zeros(largest),
                table: zeros(spec.vocab_size * hidden),
            },
        }
    }
}
