//! SHA-256 in hex, as it stands in result files.

use std::fmt::Write;
use std::io;
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
    let mut hash = Sha256::new();
    io::copy(&mut files::open(path)?, &mut hash)?;
    Ok(hex(hash.finalize()))
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
