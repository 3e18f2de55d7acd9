//! What stands behind the mixer of a block: an MLP, a mixture of experts, or both.

use candle_core::{Result, Tensor};

use super::decoder::load_norm;
use super::layers::{Norm, sum};
use super::mlp::Mlp;
use super::moe::Moe;
use super::spent::Spent;
use crate::error;
use crate::spec::{DecoderSpec, LayerSpec, NORMS_BESIDE_MLP};
use crate::weights::Weights;

/// An MLP, a mixture of experts, or both.
#[derive(Debug)]
pub(super) enum FeedForward {
    Dense(Mlp),
    Moe(Box<Moe>),
    Beside(Box<Beside>),
}

/// An MLP and a mixture of experts side by side (Gemma 4): `norm_1(mlp(x)) + norm_3(experts(norm_2(r)))`, `r`
/// the residual stream that `x` is the normed form of; the router reads `r` as it is.
#[derive(Debug)]
pub(super) struct Beside {
    mlp: Mlp,
    after_mlp: Norm,
    before_moe: Norm,
    moe: Moe,
    after_moe: Norm,
}

impl FeedForward {
    /// What is stored in the block of a layer.
    pub(super) fn load(spec: &DecoderSpec, layer: &LayerSpec, weights: &Weights<'_>) -> error::Result<Self> {
        let place = weights.pp("mlp");
        let (hidden, inner) = (spec.hidden_size, spec.intermediate_of(layer));
        let mlp = || match layer.activation_sparsity {
            Some(share) => Mlp::sparse(&place, hidden, inner, share),
            None => Mlp::load(&place, spec.mlp, hidden, inner, spec.bias.mlp),
        };
        let norm = |name: &str| load_norm(spec, &weights.pp(name));
        let Some(moe) = layer.moe else { return Ok(Self::Dense(mlp()?)) };
        if !moe.beside_mlp {
            return Ok(Self::Moe(Box::new(Moe::load(spec, moe, &place)?)));
        }
        let [after_mlp, before_moe, after_moe] = NORMS_BESIDE_MLP;
        Ok(Self::Beside(Box::new(Beside {
            mlp: mlp()?,
            after_mlp: norm(after_mlp)?,
            before_moe: norm(before_moe)?,
            moe: Moe::load(spec, moe, &place)?,
            after_moe: norm(after_moe)?,
        })))
    }

    /// `x` `[t, hidden]`, made of `residual` `[t, hidden]`, to `[t, hidden]`.
    pub(super) fn forward(
        &self,
        spec: &DecoderSpec,
        x: &Tensor,
        residual: &Tensor,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        let act = spec.hidden_act;
        match self {
            Self::Dense(mlp) => mlp.forward(act, x, spent),
            Self::Moe(moe) => moe.forward(act, x, x, spent),
            Self::Beside(beside) => {
                let of_mlp = beside.after_mlp.forward(&beside.mlp.forward(act, x, spent)?)?; // [t, hidden]
                let normed = beside.before_moe.forward(residual)?; // [t, hidden]
                let of_moe = beside.moe.forward(act, &normed, residual, spent)?; // [t, hidden]
                sum(&of_mlp, &beside.after_moe.forward(&of_moe)?)
            }
        }
    }
}
