//! The layers every decoder is made of besides its linear maps: normalisations and activations.

use candle_core::cpu::erf::erf_f32;
use candle_core::{DType, Result, Tensor};

use super::spec::{Activation, NormKind};
use crate::attention::with_f32;
use crate::kernel::{self, Gate};

/// Whether our own kernels read this tensor: f32 on the CPU.
fn is_plain(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// A gate with `gelu(x) = x / 2 (1 + erf(x / sqrt(2)))`.
fn gelu_gate(gate: &mut [f32], up: &[f32]) {
    for (x, up) in gate.iter_mut().zip(up) {
        *x = *x * 0.5 * (1.0 + erf_f32(*x * std::f32::consts::FRAC_1_SQRT_2)) * up;
    }
}

/// A tensor of the shape of `x`, computed from the numbers of both, which are f32 on the CPU. Inference only: it has no
/// backward pass.
fn computed(x: &Tensor, y: &Tensor, compute: impl FnOnce(&[f32], &[f32]) -> Vec<f32>) -> Result<Tensor> {
    let numbers = with_f32(x, |x| with_f32(y, |y| compute(x, y)))??;
    Tensor::from_vec(numbers, x.shape(), x.device())
}

/// `x + y` of equal shapes.
pub(super) fn sum(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    if is_plain(x) { computed(x, y, kernel::sum) } else { x + y }
}

/// A normalisation over the last dimension (see [`NormKind`]).
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    weight: Tensor,       // [width]
    bias: Option<Tensor>, // [width]; a LayerNorm has one, if only of zeros
    eps: f64,
}

impl Norm {
    /// `weight` and `bias` are the stored tensors; a bias is used by [`NormKind::LayerWithBias`] alone.
    pub(crate) fn new(kind: NormKind, weight: Tensor, bias: Option<Tensor>, eps: f64) -> Result<Self> {
        Ok(match kind {
            NormKind::Rms => Self { weight, bias: None, eps },
            NormKind::RmsPlusOne => Self { weight: (weight + 1.0)?, bias: None, eps },
            NormKind::Layer => Self { bias: Some(weight.zeros_like()?), weight, eps },
            NormKind::LayerWithBias => {
                Self { bias: Some(bias.map_or_else(|| weight.zeros_like(), Ok)?), weight, eps }
            }
        })
    }

    /// `x` `[.., width]` to the same shape.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.contiguous()?;
        match &self.bias {
            None if is_plain(&x) => {
                computed(&x, &self.weight, |x, weight| kernel::rms_norm(x, weight, self.eps as f32))
            }
            None => candle_nn::ops::rms_norm(&x, &self.weight, self.eps as f32),
            Some(bias) => candle_nn::ops::layer_norm(&x, &self.weight, bias, self.eps as f32),
        }
    }
}

impl Activation {
    /// The kernel that gates with it.
    pub(super) fn kernel(self) -> Gate {
        match self {
            Self::Silu => kernel::silu_gate,
            Self::Gelu => gelu_gate,
            Self::GeluTanh => kernel::gelu_tanh_gate,
        }
    }

    /// `act(gate) * up`.
    pub(crate) fn gate(self, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        if is_plain(gate) {
            computed(gate, up, |gate, up| kernel::gated(self.kernel(), gate, up))
        } else {
            self.forward(gate)? * up
        }
    }

    /// Applies it to every number.
    pub(crate) fn forward(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Silu => x.silu(),
            Self::Gelu => x.gelu_erf(),
            Self::GeluTanh => x.gelu(),
        }
    }
}
