//! A swap: a checkpoint under a rule that it was not made with. Which layers change, and by which scale. The
//! same for a run (`--variant`) and for training (`--init`, `--swap-at-step`).
//!
//! A rule in `ln n` is for layers whose `n` grows. Behind a sliding window shorter than the training length
//! `n` stops at the window's width, where `s` of the training length would flatten scores that never had to
//! be sharpened: `m = ln 32 / mean(ln n, n = 1..=256) = 0.76` for a window of 32. Such layers keep plain
//! Softmax, as in public code of models that mix both kinds: BiBo turns the rule off behind windows, Dragon
//! does by default, Llama 4 and Inkling scale layers without windows alone. A window that is as long as the
//! training length never stood between a row and its keys, and counts as none.

use crate::attention::Window;
use crate::error::{Error, Result};
use crate::spec::LayerSpec;

/// `1 / mean(ln n, n = 1..=training_length)`: the scale that keeps the average temperature of a Softmax model
/// at a swap (arXiv 2501.19399).
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

/// Which layers a swap to a rule in `ln n` changes: those that attend, without a window shorter than the
/// training length.
///
/// # Errors
/// [`Error::InvalidValue`] about `--variant` when it would change none.
pub fn swapped_layers(name: &str, layers: &[LayerSpec], training_length: Option<usize>) -> Result<Vec<bool>> {
    let grows = |layer: &LayerSpec| match layer.window {
        _ if !layer.mixer.is_attention() => false,
        Window::Full => true,
        Window::Sliding(width) | Window::Chunked(width) => {
            training_length.is_some_and(|length| width >= length)
        }
    };
    let swapped: Vec<bool> = layers.iter().map(grows).collect();
    match swapped.contains(&true) {
        true => Ok(swapped),
        false => Err(Error::invalid(
            "variant",
            name,
            "a checkpoint with a layer that sees all keys: behind a window n stops growing, so a swap would \
             change no layer of this one",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{build, inputs, layers, rows};
    use super::*;

    fn windowed(windows: [Window; 2]) -> Vec<LayerSpec> {
        layers().into_iter().zip(windows).map(|(layer, window)| LayerSpec { window, ..layer }).collect()
    }

    #[test]
    fn regression_a_swap_does_not_flatten_layers_with_a_window() {
        for window in [Window::Sliding(32), Window::Chunked(1023)] {
            let layers = windowed([window, Window::Full]);
            for name in ["ssmax", "ssmax-fixed", "logn"] {
                let variant = build(name, &inputs(&layers)).unwrap();
                assert_eq!(variant.multipliers(0, &rows(&[32])), None, "{name}");
                assert!(variant.multipliers(1, &rows(&[32])).is_some(), "{name}");
                let said = variant.description();
                assert!(said.ends_with(" on layers 1 of 2 (the others: plain softmax)"), "{name}: {said}");
            }
            let given = super::super::VariantInputs { scale_override: Some(0.5), ..inputs(&layers) };
            assert_eq!(build("ssmax", &given).unwrap().multipliers(0, &rows(&[32])), None);
        }
    }

    #[test]
    fn a_window_as_long_as_the_training_length_is_none() {
        let layers = windowed([Window::Sliding(1024), Window::Chunked(4096)]);
        assert_eq!(swapped_layers("ssmax", &layers, Some(1024)).unwrap(), [true, true]);
        assert!(
            swapped_layers("ssmax", &layers, None).is_err(),
            "no length is known that it could be as long as"
        );
    }

    #[test]
    fn a_swap_that_would_change_no_layer_is_refused() {
        let layers = windowed([Window::Sliding(32); 2]);
        for name in ["ssmax", "ssmax-fixed", "logn"] {
            let error = build(name, &inputs(&layers)).err().unwrap().to_string();
            assert!(error.starts_with("variant: found") && error.contains("no layer"), "{name}: {error}");
        }
    }
}
