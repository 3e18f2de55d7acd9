//! Answers that a server has given to prompts of a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::file::{Place, TextFile};
use super::rows::objects;
use crate::error::{Error, Result};

/// Bytes of such a file, at most.
const MOST_BYTES: u64 = 1 << 30;

/// The answers of a file.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 in hex of the file.
    pub hash: String,
    /// The model that gave them, where the file says it.
    pub model: Option<String>,
    rows: BTreeMap<String, GivenAnswer>,
}

/// An answer, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenAnswer {
    /// The line that it stands in, from 1.
    pub line: usize,
    /// What the model said, or what went wrong.
    pub said: Result<String, String>,
}

impl Answers {
    /// Reads a JSON object a line: the `id` of a prompt and the `answer` to it, or the `error` in its place;
    /// and where wanted the `model`, the same in all of them.
    ///
    /// # Errors
    /// [`Error::File`] with line and key, what was found there and what was expected.
    pub fn read(path: &Path) -> Result<Self> {
        let file = TextFile::read(path, MOST_BYTES)?;
        let (mut rows, mut model) = (BTreeMap::new(), None);
        for object in objects(&file) {
            let (line, object) = object?;
            let wrong =
                |key: &str, found: &str, expected: &str| file.wrong(&Place::of(line, key), found, expected);
            let text = |key: &str| match object.get(key) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(text)) => Ok(Some(text.clone())),
                Some(other) => Err(wrong(key, &other.to_string(), "a text")),
            };
            let id = match object.get("id") {
                Some(Value::String(id)) => id.clone(),
                Some(Value::Number(id)) => id.to_string(),
                _ => return Err(wrong("id", "none", "the id of a prompt, a name or a number")),
            };
            let said = match (text("answer")?, text("error")?) {
                (Some(answer), None) => Ok(answer),
                (None, Some(error)) => Err(error),
                (Some(_), Some(_)) => {
                    return Err(wrong("error", "an error beside an answer", "one of the two"));
                }
                (None, None) => {
                    return Err(wrong("answer", "nothing", "what the model said, or an error in its place"));
                }
            };
            if let Some(name) = text("model")? {
                let first = model.get_or_insert_with(|| name.clone());
                if *first != name {
                    let expected = format!("{first:?} as in the lines before: a run has one model");
                    return Err(wrong("model", &format!("{name:?}"), &expected));
                }
            }
            if let Some(before) = rows.insert(id.clone(), GivenAnswer { line, said }) {
                let expected = format!("an id once: line {} has this one", before.line);
                return Err(wrong("id", &format!("{id:?}"), &expected));
            }
        }
        Ok(Self { path: file.path, hash: file.hash, model, rows })
    }

    /// The answers in the order of `ids`, which are those of the prompts in the file at `prompts`.
    ///
    /// # Errors
    /// [`Error::File`] when an answer is to none of them, or one of them has none.
    pub fn to<'a>(&'a self, ids: &[&str], prompts: &Path) -> Result<Vec<&'a GivenAnswer>> {
        const NAMED: usize = 3;
        let known: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
        if let Some((id, answer)) = self.rows.iter().find(|(id, _)| !known.contains(id.as_str())) {
            let problem = format!(
                "line {}, id: found {:?}, expected the id of a prompt in {}",
                answer.line,
                crate::printable::shortened(id),
                prompts.display()
            );
            return Err(Error::file(&self.path, problem));
        }
        let missing: Vec<String> =
            ids.iter().filter(|id| !self.rows.contains_key(**id)).map(|id| format!("{id:?}")).collect();
        if !missing.is_empty() {
            let problem = format!(
                "found no answer to {} of the {} prompts in {}, the first of them {}; expected one to each, or \
                 an error in its place",
                missing.len(),
                ids.len(),
                prompts.display(),
                missing[..missing.len().min(NAMED)].join(", ")
            );
            return Err(Error::file(&self.path, problem));
        }
        Ok(ids.iter().filter_map(|id| self.rows.get(*id)).collect())
    }
}
