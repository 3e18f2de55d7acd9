//! A prompt out of a file: what a row of JSON lines says of it.

use std::ops::Range;

use serde_json::{Map, Value};

use super::file::{Place, TextFile};
use super::made::Made;
use crate::error::Result;
use crate::grid::ContextLength;
use crate::span::SpanKind;
use crate::tokenizer::Message;

/// A prompt as its row has it.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenPrompt {
    /// Its name in the file, or else the number of its row, from 0.
    pub id: String,
    /// The line that it stands in, from 1.
    pub line: usize,
    /// The text that the model goes on with, as it is.
    pub text: Option<String>,
    /// Whether the text ends with [`Self::answer_prefix`].
    pub begins_answer: bool,
    /// The same as a conversation.
    pub messages: Vec<Message>,
    /// How the answer begins, behind the conversation.
    pub answer_prefix: String,
    /// What is asked, for the tables.
    pub question: String,
    /// The expected answers.
    pub expected: Vec<String>,
    /// What teacher forcing says, with all that stands between the prompt and it; else the expected answers.
    pub answer_text: Option<String>,
    /// The parts that matter.
    pub spans: Vec<GivenSpan>,
    /// The length that it was made for.
    pub context_length: Option<ContextLength>,
    /// Tokens that may be generated.
    pub answer_budget: Option<usize>,
    /// The scorer of its answer.
    pub scorer: Option<String>,
    /// Where it came from, when `niah` wrote it.
    pub made: Made,
}

/// A part of a given prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenSpan {
    /// What it is to the question.
    pub kind: SpanKind,
    /// Its bytes in the text.
    pub in_text: Option<Range<usize>>,
    /// The number of a message, and its bytes there.
    pub in_message: Option<SpanPlace>,
    /// Its text.
    pub planted: String,
    /// The bytes of its value in that.
    pub value: Range<usize>,
    /// Whether it was left out, and stands nowhere.
    pub absent: bool,
    /// Of one that was left out: the tokens that stand in its place, and those in the place of its value.
    pub counted: Option<[Range<usize>; 2]>,
}

/// Where in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanPlace {
    /// The number of the message, from 0.
    pub message: usize,
    /// The bytes of what it says.
    pub bytes: Range<usize>,
}

/// Names that a value may have in files of others.
const TEXTS: &[&str] = &["prompt", "input"];
const ANSWERS: &[&str] = &["expected", "outputs", "answer"];
const IDS: &[&str] = &["id", "row_id", "_id", "index"];

/// Reads an object's keys, and says where what is wrong with them stands.
struct Reader<'a> {
    file: &'a TextFile,
    line: usize,
    object: &'a Map<String, Value>,
}

impl GivenPrompt {
    /// Reads row `number` (from 0) of a file.
    ///
    /// # Errors
    /// [`crate::error::Error::File`] with the line and the key, what was found there and what was expected.
    pub(super) fn of(
        file: &TextFile,
        (number, line): (usize, usize),
        object: &Map<String, Value>,
    ) -> Result<Self> {
        let reader = Reader { file, line, object };
        let (text, mut messages) = reader.said()?;
        let mut answer_prefix = reader.text("answer_prefix")?.unwrap_or_default();
        let spans = reader.spans(text.as_deref(), &messages)?;
        // What the assistant has begun to say is to be gone on with.
        if messages.len() > 1 && messages.last().is_some_and(|message| message.role == "assistant") {
            let begun = messages.pop().map_or(String::new(), |message| message.content);
            if !answer_prefix.is_empty() {
                let expected = "no such key, as the last message begins the answer";
                return Err(reader.wrong("answer_prefix", &format!("{answer_prefix:?}"), expected));
            }
            answer_prefix = begun;
        }
        let (mut expected, mut scorer) = (reader.expected()?, reader.text("scorer")?);
        // OpenAI's MRCR: its answers begin with a random text, without which they count for nothing.
        let mut answer_text = reader.text("answer_text")?;
        if let Some(random) = reader.text("random_string_to_prepend")?
            && let [answer] = &expected[..]
        {
            answer_text.get_or_insert_with(|| answer.clone());
            let Some(rest) = answer.strip_prefix(&random).map(str::to_string) else {
                let found = format!("{:?}", crate::printable::shortened(answer));
                let expected = format!("an answer that begins with random_string_to_prepend, {random:?}");
                return Err(reader.wrong("answer", &found, &expected));
            };
            expected = vec![random, rest];
            scorer.get_or_insert_with(|| "sequence-ratio".to_string());
        }
        // RULER's answer begins behind its input.
        let begins_answer = object.contains_key("input") && text.is_some();
        let text = text.map(|text| if begins_answer { text + &answer_prefix } else { text });
        Ok(Self {
            id: reader.id(number)?,
            line,
            text,
            begins_answer,
            messages,
            answer_prefix,
            question: reader.text("question")?.unwrap_or_default(),
            expected,
            answer_text,
            spans,
            context_length: reader.context_length()?,
            answer_budget: reader.number("answer_budget")?,
            scorer,
            made: Made::of(object),
        })
    }

    /// Makes a text alone what the user says.
    pub(super) fn be_a_conversation(&mut self) {
        if !self.messages.is_empty() {
            return;
        }
        let Some(mut text) = self.text.take() else { return };
        // Behind RULER's input stands how the answer begins, which is the assistant's.
        if self.begins_answer {
            text.truncate(text.len() - self.answer_prefix.len());
        }
        for span in &mut self.spans {
            span.in_message = span.in_text.take().map(|bytes| SpanPlace { message: 0, bytes });
        }
        self.messages = vec![Message::new("user", text)];
    }

    /// How it is called in messages.
    #[must_use]
    pub fn name(&self) -> String {
        format!("prompt {:?} (line {})", crate::printable::shortened(&self.id), self.line)
    }
}

impl Reader<'_> {
    fn wrong(&self, key: &str, found: &str, expected: &str) -> crate::error::Error {
        self.file.wrong(&Place::of(self.line, key), found, expected)
    }

    /// The value of a key; nothing where it is null or missing.
    fn get(&self, key: &str) -> Option<&Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    fn text(&self, key: &str) -> Result<Option<String>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(self.wrong(key, kind_of(other), "a text")),
        }
    }

    fn number(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number =
            value.as_u64().and_then(|number| usize::try_from(number).ok()).filter(|&number| number > 0);
        let found = || crate::printable::shortened(&value.to_string()).into_owned();
        number.map(Some).ok_or_else(|| self.wrong(key, &found(), "a whole number above 0"))
    }

    fn id(&self, number: usize) -> Result<String> {
        let Some((key, value)) = IDS.iter().find_map(|key| Some((*key, self.get(key)?))) else {
            return Ok(number.to_string());
        };
        match value {
            Value::String(id) if !id.trim().is_empty() => Ok(id.clone()),
            Value::Number(id) => Ok(id.to_string()),
            other => Err(self.wrong(key, kind_of(other), "a name or a number")),
        }
    }

    /// The text, and the conversation.
    fn said(&self) -> Result<(Option<String>, Vec<Message>)> {
        let known = |keys: &[&'static str]| keys.iter().copied().find(|key| self.get(key).is_some());
        let mut messages = match self.get("messages") {
            Some(value) => self.messages("messages", value)?,
            None => Vec::new(),
        };
        let mut text = None;
        if let Some(key) = known(TEXTS) {
            let said = self.text(key)?.unwrap_or_default();
            // OpenAI's MRCR has its conversation as JSON in a text.
            match (self.get("random_string_to_prepend"), serde_json::from_str::<Value>(&said)) {
                (Some(_), Ok(list)) if list.is_array() => messages = self.messages(key, &list)?,
                _ if said.trim().is_empty() => return Err(self.wrong(key, "nothing", "a text")),
                _ => text = Some(said),
            }
        }
        if text.is_none() && messages.is_empty() {
            let keys: Vec<&str> = self.object.keys().map(String::as_str).collect();
            let found = format!("the keys {}", keys.join(", "));
            return Err(self.file.wrong(
                &Place::line(self.line),
                &found,
                "one of prompt, messages and input",
            ));
        }
        Ok((text, messages))
    }

    fn messages(&self, key: &str, value: &Value) -> Result<Vec<Message>> {
        let expected = "a list of messages, each with a role and a content of text";
        let list = value.as_array().filter(|list| !list.is_empty());
        let empty = value.as_array().map_or(kind_of(value), |_| "an empty list");
        let Some(list) = list else { return Err(self.wrong(key, empty, expected)) };
        let message = |(number, message): (usize, &Value)| {
            let role = message["role"].as_str().filter(|role| !role.trim().is_empty());
            let content = match &message["content"] {
                Value::String(text) => Some(text.clone()),
                Value::Array(parts) => parts.iter().map(|part| part["text"].as_str()).collect(),
                _ => None,
            };
            let wrong = || self.wrong(key, &format!("no such thing as message {number}"), expected);
            role.zip(content).map(|(role, content)| Message::new(role, content)).ok_or_else(wrong)
        };
        list.iter().enumerate().map(message).collect()
    }

    fn expected(&self) -> Result<Vec<String>> {
        let expected = "the expected answer, a text or a list of texts";
        let given: Vec<&str> = ANSWERS.iter().copied().filter(|key| self.get(key).is_some()).collect();
        let key = match given[..] {
            [key] => key,
            [] => return Err(self.wrong(ANSWERS[0], "nothing", expected)),
            [_, other, ..] => {
                return Err(self.wrong(other, "a second answer", "one of expected, outputs and answer"));
            }
        };
        let of = |value: &Value| match value {
            Value::String(text) if !text.trim().is_empty() => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            other => Err(self.wrong(key, kind_of(other), expected)),
        };
        match &self.object[key] {
            Value::Array(list) if !list.is_empty() => list.iter().map(of).collect(),
            Value::Array(_) => Err(self.wrong(key, "an empty list", expected)),
            value => Ok(vec![of(value)?]),
        }
    }

    /// The length that it was made for; RULER's `length`, which is its own, is rounded up.
    fn context_length(&self) -> Result<Option<ContextLength>> {
        if let Some(length) = self.number("context_length")? {
            let length = ContextLength::try_from(length);
            return length
                .map(Some)
                .map_err(|error| self.file.wrong_value(&Place::of(self.line, "context_length"), error));
        }
        let of_ruler =
            self.get("length").and_then(Value::as_u64).filter(|_| self.object.contains_key("input"));
        Ok(of_ruler.map(|length| super::prompts::rounded(usize::try_from(length).unwrap_or(usize::MAX))))
    }

    fn spans(&self, text: Option<&str>, messages: &[Message]) -> Result<Vec<GivenSpan>> {
        const EXPECTED: &str =
            "a list of spans, each with a kind and the characters start and end (from 0, end excluded)";
        match self.get("spans") {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => {
                let mut spans = list
                    .iter()
                    .enumerate()
                    .map(|(number, span)| self.span(number, span, text, messages))
                    .collect::<Result<Vec<_>>>()?;
                spans.sort_by_key(|span| {
                    let place = span.in_message.as_ref().map(|place| (place.message, place.bytes.start));
                    (place, span.in_text.as_ref().map(|bytes| bytes.start))
                });
                Ok(spans)
            }
            Some(other) => Err(self.wrong("spans", kind_of(other), EXPECTED)),
        }
    }

    fn span(
        &self,
        number: usize,
        span: &Value,
        text: Option<&str>,
        messages: &[Message],
    ) -> Result<GivenSpan> {
        let key = format!("spans[{number}]");
        let wrong = |found: &str, expected: &str| self.wrong(&key, found, expected);
        let kind = match &span["kind"] {
            Value::String(kind) => {
                kind.parse().map_err(|error| self.file.wrong_value(&Place::of(self.line, &key), error))?
            }
            Value::Null => SpanKind::Target,
            other => return Err(wrong(kind_of(other), "the name of a kind, such as target or distractor")),
        };
        let absent = span["absent"].as_bool().unwrap_or(false);
        // Within a message, by its number beside start and end, or with both of its own.
        let of_message = match &span["message"] {
            Value::Null if text.is_some() => None,
            Value::Number(number) if messages.is_empty() => {
                let expected = "none, as the row has no messages: start and end count in its prompt";
                return Err(wrong(&format!("message {number}"), expected));
            }
            Value::Null => {
                let user = messages.iter().rposition(|message| message.role == "user");
                Some((user.unwrap_or(messages.len() - 1), span))
            }
            Value::Object(own) => {
                let number = own.get("number").and_then(Value::as_u64);
                let number = number.and_then(|number| usize::try_from(number).ok());
                Some((number.unwrap_or(usize::MAX), &span["message"]))
            }
            value => Some((value.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX), span)),
        };
        let in_message = match of_message {
            Some(_) if messages.is_empty() => None,
            Some((number, place)) => match messages.get(number) {
                Some(message) => {
                    let bytes = bytes_of(place, &message.content)
                        .map_err(|(found, expected)| wrong(&found, &expected))?;
                    Some(SpanPlace { message: number, bytes })
                }
                None => {
                    let expected = format!("the number of a message, 0 to {}", messages.len() - 1);
                    return Err(wrong(&format!("message {}", span["message"]), &expected));
                }
            },
            None => None,
        };
        let flat = in_message.is_none() || span["message"].is_object();
        let in_text = match text.filter(|_| flat) {
            Some(text) => Some(bytes_of(span, text).map_err(|(found, expected)| wrong(&found, &expected))?),
            None => None,
        };
        let mut slices = in_text.iter().filter_map(|bytes| text?.get(bytes.clone()));
        let slice = slices.next().or_else(|| {
            let place = in_message.as_ref()?;
            messages.get(place.message)?.content.get(place.bytes.clone())
        });
        let slice = slice.unwrap_or_default();
        let said = span["text"].as_str();
        if let Some(said) = said.filter(|said| !absent && said.trim() != slice.trim()) {
            let found = format!("{:?} at start to end", crate::printable::shortened(slice));
            let expected = format!(
                "{:?}, which its text says; start and end count Unicode characters, not bytes",
                crate::printable::shortened(said)
            );
            return Err(wrong(&found, &expected));
        }
        if !absent && slice.trim().is_empty() {
            return Err(wrong("nothing at start to end", "a part of the text"));
        }
        let planted = said.unwrap_or(slice).to_string();
        let value = match &span["value"] {
            Value::Null => 0..planted.len(),
            Value::Array(ends) if ends.len() == 2 => {
                let place = serde_json::json!({"start": ends[0], "end": ends[1]});
                bytes_of(&place, &planted).map_err(|(found, expected)| wrong(&found, &expected))?
            }
            _ => return Err(wrong("another value", "two characters of its text, as [start, end]")),
        };
        let counted = || Some([tokens_of(&span["tokens"])?, tokens_of(&span["value_tokens"])?]);
        let counted = if absent { counted() } else { None };
        Ok(GivenSpan { kind, in_text, in_message, planted, value, absent, counted })
    }
}

/// A range of tokens, written as its two ends.
fn tokens_of(ends: &Value) -> Option<Range<usize>> {
    let end = |place: usize| usize::try_from(ends.get(place)?.as_u64()?).ok();
    Some(end(0)?..end(1)?)
}

/// The bytes of the characters `start` to `end` of a text; else what was found and expected.
fn bytes_of(place: &Value, text: &str) -> std::result::Result<Range<usize>, (String, String)> {
    let at = |key: &str| place[key].as_u64().and_then(|number| usize::try_from(number).ok());
    let (Some(start), Some(end)) = (at("start"), at("end")) else {
        let found = format!("start {} and end {}", place["start"], place["end"]);
        return Err((found, "two numbers of characters, from 0, end excluded".to_string()));
    };
    let byte = |number: usize| {
        let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        { ends }.nth(number)
    };
    match (byte(start), byte(end)) {
        (Some(from), Some(to)) if from <= to => Ok(from..to),
        _ => {
            let expected = format!("a part of the {} characters that the text has", text.chars().count());
            Err((format!("the characters {start} to {end}"), expected))
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(text) if text.trim().is_empty() => "an empty text",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
