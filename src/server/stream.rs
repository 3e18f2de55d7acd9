//! An answer that comes token by token, as server-sent events: lines `data: {...}`, the last `data: [DONE]`.

use super::answer::{Answer, version};
use super::failure::{Failure, Kind};
use super::response::Response;

/// Reads all events of an answer. One that breaks off before its end is no answer.
pub(super) fn read(mut response: Response<'_>) -> Result<Answer, Failure> {
    let mut answer = Answer { version: version(&response), ..Answer::default() };
    let mut any = false;
    while let Some(line) = response.line()? {
        // Empty lines part events, and those that begin with a colon keep the connection alive.
        let Some(data) = line.strip_prefix(b"data:") else { continue };
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            return ended(answer, any);
        }
        any |= answer.take(&response.parsed(data)?)?;
    }
    // Some servers close without the last event.
    match answer.finish_reason.is_some() {
        true => ended(answer, any),
        false => Err(Failure::new(Kind::Broken, "the stream broke off before the answer's end")),
    }
}

fn ended(answer: Answer, any: bool) -> Result<Answer, Failure> {
    match any {
        true => Ok(answer),
        false => Err(Failure::wrong("a stream without choices")),
    }
}
