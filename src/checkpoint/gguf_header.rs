//! The header of a GGUF file: its metadata and where its tensors lie.
//!
//! What a header claims is never believed before the bytes for it are known to be there, and lists are kept
//! as they stand in the file, so that memory is in proportion to the header's own size.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, BufRead, Read};

use crate::kernel::ggml::{self, TensorType};

/// What the header of a file says.
pub(super) struct Header {
    pub(super) metadata: HashMap<String, Value>,
    pub(super) tensors: BTreeMap<String, TensorPlace>,
}

/// Where a tensor lies and what it is.
#[derive(Debug, Clone)]
pub(super) struct TensorPlace {
    pub(super) kind: StoredAs,
    pub(super) shape: Vec<usize>,
    /// Its first byte in the file.
    pub(super) start: u64,
    /// Its size in bytes; 0 where its type is not known.
    pub(super) bytes: u64,
}

/// How the numbers of a tensor are stored.
#[derive(Debug, Clone, Copy)]
pub(super) enum StoredAs {
    /// As a type that is read.
    Known(&'static TensorType),
    /// As a type of this number, which is not.
    Unknown(u64),
}

impl StoredAs {
    /// What the type is called.
    pub(super) fn name(self) -> String {
        match self {
            Self::Known(kind) => kind.name.to_string(),
            Self::Unknown(id) => ggml::unknown_name(id),
        }
    }
}

impl TensorPlace {
    /// The byte after its last one.
    pub(super) fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes)
    }
}

/// Why a header cannot be read.
#[derive(Debug)]
pub(super) enum Problem {
    /// The file ends before the header does.
    CutShort,
    /// The file cannot be read.
    Read(io::Error),
    /// Anything else.
    Damaged(String),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::CutShort,
            _ => Self::Read(error),
        }
    }
}

type Parsed<T> = Result<T, Problem>;

/// A value of the metadata.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Unsigned(u64, Kind),
    Signed(i64, Kind),
    Float(f64, Kind),
    Flag(bool),
    Text(String),
    List(List),
}

/// A list as it stands in the file.
#[derive(Debug, Clone)]
pub(super) struct List {
    kind: Kind,
    count: usize,
    /// Nothing of a list that is not kept: one of lists, and a long one that belongs to no tokenizer.
    bytes: Option<Vec<u8>>,
    /// Bytes of a length in it.
    length_size: usize,
}

/// Kinds of value, as GGUF numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

const KINDS: &[Kind] = &[
    Kind::U8,
    Kind::I8,
    Kind::U16,
    Kind::I16,
    Kind::U32,
    Kind::I32,
    Kind::F32,
    Kind::Bool,
    Kind::String,
    Kind::Array,
    Kind::U64,
    Kind::I64,
    Kind::F64,
];

impl Kind {
    /// Bytes of a value; `None` for texts and lists.
    fn size(self) -> Option<usize> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::String | Self::Array => None,
        }
    }

    /// The value of these bytes, which are as many as the kind has.
    fn value(self, bytes: &[u8]) -> Value {
        let whole = bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
        match self {
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => Value::Unsigned(whole, self),
            Self::I8 => Value::Signed(i64::from(whole as u8 as i8), self),
            Self::I16 => Value::Signed(i64::from(whole as u16 as i16), self),
            Self::I32 => Value::Signed(i64::from(whole as u32 as i32), self),
            Self::I64 => Value::Signed(whole as i64, self),
            Self::F32 => Value::Float(f64::from(f32::from_bits(whole as u32)), self),
            Self::F64 => Value::Float(f64::from_bits(whole), self),
            Self::Bool => Value::Flag(whole != 0),
            Self::String | Self::Array => Value::Text(text(bytes)),
        }
    }
}

impl Value {
    /// A whole number that is at least 0.
    pub(super) fn whole(&self) -> Option<u64> {
        match *self {
            Self::Unsigned(number, _) => Some(number),
            Self::Signed(number, _) => u64::try_from(number).ok(),
            Self::Flag(flag) => Some(u64::from(flag)),
            _ => None,
        }
    }

    /// A number of any kind.
    pub(super) fn number(&self) -> Option<f64> {
        match *self {
            Self::Float(number, _) => Some(number),
            Self::Signed(number, _) => Some(number as f64),
            _ => self.whole().map(|number| number as f64),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(number, kind) => write!(f, "{number} ({kind:?})"),
            Self::Signed(number, kind) => write!(f, "{number} ({kind:?})"),
            Self::Float(number, kind) => write!(f, "{number} ({kind:?})"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Text(text) if text.chars().count() > 60 => f.write_str("a long text"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(list) => write!(f, "a list of {} values ({:?})", list.count, list.kind),
        }
    }
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Its values, one after the other; `None` for a list that was not kept.
    pub(super) fn values(&self) -> Option<impl Iterator<Item = Value> + '_> {
        let mut rest = self.bytes.as_deref()?;
        Some((0..self.count).map(move |_| {
            let size = self.kind.size().unwrap_or_else(|| {
                let (length, after) = rest.split_at(self.length_size.min(rest.len()));
                rest = after;
                let length = length.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
                usize::try_from(length).unwrap_or(usize::MAX)
            });
            let (value, after) = rest.split_at(size.min(rest.len()));
            rest = after;
            self.kind.value(value)
        }))
    }
}

/// A text as files have it: of bytes that may be no UTF-8, and end with zeros.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_string()
}

/// Values of a list, at most: eight times the largest vocabulary that is known.
const MOST_VALUES: u64 = 1 << 21;
/// Bytes of a list that is no tokenizer's and still kept.
const MOST_BYTES: usize = 1 << 20;
/// Bytes of a text.
const LONGEST_TEXT: u64 = 16 << 20;
/// Keys of the metadata.
const MOST_KEYS: u64 = 1 << 16;
/// Tensors of a file.
const MOST_TENSORS: u64 = 1 << 18;
/// Lists in lists.
const DEPTH: usize = 16;
/// Sizes of a tensor.
const DIMENSIONS: u64 = 4;
/// Tensors begin at multiples of this many bytes, where the file says nothing else.
const ALIGNMENT: u64 = 32;

/// Reads the header of a file of `size` bytes, which begins with the letters GGUF.
pub(super) fn read(file: impl BufRead, size: u64) -> Parsed<Header> {
    let mut reader = Reader { file, at: 0, size, length_size: 8 };
    reader.take(4)?;
    match reader.number(4)? {
        1 => reader.length_size = 4,
        2 | 3 => {}
        version if (1..=3).contains(&(version as u32).swap_bytes()) => {
            let problem = "it is for big-endian machines; convert the model for little-endian ones";
            return Err(Problem::Damaged(problem.to_string()));
        }
        version => return Err(Problem::Damaged(format!("version {version}, where 1 to 3 are known"))),
    }
    let (tensors, keys) = (reader.length()?, reader.length()?);
    let length = reader.length_size as u64;
    // A key takes its length, a kind and a byte; a tensor takes the length of its name, its dimensions, its
    // kind and its place.
    reader.expect(keys, length + 4 + 1, MOST_KEYS, "keys")?;
    reader.expect(tensors, length + 4 + 4 + 8, MOST_TENSORS, "tensors")?;
    let mut metadata = HashMap::new();
    for _ in 0..keys {
        let key = reader.text()?;
        let kind = reader.kind()?;
        let value = reader.value(kind, key.starts_with("tokenizer."))?;
        if metadata.contains_key(&key) {
            return Err(Problem::Damaged(format!("two keys named {key}")));
        }
        metadata.insert(key, value);
    }
    let mut places = Vec::new();
    for _ in 0..tensors {
        places.push(reader.tensor()?);
    }
    let alignment = match metadata.get("general.alignment") {
        Some(value) => value.whole().unwrap_or(0),
        None => ALIGNMENT,
    };
    if !alignment.is_power_of_two() {
        return Err(Problem::Damaged(format!("general.alignment is {alignment}, no power of 2")));
    }
    let start = reader.at.checked_next_multiple_of(alignment).unwrap_or(u64::MAX);
    Ok(Header { metadata, tensors: placed(places, start, alignment)? })
}

/// The tensors by name, with places counted from the beginning of the file, where tensors begin at `start`.
fn placed(
    places: Vec<(String, TensorPlace)>,
    start: u64,
    alignment: u64,
) -> Parsed<BTreeMap<String, TensorPlace>> {
    let mut tensors = BTreeMap::new();
    for (name, place) in places {
        if !place.start.is_multiple_of(alignment) {
            let problem = format!("tensor {name} begins at {}, no multiple of {alignment}", place.start);
            return Err(Problem::Damaged(problem));
        }
        let place = TensorPlace { start: start.saturating_add(place.start), ..place };
        if tensors.contains_key(&name) {
            return Err(Problem::Damaged(format!("two tensors named {name}")));
        }
        tensors.insert(name, place);
    }
    let mut order: Vec<_> = tensors.iter().filter(|(_, place)| place.bytes > 0).collect();
    order.sort_by_key(|(_, place)| place.start);
    for pair in order.windows(2) {
        let [(first, place), (second, next)] = pair else { continue };
        if place.end() > next.start {
            return Err(Problem::Damaged(format!("tensors {first} and {second} overlap")));
        }
    }
    Ok(tensors)
}

struct Reader<R> {
    file: R,
    /// Bytes read.
    at: u64,
    /// Bytes of the file.
    size: u64,
    /// Bytes of a length: 4 in version 1, 8 since then.
    length_size: usize,
}

impl<R: BufRead> Reader<R> {
    fn remaining(&self) -> u64 {
        self.size.saturating_sub(self.at)
    }

    /// Refuses `count` things of at least `size` bytes each that the rest of the file cannot hold.
    fn expect(&self, count: u64, size: u64, most: u64, what: &str) -> Parsed<()> {
        if count.checked_mul(size).is_none_or(|bytes| bytes > self.remaining()) {
            return Err(Problem::CutShort);
        }
        match count > most {
            true => Err(Problem::Damaged(format!("it claims {count} {what}, where at most {most} are read"))),
            false => Ok(()),
        }
    }

    fn take(&mut self, count: u64) -> Parsed<Vec<u8>> {
        if count > self.remaining() {
            return Err(Problem::CutShort);
        }
        let mut bytes = vec![0; usize::try_from(count).map_err(|_| Problem::CutShort)?];
        self.file.read_exact(&mut bytes)?;
        self.at += count;
        Ok(bytes)
    }

    fn skip(&mut self, count: u64) -> Parsed<()> {
        if count > self.remaining() {
            return Err(Problem::CutShort);
        }
        let skipped = io::copy(&mut self.file.by_ref().take(count), &mut io::sink())?;
        self.at += skipped;
        if skipped == count { Ok(()) } else { Err(Problem::CutShort) }
    }

    /// A little-endian number of at most 8 bytes.
    fn number(&mut self, size: usize) -> Parsed<u64> {
        let mut bytes = [0; 8];
        if size as u64 > self.remaining() {
            return Err(Problem::CutShort);
        }
        self.file.read_exact(&mut bytes[..size])?;
        self.at += size as u64;
        Ok(u64::from_le_bytes(bytes))
    }

    fn length(&mut self) -> Parsed<u64> {
        self.number(self.length_size)
    }

    fn kind(&mut self) -> Parsed<Kind> {
        let number = self.number(4)?;
        let kind = usize::try_from(number).ok().and_then(|number| KINDS.get(number));
        kind.copied().ok_or_else(|| Problem::Damaged(format!("a value of unknown kind {number}")))
    }

    fn text(&mut self) -> Parsed<String> {
        let length = self.length()?;
        self.expect(length, 1, LONGEST_TEXT, "bytes of a text")?;
        Ok(text(&self.take(length)?))
    }

    fn value(&mut self, kind: Kind, of_tokenizer: bool) -> Parsed<Value> {
        match kind {
            Kind::String => Ok(Value::Text(self.text()?)),
            Kind::Array => Ok(Value::List(self.list(of_tokenizer)?)),
            _ => {
                let size = kind.size().unwrap_or_default();
                Ok(kind.value(&self.number(size)?.to_le_bytes()[..size]))
            }
        }
    }

    fn list(&mut self, of_tokenizer: bool) -> Parsed<List> {
        let (kind, count) = (self.kind()?, self.length()?);
        let bytes = match (kind, kind.size()) {
            (_, Some(size)) => {
                let bytes = count.checked_mul(size as u64).ok_or(Problem::CutShort)?;
                if bytes > MOST_BYTES as u64 && !of_tokenizer {
                    self.skip(bytes)?;
                    None
                } else {
                    self.expect(count, size as u64, MOST_VALUES, "values of a list")?;
                    Some(self.take(bytes)?)
                }
            }
            (Kind::String, _) => {
                self.expect(count, self.length_size as u64, MOST_VALUES, "texts of a list")?;
                self.texts(count, of_tokenizer)?
            }
            _ => {
                self.skip_lists(count, 0)?;
                None
            }
        };
        let count = usize::try_from(count).map_err(|_| Problem::CutShort)?;
        Ok(List { kind, count, bytes, length_size: self.length_size })
    }

    /// Texts with their lengths, as they stand in the file.
    fn texts(&mut self, count: u64, of_tokenizer: bool) -> Parsed<Option<Vec<u8>>> {
        let mut bytes = Some(Vec::new());
        for _ in 0..count {
            let length = self.length()?;
            self.expect(length, 1, LONGEST_TEXT, "bytes of a text")?;
            match &mut bytes {
                Some(kept) if of_tokenizer || kept.len() < MOST_BYTES => {
                    kept.extend_from_slice(&length.to_le_bytes()[..self.length_size]);
                    let start = kept.len();
                    kept.resize(start + length as usize, 0);
                    self.file.read_exact(&mut kept[start..])?;
                    self.at += length;
                }
                _ => {
                    bytes = None;
                    self.skip(length)?;
                }
            }
        }
        Ok(bytes)
    }

    fn skip_lists(&mut self, count: u64, depth: usize) -> Parsed<()> {
        if depth == DEPTH {
            return Err(Problem::Damaged(format!("lists in lists, more than {DEPTH} deep")));
        }
        self.expect(count, 4 + self.length_size as u64, MOST_VALUES, "lists of a list")?;
        for _ in 0..count {
            let (kind, count) = (self.kind()?, self.length()?);
            match (kind, kind.size()) {
                (_, Some(size)) => self.skip(count.checked_mul(size as u64).ok_or(Problem::CutShort)?)?,
                (Kind::String, _) => {
                    self.expect(count, self.length_size as u64, MOST_VALUES, "texts of a list")?;
                    for _ in 0..count {
                        let length = self.length()?;
                        self.skip(length)?;
                    }
                }
                _ => self.skip_lists(count, depth + 1)?,
            }
        }
        Ok(())
    }

    /// A tensor's name and place, which counts from where tensors begin.
    fn tensor(&mut self) -> Parsed<(String, TensorPlace)> {
        let name = self.text()?;
        let dimensions = self.number(4)?;
        if dimensions > DIMENSIONS {
            return Err(Problem::Damaged(format!("tensor {name} has {dimensions} dimensions")));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            shape.push(usize::try_from(self.length()?).unwrap_or(usize::MAX));
        }
        shape.reverse();
        let id = self.number(4)?;
        let start = self.number(8)?;
        let Some(kind) = ggml::find(id) else {
            return Ok((name, TensorPlace { kind: StoredAs::Unknown(id), shape, start, bytes: 0 }));
        };
        // A tensor without sizes is one number.
        let row = shape.last().copied().unwrap_or(1);
        if !row.is_multiple_of(kind.block_size) {
            return Err(Problem::Damaged(format!(
                "tensor {name} has rows of {row} numbers, which are no whole blocks of {} ({} numbers)",
                kind.name, kind.block_size
            )));
        }
        let numbers = shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size as u64));
        let bytes = numbers.and_then(|numbers| kind.bytes(numbers)).unwrap_or(u64::MAX);
        Ok((name, TensorPlace { kind: StoredAs::Known(kind), shape, start, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of version 3 without tensors: each pair is a key, and its kind and bytes.
    fn file(pairs: &[(&str, u32, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend([0u64.to_le_bytes(), (pairs.len() as u64).to_le_bytes()].concat());
        for (key, kind, value) in pairs {
            bytes.extend((key.len() as u64).to_le_bytes());
            bytes.extend(key.bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(value);
        }
        bytes
    }

    fn list(kind: u32, count: u64, items: &[u8]) -> Vec<u8> {
        [&kind.to_le_bytes()[..], &count.to_le_bytes(), items].concat()
    }

    fn header(pairs: &[(&str, u32, Vec<u8>)]) -> Parsed<Header> {
        let bytes = file(pairs);
        read(&bytes[..], bytes.len() as u64)
    }

    /// A file with these tensors, given with sizes as the file has them (the innermost first), type and
    /// place, and room for all of them behind the header.
    fn with_tensors(tensors: &[(&str, &[u64], u32, u64)], pairs: &[(&str, u32, Vec<u8>)]) -> Parsed<Header> {
        let mut bytes = file(pairs);
        bytes[8] = tensors.len() as u8;
        for (name, sizes, kind, start) in tensors {
            bytes.extend((name.len() as u64).to_le_bytes());
            bytes.extend(name.bytes());
            bytes.extend((sizes.len() as u32).to_le_bytes());
            sizes.iter().for_each(|size| bytes.extend(size.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(start.to_le_bytes());
        }
        bytes.extend([0; 1 << 12]);
        read(&bytes[..], bytes.len() as u64)
    }

    #[test]
    fn a_tensor_has_its_place_behind_the_header_and_the_bytes_of_its_blocks() {
        let tensors =
            [("a", &[256, 3][..], 12, 64), ("b", &[5], 0, 0), ("c", &[7], 99, 512), ("d", &[], 0, 32)];
        let header = with_tensors(&tensors, &[]).unwrap();
        let start = header.tensors["b"].start;
        assert!(start.is_multiple_of(32) && start > 24);
        let place = |name: &str| {
            let place = &header.tensors[name];
            (place.kind.name(), place.shape.clone(), place.start - start, place.bytes)
        };
        assert_eq!(place("a"), ("Q4_K".to_string(), vec![3, 256], 64, 3 * 144));
        assert_eq!(place("b"), ("F32".to_string(), vec![5], 0, 20));
        assert_eq!(place("c"), ("type 99".to_string(), vec![7], 512, 0));
        assert_eq!(place("d"), ("F32".to_string(), vec![], 32, 4));
        let wide =
            with_tensors(&[("a", &[4], 0, 0)], &[("general.alignment", 4, 4096u32.to_le_bytes().to_vec())]);
        assert!(wide.unwrap().tensors["a"].start == 4096);
    }

    #[test]
    fn tensors_that_cannot_be_where_they_are_said_to_be_are_damage() {
        let end = u64::MAX - 31;
        let huge = &[1 << 40, 1 << 40, 1 << 40][..];
        for (tensors, words) in [
            (&[("a", &[4][..], 0, 0), ("a", &[4], 0, 32)][..], "two tensors named a"),
            (&[("a", &[4], 0, 3)], "begins at 3, no multiple of 32"),
            (&[("a", &[16], 0, 0), ("b", &[4], 0, 32)], "tensors a and b overlap"),
            (&[("a", huge, 0, 0), ("b", &[4], 0, 32)], "tensors a and b overlap"),
            (&[("a", &[32], 12, 0)], "rows of 32 numbers, which are no whole blocks of Q4_K (256 numbers)"),
            (&[("a", &[], 2, 0)], "rows of 1 numbers, which are no whole blocks of Q4_0"),
            (&[("a", &[1; 5], 0, 0)], "tensor a has 5 dimensions"),
        ] {
            match with_tensors(tensors, &[]) {
                Err(Problem::Damaged(problem)) => assert!(problem.contains(words), "{problem}"),
                other => panic!("{words}: {:?}", other.map(|header| header.tensors)),
            }
        }
        // Opening compares these with the length of the file.
        let far = with_tensors(&[("a", huge, 0, 0), ("b", &[4], 0, end)], &[]).unwrap();
        assert!(far.tensors.values().all(|place| place.end() == u64::MAX));
        for alignment in [0u32, 12, 33] {
            let pairs = [("general.alignment", 4, alignment.to_le_bytes().to_vec())];
            let problem = with_tensors(&[], &pairs).err();
            assert!(matches!(problem, Some(Problem::Damaged(problem)) if problem.contains("no power of 2")));
        }
        let twice = [("a", 0, vec![1]), ("a", 0, vec![2])];
        assert!(matches!(header(&twice), Err(Problem::Damaged(problem)) if problem == "two keys named a"));
    }

    #[test]
    fn versions_one_to_three_of_little_endian_machines_are_read() {
        let version = |version: u32| {
            let mut bytes = file(&[]);
            bytes[4..8].copy_from_slice(&version.to_le_bytes());
            if version == 1 {
                // Lengths have 4 bytes.
                bytes.truncate(16);
            }
            read(&bytes[..], bytes.len() as u64)
        };
        assert!([1, 2, 3].into_iter().all(|number| version(number).is_ok()));
        let damage = |number| match version(number) {
            Err(Problem::Damaged(problem)) => problem,
            _ => panic!("version {number} is read"),
        };
        assert!(damage(3u32.swap_bytes()).contains("big-endian machines; convert"));
        assert!(damage(4).contains("version 4") && damage(0).contains("version 0"));
    }

    #[test]
    fn values_of_every_kind_are_read() {
        let number = |kind: u32, bytes: &[u8]| {
            header(&[("a", kind, bytes.to_vec())]).unwrap().metadata["a"].number().unwrap()
        };
        assert_eq!(number(0, &[200]), 200.0);
        assert_eq!(number(1, &[0xFF]), -1.0);
        assert_eq!(number(2, &[1, 2]), 513.0);
        assert_eq!(number(3, &[0xFE, 0xFF]), -2.0);
        assert_eq!(number(4, &u32::MAX.to_le_bytes()), f64::from(u32::MAX));
        assert_eq!(number(5, &(-7i32).to_le_bytes()), -7.0);
        assert_eq!(number(6, &1.5f32.to_le_bytes()), 1.5);
        assert_eq!(number(10, &9u64.to_le_bytes()), 9.0);
        assert_eq!(number(11, &(-9i64).to_le_bytes()), -9.0);
        assert_eq!(number(12, &0.25f64.to_le_bytes()), 0.25);
        assert!(header(&[("a", 13, vec![0; 8])]).is_err());
    }

    #[test]
    fn lists_are_kept_as_they_stand_or_left_out() {
        let texts = [&1u64.to_le_bytes()[..], b"x", &2u64.to_le_bytes(), b"y\0"].concat();
        let header = header(&[
            ("a", 9, list(8, 2, &texts)),
            ("b", 9, list(1, 3, &[1, 0xFF, 2])),
            ("c", 9, list(9, 1, &list(0, 2, &[1, 2]))),
            ("d", 9, list(0, 3 << 20, &vec![0; 3 << 20])),
            ("tokenizer.e", 9, list(0, 2 << 20, &vec![0; 2 << 20])),
            ("f", 7, vec![1]),
        ])
        .unwrap();
        let values = |key: &str| match &header.metadata[key] {
            Value::List(list) => {
                list.values().map(|values| values.map(|value| value.to_string()).collect::<Vec<_>>())
            }
            other => panic!("{other}"),
        };
        assert_eq!(values("a").unwrap(), ["\"x\"", "\"y\""]);
        assert_eq!(values("b").unwrap(), ["1 (I8)", "-1 (I8)", "2 (I8)"]);
        assert!(values("c").is_none() && values("d").is_none());
        assert_eq!(values("tokenizer.e").unwrap().len(), 2 << 20);
        assert_eq!(header.metadata["f"].whole(), Some(1));
    }

    #[test]
    fn claims_that_the_file_cannot_hold_take_no_memory() {
        for pairs in [
            ("a", 9, list(0, 1 << 40, &[])),
            ("a", 9, list(10, u64::MAX, &[])),
            ("a", 9, list(8, 1 << 40, &[])),
            ("a", 9, list(9, 1 << 40, &[])),
            ("a", 8, (1u64 << 40).to_le_bytes().to_vec()),
        ] {
            assert!(matches!(header(&[pairs]), Err(Problem::CutShort)));
        }
        let mut nested = list(0, 1, &[1]);
        for _ in 0..100 {
            nested = list(9, 1, &nested);
        }
        assert!(matches!(header(&[("a", 9, nested)]), Err(Problem::Damaged(_))));
        let many = list(8, 3 << 20, &vec![0; 24 << 20]);
        assert!(matches!(header(&[("tokenizer.a", 9, many)]), Err(Problem::Damaged(_))));
    }

    #[test]
    fn a_header_that_ends_anywhere_is_cut_short() {
        let texts = [&1u64.to_le_bytes()[..], b"x"].concat();
        let whole = file(&[
            ("a", 9, list(8, 1, &texts)),
            ("b", 4, vec![0; 4]),
            ("c", 9, list(9, 1, &list(0, 1, &[1]))),
        ]);
        assert!(read(&whole[..], whole.len() as u64).is_ok());
        for end in 4..whole.len() {
            assert!(matches!(read(&whole[..end], end as u64), Err(Problem::CutShort)), "{end}");
        }
    }
}
