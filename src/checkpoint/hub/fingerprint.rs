//! The hash that the hub gives of a file: SHA-256 of large files, git's own hash of small ones.

use std::io::Read;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::names::is_hex;
use crate::hash::hex;

/// What the bytes of a file must hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fingerprint {
    /// SHA-256 of the bytes.
    Sha256(String),
    /// SHA-1 of `blob LENGTH\0` and the bytes, as git names them.
    Git(String),
}

impl Fingerprint {
    /// The hash that an etag is, if it is one.
    pub(super) fn of_etag(etag: &str) -> Option<Self> {
        match etag.len() {
            64 if is_hex(etag) => Some(Self::Sha256(etag.to_lowercase())),
            40 if is_hex(etag) => Some(Self::Git(etag.to_lowercase())),
            _ => None,
        }
    }

    /// Begins to hash a file of `size` bytes.
    pub(super) fn start(&self, size: u64) -> Running {
        let (expected, hash) = match self {
            Self::Sha256(expected) => (expected, Hash::Sha256(Sha256::new())),
            Self::Git(expected) => {
                let blob = Sha1::new_with_prefix(format!("blob {size}\0"));
                (expected, Hash::Git { blob, plain: Sha1::new() })
            }
        };
        Running { expected: expected.clone(), hash }
    }
}

/// The hash of the bytes so far.
pub(super) struct Running {
    expected: String,
    hash: Hash,
}

enum Hash {
    Sha256(Sha256),
    /// Also of the bytes alone: some mirrors name a file so.
    Git {
        blob: Sha1,
        plain: Sha1,
    },
}

impl Running {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.hash {
            Hash::Sha256(hash) => hash.update(bytes),
            Hash::Git { blob, plain } => {
                blob.update(bytes);
                plain.update(bytes);
            }
        }
    }

    /// Adds everything that `reader` holds.
    pub(super) fn feed(&mut self, mut reader: impl Read) -> std::io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(()),
                read => self.update(&buffer[..read]),
            }
        }
    }

    /// Checks the bytes against what was announced; else says what was found.
    pub(super) fn finish(self) -> Result<(), String> {
        let found = match self.hash {
            Hash::Sha256(hash) => vec![hex(hash.finalize())],
            Hash::Git { blob, plain } => vec![hex(blob.finalize()), hex(plain.finalize())],
        };
        match found.contains(&self.expected) {
            true => Ok(()),
            false => Err(format!("hash {} found, {} announced", found[0], self.expected)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(etag: &str, bytes: &[u8]) -> Result<(), String> {
        let expected = Fingerprint::of_etag(etag).unwrap();
        let mut running = expected.start(bytes.len() as u64);
        running.feed(bytes).unwrap();
        running.finish()
    }

    #[test]
    fn large_and_small_files_are_hashed_as_the_hub_does() {
        let sha256 = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        assert_eq!(check(sha256, b"abc"), Ok(()));
        // printf abc | git hash-object --stdin, and sha1sum.
        assert_eq!(check("f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f", b"abc"), Ok(()));
        assert_eq!(check("a9993e364706816aba3e25717850c26c9cd0d89d", b"abc"), Ok(()));
        for etag in [sha256, "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f"] {
            let wrong = check(etag, b"abd").unwrap_err();
            assert!(wrong.contains(&etag.to_lowercase()), "{wrong}");
        }
        assert_eq!(Fingerprint::of_etag("main"), None);
        assert_eq!(Fingerprint::of_etag(&"x".repeat(40)), None);
    }
}
