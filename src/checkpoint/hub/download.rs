//! The contents of one file: received into the cache, taken up again where they broke off, checked, and only
//! then given their name.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::cache::{RepositoryCache, unwritable};
use super::client::{Answer, Client, Expected, Failure, Kind};
use super::fingerprint::{Fingerprint, Running};
use crate::error::Error;
use crate::progress::Download;

/// The download of a smaller file is over before anybody asks how far it is, in bytes.
const SHOWN: u64 = 1 << 20;

/// An attempt that brought as many bytes is no failed one.
const PROGRESS: u64 = 1 << 20;

/// What is received, and how it is known to be right.
pub(super) struct Contents {
    /// Where the hub serves it, below the endpoint.
    pub(super) address: String,
    pub(super) etag: String,
    /// Bytes in all.
    pub(super) size: Option<u64>,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) expected: Expected,
    /// What to call it while it comes.
    pub(super) shown: String,
}

impl Contents {
    /// Refuses sizes that cannot be before anything is received.
    fn check_size(&self, client: &Client) -> Result<(), Failure> {
        let limit = client.limits().small_file;
        match (self.expected, self.size) {
            (Expected::Small, Some(size)) if size > limit => {
                Err(Failure::untrusted(format!("{size} bytes announced, and at most {limit} can be right")))
            }
            (Expected::Weights, None) => {
                Err(Failure::untrusted("the answer does not say how long the file is"))
            }
            _ => Ok(()),
        }
    }

    /// The most bytes that are taken.
    fn most(&self, client: &Client) -> u64 {
        self.size.unwrap_or(client.limits().small_file)
    }
}

/// Brings contents into the cache; `answer` is one that begins with their first byte. Says whether they are
/// new there.
pub(super) fn receive(
    client: &Client,
    cache: &RepositoryCache,
    contents: &Contents,
    answer: Answer,
) -> Result<bool, Failure> {
    if cache.blob(&contents.etag, contents.size).map_err(local)?.is_some() {
        return Ok(false);
    }
    contents.check_size(client)?;
    let lock = cache.lock(&contents.etag).map_err(local)?;
    if lock.waited && cache.blob(&contents.etag, contents.size).map_err(local)?.is_some() {
        return Ok(false);
    }
    let mut incoming = Incoming::open(cache, contents)?;
    // An answer that waited for another process may have ended meanwhile.
    let answer = Some(answer).filter(|_| incoming.length == 0 && !lock.waited);
    let resumed = incoming.length > 0;
    let mut done = incoming.fill(client, contents, answer).and_then(|()| incoming.finish());
    if resumed && done.as_ref().is_err_and(|failure| failure.kind == Kind::Damaged) {
        // What an earlier attempt left may be what is wrong.
        incoming.restart()?;
        done = incoming.fill(client, contents, None).and_then(|()| incoming.finish());
    }
    if let Err(failure) = done {
        if failure.kind == Kind::Damaged {
            let _ = fs::remove_file(&incoming.path);
        }
        return Err(failure);
    }
    let Incoming { path, file, .. } = incoming;
    drop(file);
    let place = cache.blob_place(&contents.etag).map_err(local)?;
    fs::rename(path, &place).map_err(|error| local(unwritable(&place, &error)))?;
    Ok(true)
}

/// A failure of bytes that are not the file's.
fn damaged(problem: impl Display) -> Failure {
    Failure::new(Kind::Damaged, problem)
}

/// A failure of a file of this machine.
pub(super) fn local(error: Error) -> Failure {
    Failure::new(Kind::Local, error)
}

/// Contents as far as they are there.
struct Incoming<'a> {
    path: PathBuf,
    file: File,
    length: u64,
    size: Option<u64>,
    fingerprint: Option<&'a Fingerprint>,
    /// The hash of what is there, where the length is known from the beginning.
    running: Option<Running>,
}

impl<'a> Incoming<'a> {
    fn open(cache: &RepositoryCache, contents: &'a Contents) -> Result<Self, Failure> {
        let (path, file) = cache.partial(&contents.etag).map_err(local)?;
        let (size, fingerprint) = (contents.size, contents.fingerprint.as_ref());
        let length = file.metadata().map_err(|error| local(Error::file(&path, error)))?.len();
        let mut incoming = Self { path, file, length, size, fingerprint, running: None };
        if size.is_none_or(|size| length > size) {
            incoming.restart()?;
            return Ok(incoming);
        }
        incoming.running = incoming.hash_of_file().map_err(|error| incoming.unwritable(&error))?;
        Ok(incoming)
    }

    fn unwritable(&self, error: &io::Error) -> Failure {
        local(unwritable(&self.path, error))
    }

    /// The hash of what is in the file, when there is one to compare with and the length is known.
    fn hash_of_file(&mut self) -> io::Result<Option<Running>> {
        let start = self.fingerprint.zip(self.size);
        let Some(mut running) = start.map(|(fingerprint, size)| fingerprint.start(size)) else {
            return Ok(None);
        };
        self.file.seek(SeekFrom::Start(0))?;
        running.feed((&self.file).take(self.length))?;
        Ok(Some(running))
    }

    /// Begins anew.
    fn restart(&mut self) -> Result<(), Failure> {
        self.file.set_len(0).map_err(|error| self.unwritable(&error))?;
        self.length = 0;
        self.running = self.fingerprint.zip(self.size).map(|(fingerprint, size)| fingerprint.start(size));
        Ok(())
    }

    /// Receives what is missing, in further attempts as long as they bring something.
    fn fill(
        &mut self,
        client: &Client,
        contents: &Contents,
        mut answer: Option<Answer>,
    ) -> Result<(), Failure> {
        let mut shown = Shown { what: &contents.shown, download: None };
        let (mut left, mut pause) = (client.limits().retries, client.limits().backoff);
        while self.size.is_none_or(|size| self.length < size) {
            let before = self.length;
            let attempt = self.attempt(client, contents, answer.take(), &mut shown);
            let failure = match attempt {
                Ok(()) => break,
                Err(failure) => failure,
            };
            let came = self.length.saturating_sub(before);
            if came >= PROGRESS {
                (left, pause) = (client.limits().retries, client.limits().backoff);
            }
            let again = failure.kind == Kind::Broken || failure.kind == Kind::Network && came >= PROGRESS;
            if !again || left == 0 {
                let problem = match failure.kind {
                    Kind::Broken | Kind::Network => format!("{} at byte {}", failure.problem, self.length),
                    _ => failure.problem,
                };
                return Err(Failure::new(failure.kind, problem));
            }
            client.wait(pause, &failure.problem);
            left -= 1;
            pause *= 2;
        }
        shown.finish();
        Ok(())
    }

    /// One answer, to its end.
    fn attempt(
        &mut self,
        client: &Client,
        contents: &Contents,
        answer: Option<Answer>,
        shown: &mut Shown,
    ) -> Result<(), Failure> {
        let mut answer = match answer {
            Some(answer) => answer,
            None => match client.get(&contents.address, self.length, contents.expected) {
                // The server has no byte there, so what is here is not a beginning of the file.
                Err(Failure { kind: Kind::Status(416), .. }) => {
                    self.restart()?;
                    client.get(&contents.address, 0, contents.expected)?
                }
                other => other?,
            },
        };
        if answer.identity.etag()? != contents.etag {
            return Err(Failure::untrusted("the file changed while it was downloaded"));
        }
        self.take_position(&answer)?;
        shown.begin(self.size, self.length);
        self.file.seek(SeekFrom::Start(self.length)).map_err(|error| self.unwritable(&error))?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            let read = client.read(&mut answer.body, &mut buffer)?;
            if read == 0 {
                break;
            }
            if self.length + read as u64 > contents.most(client) {
                return Err(damaged(format!("more bytes than the {} of the file", contents.most(client))));
            }
            self.file.write_all(&buffer[..read]).map_err(|error| self.unwritable(&error))?;
            if let Some(running) = &mut self.running {
                running.update(&buffer[..read]);
            }
            self.length += read as u64;
            shown.advance(read as u64);
        }
        match self.size {
            Some(size) if self.length < size => {
                Err(Failure::new(Kind::Broken, format!("{} of {size} bytes came", self.length)))
            }
            _ => Ok(()),
        }
    }

    /// Checks that an answer begins where the file ends; one that begins at the beginning replaces it.
    fn take_position(&mut self, answer: &Answer) -> Result<(), Failure> {
        let differs = |whole: u64| self.size.is_some_and(|size| size != whole);
        match answer.part {
            Some((first, whole)) if first != self.length || whole.is_some_and(differs) => {
                return Err(damaged("the answer is another part of the file than was asked for"));
            }
            None if self.length > 0 => self.restart()?,
            _ => {}
        }
        match answer.length.zip(self.size) {
            Some((length, size)) if self.length.checked_add(length) != Some(size) => {
                let end = self.length.saturating_add(length);
                Err(damaged(format!("the file has {size} bytes, and the answer would end at {end}")))
            }
            _ => Ok(()),
        }
    }

    /// Checks the hash of the whole file.
    fn finish(&mut self) -> Result<(), Failure> {
        if self.size.is_none() {
            self.size = Some(self.length);
            self.running = self.hash_of_file().map_err(|error| self.unwritable(&error))?;
        }
        match self.running.take() {
            Some(running) => running.finish().map_err(damaged),
            None => Ok(()),
        }
    }
}

/// Tells of the download of a file, when it is large.
struct Shown<'a> {
    what: &'a str,
    download: Option<Download>,
}

impl Shown<'_> {
    /// An attempt begins, with so many bytes there already.
    fn begin(&mut self, size: Option<u64>, there: u64) {
        if let Some(size) = size.filter(|&size| size >= SHOWN) {
            self.download.get_or_insert_with(|| Download::new(self.what, size)).set(there);
        }
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(download) = &mut self.download {
            download.advance(bytes);
        }
    }

    fn finish(&mut self) {
        if let Some(download) = &mut self.download {
            download.finish();
        }
    }
}
