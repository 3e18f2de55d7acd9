//! The body of an answer: read up to a limit, and without the key of who asked.

use std::io::{self, BufRead, BufReader, Read};
use std::mem;

use serde_json::Value;
use ureq::http::HeaderMap;
use ureq::{Body, BodyReader};

use super::client::Client;
use super::failure::{Failure, Kind};
use crate::json;

/// A successful answer whose body is still to come.
pub(super) struct Response<'a> {
    pub(super) headers: HeaderMap,
    reader: BufReader<io::Take<BodyReader<'static>>>,
    /// Whether the last line ended with a carriage return, behind which a line feed may come.
    after_return: bool,
    pub(super) client: &'a Client,
}

impl<'a> Response<'a> {
    pub(super) fn of(response: ureq::http::Response<Body>, client: &'a Client) -> Self {
        let (head, body) = response.into_parts();
        // One byte more tells an answer that is too long from one that just fits.
        let reader = BufReader::new(body.into_reader().take(client.limits.answer + 1));
        Self { headers: head.headers, reader, after_return: false, client }
    }

    fn too_long(&self) -> Failure {
        Failure::wrong(format!("the answer is longer than {} bytes", self.client.limits.answer))
    }

    fn is_spent(&self) -> bool {
        self.reader.get_ref().limit() == 0
    }

    /// A whole body that is JSON.
    pub(super) fn json(mut self) -> Result<Value, Failure> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes).map_err(|error| self.client.failed(error.into()))?;
        if self.is_spent() {
            return Err(self.too_long());
        }
        self.parsed(&bytes)
    }

    /// The first byte of a body that is no white space; what stands before it is passed over.
    pub(super) fn first_byte(&mut self) -> Result<Option<u8>, Failure> {
        loop {
            let held = self.reader.fill_buf().map_err(|error| self.client.failed(error.into()))?;
            let first = held.iter().position(|byte| !byte.is_ascii_whitespace());
            let (space, byte) = (first.unwrap_or(held.len()), first.map(|at| held[at]));
            let ends = held.is_empty();
            self.reader.consume(space);
            match (byte, ends) {
                (None, false) => {}
                (None, true) if self.is_spent() => return Err(self.too_long()),
                _ => return Ok(byte),
            }
        }
    }

    /// The next line of a body, without its end, which is a line feed, a carriage return or both; `None`
    /// behind the last.
    pub(super) fn line(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut line = Vec::new();
        let mut any = false;
        loop {
            let held = self.reader.fill_buf().map_err(|error| self.client.failed(error.into()))?;
            // The other half of an end is passed over when it comes: waiting for it may be waiting for the
            // next piece.
            let rest = usize::from(mem::take(&mut self.after_return) && held.first() == Some(&b'\n'));
            let ends = held.is_empty();
            let end = held[rest..].iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let text = &held[rest..end.map_or(held.len(), |end| rest + end)];
            line.extend_from_slice(text);
            any |= end.is_some() || !text.is_empty();
            self.after_return = end.is_some_and(|end| held[rest + end] == b'\r');
            let read = rest + text.len() + usize::from(end.is_some());
            self.reader.consume(read);
            if self.is_spent() {
                return Err(self.too_long());
            }
            if ends || end.is_some() {
                return Ok(any.then_some(line));
            }
        }
    }

    /// JSON of an answer, as Python writes it too (`-Infinity`), in which no text holds the key. Where it
    /// ends in the middle, the connection did.
    pub(super) fn parsed(&self, bytes: &[u8]) -> Result<Value, Failure> {
        let no_json = || {
            let begins: String = String::from_utf8_lossy(&bytes[..bytes.len().min(1 << 12)]).into();
            Failure::wrong(format!("an answer that is no JSON: {}", self.client.words(&begins)))
        };
        let plain = json::plain(bytes, usize::MAX).map_err(|_| no_json())?;
        let mut value = serde_json::from_slice(&plain).map_err(|error| match error.is_eof() {
            true => Failure::new(Kind::Broken, "the answer ends in the middle"),
            false => no_json(),
        })?;
        self.without_key(&mut value);
        Ok(value)
    }

    /// Strikes the key out of every text of an answer. It has no more levels than its reader allows (128).
    fn without_key(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.client.kept(mem::take(text)),
            Value::Array(all) => all.iter_mut().for_each(|one| self.without_key(one)),
            Value::Object(all) => all.values_mut().for_each(|one| self.without_key(one)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// What a refusal says: the message in its JSON, or all of it.
pub(super) fn said_in(text: &str) -> String {
    let message = |value: &Value| {
        let places = [&value["error"]["message"], &value["message"], &value["detail"], &value["error"]];
        places.into_iter().find_map(|place| match place {
            Value::String(words) => Some(words.clone()),
            Value::Array(_) => Some(place.to_string()),
            _ => None,
        })
    };
    let value: Option<Value> = serde_json::from_str(text).ok();
    value.as_ref().and_then(message).unwrap_or_else(|| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_its_own_words() {
        for (text, said) in [
            (r#"{"error": {"message": "no such model", "type": "x"}}"#, "no such model"),
            (r#"{"error": "model 'x' not found"}"#, "model 'x' not found"),
            (r#"{"object": "error", "message": "too long", "code": 400}"#, "too long"),
            (r#"{"detail": [{"msg": "extra"}]}"#, r#"[{"msg":"extra"}]"#),
            ("<html>\n Bad gateway</html>", "<html>\n Bad gateway</html>"),
            ("", ""),
        ] {
            assert_eq!(said_in(text), said);
        }
    }
}
