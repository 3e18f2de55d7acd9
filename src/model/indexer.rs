//! What chooses the keys that a row of latent attention sees (DeepSeek 3.2; arXiv 2512.02556).
//!
//! With `q_h = R(W_q c_q)` of `c_q`, what queries are made of, `k = R(norm(W_k x))` for all heads alike and
//! `w = W_w x`, key `s` has for row `t` the score
//!
//! ```text
//! I(t, s) = sum over h of w_h(t) / sqrt(heads) relu(q_h(t) · k(s) / sqrt(d))
//! ```
//!
//! and the row sees the `index_topk` keys with the largest. The first coordinates of `q` and `k` rotate, in
//! halves.

use candle_core::{Result, Tensor};

use super::layers::Norm;
use super::linear::{Input, Linear};
use super::rope;
use super::row_blocks::RopeTable;
use super::spent::Spent;
use crate::attention::AttentionContext;
use crate::attention::selected::Selection;
use crate::error;
use crate::spec::{IndexerSpec, NormKind, RotaryLayout};
use crate::weights::Weights;

/// The epsilon of the norm of keys, which no configuration changes.
const EPSILON: f64 = 1e-6;

/// The maps of a layer.
#[derive(Debug)]
pub(super) struct Indexer {
    spec: IndexerSpec,
    wq_b: Linear,
    wk: Linear,
    k_norm: Norm,
    weights_proj: Linear,
}

/// What rows ask of keys.
#[derive(Debug)]
pub(super) struct IndexQueries {
    queries: Tensor, // [heads, t, d]
    weights: Tensor, // [t, heads]
}

impl IndexQueries {
    /// How many rows ask.
    pub(super) fn rows(&self) -> Result<usize> {
        self.queries.dim(1)
    }
}

impl Indexer {
    /// The indexer stored here, of rows of `hidden` numbers and queries made of `rank`.
    pub(super) fn load(
        spec: IndexerSpec,
        hidden: usize,
        rank: usize,
        weights: &Weights<'_>,
    ) -> error::Result<Self> {
        let (heads, d) = (spec.index_n_heads, spec.index_head_dim);
        let linear = |name, shape| Linear::load(&weights.pp(name), shape, false);
        let norm = weights.pp("k_norm");
        let (weight, bias) = (norm.get("weight", &[d])?, norm.get("bias", &[d])?);
        Ok(Self {
            spec,
            wq_b: linear("wq_b", [heads * d, rank])?,
            wk: linear("wk", [d, hidden])?,
            k_norm: Norm::new(NormKind::LayerWithBias, weight, Some(bias), EPSILON)?,
            weights_proj: linear("weights_proj", [heads, hidden])?,
        })
    }

    /// The keys of rows, `[1, t, d]`.
    pub(super) fn keys(&self, x: &Input, table: Option<&RopeTable>, spent: &mut Spent) -> Result<Tensor> {
        let keys = self.k_norm.forward(&spent.on_linear(|| self.wk.apply(x))?)?; // [t, d]
        rope::split_heads(&keys, self.spec.index_head_dim, table, RotaryLayout::Half)
    }

    /// What rows ask of keys: of `compressed` `[t, rank]`, what their queries are made of, and of the rows.
    pub(super) fn queries(
        &self,
        compressed: &Tensor,
        x: &Input,
        table: Option<&RopeTable>,
        spent: &mut Spent,
    ) -> Result<IndexQueries> {
        let (heads, d) = (self.spec.index_n_heads as f64, self.spec.index_head_dim);
        let queries = spent.on_linear(|| self.wq_b.forward(compressed))?; // [t, heads * d]
        let queries = rope::split_heads(&queries, d, table, RotaryLayout::Half)?; // [heads, t, d]
        let weights = spent.on_linear(|| self.weights_proj.apply(x))?; // [t, heads]
        let queries = (queries * (d as f64).powf(-0.5))?;
        Ok(IndexQueries { queries, weights: (weights * heads.powf(-0.5))? })
    }

    /// The keys that rows from the context's first position on choose of `keys` `[s, d]`, `s` those up to the
    /// last row. What is blocked comes last, so that it says nothing of which others are chosen.
    pub(super) fn select(
        &self,
        asked: &IndexQueries,
        keys: &Tensor,
        context: AttentionContext<'_>,
    ) -> Result<Selection> {
        let (heads, t, _) = asked.queries.dims3()?;
        let (topk, first_position) = (self.spec.index_topk, context.first_position);
        if first_position + t <= topk {
            return Ok(Selection::all(t));
        }
        let keys = keys.t()?.contiguous()?; // [d, s]
        let mut scores: Option<Tensor> = None;
        for head in 0..heads {
            let met = asked.queries.get(head)?.contiguous()?.matmul(&keys)?.relu()?; // [t, s]
            let weighed = met.broadcast_mul(&asked.weights.narrow(1, head, 1)?)?; // [t, s]
            scores = Some(match scores {
                Some(sum) => (sum + weighed)?,
                None => weighed,
            });
        }
        let mut scores = scores.map_or_else(|| Ok(Vec::new()), |scores| scores.to_vec2::<f32>())?; // [t, s]
        for (row, scores) in scores.iter_mut().enumerate() {
            context.hidden(first_position + row).for_each(|keys| scores[keys].fill(f32::NEG_INFINITY));
        }
        Ok(Selection::largest(first_position, topk, &scores))
    }
}
