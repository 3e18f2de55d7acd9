//! Softmax with a sink of logit 0: `exp(z_j) / (1 + sum_k exp(z_k))`. A head whose scores are all low attends
//! to nothing.

use super::{AttentionVariant, VariantInputs};
use crate::error::Result;

const NAME: &str = "softmax1";

struct Softmax1 {
    sinks: Vec<f32>, // [heads]
    description: String,
}

pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale(NAME)?;
    let description = inputs.describe(NAME, "zero-shot swap, m = 1 and a sink of logit 0");
    Ok(Box::new(Softmax1 { sinks: vec![0.0; inputs.heads], description }))
}

impl AttentionVariant for Softmax1 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn sinks(&self, _layer: usize) -> Option<&[f32]> {
        Some(&self.sinks)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::super::tests::{build, inputs, layers};
    use super::*;
    use crate::attention::{AttentionContext, AttentionRows, Cached, Window, attend, record};

    #[test]
    fn scores_of_zero_share_with_one_key_more_than_there_are() {
        let layers = layers();
        let variant = build(NAME, &inputs(&layers)).unwrap();
        assert_eq!(variant.description(), "zero-shot swap, m = 1 and a sink of logit 0");
        let zeros = Tensor::zeros((2, 1, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        let keys = Tensor::zeros((1, 3, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        let values = Tensor::ones((1, 3, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        let cached = Cached::Tensors { keys, values, in_parts: false };
        let context = AttentionContext {
            layer: 0,
            first_position: 2,
            scale: 0.5,
            window: Window::Full,
            softcap: None,
            bias: None,
            blocked: &[],
            variant: variant.as_ref(),
            multipliers: None,
        };
        let mixed =
            attend(&zeros, &cached, context).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(mixed, [0.75; 8]);
        let mut rows = AttentionRows::new(vec![0], 2, 2..3, 3);
        record(&zeros, &cached, context, &mut rows).unwrap();
        assert_eq!(rows.weights(), [0.25; 6]);
    }
}
