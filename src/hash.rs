//! SHA-256 in hex, as it stands in result files.

use std::fmt::Write;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::files;

/// Bytes as lower-case hex digits.
#[must_use]
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: impl AsRef<[u8]>) -> [u8; 32] {
    Sha256::digest(bytes.as_ref()).into()
}

/// The SHA-256 of a file, 64 lower-case hex digits.
///
/// # Errors
/// When it is no regular file, or cannot be read.
pub(crate) fn sha256_of_file(path: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut bytes) = (files::open(path)?, Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(hex(hash.finalize())),
            read => hash.update(&bytes[..read]),
        }
    }
}

/// The SHA-256 of `bytes`, 64 lower-case hex digits.
///
/// ```
/// assert!(niah::hash::sha256_hex(b"abc").starts_with("ba7816bf8f01cfea"));
/// ```
#[must_use]
pub fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    hex(Sha256::digest(bytes.as_ref()))
}
