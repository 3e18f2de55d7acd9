//! A layer of screening tiles.

use candle_core::{D, DType, Device, Result, Tensor};

use crate::attention::screening::{self, Screen, ScreeningContext};
use crate::attention::{Cached, with_f32};
use crate::kernel;
use crate::model::head_outputs::LayerOutputs;
use crate::model::linear::{Input, Linear};
use crate::model::spent::Spent;
use crate::spec::{DecoderSpec, ScreeningSpec};
use crate::weights::Weights;

/// The linear maps of a layer's tiles, and the scales of what they add. Windows and acceptance widths are
/// with the attention variant.
#[derive(Debug)]
pub(in crate::model) struct Tiles {
    spec: ScreeningSpec,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    g_proj: Linear,
    o_proj: Linear,
    /// `e^{s_O}` of each tile.
    output_scales: Vec<f32>,
}

impl Tiles {
    pub(in crate::model) fn load(
        spec: &DecoderSpec,
        screening: &ScreeningSpec,
        weights: &Weights<'_>,
    ) -> crate::error::Result<Self> {
        let (tiles, hidden) = (spec.num_attention_heads, spec.hidden_size);
        let (keys, values) = (tiles * spec.head_dim, tiles * screening.value_dim);
        let map = |name, shape| Linear::load(&weights.pp(name), shape, false);
        Ok(Self {
            q_proj: map("q_proj", [keys, hidden])?,
            k_proj: map("k_proj", [keys, hidden])?,
            v_proj: map("v_proj", [values, hidden])?,
            g_proj: map("g_proj", [values, hidden])?,
            o_proj: map("o_proj", [hidden, values])?,
            spec: screening.clone(),
            output_scales: weights.get("sO", &[tiles])?.exp()?.to_vec1()?,
        })
    }

    /// Gates `[rows, tiles * value_dim]`, queries and keys `[tiles, rows, key_dim]` and values
    /// `[tiles, rows, value_dim]` of `x` `[rows, hidden]`, whose first row is at `first_position`.
    pub(in crate::model) fn project(
        &self,
        screens: &[Screen],
        first_position: usize,
        x: &Tensor,
        spent: &mut Spent,
    ) -> Result<[Tensor; 4]> {
        let input = Input::new(x)?;
        let turns = turns(&self.spec, screens, first_position, x.dim(0)?);
        let tiles = screens.len();
        let mut map = |linear: &Linear| spent.on_linear(|| linear.apply(&input));
        let queries = unit_heads(&map(&self.q_proj)?, tiles, turns.as_deref())?; // [tiles, rows, key_dim]
        let keys = unit_heads(&map(&self.k_proj)?, tiles, turns.as_deref())?; // [tiles, rows, key_dim]
        let values = unit_heads(&map(&self.v_proj)?, tiles, None)?; // [tiles, rows, value_dim]
        Ok([map(&self.g_proj)?, queries, keys, values])
    }

    /// What the tiles add to the residual stream, where they hand on `outputs`: `[rows, hidden]`.
    pub(in crate::model) fn mix(
        &self,
        gates: &Tensor,
        queries: &Tensor,
        cached: &Cached<'_>,
        context: ScreeningContext<'_>,
        outputs: LayerOutputs<'_>,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        // [rows, tiles * value_dim]
        let mixed = spent.on_attention(|| screening::screen(queries, cached, context))?;
        // [rows, tiles * value_dim]
        let gated = outputs.of(self.gated(&mixed, gates)?, self.output_scales.len())?;
        spent.on_linear(|| self.o_proj.forward(&gated)) // [rows, hidden]
    }

    /// `e^{s_O} tanh(|y|) / |y| y tanh(silu(g))` of each tile's part of `mixed` and `gates`
    /// `[rows, tiles * value_dim]`.
    fn gated(&self, mixed: &Tensor, gates: &Tensor) -> Result<Tensor> {
        let (tiles, (rows, width)) = (self.output_scales.len(), mixed.dims2()?);
        let value_dim = width / tiles;
        if mixed.device().is_cpu() {
            let gated = with_f32(mixed, |mixed| {
                with_f32(gates, |gates| kernel::gated_tanh_norm(mixed, gates, value_dim, &self.output_scales))
            })??;
            return Tensor::from_vec(gated, (rows, width), mixed.device());
        }
        let split = mixed.reshape((rows, tiles, value_dim))?; // [rows, tiles, value_dim]
        let norms = norms(&split)?; // [rows, tiles, 1]
        let scales = Tensor::from_slice(&self.output_scales, (1, tiles, 1), mixed.device())?; // [1, tiles, 1]
        let factors = (norms.tanh()? / norms)?.broadcast_mul(&scales)?; // [rows, tiles, 1]
        split.broadcast_mul(&factors)?.reshape((rows, width))? * gates.silu()?.tanh()?
    }
}

/// Norms over the last dimension, which stays with width 1; never quite 0, so that they can divide.
fn norms(x: &Tensor) -> Result<Tensor> {
    x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.maximum(1e-30)
}

/// Rows of unit length; a row of zeros stays one.
pub(in crate::model) fn unit_rows(x: &Tensor) -> Result<Tensor> {
    x.broadcast_div(&norms(x)?)
}

/// A scale that is learned as its logarithm, one number.
pub(in crate::model) fn load_scale(weights: &Weights<'_>, name: &str) -> crate::error::Result<f64> {
    let number = weights.get(name, &[])?.sum_all()?.to_scalar::<f32>()?;
    Ok(f64::from(number).exp())
}

/// `x` `[t, tiles * d]` as `[tiles, t, d]` in rows of unit length, turned where turns are given.
fn unit_heads(x: &Tensor, tiles: usize, turns: Option<&[(f32, f32)]>) -> Result<Tensor> {
    let (t, width) = x.dims2()?;
    let d = width / tiles;
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        let split = with_f32(x, |x| kernel::unit_heads(x, [t, tiles, d], turns))?;
        return Tensor::from_vec(split, (tiles, t, d), x.device());
    }
    let split = x.reshape((t, tiles, d))?.transpose(0, 1)?.contiguous()?; // [tiles, t, d]
    let unit = unit_rows(&split)?;
    let Some(turns) = turns else { return Ok(unit) };
    let part = |numbers: Vec<f32>, device: &Device| Tensor::from_vec(numbers, (tiles, t, 1), device);
    let cos = part(turns.iter().map(|turn| turn.0).collect(), x.device())?; // [tiles, t, 1]
    let sin = part(turns.iter().map(|turn| turn.1).collect(), x.device())?; // [tiles, t, 1]
    let (a, b) = (unit.narrow(2, 0, 1)?, unit.narrow(2, 1, 1)?); // [tiles, t, 1]
    let turned = [((&a * &cos)? - (&b * &sin)?)?, ((a * sin)? + (b * cos)?)?, unit.narrow(2, 2, d - 2)?];
    Tensor::cat(&turned, 2)
}

/// Cosine and sine of each tile and row, `[tiles, rows]`; nothing where no tile has positions.
fn turns(
    spec: &ScreeningSpec,
    screens: &[Screen],
    first_position: usize,
    rows: usize,
) -> Option<Vec<(f32, f32)>> {
    if screens.iter().all(|screen| !spec.has_positions(screen.window)) {
        return None;
    }
    let turn = |screen: &Screen, position| {
        if !spec.has_positions(screen.window) {
            return (1.0, 0.0);
        }
        let (sin, cos) = spec.angle(screen.window, position).sin_cos();
        (cos as f32, sin as f32)
    };
    let positions = first_position..first_position + rows;
    let of_tile = |screen| positions.clone().map(move |position| turn(screen, position));
    Some(screens.iter().flat_map(of_tile).collect())
}
