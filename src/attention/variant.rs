//! Variants of the Softmax family: a per-row factor on the scores.
//!
//! All are `softmax_j( m(i) * q_i·k_j / sqrt(d) )` with a multiplier `m` for query head `h` and a row that sees `n` keys
//! (arXiv 2501.19399):
//!
//! | name | m(i) |
//! |---|---|
//! | `softmax` | 1 |
//! | `ssmax` | `s_h ln n` |
//! | `ssmax-bias` | `s_h ln n + b_h` |
//! | `ssmax-fixed` | `ln n` |
//!
//! `n` is counted per row, never the length of the sequence.
//!
//! With all scores -2 but one +3 and s = 0.43, the largest weight over n = 1000 keys is 0.129346 under Softmax and
//! 0.999646 under SSMax:
//! ```
//! let weight = |m: f64, n: f64| 1.0 / (1.0 + (n - 1.0) * (-5.0 * m).exp());
//! assert!((weight(1.0, 1000.0) - 0.129346).abs() < 1e-6);
//! assert!((weight(0.43 * 1000f64.ln(), 1000.0) - 0.999646).abs() < 1e-6);
//! ```

use crate::error::{Error, Result};
use crate::registry::Entry;

/// A rule that turns scores into weights.
pub trait AttentionVariant: Send + Sync {
    /// Its name in the table.
    fn name(&self) -> &'static str;

    /// One sentence for the report: which scale, and where it comes from.
    fn description(&self) -> String;

    /// The multiplier `m` of each query head and row, `[heads][rows]`, where `visible[row]` is the number `n` of keys that
    /// the row sees. `None` stands for 1 everywhere.
    fn multipliers(&self, layer: usize, visible: &[usize]) -> Option<Vec<Vec<f32>>>;
}

/// Scales and biases that a checkpoint has learned, `[layers][query heads]`.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnedScale {
    /// `s`.
    pub scale: Vec<Vec<f32>>,
    /// `b`, when the checkpoint has one.
    pub bias: Option<Vec<Vec<f32>>>,
}

/// What a variant is built from.
#[derive(Debug, Clone, Copy)]
pub struct VariantInputs<'a> {
    /// Number of layers.
    pub layers: usize,
    /// Query heads of a layer.
    pub heads: usize,
    /// What the checkpoint has learned.
    pub learned: Option<&'a LearnedScale>,
    /// `--ssmax-scale`: one `s` for all heads.
    pub scale_override: Option<f64>,
    /// Length the weights were trained on.
    pub training_length: Option<usize>,
}

type Build = fn(&VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>>;

/// Every variant that can be named with `--variant`.
pub const VARIANTS: &[Entry<Build>] = &[
    Entry { name: "softmax", about: "plain softmax: m = 1", value: |_| Ok(Box::new(Softmax)) },
    Entry {
        name: "ssmax",
        about: "Scalable-Softmax: m = s ln n, s per layer and head (zero-shot swap without learned s)",
        value: |inputs| LogScaled::boxed("ssmax", inputs, Bias::None),
    },
    Entry {
        name: "ssmax-fixed",
        about: "Scalable-Softmax without the scaling parameter: m = ln n",
        value: |inputs| {
            Ok(Box::new(LogScaled {
                name: "ssmax-fixed",
                scale: vec![vec![1.0; inputs.heads]; inputs.layers],
                bias: None,
                description: "s = 1 for every head".to_string(),
            }))
        },
    },
    Entry {
        name: "ssmax-bias",
        about: "Scalable-Softmax with a learned bias: m = s ln n + b",
        value: |inputs| LogScaled::boxed("ssmax-bias", inputs, Bias::Learned),
    },
];

/// `1 / mean(ln n, n = 1..=training_length)`: the scale that keeps the average temperature of a Softmax model at a swap.
///
/// ```
/// use niah::attention::variant::swap_scale;
/// assert!((swap_scale(1024) - 0.168471).abs() < 1e-6);
/// ```
#[must_use]
pub fn swap_scale(training_length: usize) -> f64 {
    let n = training_length as f64;
    let total = match training_length {
        ..=1_000_000 => (1..=training_length).map(|n| (n as f64).ln()).sum(),
        // ln n! by Stirling: as exact, and no loop over whatever length a configuration claims.
        _ => n * n.ln() - n + 0.5 * (2.0 * std::f64::consts::PI * n).ln() + 1.0 / (12.0 * n),
    };
    n / total
}

struct Softmax;

impl AttentionVariant for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn description(&self) -> String {
        "m = 1".to_string()
    }

    fn multipliers(&self, _layer: usize, _visible: &[usize]) -> Option<Vec<Vec<f32>>> {
        None
    }
}

/// `m = s_h ln n + b_h`.
struct LogScaled {
    name: &'static str,
    scale: Vec<Vec<f32>>, // [layers][heads]
    bias: Option<Vec<Vec<f32>>>,
    description: String,
}

#[derive(PartialEq)]
enum Bias {
    None,
    Learned,
}

impl LogScaled {
    fn boxed(
        name: &'static str,
        inputs: &VariantInputs<'_>,
        bias: Bias,
    ) -> Result<Box<dyn AttentionVariant>> {
        let learned_bias = inputs.learned.and_then(|learned| learned.bias.clone());
        if bias == Bias::Learned && learned_bias.is_none() {
            return Err(Error::invalid(
                "--variant",
                name,
                "a checkpoint that holds self_attn.ssmax_bias; use --variant ssmax for a zero-shot swap",
            ));
        }
        let uniform = |s: f64| vec![vec![s as f32; inputs.heads]; inputs.layers];
        let (scale, description) = match (inputs.scale_override, inputs.learned, inputs.training_length) {
            (Some(s), ..) => (uniform(s), format!("s = {s} for every head, from --ssmax-scale")),
            (None, Some(learned), _) => (learned.scale.clone(), describe_learned(&learned.scale)),
            (None, None, Some(length)) if length > 1 => {
                let s = swap_scale(length);
                (uniform(s), format!("zero-shot swap, s = {s:.4} from train length {length}"))
            }
            _ => {
                return Err(Error::invalid(
                    "--variant",
                    name,
                    "a checkpoint with learned scales or a training length; give --ssmax-scale, such as 0.17",
                ));
            }
        };
        let bias = if bias == Bias::Learned { learned_bias } else { None };
        Ok(Box::new(Self { name, scale, bias, description }))
    }
}

fn describe_learned(scale: &[Vec<f32>]) -> String {
    let all = || scale.iter().flatten().copied();
    let count = all().count().max(1);
    let mean = all().map(f64::from).sum::<f64>() / count as f64;
    let (low, high) = all().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), s| (l.min(s), h.max(s)));
    format!("s learned per layer and head, mean {mean:.4}, range {low:.4} to {high:.4}")
}

impl AttentionVariant for LogScaled {
    fn name(&self) -> &'static str {
        self.name
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn multipliers(&self, layer: usize, visible: &[usize]) -> Option<Vec<Vec<f32>>> {
        let logs: Vec<f64> = visible.iter().map(|&n| (n as f64).ln()).collect();
        let head_rows = |head: usize| {
            let s = f64::from(self.scale[layer][head]);
            let b = self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[layer][head]));
            logs.iter().map(|log| (s * log + b) as f32).collect()
        };
        Some((0..self.scale[layer].len()).map(head_rows).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(learned: Option<&LearnedScale>) -> VariantInputs<'_> {
        VariantInputs { layers: 1, heads: 2, learned, scale_override: None, training_length: Some(1024) }
    }

    fn build(name: &str, inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
        (crate::registry::find("variant", VARIANTS, name)?.value)(inputs)
    }

    #[test]
    fn every_variant_of_the_table_knows_its_own_name() {
        let learned = LearnedScale { scale: vec![vec![0.5, 0.25]], bias: Some(vec![vec![1.0, 2.0]]) };
        for entry in VARIANTS {
            assert_eq!((entry.value)(&inputs(Some(&learned))).unwrap().name(), entry.name);
        }
    }

    #[test]
    fn multipliers_follow_the_paper() {
        let learned = LearnedScale { scale: vec![vec![0.5, 0.25]], bias: Some(vec![vec![1.0, 2.0]]) };
        let rows = |name: &str| build(name, &inputs(Some(&learned))).unwrap().multipliers(0, &[1, 100]);
        let ln = 100f32.ln();
        assert_eq!(rows("softmax"), None);
        assert_eq!(rows("ssmax"), Some(vec![vec![0.0, 0.5 * ln], vec![0.0, 0.25 * ln]]));
        assert_eq!(rows("ssmax-fixed"), Some(vec![vec![0.0, ln], vec![0.0, ln]]));
        assert_eq!(rows("ssmax-bias"), Some(vec![vec![1.0, 0.5 * ln + 1.0], vec![2.0, 0.25 * ln + 2.0]]));
    }

    #[test]
    fn the_zero_shot_swap_says_so_and_a_bias_is_never_invented() {
        assert_eq!(
            build("ssmax", &inputs(None)).unwrap().description(),
            "zero-shot swap, s = 0.1685 from train length 1024"
        );
        assert!(build("ssmax-bias", &inputs(None)).is_err());
        let unknown = VariantInputs { training_length: None, ..inputs(None) };
        assert!(build("ssmax", &unknown).is_err());
    }
}
