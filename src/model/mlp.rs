//! The MLP of a block.

use candle_core::{D, Result, Tensor};

use super::linear::{self, Input, Linear, PackedMlp};
use super::spent::Spent;
use crate::spec::Dtype;
use crate::spec::{Activation, MlpKind};
use crate::weights::{Matrix, Weights};

/// `down(act(gate x) * up x)`, or `down(act(up x))` without a gate, `act` one that a layer has learned or
/// not.
#[derive(Debug)]
pub(super) enum Mlp {
    Gated {
        gate_proj: Linear,
        up_proj: Linear,
        down_proj: Linear,
    },
    /// Gates below `mean + deviations * deviation` of their row are cut off.
    Sparse {
        gate_proj: Linear,
        up_proj: Linear,
        down_proj: Linear,
        deviations: f64,
    },
    Packed(PackedMlp),
    Plain {
        up_proj: Linear,
        down_proj: Linear,
    },
    Xielu {
        up_proj: Linear,
        act: Xielu,
        down_proj: Linear,
    },
}

/// xIELU with the numbers of a layer ([`MlpKind::Xielu`]).
#[derive(Debug, Clone, Copy)]
pub(super) struct Xielu {
    positive: f64,
    negative: f64,
    beta: f64,
    eps: f64,
}

impl Xielu {
    fn load(weights: &Weights<'_>) -> crate::error::Result<Self> {
        let number = |name, shape: &[usize]| -> crate::error::Result<f64> {
            Ok(f64::from(weights.get(name, shape)?.flatten_all()?.to_vec1::<f32>()?[0]))
        };
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        let beta = number("beta", &[])?;
        Ok(Self {
            positive: softplus(number("alpha_p", &[1])?),
            negative: beta + softplus(number("alpha_n", &[1])?),
            beta,
            eps: number("eps", &[])?,
        })
    }

    /// `x` `[t, inner]` to the same shape.
    fn forward(self, x: &Tensor) -> Result<Tensor> {
        let Self { positive, negative, beta, eps } = self;
        let of_one = |x: f32| {
            let x = f64::from(x);
            let curved = if x > 0.0 { positive * x * x } else { (x.min(eps).exp_m1() - x) * negative };
            (curved + beta * x) as f32
        };
        let numbers = x.flatten_all()?.to_vec1::<f32>()?.into_iter().map(of_one).collect::<Vec<_>>();
        Tensor::from_vec(numbers, x.shape(), x.device())
    }
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
        let matrix = |name, shape| weights.pp(name).matrix("weight", shape);
        Ok(match kind {
            MlpKind::Gated if !with_bias => {
                let gate = matrix("gate_proj", [inner, hidden])?;
                let up = matrix("up_proj", [inner, hidden])?;
                Self::gated(&[gate, up, matrix("down_proj", [hidden, inner])?], weights.dtype())?
            }
            MlpKind::Gated => Self::Gated {
                gate_proj: linear("gate_proj", [inner, hidden])?,
                up_proj: linear("up_proj", [inner, hidden])?,
                down_proj: linear("down_proj", [hidden, inner])?,
            },
            MlpKind::Plain => Self::Plain {
                up_proj: linear("up_proj", [inner, hidden])?,
                down_proj: linear("down_proj", [hidden, inner])?,
            },
            MlpKind::Xielu => Self::Xielu {
                up_proj: linear("up_proj", [inner, hidden])?,
                act: Xielu::load(&weights.pp("act_fn"))?,
                down_proj: linear("down_proj", [hidden, inner])?,
            },
        })
    }

    /// The gated MLP stored here, which cuts off this share of normally distributed gates.
    pub(super) fn sparse(
        weights: &Weights<'_>,
        hidden: usize,
        inner: usize,
        share: f64,
    ) -> crate::error::Result<Self> {
        let linear = |name, shape| Linear::load(&weights.pp(name), shape, false);
        Ok(Self::Sparse {
            gate_proj: linear("gate_proj", [inner, hidden])?,
            up_proj: linear("up_proj", [inner, hidden])?,
            down_proj: linear("down_proj", [hidden, inner])?,
            deviations: 2f64.sqrt() * candle_core::cpu::erf::erf_inv(2.0 * share - 1.0),
        })
    }

    /// A gated MLP of these matrices: the gate and up projections `[inner, hidden]` and the down projection
    /// `[hidden, inner]`.
    pub(super) fn gated(matrices: &[Matrix; 3], dtype: Dtype) -> Result<Self> {
        let [gate, up, down] = matrices;
        if dtype == Dtype::Bf16 && gate.is_on_cpu() {
            return Ok(Self::Packed(PackedMlp::new(matrices)?));
        }
        let linear = |weight| Linear::of(weight, None, dtype);
        Ok(Self::Gated { gate_proj: linear(gate)?, up_proj: linear(up)?, down_proj: linear(down)? })
    }

    /// `x` `[t, hidden]` to `[t, hidden]`.
    pub(super) fn forward(&self, act: Activation, x: &Tensor, spent: &mut Spent) -> Result<Tensor> {
        match self {
            Self::Gated { gate_proj, up_proj, down_proj } => {
                let gated = match spent.on_linear(|| linear::gated(gate_proj, up_proj, act, x))? {
                    Some(gated) => gated,
                    None => {
                        let gate = spent.on_linear(|| gate_proj.forward(x))?; // [t, inner]
                        let up = spent.on_linear(|| up_proj.forward(x))?; // [t, inner]
                        act.gate(&gate, &up)?
                    }
                }; // [t, inner]
                spent.on_linear(|| down_proj.forward(&gated))
            }
            Self::Sparse { gate_proj, up_proj, down_proj, deviations } => {
                let gate = spent.on_linear(|| gate_proj.forward(x))?; // [t, inner]
                let up = spent.on_linear(|| up_proj.forward(x))?; // [t, inner]
                let mean = gate.mean_keepdim(D::Minus1)?; // [t, 1]
                let beside = gate.broadcast_sub(&mean)?; // [t, inner]
                let deviation = beside.sqr()?.mean_keepdim(D::Minus1)?.sqrt()?; // [t, 1]
                let kept = beside.broadcast_sub(&(deviation * *deviations)?)?.relu()?; // [t, inner]
                let gated = act.gate(&kept, &up)?; // [t, inner]
                spent.on_linear(|| down_proj.forward(&gated))
            }
            Self::Packed(packed) => spent.on_linear(|| packed.forward(act, &Input::new(x)?)),
            Self::Plain { up_proj, down_proj } => {
                let inner = act.forward(&spent.on_linear(|| up_proj.forward(x))?)?; // [t, inner]
                spent.on_linear(|| down_proj.forward(&inner))
            }
            Self::Xielu { up_proj, act, down_proj } => {
                let inner = act.forward(&spent.on_linear(|| up_proj.forward(x))?)?; // [t, inner]
                spent.on_linear(|| down_proj.forward(&inner))
            }
        }
    }
}
