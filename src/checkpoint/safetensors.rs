//! Safetensors: one file, or shards named by an index, memory-mapped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorInfo};
use serde_json::Value;

use super::config::Config;
use super::weights::{FileBytes, TensorSource, counted, map_file};
use crate::error::{Error, Result};

/// The safetensors files of a checkpoint.
pub(super) struct SafetensorsFiles {
    files: Vec<MappedFile>,
    tensors: BTreeMap<String, (usize, TensorInfo)>,
}

struct MappedFile {
    path: PathBuf,
    bytes: FileBytes,
    data_start: usize,
}

impl SafetensorsFiles {
    /// Opens `model.safetensors`, or the shards of `model.safetensors.index.json`, in a directory.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let single = directory.join("model.safetensors");
        let index = directory.join("model.safetensors.index.json");
        let paths = if single.exists() {
            vec![single]
        } else if index.exists() {
            shards(directory, &index)?
        } else {
            return Err(missing(directory));
        };
        Self::map(paths)
    }

    /// Opens these files, whose tensors belong together.
    pub(super) fn map(paths: Vec<PathBuf>) -> Result<Self> {
        let map = |path: PathBuf| Ok((FileBytes::Mapped(map_file(&path)?), path));
        Self::read(paths.into_iter().map(map).collect::<Result<_>>()?)
    }

    /// Reads the headers of files whose tensors belong together.
    pub(super) fn read(files: Vec<(FileBytes, PathBuf)>) -> Result<Self> {
        let mut found = Self { files: Vec::new(), tensors: BTreeMap::new() };
        for (bytes, path) in files {
            let (header, metadata) =
                SafeTensors::read_metadata(&bytes).map_err(|error| damaged(&path, bytes.len(), &error))?;
            let data_start = 8 + header;
            // The library adds sizes up without watching for overflow.
            let infos = metadata.tensors();
            let end = infos.values().map(|info| info.data_offsets.1).max().unwrap_or(0);
            if data_start.checked_add(end).is_none_or(|end| end > bytes.len()) {
                return Err(damaged(&path, bytes.len(), &SafeTensorError::MetadataIncompleteBuffer));
            }
            let number = found.files.len();
            found.tensors.extend(infos.into_iter().map(|(name, info)| (name, (number, info.clone()))));
            found.files.push(MappedFile { path, bytes, data_start });
        }
        Ok(found)
    }

    /// Names of all tensors, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The files, in the order of their names.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| file.path.clone()).collect()
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
        let file = &self.files[*number];
        let (start, end) = info.data_offsets;
        let bytes = &file.bytes[file.data_start + start..file.data_start + end];
        let numbers: Vec<f32> = match info.dtype {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            Dtype::F16 => bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
            _ => bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect(),
        };
        Ok(Tensor::from_vec(numbers, info.shape.as_slice(), device)?)
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
        self.files[self.tensors.get(name).map_or(0, |(number, _)| *number)].path.clone()
    }
}

/// The shards that an index names, sorted, each a plain file name of the same directory.
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
        let plain = name.as_str().filter(|name| !name.contains(['/', '\\']) && !name.starts_with('.'));
        let plain = plain.ok_or_else(|| config.wrong("weight_map", "file names without a path", name))?;
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

fn missing(directory: &Path) -> Error {
    let has_pickle = std::fs::read_dir(directory).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().ends_with(".bin"))
    });
    let problem = if has_pickle {
        "holds PyTorch pickles only, which can run code when they are read; convert the model with transformers: \
         AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW_DIR, safe_serialization=True)"
    } else {
        "holds neither model.safetensors nor model.safetensors.index.json; download the weights into it"
    };
    Error::file(directory, problem)
}

fn damaged(path: &Path, length: usize, error: &SafeTensorError) -> Error {
    let problem = match error {
        SafeTensorError::HeaderTooSmall | SafeTensorError::InvalidHeaderLength => {
            format!("the file is cut short in its header ({length} bytes found); download it again")
        }
        SafeTensorError::MetadataIncompleteBuffer => {
            format!(
                "the header promises more or fewer bytes than the {length} found: cut short; download it again"
            )
        }
        other => format!("not a safetensors file, or damaged ({other}); download it again"),
    };
    Error::file(path, problem)
}
