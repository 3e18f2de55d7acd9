//! The decoder of [`crate::model::decoder`] with gradients: pre-norm blocks with RMSNorm, SwiGLU, grouped
//! heads, rotary positions, windows and norms on queries and keys as its spec says.

mod attention;
mod backward;
mod differential;
mod forward;
mod readings;
mod workspace;

use std::ops::Range;

use attention::KeyBlocks;
use differential::Differential;
use workspace::Workspace;

use super::initial::values;
use super::{Initial, Layout, TensorLayout, Trainable, Worker, check_tokens, cross_entropies};
use crate::attention::TrainedRule;
use crate::attention::variant::trained_rule;
use crate::error::{Error, Result};
use crate::model::rope::Rope;
use crate::spec::{Activation, Biases, BlockKind, DecoderSpec, MlpKind, NormKind, QkNorm, RotaryLayout};

/// How a layer's attention multiplies the scores of a row that sees `n` keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Multiplier {
    /// 1.
    One,
    /// `ln n`.
    Log,
    /// A learned `s` for each query head, which a step moves as far as it moves `s ln n` in the mean over the
    /// rows.
    Constant,
    /// `s ln n` with a learned `s` for each query head, and `+ b` when there is a bias.
    Learned {
        /// Whether `b` is learned as well.
        bias: bool,
    },
    /// `p_n + b` with a learned `p` for each `n`, shared by all layers and heads that have it, and a learned
    /// `b` for each query head.
    Adaptive,
    /// 1, with a learned sink for each query head in the normaliser.
    Sink,
    /// `1 + beta ln(n + 1)^gamma` of 1.5-entmax, `beta` and `gamma` read from each row for each query head
    /// ([`entmax_scale`](crate::attention::variant::entmax_scale)).
    ScaledEntmax,
    /// 1, of scores that fade by gates read from each row for each query head
    /// ([`log_gate`](crate::attention::variant::log_gate)).
    Forgetting,
    /// 1, under the rule of the variant of this name in the place of Softmax ([`trained_rule`]).
    Whole(&'static str),
}

/// A decoder that can be trained on sequences of a fixed number of tokens.
pub struct TrainableDecoder {
    spec: DecoderSpec,
    rows: usize,
    from: Initial,
    layout: Layout,
    embed_tokens: Range<usize>,
    layers: Vec<Layer>,
    norm: Range<usize>,
    lm_head: Range<usize>,
    /// The factors on the rows of keys.
    ones: Vec<f32>,
}

/// Where the parameters of a layer are, and how it attends.
struct Layer {
    input_norm: Range<usize>,
    qkv_proj: Range<usize>,
    /// Gains of the norms on queries and keys; empty for none.
    qk_gains: [Range<usize>; 2],
    o_proj: Range<usize>,
    post_norm: Range<usize>,
    gate_up_proj: Range<usize>,
    down_proj: Range<usize>,
    multiplier: Multiplier,
    /// What makes weights of a row's scores, in the place of Softmax.
    rule: Option<&'static dyn TrainedRule>,
    /// `s` and `b` of each query head; empty for none.
    scale: Range<usize>,
    bias: Range<usize>,
    /// The sink of each query head; empty for none.
    sinks: Range<usize>,
    /// What is read from rows, `[readings, hidden]`; empty for nothing.
    maps: Range<usize>,
    /// What is added to it, `[readings]`; empty for nothing.
    map_bias: Range<usize>,
    /// `p` of each number of keys, the same numbers for every layer that has them; empty for none.
    sizes: Range<usize>,
    /// Where heads are subtracted in pairs, what is taken off.
    differential: Option<Differential>,
    /// Whether queries and keys are normalised.
    qk_norm: bool,
    /// Cosines and sines `[rows, rotary_dim / 2]`; empty without rotary positions.
    rotation: (Vec<f32>, Vec<f32>),
    blocks: KeyBlocks,
    /// `n` of each row.
    counts: Vec<usize>,
    /// `ln n` of each row.
    logs: Vec<f32>,
}

impl TrainableDecoder {
    /// The decoder that `spec` describes, for sequences of `rows` tokens, with a multiplier for each layer;
    /// `from` says where training begins.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] naming what of the spec cannot be trained.
    pub fn new(spec: DecoderSpec, rows: usize, multipliers: &[Multiplier], from: Initial) -> Result<Self> {
        check(&spec)?;
        let (hidden, inner, d) = (spec.hidden_size, spec.intermediate_size, spec.head_dim);
        let (heads, kv_heads) = (spec.num_attention_heads, spec.num_key_value_heads);
        let mut layout = Layout::default();
        let embed_tokens = layout.push("model.embed_tokens.weight".to_string(), &[spec.vocab_size, hidden]);
        let sizes = match multipliers.contains(&Multiplier::Adaptive) {
            true => layout.push("model.adaptive_sizes".to_string(), &[rows]),
            false => 0..0,
        };
        let mut layers = Vec::new();
        for ((number, described), &multiplier) in spec.layers.iter().enumerate().zip(multipliers) {
            let mut push =
                |name: &str, shape: &[usize]| layout.push(format!("model.layers.{number}.{name}"), shape);
            let input_norm = push("input_layernorm.weight", &[hidden]);
            // Side by side in the buffer, the three are one matrix, and so are gate and up below.
            let q = push("self_attn.q_proj.weight", &[heads * d, hidden]);
            push("self_attn.k_proj.weight", &[kv_heads * d, hidden]);
            let v = push("self_attn.v_proj.weight", &[kv_heads * d, hidden]);
            let qk_gains = match spec.qk_norm {
                QkNorm::PerHead => {
                    ["q_norm", "k_norm"].map(|name| push(&format!("self_attn.{name}.weight"), &[d]))
                }
                _ => [0..0, 0..0],
            };
            let biased = multiplier == Multiplier::Learned { bias: true };
            let scale = match multiplier {
                Multiplier::Learned { .. } => push("self_attn.ssmax_scale", &[heads]),
                Multiplier::Constant => push("self_attn.softmax_scale", &[heads]),
                _ => 0..0,
            };
            let adaptive = multiplier == Multiplier::Adaptive;
            let bias = match (biased, adaptive) {
                (true, _) => push("self_attn.ssmax_bias", &[heads]),
                (_, true) => push("self_attn.adaptive_bias", &[heads]),
                _ => 0..0,
            };
            let sinks = match multiplier {
                Multiplier::Sink => push("self_attn.sinks", &[heads]),
                _ => 0..0,
            };
            let maps = match multiplier {
                // Side by side they are one map.
                Multiplier::ScaledEntmax => {
                    let beta = push("self_attn.attn_scale_beta_proj.weight", &[heads, hidden]);
                    beta.start..push("self_attn.attn_scale_gamma_proj.weight", &[heads, hidden]).end
                }
                Multiplier::Forgetting => push("self_attn.fgate_proj.weight", &[heads, hidden]),
                _ => 0..0,
            };
            let map_bias = match multiplier {
                Multiplier::Forgetting => push("self_attn.fgate_proj.bias", &[heads]),
                _ => 0..0,
            };
            let differential = described.differential.map(|initial| Differential {
                initial,
                lambdas: ["q1", "k1", "q2", "k2"].map(|name| push(&format!("self_attn.lambda_{name}"), &[d])),
            });
            let o_proj = push("self_attn.o_proj.weight", &[hidden, heads * d]);
            let post_norm = push("post_attention_layernorm.weight", &[hidden]);
            let gate = push("mlp.gate_proj.weight", &[inner, hidden]);
            let up = push("mlp.up_proj.weight", &[inner, hidden]);
            let down_proj = push("mlp.down_proj.weight", &[hidden, inner]);
            let rotation = described
                .rope
                .as_ref()
                .map(|rope| Rope::new(rope, spec.rotary_dim, rows).cosines_and_sines(0, rows));
            let visible = |row: usize| described.window.first_visible(row)..row + 1;
            let logs: Vec<f64> = (0..rows).map(|row| (visible(row).len() as f64).ln()).collect();
            if multiplier == Multiplier::Constant {
                // A step of AdamW moves s by the rate and s ln n by ln n times it. For the control of
                // Scalable-Softmax to become sharp as fast as that, its multiplier moves by the mean of it.
                layout.set_rate(&scale, (logs.iter().sum::<f64>() / rows as f64) as f32);
            }
            layers.push(Layer {
                input_norm,
                qkv_proj: q.start..v.end,
                qk_gains,
                o_proj,
                post_norm,
                gate_up_proj: gate.start..up.end,
                down_proj,
                multiplier,
                rule: match multiplier {
                    Multiplier::ScaledEntmax => trained_rule("entmax15"),
                    Multiplier::Whole(name) => Some(trained_rule(name).ok_or_else(|| {
                        Error::invalid("attention variant to train", name, "one with a backward pass")
                    })?),
                    _ => None,
                },
                scale,
                bias,
                sinks,
                maps,
                map_bias,
                differential,
                sizes: if adaptive { sizes.clone() } else { 0..0 },
                qk_norm: match spec.qk_norm {
                    QkNorm::WeightlessPerHead => described.rope.is_some(),
                    other => other != QkNorm::None,
                },
                rotation: rotation.unwrap_or_default(),
                blocks: KeyBlocks::new(rows, visible),
                counts: (0..rows).map(|row| visible(row).len()).collect(),
                logs: logs.iter().map(|&log| log as f32).collect(),
            });
        }
        let norm = layout.push("model.norm.weight".to_string(), &[hidden]);
        let lm_head = match spec.tie_word_embeddings {
            true => embed_tokens.clone(),
            false => layout.push("lm_head.weight".to_string(), &[spec.vocab_size, hidden]),
        };
        Ok(Self { spec, rows, from, layout, embed_tokens, layers, norm, lm_head, ones: vec![1.0; rows] })
    }

    /// The same parameters at the same places, with plain Softmax attention in every layer: the model before
    /// a swap. Parameters of multipliers are there, unused, and get no gradient.
    #[must_use]
    pub fn before_swap(mut self) -> Self {
        for layer in &mut self.layers {
            (layer.multiplier, layer.rule) = (Multiplier::One, None);
            (layer.sinks, layer.maps, layer.map_bias) = (0..0, 0..0, 0..0);
        }
        self
    }

    /// What the decoder is made of.
    #[must_use]
    pub fn spec(&self) -> &DecoderSpec {
        &self.spec
    }

    /// Numbers that a layer reads from a row.
    fn readings(&self, layer: &Layer) -> usize {
        layer.maps.len() / self.spec.hidden_size
    }

    /// Numbers of a row of queries, keys and values side by side.
    fn qkv_width(&self) -> usize {
        (self.spec.num_attention_heads + 2 * self.spec.num_key_value_heads) * self.spec.head_dim
    }
}

impl Trainable for TrainableDecoder {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn initial(&self, tensor: &TensorLayout, seed: u64) -> Vec<f32> {
        values(tensor, seed, self.from)
    }

    fn worker(&self) -> Box<dyn Worker + '_> {
        Box::new(DecoderWorker::new(self))
    }

    fn scales<'p>(&self, parameters: &'p [f32]) -> Vec<&'p [f32]> {
        let scaled =
            |layer: &&Layer| matches!(layer.multiplier, Multiplier::Learned { .. } | Multiplier::Constant);
        let learned = self.layers.iter().filter(scaled);
        learned.map(|layer| &parameters[layer.scale.clone()]).collect()
    }
}

/// A decoder with room for the activations of one sequence.
pub struct DecoderWorker<'m> {
    decoder: &'m TrainableDecoder,
    workspace: Workspace,
}

impl<'m> DecoderWorker<'m> {
    /// A worker of its own type, for its logits.
    #[must_use]
    pub fn new(decoder: &'m TrainableDecoder) -> Self {
        Self { decoder, workspace: Workspace::new(decoder) }
    }

    /// The logits of every row, `[rows, vocab]`: row `i` predicts token `i + 1`.
    ///
    /// # Errors
    /// Those of [`Worker::losses`].
    pub fn logits(&mut self, parameters: &[f32], tokens: &[u32]) -> Result<&[f32]> {
        check_tokens(tokens, self.decoder.rows, self.decoder.spec.vocab_size)?;
        forward::forward(self.decoder, parameters, tokens, &mut self.workspace);
        Ok(&self.workspace.logits)
    }
}

impl Worker for DecoderWorker<'_> {
    fn losses(&mut self, parameters: &[f32], tokens: &[u32]) -> Result<Vec<f32>> {
        self.logits(parameters, tokens)?;
        let factors = vec![0.0; self.decoder.rows];
        Ok(cross_entropies(&mut self.workspace.logits, self.decoder.spec.vocab_size, tokens, &factors))
    }

    fn gradients(
        &mut self,
        parameters: &[f32],
        tokens: &[u32],
        factors: &[f32],
        gradients: &mut [f32],
    ) -> Result<Vec<f32>> {
        self.logits(parameters, tokens)?;
        let losses =
            cross_entropies(&mut self.workspace.logits, self.decoder.spec.vocab_size, tokens, factors);
        backward::backward(self.decoder, parameters, tokens, &mut self.workspace, gradients);
        Ok(losses)
    }
}

/// Whether there is a backward pass for this norm of queries and keys.
fn is_trained(norm: QkNorm) -> bool {
    use QkNorm::{LayerByHead, LayerPerHead, Projection, RmsByHead};
    !matches!(norm, Projection | LayerPerHead | LayerByHead | RmsByHead)
}

/// Refuses what has no backward pass here.
fn check(spec: &DecoderSpec) -> Result<()> {
    let multipliers = [spec.embedding_multiplier, spec.residual_multiplier, spec.logits_multiplier];
    let known = [
        ("norm", spec.norm == NormKind::Rms, "rms"),
        ("block", spec.block == BlockKind::PreNorm, "pre-norm"),
        ("qk_norm", is_trained(spec.qk_norm), "none, weightless or one over each head"),
        ("bias", spec.bias == Biases::default(), "no bias"),
        ("mlp", spec.mlp == MlpKind::Gated && spec.hidden_act == Activation::Silu, "gated silu"),
        ("experts", spec.layers.iter().all(|layer| layer.moe.is_none()), "no mixture of experts"),
        ("rotary layout", spec.rotary_layout == RotaryLayout::Half, "half"),
        ("learned positions", spec.learned_positions.is_none(), "none"),
        ("soft cap", spec.attn_logit_softcapping.or(spec.final_logit_softcapping).is_none(), "none"),
        ("multipliers", multipliers == [1.0; 3], "1"),
    ];
    match known.iter().find(|(_, holds, _)| !holds) {
        None => Ok(()),
        Some((name, _, expected)) => Err(Error::invalid(
            format!("the {name} of the model"),
            "another one",
            format!(
                "{expected}: niah train cannot train others; start from a checkpoint of family niah or llama"
            ),
        )),
    }
}
