//! Experts, stored one by one or as one stack of all.

use candle_core::{Result, Tensor};

use crate::error;
use crate::model::linear::Linear;
use crate::model::mlp::Mlp;
use crate::model::spent::Spent;
use crate::spec::{Activation, ExpertKind, MlpKind, MoeSpec};
use crate::weights::{Matrix, Weights};

/// One expert (see [`ExpertKind`]).
#[derive(Debug)]
pub(super) enum Expert {
    Mlp(Mlp),
    ClampedSwiglu { gate_proj: Linear, up_proj: Linear, down_proj: Linear, alpha: f64, limit: f64 },
}

impl Expert {
    /// `x` `[t, width]` to `[t, width]`.
    pub(super) fn forward(&self, act: Activation, x: &Tensor, spent: &mut Spent) -> Result<Tensor> {
        match self {
            Self::Mlp(mlp) => mlp.forward(act, x, spent),
            Self::ClampedSwiglu { gate_proj, up_proj, down_proj, alpha, limit } => {
                let gate = spent.on_linear(|| gate_proj.forward(x))?.minimum(*limit)?; // [t, inner]
                let up = spent.on_linear(|| up_proj.forward(x))?.clamp(-*limit, *limit)?; // [t, inner]
                let opened = (&gate * candle_nn::ops::sigmoid(&(&gate * *alpha)?)?)?; // [t, inner]
                let inner = ((up + 1.0)? * opened)?; // [t, inner]
                spent.on_linear(|| down_proj.forward(&inner))
            }
        }
    }
}

/// The experts stored here: those that a router chooses of, then those that it weighs for every token.
pub(super) fn load(moe: MoeSpec, hidden: usize, weights: &Weights<'_>) -> error::Result<Vec<Expert>> {
    let (count, inner) = (moe.num_experts, moe.moe_intermediate_size);
    let width = moe.latent_size.unwrap_or(hidden);
    let places = weights.pp("experts");
    let stack = moe.experts.stack_name();
    let mut experts = if places.contains(stack) {
        unstacked(moe, width, &places)?
    } else {
        (0..count).map(|expert| one(moe, width, &places.pp(expert))).collect::<error::Result<_>>()?
    };
    if moe.weighed_shared() > 0 {
        let (count, places) = (moe.weighed_shared(), weights.pp("shared_experts"));
        let gate = places.get("gate_proj", &[count, inner, hidden])?;
        let up = places.get("up_proj", &[count, inner, hidden])?;
        let down = places.get("down_proj", &[count, hidden, inner])?;
        for expert in 0..count {
            let matrices = [gate.get(expert)?, up.get(expert)?, down.get(expert)?].map(Matrix::Numbers);
            experts.push(Expert::Mlp(Mlp::gated(&matrices, places.dtype())?));
        }
    }
    Ok(experts)
}

/// The expert stored here, from `width` numbers and back.
fn one(moe: MoeSpec, width: usize, weights: &Weights<'_>) -> error::Result<Expert> {
    let inner = moe.moe_intermediate_size;
    Ok(match moe.experts {
        ExpertKind::Gated => Expert::Mlp(Mlp::load(weights, MlpKind::Gated, width, inner, false)?),
        ExpertKind::Plain => Expert::Mlp(Mlp::load(weights, MlpKind::Plain, width, inner, false)?),
        ExpertKind::ClampedSwiglu { alpha, limit } => {
            let linear = |name, shape| Linear::load(&weights.pp(name), shape, true);
            Expert::ClampedSwiglu {
                gate_proj: linear("gate_proj", [inner, width])?,
                up_proj: linear("up_proj", [inner, width])?,
                down_proj: linear("down_proj", [width, inner])?,
                alpha,
                limit,
            }
        }
    })
}

/// All experts of the stacks stored here: `gate_up_proj` `[experts, 2 * inner, width]`, whose first rows are
/// the gates, or `up_proj` `[experts, inner, width]`; `down_proj` `[experts, width, inner]`; and their
/// biases.
fn unstacked(moe: MoeSpec, width: usize, weights: &Weights<'_>) -> error::Result<Vec<Expert>> {
    let (count, inner, dtype) = (moe.num_experts, moe.moe_intermediate_size, weights.dtype());
    let stack = moe.experts.stack_name();
    let rows = if moe.experts == ExpertKind::Plain { inner } else { 2 * inner };
    let into = weights.get(stack, &[count, rows, width])?;
    let down = weights.get("down_proj", &[count, width, inner])?;
    let biases = match moe.experts.has_bias() {
        true => Some([
            weights.get(&format!("{stack}_bias"), &[count, rows])?,
            weights.get("down_proj_bias", &[count, width])?,
        ]),
        false => None,
    };
    let expert = |expert| -> Result<Expert> {
        let (into, down) = (into.get(expert)?, down.get(expert)?); // [rows, width], [width, inner]
        let halves =
            || Ok::<_, candle_core::Error>([into.narrow(0, 0, inner)?, into.narrow(0, inner, inner)?]);
        Ok(match (moe.experts, &biases) {
            (ExpertKind::Plain, _) => Expert::Mlp(Mlp::Plain {
                up_proj: Linear::new(&into, None, dtype)?,
                down_proj: Linear::new(&down, None, dtype)?,
            }),
            (ExpertKind::ClampedSwiglu { alpha, limit }, Some([into_bias, down_bias])) => {
                let [gate, up] = halves()?;
                let bias = into_bias.get(expert)?; // [rows]
                let linear = |weight: &Tensor, bias: Tensor| Linear::new(weight, Some(bias), dtype);
                Expert::ClampedSwiglu {
                    gate_proj: linear(&gate, bias.narrow(0, 0, inner)?)?,
                    up_proj: linear(&up, bias.narrow(0, inner, inner)?)?,
                    down_proj: linear(&down, down_bias.get(expert)?)?,
                    alpha,
                    limit,
                }
            }
            _ => {
                let [gate, up] = halves()?;
                Expert::Mlp(Mlp::gated(&[gate, up, down].map(Matrix::Numbers), dtype)?)
            }
        })
    };
    Ok((0..count).map(expert).collect::<Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::spec::Dtype;

    #[test]
    fn a_clamped_expert_keeps_gates_below_and_up_projections_within_its_limit() {
        let linear = |weight: f32, bias: f32| {
            let weight = Tensor::new(&[[weight]], &Device::Cpu).unwrap();
            Linear::new(&weight, Some(Tensor::new(&[bias], &Device::Cpu).unwrap()), Dtype::F32).unwrap()
        };
        let expert = Expert::ClampedSwiglu {
            gate_proj: linear(1.0, 0.5),
            up_proj: linear(-2.0, 0.0),
            down_proj: linear(3.0, 0.25),
            alpha: 1.702,
            limit: 2.0,
        };
        let x = Tensor::new(&[[0.5f32], [9.0], [-9.0]], &Device::Cpu).unwrap(); // [3, 1]
        let found = expert.forward(Activation::Silu, &x, &mut Spent::default()).unwrap();
        let opened = |gate: f64| gate / (1.0 + (-1.702 * gate).exp());
        let expected = [
            3.0 * (1.0 - 1.0) * opened(1.0) + 0.25,
            3.0 * (1.0 - 2.0) * opened(2.0) + 0.25,
            3.0 * (1.0 + 2.0) * opened(-8.5) + 0.25,
        ];
        for (found, expected) in
            found.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap().iter().zip(expected)
        {
            assert!((found[0] - expected).abs() < 1e-5, "{} instead of {expected}", found[0]);
        }
    }
}
