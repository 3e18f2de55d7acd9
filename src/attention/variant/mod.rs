//! Variants of the Softmax family: a per-row factor on the scores.
//!
//! All are `softmax_j( m(i) * q_i·k_j / sqrt(d) )` with a multiplier `m` for query head `h` and row `i` (from
//! 0), which sees `n` keys:
//!
//! | name | m(i) | |
//! |---|---|---|
//! | `softmax` | 1 | |
//! | `ssmax` | `s_h ln n` | arXiv 2501.19399 |
//! | `ssmax-bias` | `s_h ln n + b_h` | |
//! | `ssmax-fixed` | `ln n` | |
//! | `softmax-scale` | `s_h` | a learned constant: all of `ssmax` but `ln n` |
//! | `logn` | `max(1, ln n / ln L)` | Qwen, `L` its training length |
//! | `temperature` | `1 + a ln(1 + floor((i + 1) / f))` | Llama 4, layers without rotary positions |
//! | | `1 + b ln(1 + floor(i / L))` | Ministral 3, `L` its context before scaling |
//! | `adaptive` | `p_n + b_h` | one learned `p` for each `n`, so no longer than it was trained |
//! | `sink` | 1 | with a learned sink `c_h` in the normaliser: `exp(z_j) / (exp(c_h) + sum_k exp(z_k))` |
//! | `softmax1` | 1 | with a sink of logit 0 in the normaliser: `exp(z_j) / (1 + sum_k exp(z_k))` |
//!
//! and one beside it, `screening`, which normalises nothing and has no scores to multiply: Multiscreen's
//! ([`super::screening`]).
//!
//! `n` is counted per row, never the length of the sequence. The factor goes on the query behind norms and
//! rotary positions; `1 / sqrt(d)`, or what a family has in its place, stays. One variant is one file and one
//! line of [`VARIANTS`].
//!
//! With all scores -2 but one +3 and s = 0.43, the largest weight over n = 1000 keys is 0.129346 under
//! Softmax and 0.999646 under SSMax:
//! ```
//! let weight = |m: f64, n: f64| 1.0 / (1.0 + (n - 1.0) * (-5.0 * m).exp());
//! assert!((weight(1.0, 1000.0) - 0.129346).abs() < 1e-6);
//! assert!((weight(0.43 * 1000f64.ln(), 1000.0) - 0.999646).abs() < 1e-6);
//! ```

mod adaptive;
mod logn;
mod own;
mod screening;
mod sink;
mod softmax;
mod softmax1;
mod softmax_scale;
mod ssmax;
mod swap;
mod temperature;

pub use adaptive::Adaptive;
pub use own::{LayerScale, OwnVariant};
use ssmax::describe_learned;
pub use ssmax::describe_scales;
pub use swap::{swap_scale, swapped_layers};
pub use temperature::Temperature;

use super::screening::Screen;
use crate::error::{Error, Result};
use crate::registry::Entry;
use crate::spec::LayerSpec;
use crate::spec::ScreeningSpec;

/// A rule that turns scores into weights.
pub trait AttentionVariant: Send + Sync {
    /// Its name in the table.
    fn name(&self) -> &'static str;

    /// One sentence for the report: which scale, where it comes from, and what of the checkpoint is left
    /// aside for it.
    fn description(&self) -> String;

    /// The most keys that a row may see, when there is a limit to what the rule is known for.
    fn longest(&self) -> Option<usize> {
        None
    }

    /// The multiplier `m` of each query head and row, `[heads][rows]`, or `[1][rows]` for all heads alike.
    /// `None` stands for 1 everywhere.
    fn multipliers(&self, _layer: usize, _rows: &[QueryRow]) -> Option<Vec<Vec<f32>>> {
        None
    }

    /// The `s` of each query head, `[heads]`, of a rule `m = s ln n + b`: its largest weight goes to 1 as `n`
    /// grows where the largest score lies more than `1 / s` above the next, and to 0 where it lies less.
    fn log_scales(&self, _layer: usize) -> Option<&[f32]> {
        None
    }

    /// The logit of the sink of each query head, `[heads]`: `exp` of it stands in the normaliser beside those
    /// of the keys, and its weight goes to no value. `None` without sinks.
    fn sinks(&self, _layer: usize) -> Option<&[f32]> {
        None
    }

    /// The screens of a layer's tiles as they were learned, of the rule that screens.
    fn screens(&self, _layer: usize) -> Option<&[Screen]> {
        None
    }
}

/// What a variant knows of a row of queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryRow {
    /// Its absolute position `i`, from 0.
    pub position: usize,
    /// The number `n` of keys that it sees.
    pub visible: usize,
}

/// What a variant is built from.
#[derive(Debug, Clone, Copy, Default)]
pub struct VariantInputs<'a> {
    /// Windows and positions of the layers.
    pub layers: &'a [LayerSpec],
    /// Query heads of a layer.
    pub heads: usize,
    /// The rule that the checkpoint was made with; `None` stands for Softmax.
    pub own: Option<&'a OwnVariant>,
    /// `--ssmax-scale`: one `s` for all heads.
    pub scale_override: Option<f64>,
    /// Length the weights were trained on.
    pub training_length: Option<usize>,
    /// What screening tiles are made of, where a checkpoint has them.
    pub screening: Option<&'a ScreeningSpec>,
}

impl<'a> VariantInputs<'a> {
    /// The checkpoint's own rule, when it is one of these.
    fn own_if(&self, names: &[&str]) -> Option<&'a OwnVariant> {
        self.own.filter(|own| names.contains(&own.name))
    }

    /// Which layers variant `name` is for: those of the checkpoint's own rule, and [`swapped_layers`] at a
    /// zero-shot swap.
    fn follows(&self, name: &str) -> Result<Vec<bool>> {
        match self.own_if(&[name]) {
            Some(own) => Ok(own.layers.clone()),
            None => swapped_layers(name, self.layers, self.training_length),
        }
    }

    /// ` on layers 1, 3 of 4 (the others: plain softmax)`, or nothing when a rule is for every layer; layers
    /// that do not attend have none.
    fn on_layers(&self, follows: &[bool]) -> String {
        let attends = |layer: &usize| self.layers.get(*layer).is_none_or(|layer| layer.mixer.is_attention());
        let attending: Vec<usize> = (0..follows.len()).filter(attends).collect();
        let listed: Vec<_> =
            attending.iter().filter(|&&layer| follows[layer]).map(ToString::to_string).collect();
        let of = match attending.len() {
            all if all == follows.len() => all.to_string(),
            some => format!("the {some} that attend"),
        };
        match listed.len() {
            0 => " on no layer (all are plain softmax)".to_string(),
            n if n == attending.len() => String::new(),
            _ => format!(" on layers {} of {of} (the others: plain softmax)", listed.join(", ")),
        }
    }

    /// `rule`, and behind it what of the checkpoint's own rule is not used under `--variant name`.
    fn describe(&self, name: &str, rule: &str) -> String {
        // Of a rule that is sinks alone, one that keeps them leaves nothing aside.
        let kept = |own: &&OwnVariant| own.name == "sink" && !["softmax", "softmax1"].contains(&name);
        let own = self.own.filter(|own| own.name != name && own.name != "softmax" && !kept(own));
        let Some(own) = own else { return rule.to_string() };
        let unused = match own.scales {
            Some(_) if name == "ssmax" && own.name == "ssmax-bias" => {
                "the learned bias of this checkpoint is".to_string()
            }
            Some(_) => format!("the learned {} scales of this checkpoint are", own.name),
            None => format!("this checkpoint's own rule, {}, is", own.name),
        };
        format!("{rule}, by --variant {name}: {unused} not used")
    }

    /// Refuses `--ssmax-scale` beside a variant `name` that has no `s`.
    fn refuse_scale(&self, name: &str) -> Result<()> {
        match self.scale_override {
            None => Ok(()),
            Some(s) => Err(Error::invalid(
                "ssmax scale",
                s,
                format!(
                    "`variant` ssmax, ssmax-bias or softmax-scale beside it: {name} has no scale to replace"
                ),
            )),
        }
    }
}

type Build = fn(&VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>>;

/// Every variant that can be named with `--variant`.
pub const VARIANTS: &[Entry<Build>] = &[
    Entry { name: "softmax", about: "plain softmax: m = 1", value: softmax::build },
    Entry {
        name: "ssmax",
        about: "Scalable-Softmax: m = s ln n, s per layer and head (zero-shot swap without learned s)",
        value: |inputs| Ok(sink::keeping(inputs, ssmax::learned(inputs)?)),
    },
    Entry {
        name: "ssmax-fixed",
        about: "Scalable-Softmax without the scaling parameter: m = ln n",
        value: |inputs| Ok(sink::keeping(inputs, ssmax::fixed(inputs)?)),
    },
    Entry {
        name: "ssmax-bias",
        about: "Scalable-Softmax with a learned bias: m = s ln n + b",
        value: |inputs| Ok(sink::keeping(inputs, ssmax::biased(inputs)?)),
    },
    Entry {
        name: "softmax-scale",
        about: "softmax with a learned sharpness: m = s per layer and head, the control of ssmax",
        value: |inputs| Ok(sink::keeping(inputs, softmax_scale::build(inputs)?)),
    },
    Entry {
        name: "sink",
        about: "softmax with a learned sink per layer and head, as gpt-oss has: exp(z) / (exp(c) + sum)",
        value: sink::build,
    },
    Entry {
        name: "softmax1",
        about: "softmax with a sink: exp(z) / (1 + sum), so that a head may attend to nothing (zero-shot \
                swap)",
        value: softmax1::build,
    },
    Entry {
        name: "logn",
        about: "Qwen's log-n scaling: m = max(1, ln n / ln L), L the training length",
        value: |inputs| Ok(sink::keeping(inputs, logn::build(inputs)?)),
    },
    Entry {
        name: "temperature",
        about: "Llama 4's and Ministral 3's scaling: m = 1 + a ln(1 + floor(i / L))",
        value: |inputs| Ok(sink::keeping(inputs, temperature::build(inputs)?)),
    },
    Entry {
        name: "adaptive",
        about: "m = p_n + b, learned for each n: niah train's checkpoints, up to their training length",
        value: |inputs| Ok(sink::keeping(inputs, adaptive::build(inputs)?)),
    },
    Entry {
        name: "screening",
        about: "Multiscreen's: each key passes a tile's screen or is dropped, by itself; nothing is \
                normalised",
        value: screening::build,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Two layers, the first without rotary positions.
    pub(super) fn layers() -> Vec<LayerSpec> {
        use crate::spec::{RopeScaling, RopeSpec};
        let rope =
            RopeSpec { theta: 1e4, scaling: RopeScaling::Default, original_max_position_embeddings: None };
        [None, Some(rope)].map(|rope| LayerSpec { rope, ..LayerSpec::default() }).to_vec()
    }

    /// Two heads, trained on 1,024 tokens.
    pub(super) fn inputs(layers: &[LayerSpec]) -> VariantInputs<'_> {
        VariantInputs { layers, heads: 2, training_length: Some(1024), ..VariantInputs::default() }
    }

    pub(super) fn rows(counts: &[usize]) -> Vec<QueryRow> {
        counts.iter().map(|&n| QueryRow { position: n - 1, visible: n }).collect()
    }

    pub(super) fn own(name: &'static str) -> OwnVariant {
        let scale = LayerScale { scale: vec![0.5, 0.25], bias: Some(vec![1.0, 2.0]) };
        OwnVariant {
            name,
            layers: vec![true, true],
            scales: name.starts_with("ssmax").then(|| vec![Some(scale.clone()), Some(scale)]),
            logn_length: None,
            temperature: None,
            adaptive: None,
            sinks: None,
            screens: None,
        }
    }

    pub(super) fn build(name: &str, inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
        (crate::registry::find("variant", VARIANTS, name)?.value)(inputs)
    }

    #[test]
    fn every_variant_of_the_table_knows_its_own_name() {
        let (layers, own) = (layers(), own("ssmax-bias"));
        let inputs = VariantInputs { own: Some(&own), ..inputs(&layers) };
        let adaptive = Adaptive { sizes: vec![1.0], biases: vec![Some(vec![0.0]); 2] };
        let adaptive = OwnVariant { adaptive: Some(adaptive), ..OwnVariant::softmax(2) };
        let adaptive = OwnVariant { name: "adaptive", ..adaptive };
        let sinks = Some(vec![Some(vec![0.0; 2]); 2]);
        let sinks = OwnVariant { name: "sink", sinks, ..OwnVariant::softmax(2) };
        let constant = OwnVariant { name: "softmax-scale", ..own.clone() };
        // What screening needs besides is tested beside it.
        for entry in VARIANTS.iter().filter(|entry| entry.name != "screening") {
            let own = match entry.name {
                "adaptive" => &adaptive,
                "sink" => &sinks,
                "softmax-scale" => &constant,
                _ => &own,
            };
            let inputs = VariantInputs { own: Some(own), ..inputs };
            assert_eq!((entry.value)(&inputs).unwrap().name(), entry.name);
        }
    }

    #[test]
    fn a_rule_that_is_left_aside_is_named() {
        let layers = layers();
        for (own_name, name, words) in [
            (
                "ssmax",
                "softmax",
                "m = 1, by --variant softmax: the learned ssmax scales of this checkpoint are not used",
            ),
            ("ssmax-bias", "ssmax", "by --variant ssmax: the learned bias of this checkpoint is not used"),
            (
                "temperature",
                "ssmax",
                "by --variant ssmax: this checkpoint's own rule, temperature, is not used",
            ),
            ("logn", "softmax", "by --variant softmax: this checkpoint's own rule, logn, is not used"),
            (
                "ssmax",
                "ssmax-fixed",
                "by --variant ssmax-fixed: the learned ssmax scales of this checkpoint are not used",
            ),
        ] {
            let own = own(own_name);
            let inputs = VariantInputs { own: Some(&own), ..inputs(&layers) };
            let description = build(name, &inputs).unwrap().description();
            assert!(description.ends_with(words), "{description}");
        }
    }

    #[test]
    fn a_scale_is_refused_where_there_is_none_to_replace() {
        let layers = layers();
        let inputs = VariantInputs { scale_override: Some(0.2), ..inputs(&layers) };
        for name in ["softmax", "ssmax-fixed", "logn", "temperature"] {
            let error = build(name, &inputs).err().unwrap().to_string();
            assert!(error.contains("ssmax scale") && error.contains(name), "{error}");
        }
        assert!(build("ssmax", &inputs).is_ok());
    }
}
