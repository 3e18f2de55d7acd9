//! Multi-head latent attention ([`LatentSpec`]) over one key head: heads read the vector that a token keeps
//! through maps of their own, before they meet it and after it is mixed.

use candle_core::{Result, Tensor};

use super::attention::{Heads, OutputGates, widened};
use super::head_outputs::LayerOutputs;
use super::indexer::{IndexQueries, Indexer};
use super::layers::Norm;
use super::linear::{Input, Linear};
use super::rope;
use super::row_blocks::RopeTable;
use super::spent::Spent;
use crate::attention::selected::Selection;
use crate::attention::{AttentionContext, Cached};
use crate::spec::{DecoderSpec, LatentSpec, NormKind};
use crate::weights::Weights;

/// The epsilon of the norms between two maps, which no configuration changes.
const EPSILON: f64 = 1e-6;

/// The maps of a layer.
#[derive(Debug)]
pub(super) struct Latent {
    spec: LatentSpec,
    queries: Queries,
    kv_a_proj: Linear,
    kv_a_norm: Norm,
    /// `W_hᵀ` of each head, `[kv_lora_rank, qk_nope_head_dim]`.
    into_latent: Vec<Linear>,
    /// `U_h` of each head, `[v_head_dim, kv_lora_rank]`.
    out_of_latent: Vec<Linear>,
    o_proj: Linear,
    pub(super) gates: Option<OutputGates>,
    indexer: Option<Indexer>,
}

/// How queries are made.
#[derive(Debug)]
enum Queries {
    Whole(Linear),
    Through { q_a_proj: Linear, q_a_norm: Norm, q_b_proj: Linear },
}

impl Latent {
    pub(super) fn load(
        spec: &DecoderSpec,
        latent: LatentSpec,
        weights: &Weights<'_>,
    ) -> crate::error::Result<Self> {
        let (hidden, count, rank) = (spec.hidden_size, spec.num_attention_heads, latent.kv_lora_rank);
        let (bias, nope, values) = (spec.bias.qkv, latent.qk_nope_head_dim, latent.v_head_dim);
        let linear = |name, shape, bias| Linear::load(&weights.pp(name), shape, bias);
        let norm = |name, width: usize| -> crate::error::Result<Norm> {
            let weight = weights.pp(name).get("weight", &[width])?;
            Ok(Norm::new(NormKind::Rms, weight, None, EPSILON)?)
        };
        let queries = count * latent.qk_head_dim();
        let made = count * (nope + values);
        let by_head = weights.pp("kv_b_proj").get("weight", &[made, rank])?;
        let by_head = by_head.reshape((count, nope + values, rank))?; // [heads, nope + v, rank]
        let of_heads = |start, len, transposed: bool| -> crate::error::Result<Vec<Linear>> {
            let of_head = |head: usize| -> crate::error::Result<Linear> {
                let map = by_head.get(head)?.narrow(0, start, len)?; // [len, rank]
                let map = if transposed { map.t()? } else { map }.contiguous()?;
                Ok(Linear::new(&map, None, weights.dtype())?)
            };
            (0..count).map(of_head).collect()
        };
        Ok(Self {
            spec: latent,
            queries: match latent.q_lora_rank {
                None => Queries::Whole(linear("q_proj", [queries, hidden], false)?),
                Some(rank) => Queries::Through {
                    q_a_proj: linear("q_a_proj", [rank, hidden], bias)?,
                    q_a_norm: norm("q_a_layernorm", rank)?,
                    q_b_proj: linear("q_b_proj", [queries, rank], false)?,
                },
            },
            kv_a_proj: linear("kv_a_proj_with_mqa", [rank + latent.qk_rope_head_dim, hidden], bias)?,
            kv_a_norm: norm("kv_a_layernorm", rank)?,
            into_latent: of_heads(0, nope, true)?,
            out_of_latent: of_heads(nope, values, false)?,
            o_proj: linear("o_proj", [hidden, count * values], bias)?,
            gates: OutputGates::load(spec, count * values, weights)?,
            indexer: match latent.indexer {
                Some(indexer) => {
                    let rank = latent.q_lora_rank.unwrap_or(hidden);
                    Some(Indexer::load(indexer, hidden, rank, &weights.pp("indexer"))?)
                }
                None => None,
            },
        })
    }

    /// What meets in the one key head, of `x` `[t, hidden]`.
    pub(super) fn project(
        &self,
        spec: &DecoderSpec,
        x: &Tensor,
        table: Option<&RopeTable>,
        spent: &mut Spent,
    ) -> Result<Heads> {
        let LatentSpec { kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim, .. } = self.spec;
        let layout = spec.rotary_layout;
        let turned = |x: Tensor| match table {
            Some((cos, sin)) => rope::rotate(&x.contiguous()?, cos, sin, layout),
            None => Ok(x),
        };
        let input = Input::new(x)?;
        let (queries, compressed) = match &self.queries {
            Queries::Whole(q_proj) => (spent.on_linear(|| q_proj.apply(&input))?, x.clone()),
            Queries::Through { q_a_proj, q_a_norm, q_b_proj } => {
                let compressed = q_a_norm.forward(&spent.on_linear(|| q_a_proj.apply(&input))?)?; // [t, rank]
                (spent.on_linear(|| q_b_proj.forward(&compressed))?, compressed)
            }
        }; // [t, heads * (nope + rope)], [t, rank]
        let queries = rope::split_heads(&queries, self.spec.qk_head_dim(), None, layout)?;
        let read = self.into_latent.iter().enumerate().map(|(head, map)| {
            let query = queries.get(head)?.narrow(1, 0, qk_nope_head_dim)?.contiguous()?; // [t, nope]
            spent.on_linear(|| map.forward(&query)) // [t, rank]
        });
        let read = Tensor::stack(&read.collect::<Result<Vec<_>>>()?, 0)?; // [heads, t, rank]
        let positioned = turned(queries.narrow(2, qk_nope_head_dim, qk_rope_head_dim)?)?; // [heads, t, rope]

        let kept = spent.on_linear(|| self.kv_a_proj.apply(&input))?; // [t, rank + rope]
        let latent = self.kv_a_norm.forward(&kept.narrow(1, 0, kv_lora_rank)?)?.unsqueeze(0)?; // [1, t, rank]
        let shared = turned(kept.narrow(1, kv_lora_rank, qk_rope_head_dim)?.unsqueeze(0)?)?; // [1, t, rope]
        let keys = Tensor::cat(&[&latent, &shared], 2)?; // [1, t, rank + rope]
        let queries = Tensor::cat(&[read, positioned], 2)?; // [heads, t, rank + rope]
        let (values, index) = match &self.indexer {
            None => (latent, None),
            Some(indexer) => {
                let keys = indexer.keys(&input, table, spent)?; // [1, t, index_head_dim]
                let asked = indexer.queries(&compressed, &input, table, spent)?;
                (Tensor::cat(&[latent, keys], 2)?, Some(asked))
            }
        };
        let width = self.spec.heads(1.0).cached_width();
        Ok(Heads {
            queries: widened(queries, width)?,
            keys_and_values: Some((widened(keys, width)?, widened(values, width)?)),
            index,
        })
    }

    /// The keys that rows from `first_position` on choose of those that are `cached`.
    pub(super) fn select(
        &self,
        asked: &IndexQueries,
        cached: &Cached<'_>,
        context: AttentionContext<'_>,
    ) -> Result<Option<Selection>> {
        let (Some(indexer), Some(sizes)) = (&self.indexer, self.spec.indexer) else { return Ok(None) };
        let Cached::Tensors { values, .. } = cached else {
            candle_core::bail!("rows that choose their keys need keys and values in f32");
        };
        let seen = values.get(0)?.narrow(0, 0, context.first_position + asked.rows()?)?; // [s, width]
        let keys = seen.narrow(1, self.spec.kv_lora_rank, sizes.index_head_dim)?.contiguous()?;
        Ok(Some(indexer.select(asked, &keys, context)?))
    }

    /// What the block adds, `[t, hidden]`, of `mixed` `[t, heads * (rank + rope)]` for `x` `[t, hidden]`, the
    /// rows that queries were made of, where heads hand on `outputs`.
    pub(super) fn finish(
        &self,
        mixed: &Tensor,
        x: &Tensor,
        outputs: LayerOutputs<'_>,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        let (t, rank) = (mixed.dim(0)?, self.spec.kv_lora_rank);
        let mixed = mixed.reshape((t, self.out_of_latent.len(), ()))?; // [t, heads, rank + rope]
        let values = self.out_of_latent.iter().enumerate().map(|(head, map)| {
            let latent = mixed.narrow(1, head, 1)?.squeeze(1)?.narrow(1, 0, rank)?.contiguous()?; // [t, rank]
            spent.on_linear(|| map.forward(&latent)) // [t, v_head_dim]
        });
        let values = Tensor::cat(&values.collect::<Result<Vec<_>>>()?, 1)?; // [t, heads * v_head_dim]
        let values = match &self.gates {
            Some(gates) => gates.forward(&values, x, spent)?,
            None => values,
        };
        let values = outputs.of(values, self.out_of_latent.len())?;
        spent.on_linear(|| self.o_proj.forward(&values))
    }
}
