//! Multiscreen (arXiv 2604.01178) with gradients: layers of screening tiles between one normalised table of
//! tokens.
//!
//! ```text
//! x0     = e^{s_E} E[token] / |E[token]|
//! layer:   x <- x + sum over tiles of e^{s_O} (u tanh(silu(g))) W_O,   u = TanhNorm(sum_j relevance_ij v_j)
//! logits = e^{s_F} x · E / |E|
//! ```
//!
//! Parameters have the names and the parametrisation of public checkpoints: windows `w = e^{sw} + 1`,
//! acceptance widths `r = 1 / (e^{sr} + 1)`.

mod backward;
mod forward;
mod tile;
mod workspace;

use std::ops::Range;

use tile::Block;
use workspace::Workspace;

use super::initial::normal_values;
use super::{Layout, TensorLayout, Trainable, Worker, check_tokens, cross_entropies};
use crate::error::{Error, Result};
use crate::spec::DecoderSpec;

/// A Multiscreen model that can be trained on sequences of a fixed number of tokens.
pub struct TrainableMultiscreen {
    spec: DecoderSpec,
    mipe_threshold: f64,
    rows: usize,
    acceptance_init: f64,
    layout: Layout,
    embedding: Range<usize>,
    s_e: usize,
    s_f: usize,
    layers: Vec<Layer>,
    blocks: Vec<Block>,
    /// `1 / sqrt(width)` for each row: what makes a row behind RMSNorm a unit vector.
    key_factors: Vec<f32>,
    value_factors: Vec<f32>,
}

/// Where the parameters of a layer are.
struct Layer {
    /// q, k, v and g of all tiles, one matrix.
    projection: Range<usize>,
    o_proj: Range<usize>,
    /// One number a tile each.
    sw: usize,
    sr: usize,
    s_o: usize,
}

impl TrainableMultiscreen {
    /// The model that `spec` describes, for sequences of `rows` tokens, whose acceptance widths begin at
    /// `sigmoid(acceptance_init)`.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when `spec` has no tiles.
    pub fn new(spec: DecoderSpec, rows: usize, acceptance_init: f64) -> Result<Self> {
        let Some(screening) = &spec.screening else {
            return Err(Error::invalid("the model", "one without screening tiles", "family multiscreen"));
        };
        let (hidden, tiles) = (spec.hidden_size, spec.num_attention_heads);
        let (key, value) = (spec.head_dim, screening.value_dim);
        let mut layout = Layout::default();
        let embedding = layout.push("multiscreen.embed.weight".to_string(), &[spec.vocab_size, hidden]);
        let [s_e, s_f] = ["s_E", "s_F"].map(|name| layout.push(format!("multiscreen.{name}"), &[]).start);
        let layers = (0..spec.num_hidden_layers).map(|number| {
            let mut push = |name: &str, shape: &[usize]| {
                layout.push(format!("multiscreen.layers.{number}.block.{name}"), shape)
            };
            // Side by side in the buffer, the four are one matrix.
            let q = push("q_proj.weight", &[tiles * key, hidden]);
            push("k_proj.weight", &[tiles * key, hidden]);
            push("v_proj.weight", &[tiles * value, hidden]);
            let g = push("g_proj.weight", &[tiles * value, hidden]);
            let o_proj = push("o_proj.weight", &[hidden, tiles * value]);
            let [sw, sr, s_o] = ["sw", "sr", "sO"].map(|name| push(name, &[tiles]).start);
            Layer { projection: q.start..g.end, o_proj, sw, sr, s_o }
        });
        let layers = layers.collect();
        let factors = |width: usize| vec![1.0 / (width as f32).sqrt(); rows];
        Ok(Self {
            mipe_threshold: screening.mipe_threshold,
            key_factors: factors(key),
            value_factors: factors(value),
            blocks: Block::all(rows),
            rows,
            acceptance_init,
            layout,
            embedding,
            s_e,
            s_f,
            layers,
            spec,
        })
    }

    /// Numbers of a row of q, k, v and g side by side.
    fn projection_width(&self) -> usize {
        2 * self.spec.num_attention_heads * (self.spec.head_dim + self.spec.value_dim())
    }
}

impl Trainable for TrainableMultiscreen {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    /// As in the paper, but for the acceptance width.
    fn initial(&self, tensor: &TensorLayout, seed: u64) -> Vec<f32> {
        let (spec, tiles) = (&self.spec, self.spec.num_attention_heads);
        let ends = |end: &str| tensor.name.ends_with(end);
        let constant = |value: f64| vec![value as f32; tensor.range.len()];
        let deviation = match () {
            () if ends("s_E") => return constant(0.0),
            () if ends("s_F") => return constant((spec.hidden_size as f64).sqrt().ln()),
            () if ends(".sr") => return constant(-self.acceptance_init),
            () if ends(".sO") => return constant(-((tiles * spec.num_hidden_layers) as f64).sqrt().ln()),
            () if ends(".sw") => {
                let step = self.mipe_threshold.ln() / tiles.saturating_sub(1).max(1) as f64;
                return (0..tiles).map(|tile| (step * tile as f64) as f32).collect();
            }
            () if ends("q_proj.weight") || ends("k_proj.weight") => 0.1 / (spec.head_dim as f64).sqrt(),
            () if ends("v_proj.weight") => 0.1 / (spec.value_dim() as f64).sqrt(),
            () if ends("g_proj.weight") => 0.1,
            () => 0.1 / (spec.hidden_size as f64).sqrt(),
        };
        normal_values(tensor, seed, deviation)
    }

    fn worker(&self) -> Box<dyn Worker + '_> {
        Box::new(MultiscreenWorker::new(self))
    }

    fn scales<'p>(&self, _parameters: &'p [f32]) -> Vec<&'p [f32]> {
        Vec::new()
    }

    fn windows(&self, parameters: &[f32]) -> Vec<f64> {
        let tiles = self.spec.num_attention_heads;
        let windows = self.layers.iter().flat_map(|layer| &parameters[layer.sw..layer.sw + tiles]);
        windows.map(|&sw| tile::window(sw)).collect()
    }
}

/// A model with room for the activations of one sequence.
pub struct MultiscreenWorker<'m> {
    model: &'m TrainableMultiscreen,
    workspace: Workspace,
}

impl<'m> MultiscreenWorker<'m> {
    /// A worker of its own type, for its logits.
    #[must_use]
    pub fn new(model: &'m TrainableMultiscreen) -> Self {
        Self { model, workspace: Workspace::new(model) }
    }

    /// The logits of every row, `[rows, vocab]`: row `i` predicts token `i + 1`.
    ///
    /// # Errors
    /// Those of [`Worker::losses`].
    pub fn logits(&mut self, parameters: &[f32], tokens: &[u32]) -> Result<&[f32]> {
        check_tokens(tokens, self.model.rows, self.model.spec.vocab_size)?;
        forward::forward(self.model, parameters, tokens, &mut self.workspace);
        Ok(&self.workspace.logits)
    }
}

impl Worker for MultiscreenWorker<'_> {
    fn losses(&mut self, parameters: &[f32], tokens: &[u32]) -> Result<Vec<f32>> {
        self.logits(parameters, tokens)?;
        let factors = vec![0.0; self.model.rows];
        let vocab = self.model.spec.vocab_size;
        Ok(cross_entropies(&mut self.workspace.logits, vocab, tokens, &factors))
    }

    fn gradients(
        &mut self,
        parameters: &[f32],
        tokens: &[u32],
        factors: &[f32],
        gradients: &mut [f32],
    ) -> Result<Vec<f32>> {
        self.logits(parameters, tokens)?;
        let vocab = self.model.spec.vocab_size;
        let losses = cross_entropies(&mut self.workspace.logits, vocab, tokens, factors);
        backward::backward(self.model, parameters, tokens, &mut self.workspace, gradients);
        Ok(losses)
    }
}
