//! Scale-invariant attention: `softmax(a_t z + m_t)` by the distance `t` of a key, with
//! `a_t^2 = 2 ln(t / tau + 1) + 1` and `m_t = 1 - a_t^2 = -2 ln(t / tau + 1)` (arXiv 2505.17083, whose
//! boundary conditions are `a_0 = 1` and `m_0 = 0`; `tau` = 10, the best that it found).
//!
//! For scores that are standard normal, `E exp(a_t z + m_t) = exp(m_t + a_t^2 / 2) = sqrt(e) / (t / tau +
//! 1)`: ten tokens back, a hundred and a thousand weigh the same in all, and the further ones are spread over
//! fewer keys. The paper trains with it, and with rotary positions whose low frequencies are left out; on
//! other checkpoints it is a probe.
//!
//! ```
//! let (tau, t) = (10.0, 90.0f64);
//! let a = (2.0 * (t / tau + 1.0).ln() + 1.0).sqrt();
//! let m = 1.0 - a * a;
//! assert!(((m + a * a / 2.0).exp() - 0.5f64.exp() / 10.0).abs() < 1e-12);
//! ```

use super::{AttentionVariant, VariantInputs};
use crate::attention::Distances;
use crate::error::{Error, Result};

const NAME: &str = "scale-invariant";

/// The distance from which on scores are changed by more than a little.
const TAU: f64 = 10.0;

struct ScaleInvariant {
    follows: Vec<bool>,
    description: String,
}

/// On every layer.
pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale(NAME)?;
    if inputs.layers.iter().any(|layer| layer.latent.is_some_and(|latent| latent.indexer.is_some())) {
        let expected = "a checkpoint whose rows see all keys of a window: this one chooses keys, and how far \
                        they stand is not kept; `variant` ssmax and topk run";
        return Err(Error::invalid("variant", NAME, expected));
    }
    let follows = inputs.follows_everywhere(NAME);
    let rule = format!(
        "{}a_t z + m_t by the distance t, a_t^2 = 2 ln(t / {TAU} + 1) + 1, m_t = 1 - a_t^2{}",
        inputs.swap(NAME),
        inputs.on_layers(&follows)
    );
    Ok(Box::new(ScaleInvariant { description: inputs.describe(NAME, &rule), follows }))
}

impl AttentionVariant for ScaleInvariant {
    fn name(&self) -> &str {
        NAME
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn distances(&self, layer: usize, longest: usize) -> Option<Distances> {
        let at = |t: usize| {
            let squared = 2.0 * (t as f64 / TAU).ln_1p() + 1.0;
            (squared.sqrt(), 1.0 - squared)
        };
        self.follows[layer].then(|| Distances::new(longest, at))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{build, inputs, layers};
    use super::*;
    use crate::spec::{IndexerSpec, LatentSpec};

    #[test]
    fn a_key_at_hand_is_left_alone_and_a_far_one_is_sharper_and_lower() {
        let layers = layers();
        let variant = build(NAME, &inputs(&layers)).unwrap();
        let distances = variant.distances(1, 100).unwrap();
        assert_eq!(distances.at(0), (1.0, 0.0));
        // 2 ln 2 + 1 at t = tau.
        let (a, m) = distances.at(10);
        assert!((a * a - 2.386_294_4).abs() < 1e-5 && (m + 1.386_294_4).abs() < 1e-6, "{a} {m}");
    }

    #[test]
    fn rows_that_choose_their_keys_are_refused() {
        let mut layers = layers();
        let indexer = IndexerSpec { index_n_heads: 2, index_head_dim: 8, index_topk: 16 };
        layers[1].latent = Some(LatentSpec {
            q_lora_rank: None,
            kv_lora_rank: 12,
            qk_nope_head_dim: 8,
            qk_rope_head_dim: 4,
            v_head_dim: 8,
            indexer: Some(indexer),
        });
        let error = build(NAME, &inputs(&layers)).err().unwrap().to_string();
        assert!(error.contains("chooses keys"), "{error}");
    }
}
