//! A layer: attention and MLP around the residual stream, in the order of their kind, or screening tiles.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::alt_up::{AltUp, Laurel};
use super::attention::{Attention, Heads};
use super::decoder::{load_norm_with, scaled};
use super::feed_forward::FeedForward;
use super::head_outputs::{HeadOutputs, LayerOutputs};
use super::indexer::IndexQueries;
use super::kv_cache::KvCache;
use super::layers::{Norm, sum};
use super::per_layer::PerLayerGate;
use super::recurrent::{Recurrent, RecurrentState};
use super::row_blocks::{self, RowBlock};
use super::screening::Tiles;
use super::spent::Spent;
use crate::attention::screening::{self, Screen, ScreeningContext};
use crate::attention::selected::{self, Selection};
use crate::attention::{
    self, AttentionContext, AttentionRecorder, Cached, Forgetting, Gated, RowMultipliers, ScoreBias,
};
use crate::error::{Error, Result};
use crate::spec::{BlockKind, DecoderSpec, LayerSpec, Mixer, RecurrentSpec};
use crate::weights::Weights;

/// One layer.
#[derive(Debug)]
pub(super) enum Layer {
    /// Attention and MLP.
    Block(Box<Block>),
    /// Screening tiles in place of both.
    Tiles(Box<Tiles>),
}

/// What a layer needs besides its weights and rows.
#[derive(Clone, Copy)]
pub(super) struct LayerContext<'a> {
    pub(super) attention: AttentionContext<'a>,
    /// Which of the decoder's rotary rules is the layer's.
    pub(super) rope: Option<usize>,
    /// What its tiles screen with; nothing where it has none.
    pub(super) screens: &'a [Screen],
    /// What becomes of the outputs of its heads.
    pub(super) outputs: HeadOutputs<'a>,
}

impl<'a> LayerContext<'a> {
    /// For the rows of one row block of the chunk.
    fn of_rows(self, block: &RowBlock) -> Self {
        let first_position = self.attention.first_position + block.rows.start;
        Self { attention: AttentionContext { first_position, ..self.attention }, ..self }
    }

    fn screening(self) -> ScreeningContext<'a> {
        let AttentionContext { layer, first_position, blocked, .. } = self.attention;
        ScreeningContext { layer, first_position, screens: self.screens, blocked }
    }

    /// What becomes of the outputs of the layer's heads at these rows.
    fn layer_outputs(self) -> LayerOutputs<'a> {
        self.outputs.at(self.attention.layer, self.attention.first_position)
    }
}

/// One block. Which norms there are follows from [`BlockKind`].
#[derive(Debug)]
pub(super) struct Block {
    kind: BlockKind,
    before_mixer: Option<Norm>,
    after_mixer: Option<Norm>,
    before_mlp: Option<Norm>,
    after_mlp: Option<Norm>,
    mixer: LoadedMixer,
    /// Nothing where the block is its mixer.
    feed_forward: Option<FeedForward>,
    /// The layer whose keys and values it uses, if not its own.
    shares: Option<usize>,
    per_layer: Option<PerLayerGate>,
    /// What predicts and corrects residual streams, where there are several.
    alt_up: Option<AltUp>,
    /// A learned residual beside attention.
    laurel: Option<Laurel>,
    /// The factor on the residual stream behind it.
    scalar: f64,
}

/// What mixes the rows of a block.
#[derive(Debug)]
enum LoadedMixer {
    Attention(Attention),
    Recurrent(Box<Recurrent>),
    /// Both, on one norm.
    Both(Attention, Box<Recurrent>),
    /// Nothing: the block is its MLP.
    None,
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
    /// Nothing where they are another layer's.
    keys_and_values: Option<(Tensor, Tensor)>, // [kv_heads, rows, head_dim], [kv_heads, rows, value_dim]
    /// What rows choose keys by, where they do.
    index: Option<IndexQueries>,
    /// What a mixer with a state has made of the rows, where there is one beside attention.
    recurrent: Option<Tensor>, // [rows, hidden]
    /// What the attention variant has read from the rows, where it does.
    multipliers: Option<RowMultipliers>,
    /// `ln f` of gates that it has read from them, likewise.
    log_gates: Option<Vec<Vec<f64>>>, // [heads][rows]
}

impl Projected {
    /// The context of the attention of these rows.
    fn attention<'p>(&'p self, context: AttentionContext<'p>) -> AttentionContext<'p> {
        AttentionContext { multipliers: self.multipliers.as_ref(), ..context }
    }
}

impl Layer {
    pub(super) fn load(
        spec: &DecoderSpec,
        index: usize,
        layer: &LayerSpec,
        weights: &Weights<'_>,
    ) -> Result<Self> {
        Ok(match &spec.screening {
            Some(screening) => Self::Tiles(Box::new(Tiles::load(spec, screening, &weights.pp("block"))?)),
            None => Self::Block(Box::new(Block::load(spec, index, layer, weights)?)),
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
        let layer = context.attention.layer;
        if let Self::Block(block) = self
            && let Some(alt_up) = &block.alt_up
        {
            row_blocks::each(blocks.iter_mut().collect(), spent, |rows: &mut RowBlock, _| {
                rows.streams = alt_up.predict(&rows.streams)?;
                rows.x = rows.streams[0].clone();
                Ok(())
            })?;
        }
        if let Self::Block(block) = self
            && let Some(mixer) = block.without_attention()
        {
            return block.go_on(spec, mixer, blocks, cache.state(layer), spent);
        }
        let mut projected = row_blocks::each(blocks.iter().collect(), spent, |block: &RowBlock, spent| {
            self.project(spec, block, context.of_rows(block), spent)
        })?;
        if let Self::Block(block) = self {
            block.go_on_beside(blocks, &mut projected, cache.state(layer), spent)?;
        }
        let gates: Vec<_> = projected.iter().filter_map(|block| block.log_gates.as_deref()).collect();
        let forgetting = (!gates.is_empty()).then(|| cache.forget(layer, &gates));
        let context = fading(context, forgetting.as_ref())?;
        let new = projected.iter().filter_map(|block| block.keys_and_values.as_ref());
        let new: Vec<_> = new.map(|(keys, values)| (keys, values)).collect();
        let shared = if let Self::Block(block) = self { block.shares } else { None };
        let cached = match shared {
            Some(from) => cache.appended(from, blocks.last().map_or(0, |block| block.rows.end))?,
            None => cache.append(layer, &new)?,
        };
        if let Some(recorder) = recorder {
            for (block, projected) in blocks.iter().zip(&projected) {
                let (queries, context) = (&projected.queries, context.of_rows(block));
                let of_rows = projected.attention(context.attention);
                let gates = match self {
                    Self::Block(layer) => layer.gates(projected, spec.num_attention_heads)?,
                    Self::Tiles(_) => Vec::new(),
                };
                let first_position = context.attention.first_position;
                let recorder = &mut Gated { recorder: &mut *recorder, first_position, gates };
                spent.on_attention(|| match self {
                    Self::Block(block) => match block.select(projected, &cached, of_rows)? {
                        Some(chosen) => selected::record(queries, &cached, of_rows, &chosen, recorder),
                        None => attention::record(queries, &cached, of_rows, recorder),
                    },
                    Self::Tiles(_) => screening::record(queries, &cached, context.screening(), recorder),
                })?;
            }
        }
        let items = blocks.iter_mut().zip(projected).collect();
        row_blocks::each(items, spent, |(block, projected): (&mut RowBlock, Projected), spent| {
            let context = context.of_rows(block);
            block.x = match self {
                Self::Block(layer) => layer.mix(spec, block, &projected, &cached, context, spent)?,
                Self::Tiles(tiles) => {
                    let Projected { beside, queries, .. } = &projected;
                    let (screening, outputs) = (context.screening(), context.layer_outputs());
                    sum(&block.x, &tiles.mix(beside, queries, &cached, screening, outputs, spent)?)?
                }
            };
            if let Self::Block(layer) = self {
                layer.correct(spec, block, spent)?;
            }
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
            Self::Block(layer) => layer.project(spec, block, context, spent),
            Self::Tiles(tiles) => {
                let ScreeningContext { first_position, screens, .. } = context.screening();
                let [beside, queries, keys, values] =
                    tiles.project(screens, first_position, &block.x, spent)?;
                Ok(Projected {
                    beside,
                    queries,
                    keys_and_values: Some((keys, values)),
                    index: None,
                    recurrent: None,
                    multipliers: None,
                    log_gates: None,
                })
            }
        }
    }
}

impl Block {
    fn load(spec: &DecoderSpec, index: usize, layer: &LayerSpec, weights: &Weights<'_>) -> Result<Self> {
        let kind = spec.block_of(layer);
        let names = kind.norm_names();
        let eps = spec.norm_eps_at(index);
        let load = |name: &str| load_norm_with(spec, eps, &weights.pp(name));
        let norm = |name: Option<&str>| name.map(load).transpose();
        let attention = || Attention::load(spec, layer, &weights.pp("self_attn"));
        let recurrent =
            |mixer: &RecurrentSpec| Recurrent::load(mixer, spec.hidden_size, weights).map(Box::new);
        Ok(Self {
            kind,
            before_mixer: norm(names[0])?,
            after_mixer: norm(names[1])?,
            before_mlp: norm(names[2])?,
            after_mlp: norm(names[3])?,
            mixer: match &layer.mixer {
                Mixer::Attention => LoadedMixer::Attention(attention()?),
                Mixer::Recurrent(mixer) => LoadedMixer::Recurrent(recurrent(mixer)?),
                Mixer::Both(mixer) => LoadedMixer::Both(attention()?, recurrent(mixer)?),
                Mixer::None => LoadedMixer::None,
            },
            feed_forward: match kind.has_mlp() {
                true => Some(FeedForward::load(spec, layer, weights)?),
                false => None,
            },
            shares: layer.shares,
            per_layer: match spec.extras.per_layer_input {
                Some(input) => Some(PerLayerGate::load(spec, index, input, weights)?),
                None => None,
            },
            alt_up: match spec.extras.alt_up {
                Some(alt_up) => Some(AltUp::load(spec, alt_up, weights)?),
                None => None,
            },
            laurel: match spec.extras.laurel_rank {
                Some(rank) => Some(Laurel::load(spec, rank, weights)?),
                None => None,
            },
            scalar: match spec.extras.layer_scalar {
                true => f64::from(weights.get("layer_scalar", &[1])?.to_vec1::<f32>()?[0]),
                false => 1.0,
            },
        })
    }

    /// The mixer of a block that does not attend, where it has one; `None` where it attends.
    fn without_attention(&self) -> Option<Option<&Recurrent>> {
        match &self.mixer {
            LoadedMixer::Recurrent(mixer) => Some(Some(mixer)),
            LoadedMixer::None => Some(None),
            LoadedMixer::Attention(_) | LoadedMixer::Both(..) => None,
        }
    }

    /// Takes the residual stream through this block where it does not attend. Rows change the `state` of its
    /// mixer one behind the other, so that they go through it together.
    fn go_on(
        &self,
        spec: &DecoderSpec,
        mixer: Option<&Recurrent>,
        blocks: &mut [RowBlock],
        state: &mut RecurrentState,
        spent: &mut Spent,
    ) -> Result<()> {
        let normed = row_blocks::each(blocks.iter().collect(), spent, |block: &RowBlock, _| {
            Ok(apply(self.before_mixer.as_ref(), &block.x)?)
        })?; // [rows, hidden] each
        let mixed = match mixer {
            Some(mixer) => Some(mixer.forward(&Tensor::cat(&normed, 0)?, state, spent)?), // [t, hidden]
            None => None,
        };
        let items = blocks.iter_mut().zip(normed).collect();
        row_blocks::each(items, spent, |(block, normed): (&mut RowBlock, Tensor), spent| {
            let rows = |mixed: &Tensor| mixed.narrow(0, block.rows.start, block.rows.len());
            let mixed = mixed.as_ref().map(rows).transpose()?; // [rows, hidden]
            block.x = self.behind(spec, block, &normed, mixed.as_ref(), spent)?;
            Ok(())
        })?;
        Ok(())
    }

    /// Takes the normed rows of all `blocks` through the mixer with a state, where it stands beside
    /// attention.
    fn go_on_beside(
        &self,
        blocks: &[RowBlock],
        projected: &mut [Projected],
        state: &mut RecurrentState,
        spent: &mut Spent,
    ) -> Result<()> {
        let LoadedMixer::Both(_, mixer) = &self.mixer else { return Ok(()) };
        let normed: Vec<_> = projected.iter().map(|projected| &projected.beside).collect();
        let mixed = mixer.forward(&Tensor::cat(&normed, 0)?, state, spent)?; // [t, hidden]
        for (block, projected) in blocks.iter().zip(projected) {
            projected.recurrent = Some(mixed.narrow(0, block.rows.start, block.rows.len())?);
        }
        Ok(())
    }

    /// The mean output gate of each query head at the rows that were `projected`, `[rows][heads]`; nothing
    /// without a gate.
    fn gates(&self, projected: &Projected, heads: usize) -> Result<Vec<Vec<f32>>> {
        let gates = self.attention()?.mean_gates(&projected.beside, heads)?;
        Ok(gates.map(|gates| gates.to_vec2()).transpose()?.unwrap_or_default())
    }

    /// The attention of this block.
    fn attention(&self) -> Result<&Attention> {
        match &self.mixer {
            LoadedMixer::Attention(attention) | LoadedMixer::Both(attention, _) => Ok(attention),
            LoadedMixer::Recurrent(_) | LoadedMixer::None => {
                Err(Error::Compute("this layer has no attention".to_string()))
            }
        }
    }

    fn project(
        &self,
        spec: &DecoderSpec,
        block: &RowBlock,
        context: LayerContext<'_>,
        spent: &mut Spent,
    ) -> Result<Projected> {
        let normed = apply(self.before_mixer.as_ref(), &block.x)?; // [rows, hidden]
        let table = context.rope.map(|rope| &block.tables[rope]);
        let Heads { queries, keys_and_values, index } =
            self.attention()?.project(spec, &normed, table, spent)?;
        let (multipliers, log_gates) = read_rows(&normed, context.attention)?;
        let recurrent = None;
        Ok(Projected { beside: normed, queries, keys_and_values, index, recurrent, multipliers, log_gates })
    }

    /// The keys that projected rows choose of those that are `cached`, where they do.
    fn select(
        &self,
        projected: &Projected,
        cached: &Cached<'_>,
        context: AttentionContext<'_>,
    ) -> candle_core::Result<Option<Selection>> {
        match (&projected.index, &self.mixer) {
            (Some(asked), LoadedMixer::Attention(attention)) => attention.select(asked, cached, context),
            _ => Ok(None),
        }
    }

    /// The residual stream behind this block, `[rows, hidden]`, of the rows of one.
    fn mix(
        &self,
        spec: &DecoderSpec,
        rows: &RowBlock,
        projected: &Projected,
        cached: &Cached<'_>,
        layer: LayerContext<'_>,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        let Projected { beside: normed, queries, recurrent, .. } = projected;
        let context = projected.attention(layer.attention);
        // [rows, heads * width]
        let mixed = spent.on_attention(|| match self.select(projected, cached, context)? {
            Some(chosen) => selected::attend(queries, cached, context, &chosen),
            None => attention::attend(queries, cached, context),
        })?;
        // [rows, hidden]
        let mixed = self.attention()?.finish(&mixed, normed, layer.layer_outputs(), spent)?;
        let mixed = match recurrent {
            Some(recurrent) => sum(&mixed, recurrent)?,
            None => mixed,
        };
        self.behind(spec, rows, normed, Some(&mixed), spent)
    }

    /// The residual stream behind this block, `[rows, hidden]`, of the rows of one, of `normed`, what the
    /// mixer was given, and of `mixed`, what it made of that, if there is one.
    fn behind(
        &self,
        spec: &DecoderSpec,
        rows: &RowBlock,
        normed: &Tensor,
        mixed: Option<&Tensor>,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        let x = self.add(spec, &rows.x, normed, mixed, spent)?;
        let x = match (&self.per_layer, &rows.per_layer, &self.alt_up) {
            // Where there are several streams, they are given to the corrected ones.
            (Some(gate), Some(inputs), None) => gate.forward(spec.hidden_act, &x, inputs, spent)?,
            _ => x,
        };
        Ok(scaled(x, self.scalar)?)
    }

    /// Corrects the streams of `rows` by what the layer has made of the first of them, and gives the others
    /// the vectors of each token; nothing where there is one stream.
    fn correct(&self, spec: &DecoderSpec, rows: &mut RowBlock, spent: &mut Spent) -> Result<()> {
        let Some(alt_up) = &self.alt_up else { return Ok(()) };
        let mut streams = alt_up.correct(&rows.streams, &rows.x)?; // [rows, hidden] each
        if let (Some(gate), Some(inputs)) = (&self.per_layer, &rows.per_layer) {
            let added = gate.added(spec.hidden_act, &alt_up.scaled(&streams[0])?, inputs, spent)?;
            for stream in &mut streams[1..] {
                *stream = sum(stream, &added)?;
            }
        }
        rows.x = streams[0].clone();
        rows.streams = streams;
        Ok(())
    }

    /// The residual stream behind mixer and MLP, of `x`, of `normed`, what the mixer was given, and of
    /// `mixed`, what it made of that, if there is one; all `[rows, hidden]`.
    fn add(
        &self,
        spec: &DecoderSpec,
        x: &Tensor,
        normed: &Tensor,
        mixed: Option<&Tensor>,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        let after_sum = self.kind == BlockKind::NormAfterSum;
        let residual = match mixed {
            Some(mixed) if after_sum => apply(self.after_mixer.as_ref(), &sum(x, mixed)?)?,
            Some(mixed) => {
                let mixed = apply(self.after_mixer.as_ref(), mixed)?;
                sum(x, &scaled(mixed, spec.residual_multiplier)?)?
            }
            None => x.clone(),
        }; // [rows, hidden]
        let residual = match &self.laurel {
            Some(laurel) => laurel.forward(&residual, normed, spent)?,
            None => residual,
        };
        let Some(feed_forward) = &self.feed_forward else { return Ok(residual) };
        let mlp_input = match self.kind {
            BlockKind::ParallelOneNorm => normed.clone(),
            BlockKind::ParallelTwoNorms => apply(self.before_mlp.as_ref(), x)?,
            _ => apply(self.before_mlp.as_ref(), &residual)?,
        };
        let computed = feed_forward.forward(spec, &mlp_input, &residual, spent)?; // [rows, hidden]
        if after_sum {
            return Ok(apply(self.after_mlp.as_ref(), &sum(&residual, &computed)?)?);
        }
        let computed = apply(self.after_mlp.as_ref(), &computed)?;
        Ok(sum(&residual, &scaled(computed, spec.residual_multiplier)?)?)
    }
}

/// What an attention variant has read from rows: multipliers of their scores, and `ln f` of gates
/// `[heads][rows]`.
type OfRows = (Option<RowMultipliers>, Option<Vec<Vec<f64>>>);

/// What the attention variant reads from the rows `x` `[rows, hidden]` that queries are made of, where it
/// does.
fn read_rows(x: &Tensor, context: AttentionContext<'_>) -> Result<OfRows> {
    let AttentionContext { layer, first_position, window, variant, .. } = context;
    if !(variant.reads_rows(layer) || variant.forgets(layer)) {
        return Ok((None, None));
    }
    let (rows, numbers) = (x.dim(0)?, x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?);
    let multipliers = RowMultipliers::read(variant, layer, window, first_position, rows, &numbers);
    Ok((multipliers, variant.log_gates(layer, rows, &numbers)))
}

/// The context of a layer whose keys fade.
fn fading<'a>(
    context: LayerContext<'a>,
    forgetting: Option<&'a Arc<Forgetting>>,
) -> Result<LayerContext<'a>> {
    match (forgetting, context.attention.bias) {
        (None, _) => Ok(context),
        (Some(_), Some(_)) => {
            let found = "variant forgetting has no place beside a bias by distance, which this decoder has";
            Err(Error::Compute(found.to_string()))
        }
        (Some(forgetting), None) => {
            let bias = Some(&**forgetting as &dyn ScoreBias);
            Ok(LayerContext { attention: AttentionContext { bias, ..context.attention }, ..context })
        }
    }
}

fn apply(norm: Option<&Norm>, x: &Tensor) -> candle_core::Result<Tensor> {
    norm.map_or_else(|| Ok(x.clone()), |norm| norm.forward(x))
}
