//! An answer that comes token by token, as server-sent events: lines `data: {...}` with an empty line behind
//! each event, the last `data: [DONE]`.

use super::answer::{self, Answer, version};
use super::failure::{Failure, Kind};
use super::response::Response;

/// Reads all events of an answer. One that breaks off before its end is no answer.
pub(super) fn read(mut response: Response<'_>) -> Result<Answer, Failure> {
    // No line of an event begins so: the server answers at once, whatever it was asked for.
    if matches!(response.first_byte()?, Some(b'{' | b'[' | b'<')) {
        return answer::read(response);
    }
    let mut answer = Answer { version: version(&response), ..Answer::default() };
    let mut any = false;
    // Of an event whose data takes several lines, those that have come.
    let mut held = Vec::new();
    while let Some(line) = response.line()? {
        if line.is_empty() {
            if !held.is_empty() {
                any |= answer.take(&response.parsed(&held)?)?;
                held.clear();
            }
            continue;
        }
        // Lines that begin with a colon keep the connection alive.
        let Some(data) = line.strip_prefix(b"data:") else { continue };
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            return ended(answer, any);
        }
        if !held.is_empty() {
            held.push(b'\n');
            held.extend_from_slice(data);
            continue;
        }
        // Some servers leave out the empty lines, so what is whole with its first line is taken by itself.
        match response.parsed(data) {
            Ok(value) => any |= answer.take(&value)?,
            Err(Failure { kind: Kind::Broken, .. }) => held.extend_from_slice(data),
            Err(failure) => return Err(failure),
        }
    }
    // Some servers close without the last event.
    match answer.finish_reason.is_some() && held.is_empty() {
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
