//! Reading tensors by name, with their shapes checked.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
pub use crate::kernel::Blocks;
use crate::spec::{Dtype, WeightForm};

impl Dtype {
    /// The dtype of tensors that hold such weights; of those that are no matrices.
    #[must_use]
    pub fn tensor(self) -> DType {
        match self {
            Self::F32 | Self::Bf16x2 | Self::Int8 => DType::F32,
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

    /// Bytes of the blocks, or of the numbers of 16 bits, that a matrix can be kept in instead of numbers in
    /// f32, when it can.
    fn block_bytes(&self, _name: &str) -> Option<usize> {
        None
    }

    /// Reads a matrix as [`Self::block_bytes`] says of it.
    ///
    /// # Errors
    /// As of [`Self::read`].
    fn read_blocks(&self, _name: &str) -> Result<Option<Blocks>> {
        Ok(None)
    }

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

/// A matrix as a linear map takes it.
#[derive(Debug, Clone)]
pub enum Matrix {
    /// `[out, in]` in f32.
    Numbers(Tensor),
    /// In the blocks of a file, or its numbers of 16 bits, to be kept so.
    Blocks(Arc<Blocks>),
}

impl Matrix {
    /// Its numbers in f32, `[out, in]`.
    ///
    /// # Errors
    /// When memory is out.
    pub fn numbers(&self) -> candle_core::Result<Tensor> {
        match self {
            Self::Numbers(numbers) => Ok(numbers.clone()),
            Self::Blocks(blocks) => {
                let [n, k] = blocks.shape();
                Tensor::from_vec(blocks.to_f32(), (n, k), &Device::Cpu)
            }
        }
    }

    /// Whether it is on the CPU.
    #[must_use]
    pub fn is_on_cpu(&self) -> bool {
        match self {
            Self::Numbers(numbers) => numbers.device().is_cpu(),
            Self::Blocks(_) => true,
        }
    }

    /// The rows of all `parts`, one after the other; in blocks where these are all of one type.
    ///
    /// # Errors
    /// When they differ in width, or memory is out.
    pub fn stacked(parts: &[Self]) -> candle_core::Result<Self> {
        let blocks = parts.iter().map(|part| match part {
            Self::Blocks(blocks) => Some(&**blocks),
            Self::Numbers(_) => None,
        });
        let blocks: Option<Vec<_>> = blocks.collect();
        if let Some(stacked) = blocks.and_then(|blocks| Blocks::stacked(&blocks)) {
            return Ok(Self::Blocks(Arc::new(stacked)));
        }
        let numbers = parts.iter().map(Self::numbers).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Self::Numbers(Tensor::cat(&numbers, 0)?))
    }
}

/// Whether a matrix of `numbers` whose blocks take `bytes` is kept in them, where it is computed with as
/// `dtype`: when they are smaller, or in integers no larger.
#[must_use]
pub fn keeps_blocks(bytes: usize, numbers: usize, dtype: Dtype) -> bool {
    let expanded = dtype.bytes(numbers);
    bytes < expanded || dtype == Dtype::Int8 && bytes == expanded
}

/// A place in the tree of tensor names.
pub struct Weights<'a> {
    source: &'a dyn TensorSource,
    device: &'a Device,
    dtype: Dtype,
    form: WeightForm,
    prefix: String,
}

impl<'a> Weights<'a> {
    /// The root of the names in `source`; tensors are put on `device`, and linear maps keep theirs as
    /// `dtype`.
    #[must_use]
    pub fn new(source: &'a dyn TensorSource, device: &'a Device, dtype: Dtype) -> Self {
        Self { source, device, dtype, form: WeightForm::Expanded, prefix: String::new() }
    }

    /// The same, with matrices that are kept in this form where they can be.
    #[must_use]
    pub fn in_form(self, form: WeightForm) -> Self {
        Self { form, ..self }
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
            return Err(self.damaged(&full));
        }
        Ok(tensor)
    }

    /// The matrix `name` here, `[out, in]`: as its file has it where weights stay so and that is smaller than
    /// its numbers, else in f32.
    ///
    /// # Errors
    /// Those of [`Self::get`].
    pub fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Matrix> {
        let full = self.full(name);
        let bytes = match self.form {
            WeightForm::Halves | WeightForm::Quantised if self.device.is_cpu() => {
                self.source.block_bytes(&full)
            }
            _ => None,
        };
        if bytes.is_some_and(|bytes| keeps_blocks(bytes, shape[0].saturating_mul(shape[1]), self.dtype)) {
            self.check(name, &shape)?;
            if let Some(blocks) = self.source.read_blocks(&full)?.filter(|blocks| blocks.shape() == shape) {
                let blocks = Arc::new(blocks);
                return if blocks.is_finite() {
                    Ok(Matrix::Blocks(blocks))
                } else {
                    Err(self.damaged(&full))
                };
            }
        }
        Ok(Matrix::Numbers(self.get(name, &shape)?))
    }

    fn damaged(&self, tensor: &str) -> Error {
        self.wrong(
            tensor,
            "finite numbers".to_string(),
            "a NaN or an infinity: the file is damaged; download it again".to_string(),
        )
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
