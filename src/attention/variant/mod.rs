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
//! | `constant` | `c` | the control of every rule in `ln n` |
//! | `log-floor` | `1 + alpha ln(max(n / floor, 1))` | Inkling |
//!
//! Others do more to a row than to multiply its scores: `topk`, `entmax15`, `adaptive-temperature`,
//! `softpick` and `stick-breaking` need them all at once ([`RowRule`]), `scale-invariant` changes each by its
//! distance ([`Distances`]). `asentmax` needs them all and multiplies them by what it reads from the row;
//! `forgetting` adds to each what it reads from the rows in between. And one stands beside them all,
//! `screening`, which normalises nothing and has no scores to multiply: Multiscreen's
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
mod adaptive_temperature;
mod asentmax;
mod constant;
mod entmax15;
mod forgetting;
mod log_floor;
mod logn;
mod own;
mod row_map;
mod scale_invariant;
mod screening;
mod sink;
mod softmax;
mod softmax1;
mod softmax_scale;
mod softpick;
mod ssmax;
mod stick_breaking;
mod swap;
mod temperature;
mod topk;
mod whole_row;

pub use adaptive::Adaptive;
pub use asentmax::{ScaleMaps, entmax_scale, entmax_scale_gradients};
pub use forgetting::{log_gate, log_gate_gradient};
pub use log_floor::LogFloor;
pub use own::{GivenScales, LayerScale, OwnVariant};
pub use row_map::RowMap;
use ssmax::describe_learned;
pub use swap::{swap_scale, swapped_layers};
pub use temperature::Temperature;

use super::screening::Screen;
use super::{Distances, RowRule, TrainedRule};
use crate::error::{Error, Result};
use crate::registry::{self, Entry};
use crate::spec::LayerSpec;
use crate::spec::ScreeningSpec;

/// A rule that turns scores into weights.
pub trait AttentionVariant: Send + Sync {
    /// Its name in the table, and behind it the number it was given, if any: `topk:64`.
    fn name(&self) -> &str;

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

    /// Whether the multipliers of this layer follow from the rows that queries are made of.
    fn reads_rows(&self, _layer: usize) -> bool {
        false
    }

    /// The multipliers of a layer that [reads](Self::reads_rows) its rows, as [`Self::multipliers`] gives
    /// those of others: of the normed rows `x` `[rows, hidden]`.
    fn multipliers_of(&self, _layer: usize, _rows: &[QueryRow], _x: &[f32]) -> Option<Vec<Vec<f32>>> {
        None
    }

    /// Whether the scores of this layer fade by gates that follow from the rows.
    fn forgets(&self, _layer: usize) -> bool {
        false
    }

    /// `ln f`, `[heads][rows]`, of the gates of a layer that [forgets](Self::forgets): of the normed rows `x`
    /// `[rows, hidden]`. The score of a key has those of all rows behind it added, up to the query's own.
    fn log_gates(&self, _layer: usize, _rows: usize, _x: &[f32]) -> Option<Vec<Vec<f64>>> {
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

    /// What turns the scores of a row of this layer into weights, in the place of Softmax.
    fn row_rule(&self, _layer: usize) -> Option<&dyn RowRule> {
        None
    }

    /// What becomes of the scores of this layer by the distance of their keys, of less than `longest`
    /// positions; behind a soft cap and before a bias. `None` leaves them as they are.
    fn distances(&self, _layer: usize, _longest: usize) -> Option<Distances> {
        None
    }

    /// Whether this layer's rule does more to scores than to multiply them, which no kernel of keys in
    /// another precision than f32 knows of.
    fn needs_scores(&self, layer: usize) -> bool {
        self.row_rule(layer).is_some() || self.distances(layer, 0).is_some() || self.forgets(layer)
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
    /// `--ssmax-scales`: an `s` for each layer and head.
    pub given_scales: Option<&'a GivenScales>,
    /// `--ssmax-scale`: one `s` for all heads.
    pub scale_override: Option<f64>,
    /// `--attention-scale`: the factor of `constant`.
    pub attention_scale: Option<f64>,
    /// What stands behind the name of the variant and a colon.
    pub parameter: Option<&'a str>,
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

    /// The layers of a rule that is for every layer that attends, or those of the checkpoint's own.
    fn follows_everywhere(&self, name: &str) -> Vec<bool> {
        let attending = || self.layers.iter().map(|layer| layer.mixer.is_attention()).collect();
        self.own_if(&[name]).map_or_else(attending, |own| own.layers.clone())
    }

    /// Name and parameter of a variant, as they were given.
    fn named(&self, name: &str) -> String {
        self.parameter.map_or_else(|| name.to_string(), |parameter| format!("{name}:{}", parameter.trim()))
    }

    /// The words before the rule of a checkpoint that was not made with it.
    fn swap(&self, name: &str) -> &'static str {
        if self.own_if(&[name]).is_some() { "" } else { "zero-shot swap, " }
    }

    /// Refuses variant `name` beside sinks, which it has no place for.
    fn refuse_sinks(&self, name: &str) -> Result<()> {
        match self.own.is_some_and(|own| own.sinks.is_some()) {
            false => Ok(()),
            true => Err(Error::invalid(
                "variant",
                name,
                "a checkpoint without learned sinks, which stand in the normaliser of Softmax; `variant` ssmax \
                 and topk keep them",
            )),
        }
    }

    /// Refuses variant `name` where rows choose the keys that they see, which then are others than it counts.
    fn refuse_chosen_keys(&self, name: &str) -> Result<()> {
        let chooses = |layer: &LayerSpec| layer.latent.is_some_and(|latent| latent.indexer.is_some());
        match self.layers.iter().any(chooses) {
            false => Ok(()),
            true => Err(Error::invalid("variant", name, "a checkpoint whose rows do not choose their keys")),
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

/// Variants with a scale `s`, which `scale_override` replaces.
pub const SCALED: &[&str] = &["ssmax", "ssmax-bias", "softmax-scale"];

/// Variants that take a number behind their name and a colon.
const WITH_PARAMETER: &[&str] = &["constant", "topk"];

/// The variant of this `text`, a name of [`VARIANTS`] or `NAME:NUMBER`.
///
/// # Errors
/// [`Error::UnknownChoice`] for a name that is none, [`Error::InvalidValue`] for a number or a factor that
/// the rule does not have, and what the rule itself refuses.
pub fn build(text: &str, inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    let (name, parameter) = text.split_once(':').map_or((text, None), |(name, of)| (name, Some(of)));
    let entry = registry::find("variant", VARIANTS, name)?;
    if parameter.is_some() && !WITH_PARAMETER.contains(&entry.name) {
        let expected = format!(
            "{}: it takes no number behind its name, as {} do",
            entry.name,
            WITH_PARAMETER.join(" and ")
        );
        return Err(Error::invalid("variant", text, expected));
    }
    match inputs.attention_scale {
        Some(scale) if entry.name != "constant" => {
            let expected = format!("`variant` constant beside it: {} has none", entry.name);
            Err(Error::invalid("attention scale", scale, expected))
        }
        _ => (entry.value)(&VariantInputs { parameter, ..*inputs }),
    }
}

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
        name: "constant",
        about: "m = c, the control of rules in ln n: constant:1.5, --attention-scale, or ssmax's at the training \
                length",
        value: |inputs| Ok(sink::keeping(inputs, constant::build(inputs)?)),
    },
    Entry {
        name: "log-floor",
        about: "Inkling's scaling: m = 1 + alpha ln(max(n / floor, 1)), floor the training length at a swap",
        value: |inputs| Ok(sink::keeping(inputs, log_floor::build(inputs)?)),
    },
    Entry {
        name: "topk",
        about: "softmax over the K largest scores of a row, K behind the name: topk:64",
        value: |inputs| Ok(sink::keeping(inputs, topk::build(inputs)?)),
    },
    Entry {
        name: "entmax15",
        about: "1.5-entmax: max(z / 2 - tau, 0)^2, tau such that a row sums to 1; exact zeros",
        value: entmax15::build,
    },
    Entry {
        name: "asentmax",
        about: "ASEntmax: 1.5-entmax of m z, m = 1 + beta ln(n + 1)^gamma, both read from each row",
        value: asentmax::build,
    },
    Entry {
        name: "adaptive-temperature",
        about: "softmax, sharper by a fixed polynomial of the row's entropy (arXiv 2410.01104)",
        value: adaptive_temperature::build,
    },
    Entry {
        name: "scale-invariant",
        about: "softmax of a z + m, a and m by the distance of the key (arXiv 2505.17083)",
        value: |inputs| Ok(sink::keeping(inputs, scale_invariant::build(inputs)?)),
    },
    Entry {
        name: "softpick",
        about: "relu(e^z - 1) / (sum |e^z - 1| + eps): low scores weigh exactly 0, and rows may be empty",
        value: softpick::build,
    },
    Entry {
        name: "stick-breaking",
        about: "sigmoid(z) of what the keys behind have left of a stick: order in the place of positions",
        value: stick_breaking::build,
    },
    Entry {
        name: "forgetting",
        about: "softmax of scores that fade by a learned gate with every token behind the key (FoX)",
        value: forgetting::build,
    },
    Entry {
        name: "screening",
        about: "Multiscreen's: each key passes a tile's screen or is dropped, by itself; nothing is \
                normalised",
        value: screening::build,
    },
];

/// The rule of this variant, where it is one of whole rows with a backward pass.
#[must_use]
pub fn trained_rule(name: &str) -> Option<&'static dyn TrainedRule> {
    match name {
        "entmax15" => Some(&entmax15::Rule),
        "softpick" => Some(&softpick::Rule),
        "stick-breaking" => Some(&stick_breaking::Rule),
        _ => None,
    }
}

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
            log_floor: None,
            entmax_scales: None,
            forget_gates: None,
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
        let entmax_scales = Some(vec![None; 2]);
        let asentmax = OwnVariant { name: "asentmax", entmax_scales, ..OwnVariant::softmax(2) };
        let forgetting =
            OwnVariant { name: "forgetting", forget_gates: Some(vec![None; 2]), ..OwnVariant::softmax(2) };
        // What screening needs besides is tested beside it.
        for entry in VARIANTS.iter().filter(|entry| entry.name != "screening") {
            let own = match entry.name {
                "adaptive" => &adaptive,
                "sink" => &sinks,
                "softmax-scale" => &constant,
                "asentmax" => &asentmax,
                "forgetting" => &forgetting,
                _ => &own,
            };
            let inputs = VariantInputs { own: Some(own), ..inputs };
            // One has no name without its number.
            let parameter = if entry.name == "topk" { ":64" } else { "" };
            let name = format!("{}{parameter}", entry.name);
            assert_eq!(super::build(&name, &inputs).unwrap().name(), name);
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
    fn a_number_behind_a_name_is_for_those_that_take_one() {
        let layers = layers();
        for entry in VARIANTS {
            let text = format!("{}:2", entry.name);
            let built = super::build(&text, &inputs(&layers));
            let takes = WITH_PARAMETER.contains(&entry.name);
            assert_eq!(
                built.as_ref().map(|variant| variant.name() == text).unwrap_or(false),
                takes,
                "{text}"
            );
            if let Some(error) = built.err() {
                assert!(error.to_string().contains("takes no number behind its name"), "{error}");
            }
        }
        let unknown = super::build("topkk:2", &inputs(&layers)).err().unwrap().to_string();
        assert!(unknown.contains("did you mean topk?"), "{unknown}");
    }

    #[test]
    fn a_scale_is_refused_where_there_is_none_to_replace() {
        let layers = layers();
        let inputs = VariantInputs { scale_override: Some(0.2), ..inputs(&layers) };
        let others = [
            "constant",
            "log-floor",
            "topk:8",
            "entmax15",
            "adaptive-temperature",
            "scale-invariant",
            "softpick",
            "stick-breaking",
        ];
        for name in ["softmax", "ssmax-fixed", "logn", "temperature"].into_iter().chain(others) {
            let error = super::build(name, &inputs).err().unwrap().to_string();
            let named = name.split(':').next().unwrap();
            assert!(error.contains("ssmax scale") && error.contains(named), "{error}");
        }
        assert!(build("ssmax", &inputs).is_ok());
    }
}
