//! Several residual streams ([`AltUpSpec`]), and the learned residual beside attention ([`LaurelRank`]).

use candle_core::{D, Result, Tensor};

use super::decoder::load_norm;
use super::layers::{Norm, sum};
use super::linear::Linear;
use super::spent::Spent;
use crate::spec::{AltUpSpec, DecoderSpec, LaurelRank};
use crate::weights::Weights;

/// What a layer predicts streams with, and corrects them. Its maps are small, and computed in f32.
#[derive(Debug)]
pub(super) struct AltUp {
    router_norm: Norm,
    router: Tensor,        // [hidden, streams]
    prediction: Tensor,    // [streams, streams * streams]
    correction: Tensor,    // [streams, streams]
    scale: Option<Tensor>, // [hidden]
}

impl AltUp {
    /// What is stored in the block of a layer.
    pub(super) fn load(
        spec: &DecoderSpec,
        alt_up: AltUpSpec,
        layer: &Weights<'_>,
    ) -> crate::error::Result<Self> {
        let (place, n, hidden) = (layer.pp("altup"), alt_up.altup_num_inputs, spec.hidden_size);
        let map = |name: &str, shape: [usize; 2]| -> crate::error::Result<Tensor> {
            Ok(place.pp(name).get("weight", &shape)?.t()?.contiguous()?)
        };
        let scale = place.get("correct_output_scale", &[hidden])?;
        Ok(Self {
            router_norm: load_norm(spec, &place.pp("router_norm"))?,
            router: map("modality_router", [n, hidden])?,
            prediction: map("prediction_coefs", [n * n, n])?,
            correction: map("correction_coefs", [n, n])?,
            scale: alt_up.altup_correct_scale.then_some(scale),
        })
    }

    /// `tanh(W norm(x) / hidden)`, `[rows, streams]`.
    fn modalities(&self, x: &Tensor) -> Result<Tensor> {
        let normed = (self.router_norm.forward(x)? / x.dim(1)? as f64)?; // [rows, hidden]
        normed.matmul(&self.router)?.tanh()
    }

    /// The streams `[rows, hidden]` as they are predicted before a layer.
    pub(super) fn predict(&self, streams: &[Tensor]) -> Result<Vec<Tensor>> {
        let Some(first) = streams.first() else { return Ok(Vec::new()) };
        let shares = self.modalities(first)?.matmul(&self.prediction)?; // [rows, streams * streams]
        let predicted = |(j, stream): (usize, &Tensor)| {
            streams.iter().enumerate().try_fold(stream.clone(), |predicted, (i, other)| {
                let share = shares.narrow(1, j * streams.len() + i, 1)?; // [rows, 1]
                sum(&predicted, &other.broadcast_mul(&share)?)
            })
        };
        streams.iter().enumerate().map(predicted).collect()
    }

    /// The streams behind a layer that has made `computed` `[rows, hidden]` of the first of `predicted`.
    pub(super) fn correct(&self, predicted: &[Tensor], computed: &Tensor) -> Result<Vec<Tensor>> {
        let Some(first) = predicted.first() else { return Ok(Vec::new()) };
        let shares = (self.modalities(computed)?.matmul(&self.correction)? + 1.0)?; // [rows, streams]
        let new = (computed - first)?; // [rows, hidden]
        let corrected = |(j, stream): (usize, &Tensor)| {
            sum(stream, &new.broadcast_mul(&shares.narrow(1, j, 1)?)?) // [rows, hidden]
        };
        predicted.iter().enumerate().map(corrected).collect()
    }

    /// The first stream `[rows, hidden]` as the vectors of each token read it.
    pub(super) fn scaled(&self, first: &Tensor) -> Result<Tensor> {
        self.scale.as_ref().map_or_else(|| Ok(first.clone()), |scale| first.broadcast_mul(scale))
    }
}

/// The maps between one residual stream and several.
#[derive(Debug)]
pub(super) struct StreamEnds {
    begin: Vec<Linear>,
    end: Vec<Linear>,
}

impl StreamEnds {
    /// What is stored below `model`.
    pub(super) fn load(
        spec: &DecoderSpec,
        alt_up: AltUpSpec,
        model: &Weights<'_>,
    ) -> crate::error::Result<Self> {
        let shape = [spec.hidden_size; 2];
        let maps = |name: &str| -> crate::error::Result<Vec<Linear>> {
            let place = model.pp(name);
            (1..alt_up.altup_num_inputs).map(|i| Linear::load(&place.pp(i - 1), shape, false)).collect()
        };
        Ok(Self { begin: maps("altup_projections")?, end: maps("altup_unembed_projections")? })
    }

    /// The streams of an embedding `x` `[rows, hidden]`.
    pub(super) fn begin(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        let size = root_mean_square(x)?; // [rows, 1]
        let of_map = |map: &Linear| rescaled(&map.forward(x)?, &size);
        std::iter::once(Ok(x.clone())).chain(self.begin.iter().map(of_map)).collect()
    }

    /// What the head is given of the streams: `[rows, hidden]`.
    pub(super) fn end(&self, streams: &[Tensor]) -> Result<Tensor> {
        let Some((first, others)) = streams.split_first() else {
            candle_core::bail!("there are no streams to end");
        };
        let size = root_mean_square(first)?; // [rows, 1]
        let total = others.iter().zip(&self.end).try_fold(first.clone(), |total, (stream, map)| {
            sum(&total, &rescaled(&map.forward(stream)?, &size)?)
        })?; // [rows, hidden]
        total / streams.len() as f64
    }
}

/// `sqrt(mean(x²))` of each row, `[rows, 1]`.
fn root_mean_square(x: &Tensor) -> Result<Tensor> {
    x.sqr()?.mean_keepdim(D::Minus1)?.sqrt()
}

/// `x` `[rows, hidden]` with rows of this root mean square `[rows, 1]`.
fn rescaled(x: &Tensor, size: &Tensor) -> Result<Tensor> {
    const LEAST: f64 = 1e-5;
    let own = x.sqr()?.mean_keepdim(D::Minus1)?.maximum(LEAST)?.sqrt()?; // [rows, 1]
    x.broadcast_mul(&(size / own)?)
}

/// A learned residual beside attention.
#[derive(Debug)]
pub(super) struct Laurel {
    left: Linear,
    right: Linear,
    norm: Norm,
}

impl Laurel {
    /// What is stored in the block of a layer.
    pub(super) fn load(
        spec: &DecoderSpec,
        LaurelRank(rank): LaurelRank,
        layer: &Weights<'_>,
    ) -> crate::error::Result<Self> {
        let (place, hidden) = (layer.pp("laurel"), spec.hidden_size);
        Ok(Self {
            left: Linear::load(&place.pp("linear_left"), [rank, hidden], false)?,
            right: Linear::load(&place.pp("linear_right"), [hidden, rank], false)?,
            norm: load_norm(spec, &place.pp("post_laurel_norm"))?,
        })
    }

    /// The residual stream behind attention, `x` `[rows, hidden]`, with what is made of `normed`, which
    /// attention was given.
    pub(super) fn forward(&self, x: &Tensor, normed: &Tensor, spent: &mut Spent) -> Result<Tensor> {
        let low = spent.on_linear(|| self.left.forward(normed))?; // [rows, rank]
        let back = spent.on_linear(|| self.right.forward(&low))?; // [rows, hidden]
        let learned = sum(normed, &self.norm.forward(&back)?)?; // [rows, hidden]
        sum(x, &learned)? / 2f64.sqrt()
    }
}
