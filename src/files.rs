//! Reading files that a user, a checkpoint or a record names.
//!
//! Regular files alone are read: a pipe waits until somebody writes, a device such as `/dev/zero` never ends.
//! And none is read that is larger than files of its kind are, so that a name in a record or a damaged
//! download costs no memory.

use std::fs::{self, File, FileType, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Opens a regular file.
///
/// # Errors
/// As of [`fs::metadata`] and [`File::open`]; [`ErrorKind::IsADirectory`] and [`ErrorKind::InvalidInput`] for
/// what is no file, with a message that says what it is.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Looked at first: opening a pipe waits for its other end.
    refuse_special(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    refuse_special(&file.metadata()?)?;
    Ok(file)
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// As of [`open`]; [`ErrorKind::FileTooLarge`] for a larger one, of which no more than the limit has been
/// read.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let too_large = |found: u64| {
        io::Error::new(ErrorKind::FileTooLarge, format!("{found} bytes, where at most {limit} are read"))
    };
    let size = file.metadata()?.len();
    if size > limit {
        return Err(too_large(size));
    }
    let mut bytes = Vec::new();
    // A file may grow, and those of /proc have no size.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
}

/// Reads a regular file of UTF-8 text, of at most `limit` bytes, without a byte order mark.
///
/// # Errors
/// As of [`read`]; [`ErrorKind::InvalidData`] when it is not UTF-8.
pub(crate) fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let text = String::from_utf8(read(path, limit)?);
    text.map(without_mark).map_err(|_| io::Error::new(ErrorKind::InvalidData, "the text is not valid UTF-8"))
}

/// A text without the byte order mark that some editors put before it: it would be part of its first word.
pub(crate) fn without_mark(text: String) -> String {
    text.strip_prefix('\u{FEFF}').map(str::to_string).unwrap_or(text)
}

/// What is wrong with a file that could not be read, and what to do about it.
#[must_use]
pub(crate) fn problem(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::IsADirectory | ErrorKind::InvalidInput => format!("{error}; name a regular file"),
        ErrorKind::FileTooLarge => format!("too large: {error}; name another file"),
        _ => format!("cannot read: {error}; make it readable"),
    }
}

fn refuse_special(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let (error, name) = match kind.is_dir() {
        true => (ErrorKind::IsADirectory, "a folder"),
        false => (ErrorKind::InvalidInput, special_name(kind)),
    };
    Err(io::Error::new(error, format!("{name}, where a file is needed")))
}

#[cfg(unix)]
fn special_name(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn special_name(_kind: FileType) -> &'static str {
    "a special file"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_not_beyond() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("text");
        fs::write(&path, "abcd").unwrap();
        assert_eq!(read_text(&path, 4).unwrap(), "abcd");
        fs::write(&path, "\u{FEFF}ab\u{FEFF}").unwrap();
        assert_eq!(read_text(&path, 8).unwrap(), "ab\u{FEFF}");
        fs::write(&path, "abcd").unwrap();
        let error = read(&path, 3).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        assert!(problem(&error).contains("4 bytes, where at most 3"), "{error}");
        fs::write(&path, [0xFF]).unwrap();
        assert_eq!(read_text(&path, 4).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(read(&place.path().join("gone"), 4).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_folder_is_no_file() {
        let error = read(&std::env::temp_dir(), 4).unwrap_err();
        assert!(problem(&error).starts_with("a folder, where a file is needed"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn pipes_sockets_and_devices_are_refused_before_anything_is_read() {
        let place = tempfile::tempdir().unwrap();
        let (pipe, socket) = (place.path().join("pipe"), place.path().join("socket"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, name) in [(&*pipe, "a pipe"), (&*socket, "a socket"), (Path::new("/dev/zero"), "a device")]
        {
            let error = read(path, 4).unwrap_err();
            assert!(error.to_string().starts_with(name), "{}: {error}", path.display());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_does_not_say_its_size_ends_at_the_limit() {
        let path = Path::new("/proc/self/status");
        assert!(!read(path, 1 << 20).unwrap().is_empty());
        assert_eq!(read(path, 10).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
