//! The attention of a block: what queries, keys and values are made of, and what becomes of what is mixed.

use candle_core::{DType, Result, Tensor};

use super::differential::Differential;
use super::head_outputs::LayerOutputs;
use super::indexer::IndexQueries;
use super::latent::Latent;
use super::layers::Norm;
use super::linear::{self, Input, Linear};
use super::rope;
use super::row_blocks::RopeTable;
use super::spent::Spent;
use crate::attention::selected::Selection;
use crate::attention::{AttentionContext, Cached};
use crate::spec::{DecoderSpec, HeadSizes, LayerSpec, NormKind, OutputGate, QkNorm};
use crate::weights::Weights;

/// What makes queries, keys and values of rows, and takes in what is mixed.
#[derive(Debug)]
pub(super) enum Attention {
    /// Each of them by a map of its own.
    Plain(Box<Plain>),
    /// Keys and values of one vector a token.
    Latent(Box<Latent>),
}

impl Attention {
    /// That of a layer, stored here.
    pub(super) fn load(
        spec: &DecoderSpec,
        layer: &LayerSpec,
        weights: &Weights<'_>,
    ) -> crate::error::Result<Self> {
        Ok(match layer.latent {
            Some(latent) => Self::Latent(Box::new(Latent::load(spec, latent, weights)?)),
            None => Self::Plain(Box::new(Plain::load(spec, layer, weights)?)),
        })
    }

    /// What meets in attention, of `x` `[t, hidden]`; queries and keys are rotated by `table`.
    pub(super) fn project(
        &self,
        spec: &DecoderSpec,
        x: &Tensor,
        table: Option<&RopeTable>,
        spent: &mut Spent,
    ) -> Result<Heads> {
        match self {
            Self::Plain(plain) => plain.project(spec, x, table, spent),
            Self::Latent(latent) => latent.project(spec, x, table, spent),
        }
    }

    /// The keys that rows from `first_position` on choose of those that are `cached`, by what they ask of
    /// them.
    pub(super) fn select(
        &self,
        asked: &IndexQueries,
        cached: &Cached<'_>,
        context: AttentionContext<'_>,
    ) -> Result<Option<Selection>> {
        match self {
            Self::Plain(_) => Ok(None),
            Self::Latent(latent) => latent.select(asked, cached, context),
        }
    }

    /// The mean output gate of each of `heads` query heads, `[t, heads]`, for `x` `[t, hidden]`; nothing
    /// without a gate.
    pub(super) fn mean_gates(&self, x: &Tensor, heads: usize) -> Result<Option<Tensor>> {
        let gates = match self {
            Self::Plain(plain) => &plain.gates,
            Self::Latent(latent) => &latent.gates,
        };
        gates.as_ref().map(|gates| gates.means(x, heads)).transpose()
    }

    /// What the block adds, `[t, hidden]`, of `mixed` `[t, heads * width]` for `x` `[t, hidden]`, the rows
    /// that queries were made of, where heads hand on `outputs`.
    pub(super) fn finish(
        &self,
        mixed: &Tensor,
        x: &Tensor,
        outputs: LayerOutputs<'_>,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        match self {
            Self::Plain(plain) => plain.finish(mixed, x, outputs, spent),
            Self::Latent(latent) => latent.finish(mixed, x, outputs, spent),
        }
    }
}

/// Projections, norms of queries and keys, and the gate on what is mixed.
#[derive(Debug)]
pub(super) struct Plain {
    heads: HeadSizes,
    q_proj: Linear,
    /// What keys are made of; nothing where they are another layer's.
    k_proj: Option<Linear>,
    /// What values are made of; nothing where that is what keys are made of.
    v_proj: Option<Linear>,
    o_proj: Linear,
    q_norm: Option<HeadNorm>,
    k_norm: Option<HeadNorm>,
    v_norm: Option<Norm>,
    gates: Option<OutputGates>,
    differential: Option<Differential>,
}

/// The gate on what is mixed ([`OutputGate`]).
#[derive(Debug)]
pub(super) struct OutputGates(Linear);

impl OutputGates {
    /// The gate on `mixed` numbers a row that is stored here, where the decoder has one.
    pub(super) fn load(
        spec: &DecoderSpec,
        mixed: usize,
        weights: &Weights<'_>,
    ) -> crate::error::Result<Option<Self>> {
        let width = match spec.extras.output_gate {
            Some(OutputGate::ByElement) => mixed,
            Some(OutputGate::ByHead) => spec.num_attention_heads,
            None => return Ok(None),
        };
        Ok(Some(Self(Linear::load(&weights.pp("gate_proj"), [width, spec.hidden_size], false)?)))
    }

    /// The mean gate of each of `heads` query heads, `[t, heads]`, by what `x` `[t, hidden]` says.
    pub(super) fn means(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        let gate = candle_nn::ops::sigmoid(&self.0.forward(x)?)?; // [t, gates]
        gate.reshape((gate.dim(0)?, heads, ()))?.mean(2)
    }

    /// `mixed` `[t, heads * value_dim]`, gated by what `x` `[t, hidden]` says.
    pub(super) fn forward(&self, mixed: &Tensor, x: &Tensor, spent: &mut Spent) -> Result<Tensor> {
        let gate = candle_nn::ops::sigmoid(&spent.on_linear(|| self.0.forward(x))?)?; // [t, gates]
        let by_gate = mixed.reshape((mixed.dim(0)?, gate.dim(1)?, ()))?; // [t, gates, mixed / gates]
        by_gate.broadcast_mul(&gate.unsqueeze(2)?)?.flatten_from(1) // [t, heads * value_dim]
    }
}

/// What attention needs of its rows. Keys and values are as wide as the wider of the two: the narrower has
/// zeros behind, which add nothing.
pub(super) struct Heads {
    pub(super) queries: Tensor, // [heads, t, width]
    /// Nothing where they are another layer's.
    pub(super) keys_and_values: Option<(Tensor, Tensor)>, // [kv_heads, t, width] each
    /// What rows choose keys by, where they do.
    pub(super) index: Option<IndexQueries>,
}

/// A norm of queries or keys.
#[derive(Debug)]
struct HeadNorm {
    norm: Norm,
    /// Weights of each head, where the norm has none in common.
    by_head: Option<Tensor>, // [heads, 1, head_dim]
}

impl HeadNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let normed = self.norm.forward(x)?;
        self.by_head.as_ref().map_or(Ok(normed.clone()), |weights| normed.broadcast_mul(weights))
    }
}

impl Plain {
    fn load(spec: &DecoderSpec, layer: &LayerSpec, weights: &Weights<'_>) -> crate::error::Result<Self> {
        let (hidden, heads, count) = (spec.hidden_size, spec.heads(layer), spec.num_attention_heads);
        let queries = count * heads.head_dim;
        let keys = heads.num_key_value_heads * heads.head_dim;
        let value = layer.value_width(&heads);
        let (mixed, values) = (count * value, heads.num_key_value_heads * value);
        let projection = |name, width| Linear::load(&weights.pp(name), [width, hidden], spec.bias.qkv);
        let own = layer.shares.is_none();
        let norm = |name, width| load_qk_norm(spec, layer, &weights.pp(name), width);
        Ok(Self {
            heads,
            q_proj: projection("q_proj", queries)?,
            k_proj: own.then(|| projection("k_proj", keys)).transpose()?,
            v_proj: (own && !layer.values_are_keys).then(|| projection("v_proj", values)).transpose()?,
            o_proj: Linear::load(&weights.pp("o_proj"), [hidden, mixed], spec.bias.output)?,
            q_norm: norm("q_norm", queries)?,
            k_norm: if own { norm("k_norm", keys)? } else { None },
            v_norm: match own && spec.extras.value_norm {
                true => {
                    let ones = Tensor::ones(heads.value_dim, DType::F32, weights.device())?; // [value_dim]
                    Some(Norm::new(NormKind::RmsWithoutWeight, ones, None, spec.norm_eps)?)
                }
                false => None,
            },
            gates: OutputGates::load(spec, mixed, weights)?,
            differential: match layer.differential {
                Some(initial) => Some(Differential::load(spec, initial, heads.head_dim, weights)?),
                None => None,
            },
        })
    }

    /// Rotated queries and keys, and values, of `x` `[t, hidden]`.
    fn project(
        &self,
        spec: &DecoderSpec,
        x: &Tensor,
        table: Option<&RopeTable>,
        spent: &mut Spent,
    ) -> Result<Heads> {
        let HeadSizes { head_dim, value_dim, .. } = self.heads;
        let value_dim = if self.differential.is_some() { value_dim / 2 } else { value_dim };
        let input = Input::new(x)?;
        let maps = (&self.q_proj, &self.k_proj, &self.v_proj);
        // [t, heads * head_dim], [t, kv_heads * head_dim] and [t, kv_heads * value_dim]
        let (q, keys_and_values) = spent.on_linear(|| match maps {
            (q_proj, Some(k_proj), Some(v_proj)) => {
                let [q, k, v] = linear::apply_three([q_proj, k_proj, v_proj], &input)?;
                Ok::<_, candle_core::Error>((q, Some((k, v))))
            }
            (q_proj, Some(k_proj), None) => {
                let k = k_proj.apply(&input)?;
                Ok((q_proj.apply(&input)?, Some((k.clone(), k))))
            }
            (q_proj, None, _) => Ok((q_proj.apply(&input)?, None)),
        })?;
        let width = self.heads.cached_width();
        let queries = widened(positioned(spec, head_dim, q, self.q_norm.as_ref(), table)?, width)?;
        let Some((k, v)) = keys_and_values else {
            return Ok(Heads { queries, keys_and_values: None, index: None });
        };
        let values = rope::split_heads(&clipped(v, spec)?, value_dim, None, spec.rotary_layout)?;
        let values = self.v_norm.as_ref().map_or(Ok(values.clone()), |norm| norm.forward(&values))?;
        let values = spec.extras.value_multiplier.map_or(Ok(values.clone()), |factor| &values * factor)?;
        let values = match &self.differential {
            Some(differential) => differential.wide(&values)?,
            None => values,
        }; // [kv_heads, t, value_dim]
        let keys = widened(positioned(spec, head_dim, k, self.k_norm.as_ref(), table)?, width)?;
        Ok(Heads { queries, keys_and_values: Some((keys, widened(values, width)?)), index: None })
    }

    /// What the block adds, `[t, hidden]`, of `mixed` `[t, heads * width]` for `x` `[t, hidden]`, the rows
    /// that queries were made of, where heads hand on `outputs`.
    fn finish(
        &self,
        mixed: &Tensor,
        x: &Tensor,
        outputs: LayerOutputs<'_>,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        let (t, value_dim) = (mixed.dim(0)?, self.heads.value_dim);
        let mixed = match self.heads.cached_width() {
            width if width == value_dim => mixed.clone(),
            width => mixed.reshape((t, (), width))?.narrow(2, 0, value_dim)?.flatten_from(1)?,
        }; // [t, heads * value_dim]
        let heads = mixed.dim(1)? / value_dim;
        let (mixed, outputs) = match &self.differential {
            Some(differential) => {
                (differential.difference(&outputs.of(mixed, heads)?, heads)?, LayerOutputs::Own)
            }
            None => (mixed, outputs),
        };
        let mixed = match &self.gates {
            Some(gates) => gates.forward(&mixed, x, spent)?,
            None => mixed,
        };
        let mixed = outputs.of(mixed, heads)?;
        spent.on_linear(|| self.o_proj.forward(&mixed))
    }
}

/// Queries or keys `[heads, t, head_dim]` of what was projected, `[t, heads * head_dim]`.
fn positioned(
    spec: &DecoderSpec,
    head_dim: usize,
    x: Tensor,
    norm: Option<&HeadNorm>,
    table: Option<&RopeTable>,
) -> Result<Tensor> {
    let layout = spec.rotary_layout;
    match norm {
        Some(norm) if spec.qk_norm == QkNorm::Projection => {
            rope::split_heads(&clipped(norm.forward(&x)?, spec)?, head_dim, table, layout)
        }
        None => rope::split_heads(&clipped(x, spec)?, head_dim, table, layout),
        Some(norm) if spec.extras.qk_norm_after_rope => {
            norm.forward(&rope::split_heads(&clipped(x, spec)?, head_dim, table, layout)?)
        }
        Some(norm) => {
            let x = norm.forward(&rope::split_heads(&clipped(x, spec)?, head_dim, None, layout)?)?;
            table.map_or(Ok(x.clone()), |(cos, sin)| rope::rotate(&x, cos, sin, layout))
        }
    }
}

/// What was projected, cut to the bounds that the decoder has for it.
fn clipped(x: Tensor, spec: &DecoderSpec) -> Result<Tensor> {
    spec.extras.clip_qkv.map_or(Ok(x.clone()), |bound| x.clamp(-bound as f32, bound as f32))
}

/// Heads with zeros behind, up to `width`.
pub(super) fn widened(x: Tensor, width: usize) -> Result<Tensor> {
    match width - x.dim(2)? {
        0 => Ok(x),
        missing => x.pad_with_zeros(2, 0, missing),
    }
}

/// The norm of queries or keys, `width` numbers a row, that is stored here.
fn load_qk_norm(
    spec: &DecoderSpec,
    layer: &LayerSpec,
    weights: &Weights<'_>,
    width: usize,
) -> crate::error::Result<Option<HeadNorm>> {
    let d = spec.heads(layer).head_dim;
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
        QkNorm::RmsByHead => (NormKind::Rms, ones()?, None),
    };
    let of_head = |head: usize| weights.pp(head).get("weight", &[d]);
    let by_head = match spec.qk_norm {
        QkNorm::LayerByHead | QkNorm::RmsByHead => {
            let heads = (0..width / d).map(of_head).collect::<crate::error::Result<Vec<_>>>()?;
            Some(Tensor::stack(&heads, 0)?.unsqueeze(1)?) // [heads, 1, head_dim]
        }
        _ => None,
    };
    Ok(Some(HeadNorm { norm: Norm::new(kind, weight, bias, spec.norm_eps)?, by_head }))
}
