//! Multiscreen's rule: tiles that screen their keys one by one (see [`crate::attention::screening`]).

use super::{AttentionVariant, VariantInputs};
use crate::attention::screening::Screen;
use crate::error::{Error, Result};
use crate::spec::{MipePositions, ScreeningSpec};

const NAME: &str = "screening";

struct Screening {
    /// By layer and tile, as they were learned.
    screens: Vec<Vec<Screen>>,
    description: String,
}

/// With the windows and acceptance widths of the checkpoint; there is nothing to take in their place.
pub(super) fn build(inputs: &VariantInputs<'_>) -> Result<Box<dyn AttentionVariant>> {
    inputs.refuse_scale(NAME)?;
    let own = inputs.own_if(&[NAME]).and_then(|own| own.screens.as_ref());
    let (Some(screens), Some(spec)) = (own, inputs.screening) else {
        let expected = "a Multiscreen checkpoint: screening takes the place of attention and MLP, and its \
                        windows are learned; `variant` auto runs this checkpoint as it was made";
        return Err(Error::invalid("variant", NAME, expected));
    };
    Ok(Box::new(Screening { description: describe(screens, spec), screens: screens.clone() }))
}

/// How many windows are wider than the training length and what becomes of them, and which positions there
/// are.
fn describe(screens: &[Vec<Screen>], spec: &ScreeningSpec) -> String {
    let windows = || screens.iter().flatten().map(|screen| screen.window);
    let length = spec.training_length;
    let wide = windows().filter(|&window| spec.is_wide(window)).count();
    let expansion = match (wide, spec.window_expansion) {
        (0, _) => format!("none wider than the training length {length}"),
        (n, true) => {
            format!("{n} wider than the training length {length}, and unlimited in sequences beyond it")
        }
        (n, false) => format!("{n} wider than the training length {length}, taken as learned beyond it"),
    };
    let positions = match spec.mipe_positions {
        MipePositions::Absolute => "",
        MipePositions::Wrapped => {
            "; from the training length on positions wrap at each tile's window, as this checkpoint's code \
             does"
        }
    };
    format!("{} learned windows, {expansion}{positions}", windows().count())
}

impl AttentionVariant for Screening {
    fn name(&self) -> &'static str {
        NAME
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn screens(&self, layer: usize) -> Option<&[Screen]> {
        self.screens.get(layer).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::super::OwnVariant;
    use super::super::tests::{build, inputs, layers};
    use super::*;

    fn spec(window_expansion: bool, mipe_positions: MipePositions) -> ScreeningSpec {
        ScreeningSpec {
            value_dim: 4,
            mipe_threshold: 256.0,
            mipe_positions,
            training_length: 1024,
            window_expansion,
        }
    }

    fn own(windows: [f64; 2]) -> OwnVariant {
        let screens = windows.map(|window| vec![Screen { window, acceptance: 0.5 }]).to_vec();
        OwnVariant { name: NAME, screens: Some(screens), ..OwnVariant::softmax(2) }
    }

    #[test]
    fn the_description_tells_what_becomes_of_wide_windows_and_positions() {
        let layers = layers();
        let describe = |windows, spec: &ScreeningSpec| {
            let own = own(windows);
            let inputs = VariantInputs { own: Some(&own), screening: Some(spec), ..inputs(&layers) };
            build(NAME, &inputs).unwrap().description()
        };
        assert_eq!(
            describe([9.0, 2000.0], &spec(true, MipePositions::Absolute)),
            "2 learned windows, 1 wider than the training length 1024, and unlimited in sequences beyond it"
        );
        assert_eq!(
            describe([9.0, 2000.0], &spec(false, MipePositions::Absolute)),
            "2 learned windows, 1 wider than the training length 1024, taken as learned beyond it"
        );
        let wrapped = describe([9.0, 1024.0], &spec(true, MipePositions::Wrapped));
        assert!(
            wrapped.starts_with("2 learned windows, none wider than the training length 1024; from"),
            "{wrapped}"
        );
    }

    #[test]
    fn other_checkpoints_have_nothing_to_screen_with_and_no_scale_is_replaced() {
        let layers = layers();
        let error = build(NAME, &inputs(&layers)).err().unwrap().to_string();
        assert!(error.starts_with("variant: found") && error.contains("Multiscreen"), "{error}");
        let (own, spec) = (own([2.0, 3.0]), spec(true, MipePositions::Absolute));
        let inputs = VariantInputs { own: Some(&own), screening: Some(&spec), ..inputs(&layers) };
        let scaled = VariantInputs { scale_override: Some(0.2), ..inputs };
        assert!(build(NAME, &scaled).err().unwrap().to_string().contains("ssmax scale"));
        assert_eq!(build(NAME, &inputs).unwrap().screens(1).unwrap()[0].window, 3.0);
    }
}
