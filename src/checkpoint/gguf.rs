//! GGUF files: metadata and quantised tensors, in one file or in the parts of a split one.
//!
//! The files are mapped into memory; quantised weights are expanded to f32 exactly, or stay where they are. A
//! tensor of a type that is not known keeps nobody from looking at the file, only from reading that tensor.

use std::collections::{BTreeMap, HashMap};
use std::io::BufReader;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use candle_core::{Device, Tensor};

use super::gguf_header::{self, Problem, StoredAs, TensorPlace, Value};
use super::kinds;
use super::weight_file::WeightFile;
use crate::error::{Error, Result};
use crate::files;
use crate::kernel::ggml::{self, TensorType};
use crate::weights::counted;

/// An open GGUF file.
pub struct GgufFile {
    parts: Vec<Part>,
    metadata: Metadata,
    architecture: String,
}

/// One of the files that hold the tensors.
struct Part {
    file: WeightFile,
    tensors: BTreeMap<String, TensorPlace>,
}

/// The metadata of a GGUF file, with checked access.
#[derive(Clone)]
pub struct Metadata {
    path: PathBuf,
    values: Arc<HashMap<String, Value>>,
}

impl GgufFile {
    /// Opens a file, with the other parts when it is the first of a split one, and checks that every tensor
    /// they announce lies inside them.
    ///
    /// # Errors
    /// [`Error::File`] when it is missing, no GGUF, cut short, damaged or not the first part.
    pub fn open(path: &Path) -> Result<Self> {
        let (first, values) = Part::open(path)?;
        let metadata = Metadata { path: path.to_path_buf(), values: Arc::new(values) };
        let mut parts = vec![first];
        if let Some(count) = metadata.integer("split.count")?.filter(|count| *count > 1) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let others = other_parts(name);
            if others.len() as u64 + 1 != count {
                return Err(Error::file(path, not_the_first(count)));
            }
            for other in others {
                parts.push(Part::open(&path.with_file_name(other))?.0);
            }
        }
        let tensors = parts.iter().map(|part| part.tensors.len()).sum();
        kinds::refuse_other_gguf(path, &metadata, tensors)?;
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
        self.parts.iter().map(|part| part.file.path().to_path_buf()).collect()
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
    /// [`Error::Tensor`] when it is missing or of a type that is not known, [`Error::File`] when the file
    /// cannot be read.
    pub fn read(&self, stored: &str, device: &Device) -> Result<Tensor> {
        let rows = self.shape(stored).and_then(|shape| shape.first().copied()).unwrap_or(1);
        self.read_rows(stored, 0..rows, device)
    }

    /// Expands these of the rows of a matrix, of the numbers of a vector or of the matrices of a stack; what
    /// has no sizes is one row.
    ///
    /// # Errors
    /// As of [`Self::read`], and [`Error::Tensor`] when there are not as many.
    pub fn read_rows(&self, stored: &str, rows: Range<usize>, device: &Device) -> Result<Tensor> {
        let (part, place) = self.place(stored).ok_or_else(|| {
            self.wrong(stored, "a tensor of the file", "no such tensor; download the file again".to_string())
        })?;
        let kind = match place.kind {
            StoredAs::Known(kind) => kind,
            StoredAs::Unknown(_) => {
                let expected = format!("one of the types {}", ggml::known_names());
                return Err(self.wrong(stored, &expected, format!("{}: {REMEDY}", place.kind.name())));
            }
        };
        let all = place.shape.first().copied().unwrap_or(1);
        if rows.start > rows.end || rows.end > all {
            return Err(self.wrong(stored, &format!("at least {} rows", rows.end), format!("{all} rows")));
        }
        // Opening has checked that all of them lie in the file. The numbers of a vector may share a block.
        let width: usize = place.shape.iter().skip(1).product();
        let (first, count) = (rows.start * width, rows.len() * width);
        let blocks = first / kind.block_size..(first + count).div_ceil(kind.block_size);
        let mut numbers = vec![0f32; blocks.len() * kind.block_size];
        let (start, bytes) = (blocks.start * kind.block_bytes, blocks.len() * kind.block_bytes);
        let mut rest = &mut numbers[..];
        let size = AT_ONCE / kind.block_bytes * kind.block_bytes;
        part.file.in_pieces_of(size, place.start + start as u64, bytes, |piece| {
            let count = piece.len() / kind.block_bytes * kind.block_size;
            let (these, later) = std::mem::take(&mut rest).split_at_mut(count);
            kind.expand(piece, these);
            rest = later;
        })?;
        numbers.drain(..first % kind.block_size);
        numbers.truncate(count);
        let mut shape = place.shape.clone();
        if let Some(count) = shape.first_mut() {
            *count = rows.len();
        }
        Ok(Tensor::from_vec(numbers, shape, device)?)
    }

    /// The type of the tensor stored under a GGUF name, where there is one of a type that is known.
    pub(super) fn kind(&self, stored: &str) -> Option<&'static TensorType> {
        match self.place(stored)?.1.kind {
            StoredAs::Known(kind) => Some(kind),
            StoredAs::Unknown(_) => None,
        }
    }

    /// These of the bytes of the tensor stored under a GGUF name, where it has them, as they stand in the
    /// file.
    ///
    /// # Errors
    /// [`Error::File`] when the file cannot be read.
    pub(super) fn read_bytes(&self, stored: &str, range: Range<usize>) -> Result<Option<Bytes>> {
        let Some((part, place)) = self.place(stored) else { return Ok(None) };
        if range.start > range.end || range.end as u64 > place.bytes {
            return Ok(None);
        }
        // Opening has checked that all of them lie in the file.
        part.file.shared(place.start + range.start as u64, range.len()).map(Some)
    }

    /// The tensors whose type is not known, and what their types are called.
    #[must_use]
    pub fn of_unknown_type(&self) -> BTreeMap<String, String> {
        let tensors = self.parts.iter().flat_map(|part| &part.tensors);
        let unknown = tensors.filter(|(_, place)| matches!(place.kind, StoredAs::Unknown(_)));
        unknown.map(|(name, place)| (name.clone(), place.kind.name())).collect()
    }

    fn wrong(&self, stored: &str, expected: &str, found: String) -> Error {
        let path = self.file_of(stored).to_path_buf();
        Error::Tensor { path, tensor: stored.to_string(), expected: expected.to_string(), found }
    }

    /// Whether there is a tensor stored under a GGUF name.
    #[must_use]
    pub fn contains(&self, stored: &str) -> bool {
        self.place(stored).is_some()
    }

    /// The shape of the tensor stored under a GGUF name.
    #[must_use]
    pub fn shape(&self, stored: &str) -> Option<Vec<usize>> {
        Some(self.place(stored)?.1.shape.clone())
    }

    /// The file that holds the tensor stored under a GGUF name, or the first when none does.
    #[must_use]
    pub fn file_of(&self, stored: &str) -> &Path {
        self.place(stored).map_or(self.path(), |(part, _)| part.file.path())
    }

    /// How many tensors there are of each type.
    #[must_use]
    pub fn dtypes(&self) -> BTreeMap<String, usize> {
        let places = self.parts.iter().flat_map(|part| part.tensors.values());
        counted(places.map(|place| place.kind.name()))
    }

    /// The names of all tensors, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.parts.iter().flat_map(|part| part.tensors.keys().cloned()).collect();
        names.sort_unstable();
        names
    }

    fn place(&self, stored: &str) -> Option<(&Part, &TensorPlace)> {
        self.parts.iter().find_map(|part| Some((part, part.tensors.get(stored)?)))
    }
}

impl Part {
    fn open(path: &Path) -> Result<(Self, HashMap<String, Value>)> {
        let file = WeightFile::mapped(path)?;
        if file.begins(MAGIC.len())? != MAGIC {
            return Err(Error::file(
                path,
                "not a GGUF file: it does not begin with the letters GGUF; download it again",
            ));
        }
        let header = gguf_header::read(BufReader::with_capacity(1 << 16, file.bytes()), file.len())
            .map_err(|problem| unreadable(path, file.len(), problem))?;
        let ends = header.tensors.iter().map(|(name, place)| (place.end(), name));
        if let Some((end, name)) = ends.max().filter(|(end, _)| *end > file.len()) {
            return Err(Error::file(
                path,
                format!(
                    "cut short: tensor {name} ends at byte {end}, the file has {}; download it again",
                    file.len()
                ),
            ));
        }
        Ok((Self { file, tensors: header.tensors }, header.metadata))
    }
}

/// What to do about a type that is not known.
pub(super) const REMEDY: &str = "quantise the model again to a type that is known, or get a file of one";

/// Bytes that are read and expanded at once.
const AT_ONCE: usize = 8 << 20;

/// What a GGUF file begins with.
pub(super) const MAGIC: &[u8] = b"GGUF";

/// The names of the other parts of a split file, when `first` is a name that llama.cpp gives to the first.
pub(super) fn other_parts(first: &str) -> Vec<String> {
    let Some((name, extension)) = first.rsplit_once('.') else { return Vec::new() };
    let split = name.rsplit_once("-00001-of-").filter(|_| extension.eq_ignore_ascii_case("gguf"));
    let Some((stem, count)) = split.filter(|(_, count)| count.len() == 5) else { return Vec::new() };
    let last: usize = count.parse().unwrap_or(0);
    (2..=last).map(|number| format!("{stem}-{number:05}-of-{count}.{extension}")).collect()
}

fn not_the_first(count: u64) -> String {
    format!(
        "one part of a split GGUF; name the first, ...-00001-of-{count:05}.gguf, with the others beside it, \
         or merge them with: llama-gguf-split --merge"
    )
}

fn unreadable(path: &Path, length: u64, problem: Problem) -> Error {
    let problem = match problem {
        Problem::CutShort => format!("cut short in its header ({length} bytes found); download it again"),
        Problem::Read(error) => files::problem(&error),
        Problem::Damaged(problem) => {
            format!(
                "damaged or of an unknown kind: {problem}; download it again, or convert it with a newer tool"
            )
        }
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
        let error = || Error::invalid(format!("{}: {key}", self.path.display()), value, expected);
        read(value).map(Some).ok_or_else(error)
    }

    /// A string.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn string(&self, key: &str) -> Result<Option<String>> {
        self.typed(key, "a string", text)
    }

    /// A whole number of any width, at least 0. Of an array (one number a layer) whose entries agree, that
    /// number.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn integer(&self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "a whole number, the same for all layers", |value| match value {
            Value::List(items) => {
                let mut items = items.values()?;
                let first = items.next()?.whole()?;
                items.all(|item| item.whole() == Some(first)).then_some(first)
            }
            single => single.whole(),
        })
    }

    /// The id of a token. -1 and numbers beyond 32 bits stand for none, as in llama.cpp.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds no whole number.
    pub fn id(&self, key: &str) -> Result<Option<u32>> {
        let whole = |value: &Value| value.number().filter(|number| number.fract() == 0.0);
        let id = self.typed(key, "the id of a token", whole)?;
        Ok(id.filter(|id| (0.0..f64::from(u32::MAX)).contains(id)).map(|id| id as u32))
    }

    /// A number.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a number", Value::number)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", |value| match value {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A list of strings.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<String>>> {
        self.list(key, "a list of strings", text)
    }

    /// A list of numbers.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when the key holds something else.
    pub fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        self.list(key, "a list of numbers", Value::number)
    }

    fn list<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        self.typed(key, expected, |value| match value {
            Value::List(items) => items.values()?.map(|item| read(&item)).collect(),
            _ => None,
        })
    }

    /// Length of a list without reading it.
    #[must_use]
    pub fn list_len(&self, key: &str) -> Option<usize> {
        match self.values.get(key) {
            Some(Value::List(items)) => Some(items.len()),
            _ => None,
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}
