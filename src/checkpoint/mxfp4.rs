//! MXFP4 in safetensors, as gpt-oss has it: a tensor `NAME` of shape `[.., rows, columns]` stands as
//! `NAME_blocks` `[.., rows, columns / 32, 16]` and `NAME_scales` `[.., rows, columns / 32]`, both in bytes.
//!
//! A byte of a block holds two numbers, the first in its low half, each one of `±{0, 0.5, 1, 1.5, 2, 3, 4,
//! 6}` (E2M1); a block's 32 numbers are multiplied by `2^(scale - 127)` (E8M0; OCP Microscaling Formats 1.0).
//! Such a pair is shown as one tensor under the name of its blocks, in f32: rows are outputs, as in every
//! matrix of a linear map. (transformers turns them: what it calls `NAME` is `[.., columns, rows]`.)

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use candle_core::{Device, Tensor};

use super::safetensors::SafetensorsFiles;
use crate::error::Result;
use crate::weights::{Blocks, TensorSource, counted};

/// What the kind of such a pair is called.
pub(super) const KIND: &str = "MXFP4";
/// How the name of the blocks ends.
pub(super) const BLOCKS: &str = "_blocks";
const SCALES: &str = "_scales";

/// Bytes of a block, with two numbers each.
const BLOCK: usize = 16;

/// The files of a checkpoint, each pair of blocks and scales seen as one tensor.
pub(super) struct WithMxfp4 {
    files: SafetensorsFiles,
    /// Names of blocks that have scales of their shape.
    blocks: BTreeSet<String>,
}

impl WithMxfp4 {
    pub(super) fn new(files: SafetensorsFiles) -> Self {
        let is_pair = |blocks: &&str| {
            let scales = scales_of(blocks).filter(|scales| files.is_bytes(scales) && files.is_bytes(blocks));
            let (Some(scales), Some(shape)) = (scales, files.shape(blocks)) else { return false };
            let matrix = shape.len() >= 3 && shape.ends_with(&[BLOCK]);
            matrix && files.shape(&scales).as_deref() == shape.split_last().map(|(_, rest)| rest)
        };
        let blocks = files.names().filter(is_pair).map(str::to_string).collect();
        Self { files, blocks }
    }

    /// Names and kinds of all tensors.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (&str, String)> {
        let kinds = self.files.kinds().filter(|(name, _)| !self.is_scales(name));
        kinds.map(|(name, kind)| (name, if self.blocks.contains(name) { KIND.to_string() } else { kind }))
    }

    /// The files, in the order of their names.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.files.files()
    }

    fn is_scales(&self, name: &str) -> bool {
        name.strip_suffix(SCALES).is_some_and(|name| self.blocks.contains(&format!("{name}{BLOCKS}")))
    }

    fn dequantised(&self, blocks: &str, device: &Device) -> Result<Tensor> {
        let shape = self.shape(blocks).unwrap_or_default();
        let mut scales: Vec<u8> = Vec::new();
        self.files.in_bytes(&scales_of(blocks).unwrap_or_default(), |bytes| scales.extend(bytes))?;
        let mut numbers = Vec::with_capacity(2 * BLOCK * scales.len());
        let mut scales = scales.into_iter();
        // Pieces are whole blocks.
        self.files.in_bytes(blocks, |bytes| {
            for (block, scale) in bytes.chunks(BLOCK).zip(&mut scales) {
                let scale = 2f64.powi(i32::from(scale) - 127);
                let number = |half: u8| (f64::from(VALUES[usize::from(half)]) * scale) as f32;
                numbers.extend(block.iter().flat_map(|byte| [number(byte & 15), number(byte >> 4)]));
            }
        })?;
        Ok(Tensor::from_vec(numbers, shape, device)?)
    }
}

/// E2M1: a sign, two bits of exponent, one of mantissa.
const VALUES: [f32; 16] =
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

fn scales_of(blocks: &str) -> Option<String> {
    Some(format!("{}{SCALES}", blocks.strip_suffix(BLOCKS)?))
}

impl TensorSource for WithMxfp4 {
    fn contains(&self, name: &str) -> bool {
        self.files.contains(name)
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let mut shape = self.files.shape(name)?;
        if self.blocks.contains(name)
            && let Some(columns) = shape.pop().and_then(|block| Some(shape.pop()? * block * 2))
        {
            shape.push(columns);
        }
        Some(shape)
    }

    fn read(&self, name: &str, device: &Device) -> Result<Tensor> {
        match self.blocks.contains(name) {
            true => self.dequantised(name, device),
            false => self.files.read(name, device),
        }
    }

    fn block_bytes(&self, name: &str) -> Option<usize> {
        self.files.block_bytes(name)
    }

    fn read_blocks(&self, name: &str) -> Result<Option<Blocks>> {
        self.files.read_blocks(name)
    }

    fn check_dtype(&self, name: &str) -> Result<()> {
        if self.blocks.contains(name) { Ok(()) } else { self.files.check_dtype(name) }
    }

    fn dtypes(&self) -> BTreeMap<String, usize> {
        counted(self.kinds().map(|(_, kind)| kind))
    }

    fn file_of(&self, name: &str) -> PathBuf {
        self.files.file_of(name)
    }

    fn stored_name(&self, name: &str) -> Option<String> {
        self.files.stored_name(name)
    }

    fn stored_names(&self) -> Vec<String> {
        self.kinds().map(|(name, _)| name.to_string()).collect()
    }

    fn stored_shape(&self, stored: &str) -> Option<Vec<usize>> {
        self.shape(stored)
    }

    fn read_stored(&self, stored: &str) -> Result<Tensor> {
        self.read(stored, &Device::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn open(path: PathBuf) -> WithMxfp4 {
        WithMxfp4::new(SafetensorsFiles::open(&[path]).unwrap())
    }

    /// `fixtures/make_mxfp4.py` has the blocks, and what transformers makes of them.
    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mxfp4.safetensors")
    }

    #[test]
    fn blocks_and_scales_are_the_numbers_that_transformers_makes_of_them() {
        let files = open(fixture());
        let expected = files.read("expected", &Device::Cpu).unwrap(); // [experts, columns, rows]
        let found = files.read("w_blocks", &Device::Cpu).unwrap(); // [experts, rows, columns]
        assert_eq!(files.shape("w_blocks").unwrap(), found.dims());
        let bits = |tensor: &Tensor| {
            let numbers = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            numbers.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(bits(&found.transpose(1, 2).unwrap()), bits(&expected));
    }

    #[test]
    fn a_pair_is_one_tensor_among_the_others() {
        let files = open(fixture());
        assert_eq!(files.stored_names(), ["expected", "w_blocks"]);
        assert_eq!(files.dtypes(), [("F32".to_string(), 1), (KIND.to_string(), 1)].into());
    }

    #[test]
    fn blocks_whose_scales_have_another_shape_or_kind_are_no_pair() {
        let place = tempfile::tempdir().unwrap();
        let bytes = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::U8, &Device::Cpu).unwrap();
        let floats = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
        for (number, (blocks, scales)) in [
            (bytes(&[2, 3, 4, 16]), bytes(&[2, 3, 5])),
            (bytes(&[2, 3, 4, 8]), bytes(&[2, 3, 4])),
            (bytes(&[3, 16]), bytes(&[3])),
            (bytes(&[2, 3, 4, 16]), floats(&[2, 3, 4])),
        ]
        .into_iter()
        .enumerate()
        {
            let path = place.path().join(format!("{number}.safetensors"));
            let tensors = [("w_blocks", blocks), ("w_scales", scales)].into();
            candle_core::safetensors::save(&tensors, &path).unwrap();
            assert_eq!(open(path).stored_names(), ["w_blocks", "w_scales"], "case {number}");
        }
    }
}
