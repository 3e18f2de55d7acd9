//! Safetensors: one file, or shards named by an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::Value;

use super::config::Config;
use super::hub::names::is_relative;
use super::weight_file::{Plain, WeightFile};
use crate::error::{Error, Result};
use crate::json;
use crate::kernel::ggml::{self, TensorType};
use crate::weights::{Blocks, TensorSource, counted};

/// The safetensors files of a checkpoint.
pub(super) struct SafetensorsFiles {
    files: Vec<OpenFile>,
    tensors: BTreeMap<String, (usize, TensorInfo)>,
}

struct OpenFile {
    file: WeightFile,
    data_start: u64,
}

impl SafetensorsFiles {
    /// The files of a directory: `model.safetensors`, or the shards of `model.safetensors.index.json`; none
    /// when it has neither.
    pub(super) fn paths(directory: &Path) -> Result<Vec<PathBuf>> {
        let single = directory.join("model.safetensors");
        let index = directory.join("model.safetensors.index.json");
        if single.exists() {
            Ok(vec![single])
        } else if index.exists() {
            shards(directory, &index)
        } else {
            Ok(Vec::new())
        }
    }

    /// Opens these files, whose tensors belong together.
    pub(super) fn open(paths: &[PathBuf]) -> Result<Self> {
        Self::read(paths.iter().map(|path| WeightFile::open(path)).collect::<Result<_>>()?)
    }

    /// Reads the headers of files whose tensors belong together.
    pub(super) fn read(files: Vec<WeightFile>) -> Result<Self> {
        let mut found = Self { files: Vec::new(), tensors: BTreeMap::new() };
        for file in files {
            let number = found.files.len();
            let (data_start, header) = header(&file)?;
            found
                .tensors
                .extend(header.tensors().into_iter().map(|(name, info)| (name, (number, info.clone()))));
            found.files.push(OpenFile { file, data_start });
        }
        Ok(found)
    }

    /// Names of all tensors, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Names and dtypes of all tensors.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (&str, String)> {
        self.tensors.iter().map(|(name, (_, info))| (name.as_str(), format!("{:?}", info.dtype)))
    }

    /// Whether this tensor is there and its numbers are single bytes.
    pub(super) fn is_bytes(&self, name: &str) -> bool {
        self.tensors.get(name).is_some_and(|(_, info)| info.dtype == Dtype::U8)
    }

    /// Hands the bytes of a tensor to `take`, piece by piece; the length of all but the last is a multiple of
    /// that of any block.
    pub(super) fn in_bytes(&self, name: &str, take: impl FnMut(&[u8])) -> Result<()> {
        let Some((number, info)) = self.tensors.get(name) else { return Ok(()) };
        let (OpenFile { file, data_start }, (start, end)) = (&self.files[*number], info.data_offsets);
        file.in_pieces(data_start + start as u64, end - start, take)
    }

    /// The files, in the order of their names.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.files.iter().map(|open| open.file.path().to_path_buf()).collect()
    }
}

impl TensorSource for SafetensorsFiles {
    fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors.get(name).map(|(_, info)| info.shape.clone())
    }

    fn read(&self, name: &str, device: &Device) -> Result<Tensor> {
        let wrong = |expected: &str, found: String| Error::Tensor {
            path: self.file_of(name),
            tensor: name.to_string(),
            expected: expected.to_string(),
            found,
        };
        let Some((number, info)) = self.tensors.get(name) else {
            return Err(wrong(
                "a tensor",
                "no such tensor: the file is not complete; download it again".to_string(),
            ));
        };
        self.check_dtype(name)?;
        let OpenFile { file, data_start } = &self.files[*number];
        let (start, end) = info.data_offsets;
        let kind = match info.dtype {
            Dtype::F32 => Plain::F32,
            Dtype::F16 => Plain::F16,
            _ => Plain::Bf16,
        };
        let numbers = file.numbers(data_start + start as u64, end - start, kind)?;
        Ok(Tensor::from_vec(numbers, info.shape.as_slice(), device)?)
    }

    fn block_bytes(&self, name: &str) -> Option<usize> {
        let (_, info) = self.tensors.get(name)?;
        in_16_bits(info).map(|_| info.data_offsets.1 - info.data_offsets.0)
    }

    fn read_blocks(&self, name: &str) -> Result<Option<Blocks>> {
        let Some((kind, shape)) = self.tensors.get(name).and_then(|(_, info)| in_16_bits(info)) else {
            return Ok(None);
        };
        let mut all = Vec::with_capacity(self.block_bytes(name).unwrap_or(0));
        self.in_bytes(name, |bytes| all.extend_from_slice(bytes))?;
        Ok(Blocks::new(kind, shape, all, None))
    }

    fn check_dtype(&self, name: &str) -> Result<()> {
        match self.tensors.get(name) {
            Some((_, info)) if !matches!(info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) => {
                Err(Error::Tensor {
                    path: self.file_of(name),
                    tensor: name.to_string(),
                    expected: "dtype F32, F16 or BF16".to_string(),
                    found: format!(
                        "dtype {:?}; convert it with transformers: torch_dtype=torch.bfloat16",
                        info.dtype
                    ),
                })
            }
            _ => Ok(()),
        }
    }

    fn dtypes(&self) -> BTreeMap<String, usize> {
        counted(self.tensors.values().map(|(_, info)| format!("{:?}", info.dtype)))
    }

    fn file_of(&self, name: &str) -> PathBuf {
        self.files[self.tensors.get(name).map_or(0, |(number, _)| *number)].file.path().to_path_buf()
    }

    fn stored_name(&self, name: &str) -> Option<String> {
        self.contains(name).then(|| name.to_string())
    }

    fn stored_names(&self) -> Vec<String> {
        self.names().map(str::to_string).collect()
    }

    fn stored_shape(&self, stored: &str) -> Option<Vec<usize>> {
        self.shape(stored)
    }

    fn read_stored(&self, stored: &str) -> Result<Tensor> {
        self.read(stored, &Device::Cpu)
    }
}

/// How the numbers of a matrix stand in its file, and its shape, where these are numbers of 16 bits.
fn in_16_bits(info: &TensorInfo) -> Option<(&'static TensorType, [usize; 2])> {
    let kind = match info.dtype {
        Dtype::F16 => ggml::F16,
        Dtype::BF16 => ggml::BF16,
        _ => return None,
    };
    Some((ggml::find(kind)?, info.shape.as_slice().try_into().ok()?))
}

/// The shards that an index names, sorted, in its directory or in folders below it.
fn shards(directory: &Path, index: &Path) -> Result<Vec<PathBuf>> {
    shard_names(index)?
        .into_iter()
        .map(|name| directory.join(name))
        .map(|path| existing_shard(path, index))
        .collect()
}

/// The files that an index names, none of them outside its own directory.
pub(super) fn shard_names(index: &Path) -> Result<BTreeSet<String>> {
    let config = Config::read(index)?;
    let map = config.get("weight_map").and_then(Value::as_object);
    let map =
        map.ok_or_else(|| config.wrong("weight_map", "an object of tensor names to files", "nothing"))?;
    let mut names = BTreeSet::new();
    for name in map.values() {
        let plain = name.as_str().filter(|name| is_relative(name));
        let expected = "names of files beside the index or in folders below it";
        let plain = plain.ok_or_else(|| config.wrong("weight_map", expected, name))?;
        names.insert(plain.to_string());
    }
    if names.is_empty() {
        return Err(config.wrong("weight_map", "at least one file", "none"));
    }
    Ok(names)
}

fn existing_shard(path: PathBuf, index: &Path) -> Result<PathBuf> {
    if path.exists() {
        return Ok(path);
    }
    Err(Error::file(&path, format!("this shard is named by {} but missing; download it", index.display())))
}

/// Bytes of a header, at most: three times those of the largest checkpoints, were they one file.
const LONGEST_HEADER: u64 = 32 << 20;
/// Values in it, at most; a tensor has about a dozen.
const MOST_VALUES: usize = 4_000_000;

/// Where the numbers of a file begin, and what its header says about them: they fill the file to its end.
fn header(file: &WeightFile) -> Result<(u64, Metadata)> {
    let found = file.len();
    let wrong = |problem: String| Error::file(file.path(), format!("{problem}; download it again"));
    let cut_short = || wrong(format!("the file is cut short in its header ({found} bytes found)"));
    let damaged = |problem: String| wrong(format!("not a safetensors file, or damaged ({problem})"));
    let mut length = [0; 8];
    if found < length.len() as u64 {
        return Err(cut_short());
    }
    file.read_at(0, &mut length)?;
    let (length, start) = (u64::from_le_bytes(length), length.len() as u64);
    if length > LONGEST_HEADER {
        return Err(damaged(format!("a header of {length} bytes, where at most {LONGEST_HEADER} are read")));
    }
    if length > found - start {
        return Err(cut_short());
    }
    let mut header = vec![0; length as usize];
    file.read_at(start, &mut header)?;
    let header: Metadata = json::parse(&header, MOST_VALUES).map_err(damaged)?;
    if (start + length).checked_add(header.data_len() as u64) != Some(found) {
        let problem = format!("the header promises more or fewer bytes than the {found} found: cut short");
        return Err(wrong(problem));
    }
    Ok((start + length, header))
}
