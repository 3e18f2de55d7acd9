//! Windows and acceptance widths of a Multiscreen checkpoint.
//!
//! | below `layers.N.block.` | `[tiles]` |
//! |---|---|
//! | `sw` | the window is `e^s + 1` |
//! | `sr` | the inverse of the acceptance width is `e^s + 1` (the paper's first version, and public code) |
//! | `s_r` | the acceptance width is `sigmoid(s)` (the paper's third version): `s_r = -sr` |

use candle_core::Device;

use crate::attention::screening::Screen;
use crate::error::{Error, Result};
use crate::spec::DecoderSpec;
use crate::weights::TensorSource;

/// The screens of every layer and tile.
pub(super) fn read(spec: &DecoderSpec, source: &dyn TensorSource) -> Result<Vec<Vec<Screen>>> {
    (0..spec.num_hidden_layers).map(|layer| layer_screens(spec, source, layer)).collect()
}

fn layer_screens(spec: &DecoderSpec, source: &dyn TensorSource, layer: usize) -> Result<Vec<Screen>> {
    let full = |name: &str| format!("model.layers.{layer}.block.{name}");
    let [windows, inverse_widths, widths] = ["sw", "sr", "s_r"].map(full);
    let (name, sign) = match (source.contains(&inverse_widths), source.contains(&widths)) {
        (true, true) => {
            return Err(wrong(
                source,
                &widths,
                "the acceptance width once: as s_r, or by its inverse as sr",
                "both; take out the tensors that are not in use",
            ));
        }
        (true, false) => (inverse_widths, -1.0),
        (false, true) => (widths, 1.0),
        (false, false) => {
            return Err(wrong(
                source,
                &inverse_widths,
                "the acceptance width, as sr (of its inverse) or s_r",
                "no such tensor: the weights are not complete; download them again",
            ));
        }
    };
    let tiles = spec.num_attention_heads;
    let learned = numbers(source, &windows, tiles)?.into_iter().zip(numbers(source, &name, tiles)?);
    let screen = |(tile, (s_w, s_r)): (usize, (f32, f32))| {
        let acceptance = 1.0 / (1.0 + (-sign * f64::from(s_r)).exp());
        if !(1.0 / acceptance as f32).is_finite() {
            let found = format!(
                "{s_r} for tile {tile}: nothing would ever pass; train the checkpoint further or write it \
                 again"
            );
            return Err(wrong(source, &name, "an acceptance width that is not 0", &found));
        }
        Ok(Screen { window: f64::from(s_w).exp() + 1.0, acceptance })
    };
    learned.enumerate().map(screen).collect()
}

/// The finite numbers of a tensor `[count]`.
fn numbers(source: &dyn TensorSource, name: &str, count: usize) -> Result<Vec<f32>> {
    let expected = format!("{count} finite numbers, one a tile");
    let remedy = "weights and configuration do not belong together, or are damaged; download both again";
    match source.shape(name) {
        Some(shape) if shape == [count] => {}
        found => {
            let found = found.map_or("no such tensor".to_string(), |shape| format!("shape {shape:?}"));
            return Err(wrong(source, name, &expected, &format!("{found}: {remedy}")));
        }
    }
    source.check_dtype(name)?;
    let numbers = source.read(name, &Device::Cpu)?.to_vec1::<f32>()?;
    match numbers.iter().find(|number| !number.is_finite()) {
        Some(number) => Err(wrong(source, name, &expected, &format!("{number}: {remedy}"))),
        None => Ok(numbers),
    }
}

fn wrong(source: &dyn TensorSource, tensor: &str, expected: &str, found: &str) -> Error {
    Error::Tensor {
        path: source.file_of(tensor),
        tensor: tensor.to_string(),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}
