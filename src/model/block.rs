//! A layer: attention and MLP around the residual stream, in the order of their kind, or screening tiles.

use candle_core::{DType, Tensor};

use super::decoder::{load_norm, scaled};
use super::kv_cache::KvCache;
use super::layers::{Norm, sum};
use super::linear::{Input, Linear};
use super::mlp::Mlp;
use super::moe::Moe;
use super::rope;
use super::row_blocks::{self, RopeTable, RowBlock};
use super::screening::Tiles;
use super::spent::Spent;
use crate::attention::screening::{self, Screen, ScreeningContext};
use crate::attention::{self, AttentionContext, AttentionRecorder, Cached};
use crate::error::Result;
use crate::spec::{BlockKind, DecoderSpec, LayerSpec, NormKind, QkNorm};
use crate::weights::Weights;

/// One layer.
#[derive(Debug)]
pub(super) enum Layer {
    /// Attention and MLP.
    Block(Box<Block>),
    /// Screening tiles in place of both.
    Tiles(Tiles),
}

/// What a layer needs besides its weights and rows.
#[derive(Clone, Copy)]
pub(super) struct LayerContext<'a> {
    pub(super) attention: AttentionContext<'a>,
    /// Which of the decoder's rotary rules is the layer's.
    pub(super) rope: Option<usize>,
    /// What its tiles screen with; nothing where it has none.
    pub(super) screens: &'a [Screen],
}

impl<'a> LayerContext<'a> {
    /// For the rows of one row block of the chunk.
    fn of_rows(self, block: &RowBlock) -> Self {
        let first_position = self.attention.first_position + block.rows.start;
        Self { attention: AttentionContext { first_position, ..self.attention }, ..self }
    }

    fn screening(self) -> ScreeningContext<'a> {
        let AttentionContext { layer, first_position, .. } = self.attention;
        ScreeningContext { layer, first_position, screens: self.screens }
    }
}

/// One block. Which norms there are follows from [`BlockKind`].
#[derive(Debug)]
pub(super) struct Block {
    before_attention: Option<Norm>,
    after_attention: Option<Norm>,
    before_mlp: Option<Norm>,
    after_mlp: Option<Norm>,
    attention: Attention,
    feed_forward: FeedForward,
}

#[derive(Debug)]
enum FeedForward {
    Dense(Mlp),
    Moe(Moe),
}

#[derive(Debug)]
struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    q_norm: Option<HeadNorm>,
    k_norm: Option<HeadNorm>,
}

/// A norm of queries or keys.
#[derive(Debug)]
struct HeadNorm {
    norm: Norm,
    /// Weights of each head, where the norm has none in common.
    by_head: Option<Tensor>, // [heads, 1, head_dim]
}

impl HeadNorm {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let normed = self.norm.forward(x)?;
        self.by_head.as_ref().map_or(Ok(normed.clone()), |weights| normed.broadcast_mul(weights))
    }
}

/// What looks on while a block runs.
pub(super) struct Watch<'a, 'r> {
    /// Where to record attention.
    pub(super) recorder: Option<&'a mut (dyn AttentionRecorder + 'r)>,
    /// Where time goes.
    pub(super) spent: &'a mut Spent,
}

/// What mixing needs of a row block.
struct Projected {
    /// The normed rows of a block, `[rows, hidden]`, or the gates of tiles, `[rows, tiles * value_dim]`.
    beside: Tensor,
    queries: Tensor, // [heads, rows, head_dim]
    keys: Tensor,    // [kv_heads, rows, head_dim]
    values: Tensor,  // [kv_heads, rows, value_dim]
}

impl Layer {
    pub(super) fn load(spec: &DecoderSpec, layer: &LayerSpec, weights: &Weights<'_>) -> Result<Self> {
        Ok(match &spec.screening {
            Some(screening) => Self::Tiles(Tiles::load(spec, screening, &weights.pp("block"))?),
            None => Self::Block(Box::new(Block::load(spec, layer, weights)?)),
        })
    }

    /// Takes the residual stream of the row `blocks` of a chunk through this layer.
    ///
    /// Keys and values of all rows come first, so that every row then finds those it sees.
    pub(super) fn forward(
        &self,
        spec: &DecoderSpec,
        blocks: &mut [RowBlock],
        cache: &mut KvCache,
        context: LayerContext<'_>,
        watch: Watch<'_, '_>,
    ) -> Result<()> {
        let Watch { recorder, spent } = watch;
        let projected = row_blocks::each(blocks.iter().collect(), spent, |block: &RowBlock, spent| {
            self.project(spec, block, context.of_rows(block), spent)
        })?;
        let new: Vec<_> = projected.iter().map(|block| (&block.keys, &block.values)).collect();
        let cached = cache.append(context.attention.layer, &new)?;
        if let Some(recorder) = recorder {
            for (block, projected) in blocks.iter().zip(&projected) {
                let (queries, context) = (&projected.queries, context.of_rows(block));
                spent.on_attention(|| match self {
                    Self::Block(_) => attention::record(queries, &cached, context.attention, recorder),
                    Self::Tiles(_) => screening::record(queries, &cached, context.screening(), recorder),
                })?;
            }
        }
        let items = blocks.iter_mut().zip(projected).collect();
        row_blocks::each(items, spent, |(block, projected): (&mut RowBlock, Projected), spent| {
            let context = context.of_rows(block);
            block.x = match self {
                Self::Block(layer) => {
                    layer.mix(spec, &block.x, &projected, &cached, context.attention, spent)?
                }
                Self::Tiles(tiles) => {
                    let Projected { beside, queries, .. } = &projected;
                    sum(&block.x, &tiles.mix(beside, queries, &cached, context.screening(), spent)?)?
                }
            };
            Ok(())
        })?;
        Ok(())
    }

    fn project(
        &self,
        spec: &DecoderSpec,
        block: &RowBlock,
        context: LayerContext<'_>,
        spent: &mut Spent,
    ) -> Result<Projected> {
        match self {
            Self::Block(layer) => layer.project(spec, block, context.rope, spent),
            Self::Tiles(tiles) => {
                let ScreeningContext { first_position, screens, .. } = context.screening();
                let [beside, queries, keys, values] =
                    tiles.project(screens, first_position, &block.x, spent)?;
                Ok(Projected { beside, queries, keys, values })
            }
        }
    }
}

impl Block {
    fn load(spec: &DecoderSpec, layer: &LayerSpec, weights: &Weights<'_>) -> Result<Self> {
        let names = spec.block.norm_names();
        let norm = |name: Option<&str>| name.map(|name| load_norm(spec, &weights.pp(name))).transpose();
        Ok(Self {
            before_attention: norm(names[0])?,
            after_attention: norm(names[1])?,
            before_mlp: norm(names[2])?,
            after_mlp: norm(names[3])?,
            attention: Attention::load(spec, layer, &weights.pp("self_attn"))?,
            feed_forward: FeedForward::load(spec, layer, &weights.pp("mlp"))?,
        })
    }

    fn project(
        &self,
        spec: &DecoderSpec,
        block: &RowBlock,
        rope: Option<usize>,
        spent: &mut Spent,
    ) -> Result<Projected> {
        let normed = apply(self.before_attention.as_ref(), &block.x)?; // [rows, hidden]
        let table = rope.map(|rope| &block.tables[rope]);
        // [heads, rows, head_dim]
        let (queries, keys, values) = self.attention.project(spec, &normed, table, spent)?;
        Ok(Projected { beside: normed, queries, keys, values })
    }

    /// The residual stream behind this block, of `x` `[rows, hidden]`.
    fn mix(
        &self,
        spec: &DecoderSpec,
        x: &Tensor,
        projected: &Projected,
        cached: &Cached<'_>,
        context: AttentionContext<'_>,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        let Projected { beside: normed, queries, .. } = projected;
        // [rows, heads * head_dim]
        let mixed = spent.on_attention(|| attention::attend(queries, cached, context))?;
        let attended = spent.on_linear(|| self.attention.o_proj.forward(&mixed))?; // [rows, hidden]
        let attended = apply(self.after_attention.as_ref(), &attended)?;
        let attended = scaled(attended, spec.residual_multiplier)?; // [rows, hidden]
        let (mlp_input, residual) = match spec.block {
            BlockKind::ParallelOneNorm => (normed.clone(), sum(x, &attended)?),
            BlockKind::ParallelTwoNorms => (apply(self.before_mlp.as_ref(), x)?, sum(x, &attended)?),
            BlockKind::PreNorm | BlockKind::PostNorm | BlockKind::SandwichNorm => {
                let x = sum(x, &attended)?;
                (apply(self.before_mlp.as_ref(), &x)?, x)
            }
        };
        let computed = self.feed_forward.forward(spec, &mlp_input, spent)?; // [rows, hidden]
        let computed = apply(self.after_mlp.as_ref(), &computed)?;
        Ok(sum(&residual, &scaled(computed, spec.residual_multiplier)?)?)
    }
}

fn apply(norm: Option<&Norm>, x: &Tensor) -> candle_core::Result<Tensor> {
    norm.map_or_else(|| Ok(x.clone()), |norm| norm.forward(x))
}

impl FeedForward {
    fn load(spec: &DecoderSpec, layer: &LayerSpec, weights: &Weights<'_>) -> Result<Self> {
        Ok(match layer.moe {
            Some(moe) => Self::Moe(Moe::load(spec, moe, weights)?),
            None => {
                let (hidden, inner) = (spec.hidden_size, spec.intermediate_size);
                Self::Dense(Mlp::load(weights, spec.mlp, hidden, inner, spec.bias.mlp)?)
            }
        })
    }

    /// `x` `[t, hidden]` to `[t, hidden]`.
    fn forward(&self, spec: &DecoderSpec, x: &Tensor, spent: &mut Spent) -> candle_core::Result<Tensor> {
        match self {
            Self::Dense(mlp) => mlp.forward(spec.hidden_act, x, spent),
            Self::Moe(moe) => moe.forward(spec.hidden_act, x, spent),
        }
    }
}

/// The norm of queries or keys, `width` numbers a row, that is stored here.
fn load_qk_norm(
    spec: &DecoderSpec,
    layer: &LayerSpec,
    weights: &Weights<'_>,
    width: usize,
) -> Result<Option<HeadNorm>> {
    let d = spec.head_dim;
    let ones = || Tensor::ones(d, DType::F32, weights.device()); // [head_dim]
    let stored = |name, width| weights.get(name, &[width]);
    // A family that adds 1 to its norms' weights does so here as well.
    let rms = if spec.norm == NormKind::RmsPlusOne { NormKind::RmsPlusOne } else { NormKind::Rms };
    let (kind, weight, bias) = match spec.qk_norm {
        QkNorm::None => return Ok(None),
        QkNorm::WeightlessPerHead if layer.rope.is_none() => return Ok(None),
        QkNorm::WeightlessPerHead | QkNorm::WeightlessOnAllLayers => (NormKind::Rms, ones()?, None),
        QkNorm::PerHead => (rms, stored("weight", d)?, None),
        QkNorm::Projection => (rms, stored("weight", width)?, None),
        QkNorm::LayerPerHead => (NormKind::LayerWithBias, stored("weight", d)?, Some(stored("bias", d)?)),
        QkNorm::LayerByHead => (NormKind::Layer, ones()?, None),
    };
    let of_head = |head: usize| weights.pp(head).get("weight", &[d]);
    let by_head = match spec.qk_norm {
        QkNorm::LayerByHead => {
            let heads = (0..width / d).map(of_head).collect::<Result<Vec<_>>>()?;
            Some(Tensor::stack(&heads, 0)?.unsqueeze(1)?) // [heads, 1, head_dim]
        }
        _ => None,
    };
    Ok(Some(HeadNorm { norm: Norm::new(kind, weight, bias, spec.norm_eps)?, by_head }))
}

impl Attention {
    fn load(spec: &DecoderSpec, layer: &LayerSpec, weights: &Weights<'_>) -> Result<Self> {
        let hidden = spec.hidden_size;
        let query_width = spec.num_attention_heads * spec.head_dim;
        let kv_width = spec.num_key_value_heads * spec.head_dim;
        let projection = |name, width| Linear::load(&weights.pp(name), [width, hidden], spec.bias.qkv);
        let norm = |name, width| load_qk_norm(spec, layer, &weights.pp(name), width);
        Ok(Self {
            q_proj: projection("q_proj", query_width)?,
            k_proj: projection("k_proj", kv_width)?,
            v_proj: projection("v_proj", kv_width)?,
            o_proj: Linear::load(&weights.pp("o_proj"), [hidden, query_width], spec.bias.output)?,
            q_norm: norm("q_norm", query_width)?,
            k_norm: norm("k_norm", kv_width)?,
        })
    }

    /// Rotated queries `[heads, t, d]`, rotated keys and values `[kv_heads, t, d]` of `x` `[t, hidden]`.
    fn project(
        &self,
        spec: &DecoderSpec,
        x: &Tensor,
        table: Option<&RopeTable>,
        spent: &mut Spent,
    ) -> candle_core::Result<(Tensor, Tensor, Tensor)> {
        let (d, layout) = (spec.head_dim, spec.rotary_layout);
        let positioned = |x: Tensor, norm: Option<&HeadNorm>| -> candle_core::Result<Tensor> {
            match (spec.qk_norm, norm) {
                (QkNorm::Projection, Some(norm)) => rope::split_heads(&norm.forward(&x)?, d, table, layout),
                (_, None) => rope::split_heads(&x, d, table, layout),
                (_, Some(norm)) => {
                    let x = norm.forward(&rope::split_heads(&x, d, None, layout)?)?; // [heads, t, d]
                    table.map_or(Ok(x.clone()), |(cos, sin)| rope::rotate(&x, cos, sin, layout))
                }
            }
        };
        let input = Input::new(x)?;
        let q = positioned(spent.on_linear(|| self.q_proj.apply(&input))?, self.q_norm.as_ref())?;
        let k = positioned(spent.on_linear(|| self.k_proj.apply(&input))?, self.k_norm.as_ref())?;
        let v = rope::split_heads(&spent.on_linear(|| self.v_proj.apply(&input))?, d, None, layout)?;
        Ok((q, k, v))
    }
}
