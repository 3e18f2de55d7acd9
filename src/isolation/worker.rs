//! The two ends of the pipes: the process that asks, and the one that answers.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::limits::{limit_memory, limit_time, memory_within_limits};
use super::{ARGUMENT, Failure, PROGRAM, caught};

/// A busy machine gives a process a fraction of its time: how many seconds may pass for one of computing.
const PATIENCE: u64 = 8;
/// Stack of the thread that answers, in bytes: what nests more deeply than anybody writes overflows even
/// this.
const STACK: usize = 64 << 20;
/// Bytes of an answer, at most.
const LONGEST_ANSWER: u64 = 1 << 30;

/// Bytes that are set aside at most for what is said to come: a length may be wrong.
const MOST_RESERVED: u64 = 1 << 20;

/// A process that answers questions; it ends when this is dropped.
pub struct Worker {
    child: Child,
    questions: ChildStdin,
    answers: Receiver<io::Result<(bool, Vec<u8>)>>,
    memory: u64,
}

impl Worker {
    /// Starts a process that may take so many bytes of memory. `None` where no program is named, or none can
    /// be started.
    #[must_use]
    pub fn start(memory: u64) -> Option<Self> {
        let memory = memory_within_limits(memory);
        let mut command = Command::new(PROGRAM.get()?);
        command.args([ARGUMENT, &memory.to_string()]).env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C is for the process that asks, which may have something to finish.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().ok()?;
        let (questions, mut output) = (child.stdin.take()?, child.stdout.take()?);
        let (sender, answers) = channel();
        thread::Builder::new().spawn(move || receive(&mut output, &sender)).ok()?;
        Some(Self { child, questions, answers, memory })
    }

    /// The answer to a question, which may take so many seconds of computing.
    ///
    /// # Errors
    /// When there is none; the process has ended then, unless it panicked.
    pub fn ask(&mut self, question: &[u8], seconds: u64) -> Result<Vec<u8>, Failure> {
        let asked = [seconds, question.len() as u64].map(u64::to_le_bytes);
        let sent = self.questions.write_all(asked.as_flattened());
        if sent.and_then(|()| self.questions.write_all(question)).is_err() {
            return Err(self.failure(seconds));
        }
        match self.answers.recv_timeout(Duration::from_secs(seconds.saturating_mul(PATIENCE))) {
            Ok(Ok((true, answer))) => Ok(answer),
            Ok(Ok((false, _))) => Err(Failure::Fault),
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.child.kill();
                Err(Failure::Time(seconds))
            }
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Err(self.failure(seconds)),
        }
    }

    /// What the end of the process says.
    fn failure(&mut self, seconds: u64) -> Failure {
        let _ = self.child.kill();
        let Ok(status) = self.child.wait() else { return Failure::Fault };
        let mut said = Vec::new();
        if let Some(stderr) = &mut self.child.stderr {
            let _ = stderr.take(4096).read_to_end(&mut said);
        }
        let said = String::from_utf8_lossy(&said);
        if ran_out_of_time(status) {
            Failure::Time(seconds)
        } else if said.contains("out of memory") || said.contains("memory allocation of") {
            Failure::Memory(self.memory)
        } else if said.contains("overflowed its stack") {
            Failure::Nesting
        } else {
            Failure::Fault
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
fn ran_out_of_time(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(libc::SIGXCPU)
}

#[cfg(not(unix))]
fn ran_out_of_time(_status: ExitStatus) -> bool {
    false
}

/// Hands on every answer until the process ends.
fn receive(output: &mut impl Read, sender: &Sender<io::Result<(bool, Vec<u8>)>>) {
    loop {
        let answer = read_answer(output);
        let ended = answer.is_err();
        if sender.send(answer).is_err() || ended {
            return;
        }
    }
}

fn read_answer(output: &mut impl Read) -> io::Result<(bool, Vec<u8>)> {
    let mut status = [0];
    output.read_exact(&mut status)?;
    let length = read_number(output)?;
    Ok((status[0] == 0, read_bytes(output, length)?))
}

fn read_number(input: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn read_bytes(input: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    if length > LONGEST_ANSWER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::with_capacity(length.min(MOST_RESERVED) as usize);
    input.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Answers questions until there are no more: what `main` does when its first argument is [`ARGUMENT`] and
/// its second is `memory`.
pub fn serve(memory: &str, answer: impl FnMut(&[u8]) -> Vec<u8> + Send + 'static) {
    if let Ok(bytes) = memory.parse() {
        limit_memory(bytes);
    }
    std::panic::set_hook(Box::new(|_| {}));
    let answering = thread::Builder::new().stack_size(STACK).spawn(move || {
        // An end of the pipes is the end of the work.
        let _ = answer_all(answer);
    });
    if let Ok(thread) = answering {
        let _ = thread.join();
    }
}

fn answer_all(mut answer: impl FnMut(&[u8]) -> Vec<u8>) -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    loop {
        let (seconds, length) = (read_number(&mut input)?, read_number(&mut input)?);
        let question = read_bytes(&mut input, length)?;
        limit_time(seconds);
        let (status, bytes) = match caught(|| answer(&question)) {
            Ok(bytes) => (0, bytes),
            Err(_) => (1, Vec::new()),
        };
        output.write_all(&[status])?;
        output.write_all(&(bytes.len() as u64).to_le_bytes())?;
        output.write_all(&bytes)?;
        output.flush()?;
    }
}
