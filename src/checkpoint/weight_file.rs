//! A file of weights: read piece by piece, and mapped into memory where its bytes are used as they stand.
//!
//! What is expanded as it loads is read, of a mapped file too: a file that another process cuts short
//! meanwhile is an error, and no page of it stays in memory beside its numbers. GGUF's headers and blocks are
//! used where they are mapped: blocks take memory once for all processes, and none that the system could not
//! have back. [`crate::process::explain_lost_mappings`] is for files that are cut short then.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use half::{bf16, f16};
use memmap2::Mmap;

use crate::error::{Error, Result};
use crate::files;

/// A file on disk, or a part of the binary.
pub(super) struct WeightFile {
    path: PathBuf,
    /// Its size when it was opened.
    length: u64,
    content: Content,
}

/// How numbers stand in a file that are not quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    F32,
    F16,
    Bf16,
}

enum Content {
    Disk {
        // One place in the file for all who read.
        file: Mutex<File>,
        /// All of it.
        map: Option<Bytes>,
    },
    Embedded(Bytes),
}

impl WeightFile {
    /// Opens a regular file.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be opened, is empty, or only points to where Git LFS has it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        const POINTER: &[u8] = b"version https://git-lfs";
        let file = files::open(path).map_err(|error| cannot_read(path, &error))?;
        let length = file.metadata().map_err(|error| cannot_read(path, &error))?.len();
        if length == 0 {
            return Err(Error::file(path, "the file is empty; download it again"));
        }
        let opened = Self {
            path: path.to_path_buf(),
            length,
            content: Content::Disk { file: Mutex::new(file), map: None },
        };
        if opened.begins(POINTER.len())? == POINTER {
            let problem = "a Git LFS pointer instead of the file itself; fetch it with: git lfs pull";
            return Err(Error::file(path, problem));
        }
        Ok(opened)
    }

    /// Opens a regular file and maps it; one that cannot be mapped, as under a limit on address space, is
    /// read.
    ///
    /// # Errors
    /// As of [`Self::open`].
    pub(super) fn mapped(path: &Path) -> Result<Self> {
        let mut opened = Self::open(path)?;
        if let Content::Disk { file, map } = &mut opened.content {
            let file = file.get_mut().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: the map is read as bytes, of which every value is one, and belongs to the `Bytes` that
            // all pieces of it share. What another process writes into the file meanwhile changes numbers, as
            // it would change what is read; what it cuts off ends this process, which says why.
            let mapped = unsafe { Mmap::map(&*file) };
            *map = mapped.ok().filter(|map| map.len() as u64 == opened.length).map(Bytes::from_owner);
        }
        Ok(opened)
    }

    /// A file that is in the binary; `path` stands for it in messages.
    pub(super) fn embedded(path: PathBuf, bytes: &'static [u8]) -> Self {
        Self { path, length: bytes.len() as u64, content: Content::Embedded(Bytes::from_static(bytes)) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes.
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    /// Its bytes from the beginning on, as a stream.
    pub(super) fn bytes(&self) -> impl Read + '_ {
        Stream { file: self, at: 0 }
    }

    /// The first `count` bytes, or all of a shorter file.
    pub(super) fn begins(&self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count.min(usize::try_from(self.length).unwrap_or(count))];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// The `count` bytes from `offset` on: as they stand in a file that is mapped or in the binary, else a
    /// copy.
    ///
    /// # Errors
    /// As of [`Self::read_at`].
    pub(super) fn shared(&self, offset: u64, count: usize) -> Result<Bytes> {
        if let Some(memory) = self.memory() {
            let range = part(memory, offset, count).ok_or_else(|| self.cut_short())?;
            return Ok(memory.slice(range));
        }
        let mut bytes = vec![0; count];
        self.read_at(offset, &mut bytes)?;
        Ok(bytes.into())
    }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`Error::File`] when the file has become shorter since it was opened, or cannot be read.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let read = match &self.content {
            Content::Disk { file, .. } => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(buffer))
            }
            Content::Embedded(bytes) => fill(buffer, bytes, offset),
        };
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.cut_short(),
            _ => cannot_read(&self.path, &error),
        })
    }

    /// All of it, where it is in memory.
    fn memory(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Disk { map, .. } => map.as_ref(),
            Content::Embedded(bytes) => Some(bytes),
        }
    }

    fn cut_short(&self) -> Error {
        Error::file(
            &self.path,
            format!(
                "cut short while it was being read ({} bytes before); let no other program write it, download \
                 it again",
                self.length
            ),
        )
    }

    /// The numbers in the `count` bytes from `offset` on, without holding the bytes as well.
    ///
    /// # Errors
    /// As of [`Self::read_at`].
    pub(super) fn numbers(&self, offset: u64, count: usize, kind: Plain) -> Result<Vec<f32>> {
        let size = if kind == Plain::F32 { size_of::<f32>() } else { size_of::<f16>() };
        let mut numbers: Vec<f32> = Vec::with_capacity(count / size);
        self.in_pieces(offset, count, |bytes| match kind {
            Plain::F32 => numbers.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
            Plain::F16 => numbers.extend(bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32())),
            Plain::Bf16 => {
                numbers.extend(bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()))
            }
        })?;
        Ok(numbers)
    }

    /// Hands the `count` bytes from `offset` on to `take`, a piece of whole numbers of 8 bytes at a time.
    ///
    /// # Errors
    /// As of [`Self::read_at`].
    pub(super) fn in_pieces(&self, offset: u64, count: usize, take: impl FnMut(&[u8])) -> Result<()> {
        self.in_pieces_of(PIECE, offset, count, take)
    }

    /// Hands the `count` bytes from `offset` on to `take`, `size` bytes at a time, which is not 0.
    ///
    /// # Errors
    /// As of [`Self::read_at`].
    pub(super) fn in_pieces_of(
        &self,
        size: usize,
        offset: u64,
        count: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Result<()> {
        let mut buffer = vec![0; size.min(count)];
        for start in (0..count).step_by(size) {
            let piece = &mut buffer[..size.min(count - start)];
            self.read_at(offset + start as u64, piece)?;
            take(piece);
        }
        Ok(())
    }
}

struct Stream<'a> {
    file: &'a WeightFile,
    at: u64,
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.file.length.saturating_sub(self.at);
        let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match self.file.memory() {
            Some(memory) => fill(&mut buffer[..count], memory, self.at)?,
            None => self.file.read_at(self.at, &mut buffer[..count]).map_err(io::Error::other)?,
        }
        self.at += count as u64;
        Ok(count)
    }
}

/// Where the `count` bytes from `offset` on lie, if there are as many.
fn part(bytes: &[u8], offset: u64, count: usize) -> Option<Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(count)?;
    (end <= bytes.len()).then_some(start..end)
}

fn fill(buffer: &mut [u8], bytes: &[u8], offset: u64) -> io::Result<()> {
    let range = part(bytes, offset, buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
    buffer.copy_from_slice(&bytes[range]);
    Ok(())
}

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

fn cannot_read(path: &Path, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory => Error::file(path, files::problem(error)),
        _ => Error::file(path, format!("cannot read: {error}; make it readable, or download it again")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_cut_short_while_it_is_open_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("weights");
        std::fs::write(&path, vec![7; 3 * PIECE]).unwrap();
        let file = WeightFile::open(&path).unwrap();
        let mut pieces = Vec::new();
        file.in_pieces(1, 2 * PIECE + 5, |piece| pieces.push(piece.len())).unwrap();
        assert_eq!(pieces, [PIECE, PIECE, 5]);
        File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
        let error = file.in_pieces(0, 2 * PIECE, |_| {}).unwrap_err().to_string();
        assert!(error.contains("cut short while it was being read (3145728 bytes before)"), "{error}");
        assert_eq!(file.begins(4).unwrap(), [7; 4]);
    }

    #[test]
    fn bytes_in_the_binary_are_read_alike() {
        let file = WeightFile::embedded(PathBuf::from("binary"), b"abcdef");
        let mut two = [0; 2];
        file.read_at(3, &mut two).unwrap();
        assert_eq!((&two, file.len()), (b"de", 6));
        assert!(file.read_at(5, &mut two).is_err() && file.read_at(u64::MAX, &mut two).is_err());
        assert_eq!(file.begins(9).unwrap(), b"abcdef");
    }

    #[test]
    fn what_is_mapped_is_shared_where_it_stands_and_what_is_read_is_copied() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("weights");
        std::fs::write(&path, b"abcdef").unwrap();
        let (mapped, read) = (WeightFile::mapped(&path).unwrap(), WeightFile::open(&path).unwrap());
        for file in [&mapped, &read] {
            assert_eq!((&file.shared(2, 3).unwrap()[..], file.len()), (&b"cde"[..], 6));
            assert!(file.shared(4, 3).is_err() && file.shared(u64::MAX, 1).is_err());
            assert_eq!(file.begins(9).unwrap(), b"abcdef");
        }
        let place_of = |file: &WeightFile, at| file.shared(at, 2).unwrap().as_ptr() as usize;
        assert_eq!(place_of(&mapped, 3), place_of(&mapped, 0) + 3);
        // It outlives the file's own handle.
        let kept = mapped.shared(0, 6).unwrap();
        drop(mapped);
        assert_eq!(&kept[..], b"abcdef");
    }
}
