//! Reading back the f32 tensors and words of a safetensors file that [`super::write_safetensors`] wrote.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors};

use crate::error::{Error, Result};
use crate::files;

/// Tensors by name, and what the file says about them.
pub type TensorsAndWords = (BTreeMap<String, Vec<f32>>, HashMap<String, String>);

/// Reads all tensors of a file.
///
/// # Errors
/// [`Error::File`] when it cannot be read or is damaged, and [`Error::Tensor`] for a tensor that is not of
/// f32.
pub fn read_safetensors(path: &Path) -> Result<TensorsAndWords> {
    let bytes = files::read(path, u64::MAX).map_err(|error| Error::file(path, files::problem(&error)))?;
    let damaged =
        |error| Error::file(path, format!("not a safetensors file, or damaged ({error}); write it again"));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let words = header.metadata().clone().unwrap_or_default();
    let mut tensors = BTreeMap::new();
    for (name, view) in SafeTensors::deserialize(&bytes).map_err(damaged)?.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(Error::Tensor {
                path: path.to_path_buf(),
                tensor: name,
                expected: "dtype F32".to_string(),
                found: format!("dtype {:?}; write the file again", view.dtype()),
            });
        }
        let numbers = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        tensors.insert(name, numbers);
    }
    Ok((tensors, words))
}
