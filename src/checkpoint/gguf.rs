//! GGUF files: metadata and quantised tensors, memory-mapped, in one file or in the parts of a split one.
//!
//! Quantised weights are expanded to f32 exactly.

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::quantized::gguf_file::{Content, TensorInfo, Value};
use candle_core::{Device, Tensor};
use memmap2::Mmap;

use super::weights::{counted, map_file};
use crate::error::{Error, Result};

/// An open GGUF file.
pub struct GgufFile {
    parts: Vec<Part>,
    metadata: Metadata,
    architecture: String,
}

/// One of the files that hold the tensors.
struct Part {
    path: PathBuf,
    bytes: Mmap,
    content: Content,
}

/// The metadata of a GGUF file, with checked access.
#[derive(Clone)]
pub struct Metadata {
    path: PathBuf,
    values: Arc<HashMap<String, Value>>,
}

impl GgufFile {
    /// Opens a file, with the other parts when it is the first of a split one, and checks that every tensor they
    /// announce lies inside them.
    ///
    /// # Errors
    /// [`Error::File`] when it is missing, no GGUF, cut short, not the first part, or uses a quantisation that cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let mut first = Part::open(path)?;
        let values = Arc::new(std::mem::take(&mut first.content.metadata));
        let metadata = Metadata { path: path.to_path_buf(), values };
        let mut parts = vec![first];
        if let Some(count) = metadata.integer("split.count")?.filter(|count| *count > 1) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let others = other_parts(name);
            if others.len() as u64 + 1 != count {
                return Err(Error::file(path, not_the_first(count)));
            }
            for other in others {
                parts.push(Part::open(&path.with_file_name(other))?);
            }
        }
        let architecture = metadata.string("general.architecture")?.ok_or_else(|| {
            Error::file(path, "the metadata has no general.architecture; convert the model again")
        })?;
        Ok(Self { parts, metadata, architecture })
    }

    /// The file, or the first part of a split one.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.metadata.path
    }

    /// The file, or all parts of a split one in order.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.parts.iter().map(|part| part.path.clone()).collect()
    }

    /// Its metadata.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// `general.architecture`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Expands the tensor stored under a GGUF name to f32.
    ///
    /// # Errors
    /// [`Error::Tensor`] when it is missing or cannot be read.
    pub fn read(&self, stored: &str, device: &Device) -> Result<Tensor> {
        let wrong = |path: &Path, found: String| Error::Tensor {
            path: path.to_path_buf(),
            tensor: stored.to_string(),
            expected: "a readable tensor".to_string(),
            found,
        };
        let part = self.part(stored).ok_or_else(|| wrong(self.path(), "no such tensor".to_string()))?;
        let expand =
            || part.content.tensor(&mut Cursor::new(&part.bytes[..]), stored, device)?.dequantize(device);
        expand().map_err(|error| {
            wrong(&part.path, error.to_string().lines().next().unwrap_or_default().to_string())
        })
    }

    /// Whether there is a tensor stored under a GGUF name.
    #[must_use]
    pub fn contains(&self, stored: &str) -> bool {
        self.part(stored).is_some()
    }

    /// The shape of the tensor stored under a GGUF name.
    #[must_use]
    pub fn shape(&self, stored: &str) -> Option<Vec<usize>> {
        Some(self.part(stored)?.content.tensor_infos[stored].shape.dims().to_vec())
    }

    /// The file that holds the tensor stored under a GGUF name, or the first when none does.
    #[must_use]
    pub fn file_of(&self, stored: &str) -> &Path {
        self.part(stored).map_or(self.path(), |part| &part.path)
    }

    /// How many tensors there are of each quantisation.
    #[must_use]
    pub fn dtypes(&self) -> BTreeMap<String, usize> {
        // `Q4_K` where candle says `Q4K`.
        let name = |info: &TensorInfo| format!("{:?}", info.ggml_dtype).replace('K', "_K");
        counted(self.parts.iter().flat_map(|part| part.content.tensor_infos.values()).map(name))
    }

    fn part(&self, stored: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.content.tensor_infos.contains_key(stored))
    }
}

impl Part {
    fn open(path: &Path) -> Result<Self> {
        let bytes = map_file(path)?;
        if !bytes.starts_with(b"GGUF") {
            return Err(Error::file(
                path,
                "not a GGUF file: it does not begin with the letters GGUF; download it again",
            ));
        }
        if super::gguf_walk::alignment_is_zero(&bytes) {
            return Err(Error::file(path, "damaged: general.alignment is 0; download it again"));
        }
        let content = Content::read(&mut Cursor::new(&bytes[..]))
            .map_err(|error| unreadable(path, bytes.len(), &error))?;
        let ends = content.tensor_infos.iter().map(|(name, info)| (end_of(info, &content), name));
        if let Some((end, name)) = ends.max().filter(|(end, _)| *end > bytes.len() as u64) {
            return Err(Error::file(
                path,
                format!(
                    "cut short: tensor {name} ends at byte {end}, the file has {}; download it again",
                    bytes.len()
                ),
            ));
        }
        Ok(Self { path: path.to_path_buf(), bytes, content })
    }
}

/// The names of the other parts of a split file, when `first` is a name that llama.cpp gives to the first.
pub(super) fn other_parts(first: &str) -> Vec<String> {
    let name = first.strip_suffix(".gguf").and_then(|name| name.rsplit_once("-00001-of-"));
    let Some((stem, count)) = name.filter(|(_, count)| count.len() == 5) else { return Vec::new() };
    let last: usize = count.parse().unwrap_or(0);
    (2..=last).map(|number| format!("{stem}-{number:05}-of-{count}.gguf")).collect()
}

fn not_the_first(count: u64) -> String {
    format!(
        "one part of a split GGUF; name the first, ...-00001-of-{count:05}.gguf, with the others beside it, or merge them \
         with: llama-gguf-split --merge"
    )
}

/// The byte after a tensor's last one.
fn end_of(info: &TensorInfo, content: &Content) -> u64 {
    let elements = info.shape.dims().iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let blocks = elements.unwrap_or(usize::MAX).div_ceil(info.ggml_dtype.block_size());
    let size = blocks.saturating_mul(info.ggml_dtype.type_size()) as u64;
    content.tensor_data_offset.saturating_add(info.offset).saturating_add(size)
}

fn unreadable(path: &Path, length: usize, error: &candle_core::Error) -> Error {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let problem = if first.contains("unknown dtype for tensor") {
        format!(
            "uses a quantisation that niah cannot read ({first}); readable are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, \
             Q8_0 and the K-quants Q2_K to Q6_K; quantise the model again to one of them"
        )
    } else if ["fill whole buffer", "unexpected end", "remaining"].iter().any(|cut| first.contains(cut)) {
        format!("cut short in its header ({length} bytes found); download it again")
    } else {
        format!(
            "damaged or of an unknown version ({first}); download it again, or convert it with a newer tool"
        )
    };
    Error::file(path, problem)
}

impl Metadata {
    /// The file the metadata is from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn typed<T>(&self, key: &str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let found = || format!("{:?}", value.value_type());
        let error = || Error::invalid(format!("{}: {key}", self.path.display()), found(), expected);
        read(value).map(Some).ok_or_else(error)
    }

    /// A string.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn string(&self, key: &str) -> Result<Option<String>> {
        self.typed(key, "a string", |value| value.to_string().ok().cloned())
    }

    /// A whole number of any width, at least 0. Of an array (one number a layer) whose entries agree, that number.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn integer(&self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "a whole number, the same for all layers", |value| match value {
            Value::Array(items) => {
                let first = whole(items.first()?)?;
                items.iter().all(|item| whole(item) == Some(first)).then_some(first)
            }
            single => whole(single),
        })
    }

    /// A number.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a number", number)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", |value| value.to_bool().ok())
    }

    /// A list of strings.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<String>>> {
        self.list(key, "a list of strings", |value| value.to_string().ok().cloned())
    }

    /// A list of numbers.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        self.list(key, "a list of numbers", number)
    }

    fn list<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        self.typed(key, expected, |value| match value {
            Value::Array(items) => items.iter().map(&read).collect(),
            _ => None,
        })
    }

    /// Length of a list without reading it.
    #[must_use]
    pub fn list_len(&self, key: &str) -> Option<usize> {
        match self.values.get(key) {
            Some(Value::Array(items)) => Some(items.len()),
            _ => None,
        }
    }
}

fn whole(value: &Value) -> Option<u64> {
    match *value {
        Value::I8(x) => u64::try_from(x).ok(),
        Value::I16(x) => u64::try_from(x).ok(),
        Value::I32(x) => u64::try_from(x).ok(),
        Value::I64(x) => u64::try_from(x).ok(),
        _ => value.to_u64().ok(),
    }
}

fn number(value: &Value) -> Option<f64> {
    match *value {
        Value::F32(x) => Some(f64::from(x)),
        Value::F64(x) => Some(x),
        Value::I8(x) => Some(f64::from(x)),
        Value::I16(x) => Some(f64::from(x)),
        Value::I32(x) => Some(f64::from(x)),
        Value::I64(x) => Some(x as f64),
        _ => whole(value).map(|x| x as f64),
    }
}
