//! The tensors of a GGUF file under Llama's names in Hugging Face's layout.
//!
//! Where an architecture turns neighbouring coordinates (`interleaved`), rows of q and k are stored in that
//! order; they are put back into the half-split order, so that there is one rope.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use candle_core::{Device, Tensor};

use super::gguf::GgufFile;
use super::gguf_layouts::Change;
use crate::error::{Error, Result};
use crate::spec::DecoderSpec;
use crate::weights::{Blocks, TensorSource};

/// The tensors of a GGUF file.
pub(super) struct GgufTensors {
    pub(super) file: GgufFile,
    /// What the tensors make up: its sizes say where fused matrices are cut.
    pub(super) spec: DecoderSpec,
    /// Whether rows of q and k are in the order of interleaved rotary positions.
    pub(super) interleaved: bool,
}

/// Where a tensor is stored.
pub(super) struct Place {
    /// Its GGUF name.
    pub(super) stored: String,
    /// Its place in a stack: of vectors, one a head, or of matrices, one an expert.
    pub(super) index: Option<usize>,
    /// Its rows, when it is a part of a fused matrix.
    pub(super) rows: Option<Range<usize>>,
    /// What makes of these what a decoder reads.
    pub(super) changes: Vec<Change>,
}

impl Place {
    pub(super) fn whole(stored: String) -> Self {
        Self { stored, rows: None, index: None, changes: Vec::new() }
    }

    pub(super) fn changed(self, changes: &[Change]) -> Self {
        Self { changes: changes.to_vec(), ..self }
    }
}

/// Endings of what stands beside a weight: a factor on it (of each expert, in a stack), and one on what it
/// multiplies, which only matters where that is quantised.
const BESIDE: [&str; 2] = ["scale", "input_scale"];

impl GgufTensors {
    /// The factor on a weight, which files of NVFP4 have.
    pub(super) fn factor(&self, place: &Place) -> Result<Option<f32>> {
        let Some(beside) = self.beside(&place.stored) else { return Ok(None) };
        let factors = self.file.read(&beside, &Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(factors.get(place.index.unwrap_or(0)).or(factors.first()).copied())
    }

    /// A whole stack of matrices, with the factors beside it.
    fn stack(&self, stored: &str, device: &Device) -> Result<Tensor> {
        let stack = self.file.read(stored, device)?;
        let Some(beside) = self.beside(stored) else { return Ok(stack) };
        let factors = self.file.read(&beside, device)?.flatten_all()?.reshape(((), 1, 1))?;
        Ok(stack.broadcast_mul(&factors)?)
    }

    /// The name of the factor on the weight of this name: one number, or one for each matrix of a stack.
    fn beside(&self, weight: &str) -> Option<String> {
        // Gemma 4 has a factor of its own on what an expert adds.
        let own =
            self.spec.layers.iter().any(|layer| layer.moe.is_some_and(|moe| moe.router_parts.expert_scale));
        if own && weight.ends_with(".ffn_down_exps.weight") {
            return None;
        }
        let name = format!("{}.{}", weight.strip_suffix(".weight")?, BESIDE[0]);
        let count: usize = self.file.shape(&name)?.iter().product();
        let stack = self.file.shape(weight).filter(|shape| shape.len() == 3);
        (count == 1 || stack.is_some_and(|shape| shape[0] == count)).then_some(name)
    }

    /// A number of a layer's activation, which stands in the metadata: those of xIELU (Apertus), one a layer.
    fn number(&self, name: &str) -> Option<(f32, Vec<usize>)> {
        let (layer, key) = name.strip_prefix("model.layers.")?.split_once(".mlp.act_fn.")?;
        let numbers = self.file.metadata().numbers(&format!("xielu.{key}"));
        let number = *numbers.ok()??.get(layer.parse::<usize>().ok()?)?;
        Some((number as f32, if key.starts_with("alpha") { vec![1] } else { vec![] }))
    }
}

impl TensorSource for GgufTensors {
    fn contains(&self, name: &str) -> bool {
        self.place(name).is_some_and(|place| self.file.contains(&place.stored))
            || self.number(name).is_some()
            || self.keys_and_values(name).is_some()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        if let Some((_, shape)) = self.number(name) {
            return Some(shape);
        }
        if let Some([keys, values]) = self.keys_and_values(name) {
            let (keys, values) = (self.file.shape(&keys)?, self.file.shape(&values)?);
            return match (&keys[..], &values[..]) {
                ([heads, latent, k], [_, v, _]) => Some(vec![heads * (k + v), *latent]),
                _ => Some(keys),
            };
        }
        let place = self.place(name)?;
        let mut shape = self.file.shape(&place.stored)?;
        // One that the stack does not have keeps the whole shape, which then is reported as the wrong one.
        if place.index.is_some_and(|index| shape.len() > 1 && index < shape[0]) {
            shape.remove(0);
        }
        if let Some(rows) = place.rows {
            *shape.first_mut()? = rows.len();
        }
        Some(place.changes.iter().fold(shape, |shape, change| change.shape(shape)))
    }

    fn read(&self, name: &str, device: &Device) -> Result<Tensor> {
        if let Some((number, shape)) = self.number(name) {
            return Ok(Tensor::from_vec(vec![number], shape, device)?);
        }
        if let Some([keys, values]) = self.keys_and_values(name) {
            let keys = self.stack(&keys, device)?.transpose(1, 2)?; // [heads, keys, latent]
            let both = Tensor::cat(&[keys, self.stack(&values, device)?], 1)?; // [heads, rows, latent]
            return Ok(both.flatten(0, 1)?);
        }
        let place = self.place(name).ok_or_else(|| Error::Tensor {
            path: self.file.path().to_path_buf(),
            tensor: name.to_string(),
            expected: "a tensor that GGUF files have".to_string(),
            found: "no such tensor".to_string(),
        })?;
        let tensor = match (place.index, place.rows.clone()) {
            (Some(index), rows) => {
                let one = self.file.read_rows(&place.stored, index..index + 1, device)?.get(0)?;
                match rows {
                    Some(rows) => one.narrow(0, rows.start, rows.len())?.contiguous()?,
                    None => one,
                }
            }
            (None, Some(rows)) => self.file.read_rows(&place.stored, rows, device)?,
            (None, None) => self.file.read(&place.stored, device)?,
        };
        let tensor = match self.factor(&place)? {
            Some(factor) => tensor.affine(f64::from(factor), 0.0)?,
            None => tensor,
        };
        place.changes.iter().try_fold(tensor, |tensor, change| change.apply(&tensor))
    }

    fn block_bytes(&self, name: &str) -> Option<usize> {
        self.stored_rows(name).ok()??.bytes()
    }

    fn read_blocks(&self, name: &str) -> Result<Option<Blocks>> {
        match self.stored_rows(name)? {
            Some(rows) => self.read_stored_rows(rows),
            None => Ok(None),
        }
    }

    /// A type that is not known keeps the weights from loading, not the file from being looked at:
    /// [`GgufFile::of_unknown_type`] names those tensors.
    fn check_dtype(&self, _name: &str) -> Result<()> {
        Ok(())
    }

    fn dtypes(&self) -> BTreeMap<String, usize> {
        self.file.dtypes()
    }

    fn file_of(&self, name: &str) -> PathBuf {
        let stored = self.place(name).map(|place| place.stored).unwrap_or_default();
        self.file.file_of(&stored).to_path_buf()
    }

    fn stored_name(&self, name: &str) -> Option<String> {
        if let Some([keys, _]) = self.keys_and_values(name) {
            return Some(keys);
        }
        self.place(name).map(|place| place.stored).filter(|stored| self.file.contains(stored))
    }

    /// All but those that are read with the weight that they stand beside.
    fn stored_names(&self) -> Vec<String> {
        let mut names = self.file.names();
        names.retain(|name| {
            // Values of a latent are read with its keys.
            if name.ends_with(".attn_v_b.weight") {
                return false;
            }
            let weight = name.rsplit_once('.').filter(|(_, ending)| BESIDE.contains(ending));
            let weight = weight.map(|(module, _)| format!("{module}.weight"));
            weight.is_none_or(|weight| self.beside(&weight).is_none())
        });
        names
    }

    fn stored_shape(&self, stored: &str) -> Option<Vec<usize>> {
        self.file.shape(stored)
    }

    fn read_stored(&self, stored: &str) -> Result<Tensor> {
        self.file.read(stored, &Device::Cpu)
    }
}
