//! Scalable-Softmax: `m = s_h ln n + b_h` (arXiv 2501.19399).

use super::{AttentionVariant, GivenScales, LayerScale, QueryRow, VariantInputs, swap_scale, swapped_layers};
use crate::error::{Error, Result};

/// The names of the rules with a learned scale.
const LEARNED: &[&str] = &["ssmax", "ssmax-bias"];

struct Ssmax {
    name: &'static str,
    /// By layer; `None` is plain softmax.
    layers: Vec<Option<LayerScale>>,
    description: String,
}

/// `m = s ln n`, with learned scales, one scale for all heads, or that of a zero-shot swap.
pub(super) fn learned(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    let (mut layers, rule) = scales("ssmax", inputs)?;
    layers.iter_mut().flatten().for_each(|layer| layer.bias = None);
    Ok(Box::new(Ssmax { name: "ssmax", layers, description: inputs.describe("ssmax", &rule) }))
}

/// `m = s ln n + b`. A bias is never invented.
pub(super) fn biased(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    if !inputs.own.is_some_and(|own| own.has_bias()) {
        return Err(Error::invalid(
            "variant",
            "ssmax-bias",
            "a checkpoint that holds self_attn.ssmax_bias; use `variant` ssmax for a zero-shot swap",
        ));
    }
    let (layers, rule) = scales("ssmax-bias", inputs)?;
    Ok(Box::new(Ssmax { name: "ssmax-bias", layers, description: format!("{rule}, b learned") }))
}

/// `m = ln n`.
pub(super) fn fixed(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    const NAME: &str = "ssmax-fixed";
    inputs.refuse_scale(NAME)?;
    let follows = inputs.follows(NAME)?;
    let rule = format!("s = 1 for every head{}", inputs.on_layers(&follows));
    let one = |follows: &bool| follows.then(|| uniform(1.0, inputs.heads));
    let layers = follows.iter().map(one).collect();
    Ok(Box::new(Ssmax { name: NAME, layers, description: inputs.describe(NAME, &rule) }))
}

fn uniform(s: f64, heads: usize) -> LayerScale {
    LayerScale { scale: vec![s as f32; heads], bias: None }
}

/// The scales of each layer, and what they are.
fn scales(name: &'static str, inputs: &VariantInputs<'_>) -> Result<(Vec<Option<LayerScale>>, String)> {
    let own = inputs.own_if(LEARNED).and_then(|own| own.scales.as_ref());
    if let Some(given) = inputs.given_scales {
        let layers = from_file(given, own);
        let rule = format!("s from {}, {}", given.file.display(), describe_scales(&layers));
        return Ok(with_layers(layers, rule, inputs));
    }
    let (layers, rule) = match (inputs.scale_override, own, inputs.training_length) {
        (Some(s), Some(own), _) => {
            let replaced =
                |layer: &LayerScale| LayerScale { bias: layer.bias.clone(), ..uniform(s, inputs.heads) };
            let layers = own.iter().map(|layer| layer.as_ref().map(replaced)).collect();
            (layers, format!("s = {s} for every head, from --ssmax-scale in place of the learned ones"))
        }
        (Some(s), None, _) => {
            (swapped(name, s, inputs)?, format!("s = {s} for every head, from --ssmax-scale"))
        }
        (None, Some(own), _) => (own.clone(), describe_learned(own)),
        (None, None, Some(length)) if length > 1 => {
            let s = swap_scale(length);
            (swapped(name, s, inputs)?, format!("zero-shot swap, s = {s:.4} from train length {length}"))
        }
        (None, None, _) => {
            return Err(Error::invalid(
                "variant",
                name,
                "a checkpoint with learned scales or a training length; give `ssmax scale`, such as 0.17",
            ));
        }
    };
    Ok(with_layers(layers, rule, inputs))
}

/// The same, with the layers that follow the rule in its words.
fn with_layers(
    layers: Vec<Option<LayerScale>>,
    rule: String,
    inputs: &VariantInputs<'_>,
) -> (Vec<Option<LayerScale>>, String) {
    let follows: Vec<bool> = layers.iter().map(Option::is_some).collect();
    let rule = rule + &inputs.on_layers(&follows);
    (layers, rule)
}

/// The scales of a file: on the layers that follow the checkpoint's own rule, with its biases, if that is
/// Scalable-Softmax; else on every layer that attends.
fn from_file(given: &GivenScales, own: Option<&Vec<Option<LayerScale>>>) -> Vec<Option<LayerScale>> {
    let layer = |(layer, scale): (usize, &Option<Vec<f32>>)| {
        let bias = match own {
            Some(own) => own.get(layer)?.as_ref()?.bias.clone(),
            None => None,
        };
        Some(LayerScale { scale: scale.clone()?, bias })
    };
    given.layers.iter().enumerate().map(layer).collect()
}

/// One scale for all heads of the layers that a swap changes.
fn swapped(name: &str, s: f64, inputs: &VariantInputs<'_>) -> Result<Vec<Option<LayerScale>>> {
    let swapped = swapped_layers(name, inputs.layers, inputs.training_length)?;
    Ok(swapped.iter().map(|swapped| swapped.then(|| uniform(s, inputs.heads))).collect())
}

/// Learned scales, in words.
pub(super) fn describe_learned(layers: &[Option<LayerScale>]) -> String {
    match layers.iter().any(Option::is_some) {
        false => "s learned".to_string(),
        true => format!("s learned per layer and head, {}", describe_scales(layers)),
    }
}

/// Mean and range of the scales, in words.
fn describe_scales(layers: &[Option<LayerScale>]) -> String {
    let all = || layers.iter().flatten().flat_map(|layer| layer.scale.iter().copied());
    let mean = all().map(f64::from).sum::<f64>() / all().count().max(1) as f64;
    let (low, high) = all().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), s| (l.min(s), h.max(s)));
    format!("mean {mean:.4}, range {low:.4} to {high:.4}")
}

impl AttentionVariant for Ssmax {
    fn name(&self) -> &'static str {
        self.name
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn multipliers(&self, layer: usize, rows: &[QueryRow]) -> Option<Vec<Vec<f32>>> {
        let LayerScale { scale, bias } = self.layers[layer].as_ref()?;
        let logs: Vec<f64> = rows.iter().map(|row| (row.visible as f64).ln()).collect();
        let head_rows = |head: usize| {
            let s = f64::from(scale[head]);
            let b = bias.as_ref().map_or(0.0, |bias| f64::from(bias[head]));
            logs.iter().map(|log| (s * log + b) as f32).collect()
        };
        Some((0..scale.len()).map(head_rows).collect())
    }

    fn log_scales(&self, layer: usize) -> Option<&[f32]> {
        Some(&self.layers[layer].as_ref()?.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::super::OwnVariant;
    use super::super::tests::{build, inputs, layers, own, rows};
    use super::*;

    #[test]
    fn multipliers_follow_the_paper() {
        let (layers, own) = (layers(), own("ssmax-bias"));
        let inputs = VariantInputs { layers: &layers, heads: 2, own: Some(&own), ..VariantInputs::default() };
        let found = |name: &str| build(name, &inputs).unwrap().multipliers(1, &rows(&[1, 100]));
        let ln = 100f32.ln();
        assert_eq!(found("softmax"), None);
        assert_eq!(found("ssmax"), Some(vec![vec![0.0, 0.5 * ln], vec![0.0, 0.25 * ln]]));
        assert_eq!(found("ssmax-fixed"), Some(vec![vec![0.0, ln], vec![0.0, ln]]));
        for (name, scales) in
            [("softmax", None), ("ssmax", Some([0.5, 0.25])), ("ssmax-fixed", Some([1.0, 1.0]))]
        {
            let variant = build(name, &inputs).unwrap();
            assert_eq!(variant.log_scales(1), scales.as_ref().map(|scales| &scales[..]), "{name}");
        }
        assert_eq!(found("ssmax-bias"), Some(vec![vec![1.0, 0.5 * ln + 1.0], vec![2.0, 0.25 * ln + 2.0]]));
    }

    #[test]
    fn the_zero_shot_swap_says_so_and_a_bias_is_never_invented() {
        let layers = layers();
        let inputs = inputs(&layers);
        assert_eq!(
            build("ssmax", &inputs).unwrap().description(),
            "zero-shot swap, s = 0.1685 from train length 1024"
        );
        assert!(build("ssmax-bias", &inputs).is_err());
        let unknown = VariantInputs { training_length: None, ..inputs };
        assert!(build("ssmax", &unknown).is_err());
    }

    fn of_a_file(layers: usize) -> GivenScales {
        GivenScales { file: "s.safetensors".into(), layers: vec![Some(vec![3.0, 3.0]); layers] }
    }

    #[test]
    fn regression_scales_of_a_file_are_used_on_a_checkpoint_with_scales_of_another_rule() {
        let (layers, given) = (layers(), of_a_file(2));
        let own = OwnVariant { name: "softmax-scale", ..own("ssmax") };
        let inputs = VariantInputs { own: Some(&own), given_scales: Some(&given), ..inputs(&layers) };
        let variant = build("ssmax", &inputs).unwrap();
        assert_eq!(variant.log_scales(1), Some(&[3.0, 3.0][..]));
        assert_eq!(
            variant.description(),
            "s from s.safetensors, mean 3.0000, range 3.0000 to 3.0000, by --variant ssmax: the learned \
             softmax-scale scales of this checkpoint are not used"
        );
    }

    #[test]
    fn regression_scales_of_a_file_stand_beside_the_sinks_of_a_checkpoint() {
        let (layers, given) = (layers(), of_a_file(2));
        let sinks = Some(vec![Some(vec![0.5, 0.25]); 2]);
        let own = OwnVariant { name: "sink", sinks, ..OwnVariant::softmax(2) };
        let inputs = VariantInputs { own: Some(&own), given_scales: Some(&given), ..inputs(&layers) };
        let variant = build("ssmax", &inputs).unwrap();
        assert_eq!(variant.sinks(0), Some(&[0.5, 0.25][..]));
        assert_eq!(variant.log_scales(0), Some(&[3.0, 3.0][..]));
        let said = variant.description();
        assert!(said.ends_with(", with the learned sinks of this checkpoint"), "{said}");
    }

    #[test]
    fn scales_of_a_file_are_for_the_layers_of_the_own_rule_and_leave_its_biases() {
        let (layers, given) = (layers(), of_a_file(2));
        let own = own("ssmax-bias");
        let scales = own.scales.clone().map(|scales| vec![None, scales[1].clone()]);
        let own = OwnVariant { layers: vec![false, true], scales, ..own };
        let inputs = VariantInputs { own: Some(&own), given_scales: Some(&given), ..inputs(&layers) };
        let variant = build("ssmax-bias", &inputs).unwrap();
        assert_eq!(variant.multipliers(0, &rows(&[7])), None);
        assert_eq!(variant.multipliers(1, &rows(&[1])), Some(vec![vec![1.0], vec![2.0]]));
        let said = variant.description();
        assert!(
            said.starts_with("s from s.safetensors, mean 3.0000") && said.ends_with("b learned"),
            "{said}"
        );
    }

    #[test]
    fn a_layer_without_scales_stays_softmax_unless_the_swap_is_for_all() {
        let layers = layers();
        let own = own("ssmax");
        let own = OwnVariant {
            layers: vec![false, true],
            scales: own.scales.map(|scales| vec![None, scales[1].clone()]),
            ..own
        };
        let inputs = VariantInputs { own: Some(&own), ..inputs(&layers) };
        let variant = build("ssmax", &inputs).unwrap();
        assert_eq!(variant.multipliers(0, &rows(&[7])), None);
        assert!(variant.multipliers(1, &rows(&[7])).is_some());
        assert!(variant.description().ends_with(" on layers 1 of 2 (the others: plain softmax)"));
        let given = VariantInputs { scale_override: Some(0.5), ..inputs };
        assert_eq!(build("ssmax", &given).unwrap().multipliers(0, &rows(&[7])), None);
        let fixed = build("ssmax-fixed", &inputs).unwrap();
        assert!(
            fixed.multipliers(0, &rows(&[7])).is_some(),
            "a swap to another rule is for every layer without a window"
        );
    }
}
