//! The layers every decoder is made of besides its linear maps: normalisations and activations.

use candle_core::cpu::erf::erf_f32;
use candle_core::{DType, Result, Tensor};

use crate::attention::with_f32;
use crate::kernel::{self, Gate};
use crate::spec::{Activation, NormKind};

/// Whether our own kernels read this tensor: f32 on the CPU.
fn is_plain(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// A gate with an activation of one number.
fn gate_by(gate: &mut [f32], up: &[f32], act: impl Fn(f32) -> f32) {
    gate.iter_mut().zip(up).for_each(|(x, up)| *x = act(*x) * up);
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// `max(x, 0)`; NaN stays NaN, so that it is noticed.
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// A gate with `gelu(x) = x / 2 (1 + erf(x / sqrt(2)))`.
fn gelu_gate(gate: &mut [f32], up: &[f32]) {
    for (x, up) in gate.iter_mut().zip(up) {
        *x = *x * 0.5 * (1.0 + erf_f32(*x * std::f32::consts::FRAC_1_SQRT_2)) * up;
    }
}

/// A tensor of the shape of `x`, computed from the numbers of both, which are f32 on the CPU. Inference only:
/// it has no backward pass.
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
    /// `weight` and `bias` are the stored tensors, the weight of ones where a kind has none; a bias is used
    /// by the kinds that have one alone.
    pub(crate) fn new(kind: NormKind, weight: Tensor, bias: Option<Tensor>, eps: f64) -> Result<Self> {
        Ok(match kind {
            NormKind::Rms | NormKind::RmsWithoutWeight => Self { weight, bias: None, eps },
            NormKind::RmsPlusOne => Self { weight: (weight + 1.0)?, bias: None, eps },
            NormKind::Layer | NormKind::LayerWithoutWeight => {
                Self { bias: Some(weight.zeros_like()?), weight, eps }
            }
            NormKind::LayerWithBias => {
                Self { bias: Some(bias.map_or_else(|| weight.zeros_like(), Ok)?), weight, eps }
            }
            NormKind::LayerPlusOneWithBias => {
                return Self::new(NormKind::LayerWithBias, (weight + 1.0)?, bias, eps);
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
            Self::QuickGelu => |gate, up| gate_by(gate, up, |x| x * sigmoid(1.702 * x)),
            Self::Relu => |gate, up| gate_by(gate, up, relu),
            Self::Relu2 => |gate, up| gate_by(gate, up, |x| relu(x) * relu(x)),
            Self::Relu6 => |gate, up| gate_by(gate, up, |x| if x > 6.0 { 6.0 } else { relu(x) }),
            Self::LeakyRelu => |gate, up| gate_by(gate, up, |x| if x < 0.0 { 0.01 * x } else { x }),
            Self::Sigmoid => |gate, up| gate_by(gate, up, sigmoid),
            Self::Tanh => |gate, up| gate_by(gate, up, f32::tanh),
            Self::Mish => |gate, up| {
                // ln(1 + e^x) without overflow.
                let softplus = |x: f32| relu(x) + (-x.abs()).exp().ln_1p();
                gate_by(gate, up, |x| x * softplus(x).tanh());
            },
            Self::Linear => |gate, up| gate_by(gate, up, |x| x),
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
        let sigmoid = candle_nn::ops::sigmoid;
        match self {
            Self::Silu => x.silu(),
            Self::Gelu => x.gelu_erf(),
            Self::GeluTanh => x.gelu(),
            Self::QuickGelu => x * sigmoid(&(x * 1.702)?)?,
            Self::Relu => x.relu(),
            Self::Relu2 => x.relu()?.sqr(),
            Self::Relu6 => x.clamp(0f32, 6f32),
            Self::LeakyRelu => candle_nn::ops::leaky_relu(x, 0.01),
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => x.tanh(),
            Self::Mish => x * (x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?)?.tanh()?,
            Self::Linear => Ok(x.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn every_activation_is_the_same_alone_and_as_a_gate() {
        let numbers: Vec<f32> = (-80..=80).map(|x| x as f32 * 0.1).collect();
        let x = Tensor::new(&numbers[..], &Device::Cpu).unwrap();
        for (act, at_minus_one, at_seven) in [
            (Activation::Silu, -0.268_941_4, 6.993_623),
            (Activation::Gelu, -0.158_655_26, 7.0),
            (Activation::GeluTanh, -0.158_808, 7.0),
            (Activation::QuickGelu, -0.154_194_03, 6.999_953_3),
            (Activation::Relu, 0.0, 7.0),
            (Activation::Relu2, 0.0, 49.0),
            (Activation::Relu6, 0.0, 6.0),
            (Activation::LeakyRelu, -0.01, 7.0),
            (Activation::Sigmoid, 0.268_941_4, 0.999_088_9),
            (Activation::Tanh, -0.761_594_2, 0.999_998_3),
            (Activation::Mish, -0.303_401_5, 6.999_988_4),
            (Activation::Linear, -1.0, 7.0),
        ] {
            let alone = act.forward(&x).unwrap().to_vec1::<f32>().unwrap();
            let mut gated = numbers.clone();
            (act.kernel())(&mut gated, &vec![1.0; numbers.len()]);
            for (x, (alone, gated)) in numbers.iter().zip(alone.iter().zip(&gated)) {
                assert!(
                    (alone - gated).abs() <= 2e-6 * (1.0 + alone.abs()),
                    "{act:?}({x}): {alone}, {gated}"
                );
            }
            for (place, expected) in [(70, at_minus_one), (150, at_seven)] {
                let off: f32 = alone[place] - expected;
                assert!(off.abs() < 2e-5, "{act:?}({}): {}", numbers[place], alone[place]);
            }
        }
    }
}
