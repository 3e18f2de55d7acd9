//! Reading tensors by name, with their shapes checked.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::spec::Dtype;

impl Dtype {
    /// The dtype of tensors that hold such weights.
    #[must_use]
    pub fn tensor(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }
}

/// Somewhere tensors are read from, under Hugging Face's names.
pub trait TensorSource: Send + Sync {
    /// Whether there is a tensor of this name.
    fn contains(&self, name: &str) -> bool;

    /// The shape of a tensor, when it is there.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;

    /// Reads a tensor in f32.
    ///
    /// # Errors
    /// [`Error::Tensor`] when it is missing or of a dtype that cannot be read.
    fn read(&self, name: &str, device: &Device) -> Result<Tensor>;

    /// Refuses a tensor of a dtype that cannot be read, without reading it.
    ///
    /// # Errors
    /// [`Error::Tensor`] naming the dtype.
    fn check_dtype(&self, name: &str) -> Result<()>;

    /// How many tensors of each dtype or quantisation the files hold.
    fn dtypes(&self) -> BTreeMap<String, usize>;

    /// The file that holds a tensor, or the first file when none does.
    fn file_of(&self, name: &str) -> PathBuf;

    /// What the file calls the tensor that holds this one, alone or among others, when it is there.
    fn stored_name(&self, name: &str) -> Option<String>;

    /// The names of all tensors as the files have them, sorted.
    fn stored_names(&self) -> Vec<String>;

    /// The shape of a tensor as the files have it, by its name there.
    fn stored_shape(&self, stored: &str) -> Option<Vec<usize>>;

    /// Reads a tensor as the files have it, by its name there.
    ///
    /// # Errors
    /// As of [`Self::read`].
    fn read_stored(&self, stored: &str) -> Result<Tensor>;
}

/// A place in the tree of tensor names.
pub struct Weights<'a> {
    source: &'a dyn TensorSource,
    device: &'a Device,
    dtype: Dtype,
    prefix: String,
}

impl<'a> Weights<'a> {
    /// The root of the names in `source`; tensors are put on `device`, and linear maps keep theirs as
    /// `dtype`.
    #[must_use]
    pub fn new(source: &'a dyn TensorSource, device: &'a Device, dtype: Dtype) -> Self {
        Self { source, device, dtype, prefix: String::new() }
    }

    /// The precision that linear maps keep their weights in.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The place `name` below this one.
    #[must_use]
    pub fn pp(&self, name: impl Display) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), ..*self }
    }

    /// The device that tensors are put on.
    #[must_use]
    pub fn device(&self) -> &Device {
        self.device
    }

    /// Whether there is a tensor `name` here.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.source.contains(&self.full(name))
    }

    /// The shape of the tensor `name` here, where there is one.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.source.shape(&self.full(name))
    }

    /// Refuses the tensor `name` here where it cannot be read, without reading it: that takes no memory,
    /// whatever sizes a configuration claims.
    ///
    /// # Errors
    /// [`Error::Tensor`] when it is missing, or has another shape or a dtype that is not known.
    pub fn check(&self, name: &str, shape: &[usize]) -> Result<()> {
        let full = self.full(name);
        let wrong = |expected, found| Err(self.wrong(&full, expected, found));
        match self.source.shape(&full) {
            None => {
                let found = "no such tensor: the weights are not complete, or not those of the \
                             configuration; download both again";
                return wrong(format!("shape {shape:?}"), found.to_string());
            }
            Some(found) if found != shape => {
                let found = format!(
                    "shape {found:?}: weights and configuration do not belong together; download both again"
                );
                return wrong(format!("shape {shape:?}"), found);
            }
            Some(_) => {}
        }
        self.source.check_dtype(&full)
    }

    /// The tensor `name` here, in f32.
    ///
    /// # Errors
    /// Those of [`Self::check`], and [`Error::Tensor`] when it holds a NaN or an infinity.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.check(name, shape)?;
        let full = self.full(name);
        let tensor = self.source.read(&full, self.device)?;
        if !is_finite(&tensor)? {
            return Err(self.wrong(
                &full,
                "finite numbers".to_string(),
                "a NaN or an infinity: the file is damaged; download it again".to_string(),
            ));
        }
        Ok(tensor)
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn wrong(&self, tensor: &str, expected: String, found: String) -> Error {
        Error::Tensor { path: self.source.file_of(tensor), tensor: tensor.to_string(), expected, found }
    }
}

/// How often each name occurs.
pub(crate) fn counted(names: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    names.fold(BTreeMap::new(), |mut counts, name| {
        *counts.entry(name).or_default() += 1;
        counts
    })
}

/// Whether every weight is finite. The sum of squares is exactly when they are (weights near f32's limit are
/// damage as well); it is taken part by part, as the squares of a large matrix are as large again.
fn is_finite(tensor: &Tensor) -> Result<bool> {
    const PART: usize = 1 << 22;
    let numbers = tensor.flatten_all()?;
    let count = numbers.elem_count();
    for start in (0..count).step_by(PART) {
        let part = numbers.narrow(0, start, PART.min(count - start))?;
        if !part.sqr()?.sum_all()?.to_scalar::<f32>()?.is_finite() {
            return Ok(false);
        }
    }
    Ok(true)
}
