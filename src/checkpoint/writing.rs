//! Writing safetensors. Unlike the library's own writer this one needs no second copy of a tensor, and the
//! same tensors and words give the same bytes.
//!
//! A file is the length of its header (8 bytes, little-endian), the header (JSON, padded with spaces to a
//! multiple of 8), and the numbers of the tensors one after the other.

use std::io::{self, Write};

use half::bf16;
use serde_json::{Map, Value, json};

/// A tensor to write.
#[derive(Debug, Clone)]
pub struct NamedTensor<'a> {
    /// Its name in the file.
    pub name: &'a str,
    /// Its sizes, whose product is the length of `numbers`.
    pub shape: Vec<usize>,
    /// Its numbers, the last index running fastest.
    pub numbers: Numbers<'a>,
}

/// Numbers of one dtype.
#[derive(Debug, Clone, Copy)]
pub enum Numbers<'a> {
    /// `I64`.
    I64(&'a [i64]),
    /// `F32`.
    F32(&'a [f32]),
    /// `BF16`, rounded to nearest, ties to even.
    Bf16(&'a [f32]),
}

impl Numbers<'_> {
    /// Name of the dtype, and bytes of one number.
    fn dtype(self) -> (&'static str, usize) {
        match self {
            Self::I64(_) => ("I64", size_of::<i64>()),
            Self::F32(_) => ("F32", size_of::<f32>()),
            Self::Bf16(_) => ("BF16", size_of::<bf16>()),
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::I64(numbers) => size_of_val(numbers),
            Self::F32(numbers) => size_of_val(numbers),
            Self::Bf16(numbers) => size_of::<bf16>() * numbers.len(),
        }
    }

    fn write(self, output: &mut impl Write) -> io::Result<()> {
        match self {
            Self::I64(numbers) => write_blocks(output, numbers, i64::to_le_bytes),
            Self::F32(numbers) => write_blocks(output, numbers, f32::to_le_bytes),
            Self::Bf16(numbers) => write_blocks(output, numbers, |x| bf16::from_f32(x).to_le_bytes()),
        }
    }
}

/// Writes tensors with `metadata`, what is to be said about them. The widest dtypes go first, so that all are
/// aligned.
///
/// # Errors
/// When the output fails.
pub fn write_safetensors(
    mut output: impl Write,
    tensors: &[NamedTensor<'_>],
    metadata: &[(&str, String)],
) -> io::Result<()> {
    let mut tensors: Vec<_> = tensors.iter().collect();
    tensors.sort_by_key(|tensor| std::cmp::Reverse(tensor.numbers.dtype().1));
    let words: Map<_, _> =
        metadata.iter().map(|(key, value)| ((*key).to_string(), Value::from(value.as_str()))).collect();
    let mut header = Map::from_iter([("__metadata__".to_string(), Value::Object(words))]);
    let mut start = 0;
    for tensor in &tensors {
        let end = start + tensor.numbers.bytes();
        let (dtype, _) = tensor.numbers.dtype();
        let entry = json!({"dtype": dtype, "shape": tensor.shape, "data_offsets": [start, end]});
        header.insert(tensor.name.to_string(), entry);
        start = end;
    }
    let mut header = Value::Object(header).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    output.write_all(&(header.len() as u64).to_le_bytes())?;
    output.write_all(header.as_bytes())?;
    tensors.iter().try_for_each(|tensor| tensor.numbers.write(&mut output))?;
    output.flush()
}

/// Numbers that are turned into bytes at a time.
const BLOCK: usize = 1 << 16;

fn write_blocks<T: Copy, const N: usize>(
    output: &mut impl Write,
    numbers: &[T],
    to_bytes: impl Fn(T) -> [u8; N],
) -> io::Result<()> {
    numbers.chunks(BLOCK).try_for_each(|block| {
        let bytes: Vec<u8> = block.iter().flat_map(|&number| to_bytes(number)).collect();
        output.write_all(&bytes)
    })
}

#[cfg(test)]
mod tests {
    use safetensors::{Dtype, SafeTensors};

    use super::*;

    #[test]
    fn the_library_reads_what_is_written_and_numbers_are_aligned() {
        let numbers: Vec<f32> = (0..6u8).map(|i| f32::from(i) / 3.0).collect();
        let tensors = [
            NamedTensor { name: "halves \"of\" x", shape: vec![2, 3], numbers: Numbers::F32(&numbers) },
            NamedTensor { name: "none", shape: vec![0, 4], numbers: Numbers::F32(&[]) },
            NamedTensor { name: "rounded", shape: vec![6], numbers: Numbers::Bf16(&numbers) },
            NamedTensor { name: "ids", shape: vec![2], numbers: Numbers::I64(&[-1, 1 << 40]) },
        ];
        let mut bytes = Vec::new();
        write_safetensors(&mut bytes, &tensors, &[("model", "a\nb".to_string())]).unwrap();
        let (header, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap()["model"], "a\nb");
        assert_eq!((header + 8) % 8, 0);
        let read = SafeTensors::deserialize(&bytes).unwrap();
        let floats = read.tensor("halves \"of\" x").unwrap();
        assert_eq!((floats.dtype(), floats.shape()), (Dtype::F32, &[2, 3][..]));
        let expected: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(floats.data(), expected);
        let ids = read.tensor("ids").unwrap();
        assert_eq!(
            (ids.dtype(), ids.data()),
            (Dtype::I64, &[-1i64, 1 << 40].map(i64::to_le_bytes).concat()[..])
        );
        assert_eq!(read.tensor("none").unwrap().shape(), [0, 4]);
        let rounded = read.tensor("rounded").unwrap();
        let expected: Vec<u8> = numbers.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect();
        assert_eq!((rounded.dtype(), rounded.data()), (Dtype::BF16, &expected[..]));
    }

    #[test]
    fn long_tensors_go_out_in_blocks_without_a_gap() {
        let numbers: Vec<f32> = (0..BLOCK + 3).map(|i| i as f32).collect();
        let mut bytes = Vec::new();
        write_blocks(&mut bytes, &numbers, f32::to_le_bytes).unwrap();
        let read: Vec<f32> = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        assert_eq!(read, numbers);
    }
}
