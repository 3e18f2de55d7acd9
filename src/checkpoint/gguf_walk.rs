//! A walk over a GGUF header that reads nothing but `general.alignment`: candle divides by it before anyone can check it.

/// Arrays in arrays, at most; candle refuses more.
const DEPTH: usize = 64;

/// Whether the metadata says that tensors are aligned to multiples of 0 bytes. A header that ends early says nothing.
pub(super) fn alignment_is_zero(bytes: &[u8]) -> bool {
    Walk { bytes: bytes.get(4..).unwrap_or_default(), long: false }.alignment() == Some(0)
}

struct Walk<'a> {
    bytes: &'a [u8],
    /// Whether lengths take 8 bytes instead of 4: from version 2 on.
    long: bool,
}

impl<'a> Walk<'a> {
    fn alignment(&mut self) -> Option<u64> {
        self.long = self.number(4)? > 1;
        let (_tensors, pairs) = (self.length()?, self.length()?);
        let mut alignment = None;
        for _ in 0..pairs {
            let key = self.text()?;
            let kind = self.number(4)?;
            match (key, size(kind)) {
                // The last one counts, as in candle.
                (b"general.alignment", Some(size)) => alignment = Some(self.number(size)?),
                _ => self.skip(kind, 0)?,
            }
        }
        alignment
    }

    fn skip(&mut self, kind: u64, depth: usize) -> Option<()> {
        match (kind, size(kind)) {
            (_, Some(size)) => self.take(size).map(|_| ()),
            (TEXT, _) => self.text().map(|_| ()),
            (LIST, _) if depth < DEPTH => {
                let (kind, count) = (self.number(4)?, self.length()?);
                match size(kind) {
                    Some(size) => self.take(size.checked_mul(usize::try_from(count).ok()?)?).map(|_| ()),
                    None => (0..count).try_for_each(|_| self.skip(kind, depth + 1)),
                }
            }
            _ => None,
        }
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn length(&mut self) -> Option<u64> {
        self.number(if self.long { 8 } else { 4 })
    }

    /// A little-endian number of at most 8 bytes.
    fn number(&mut self, size: usize) -> Option<u64> {
        Some(self.take(size)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }
}

const TEXT: u64 = 8;
const LIST: u64 = 9;

/// Bytes of a value of this kind; `None` for texts, lists and unknown kinds.
fn size(kind: u64) -> Option<usize> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}
