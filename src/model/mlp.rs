//! The MLP of a block.

use candle_core::{Result, Tensor};

use super::dtype::Dtype;
use super::linear::Linear;
use super::spec::{Activation, MlpKind};
use crate::checkpoint::Weights;

/// `down(act(gate x) * up x)`, or `down(act(up x))` without a gate.
#[derive(Debug)]
pub(super) struct Mlp {
    gate_proj: Option<Linear>,
    up_proj: Linear,
    down_proj: Linear,
}

impl Mlp {
    /// The MLP stored here, from `hidden` numbers through `inner` and back.
    pub(super) fn load(
        weights: &Weights<'_>,
        kind: MlpKind,
        hidden: usize,
        inner: usize,
        with_bias: bool,
    ) -> crate::error::Result<Self> {
        let linear = |name, shape| Linear::load(&weights.pp(name), shape, with_bias);
        Ok(Self {
            gate_proj: match kind {
                MlpKind::Gated => Some(linear("gate_proj", [inner, hidden])?),
                MlpKind::Plain => None,
            },
            up_proj: linear("up_proj", [inner, hidden])?,
            down_proj: linear("down_proj", [hidden, inner])?,
        })
    }

    /// A gated MLP of these matrices: `gate` and `up` `[inner, hidden]`, `down` `[hidden, inner]`.
    pub(super) fn gated(gate: &Tensor, up: &Tensor, down: &Tensor, dtype: Dtype) -> Result<Self> {
        let linear = |weight| Linear::new(weight, None, dtype);
        Ok(Self { gate_proj: Some(linear(gate)?), up_proj: linear(up)?, down_proj: linear(down)? })
    }

    /// `x` `[t, hidden]` to `[t, hidden]`.
    pub(super) fn forward(&self, act: Activation, x: &Tensor) -> Result<Tensor> {
        let up = self.up_proj.forward(x)?; // [t, inner]
        let inner = match &self.gate_proj {
            Some(gate_proj) => act.gate(&gate_proj.forward(x)?, &up)?,
            None => act.forward(&up)?,
        }; // [t, inner]
        self.down_proj.forward(&inner)
    }
}
