//! The tokenizer of a model directory in Hugging Face's layout.
//!
//! `tokenizer.json` defines the ids. `tokenizer_config.json` and `special_tokens_map.json` name the special
//! tokens, `generation_config.json` and `config.json` say which ids end a response, and the chat template is
//! a file `chat_template.jinja` or an entry of `tokenizer_config.json`. Only the first has to be there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::Path;

use serde_json::Value;
use tokenizers::{AddedToken, ModelWrapper, Tokenizer};

use super::facts::Parts;
use super::local::{failed, short};
use super::{TextTokenizer, checks, template_files};
use crate::error::{Error, Result};
use crate::hash::sha256_hex;
use crate::{files, json};

/// Names of special tokens that chat templates may use.
const SPECIAL_TOKENS: &[&str] =
    &["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"];

/// Bytes of one of these files, at most; the largest that are known have some 40 million.
pub(super) const MOST_BYTES: u64 = 256 << 20;

/// Values in one of them, at most; the largest that are known have some three million.
pub(super) const MOST_VALUES: usize = 20_000_000;

/// Reads a file of a checkpoint by its name.
pub type ReadFile<'a> = dyn Fn(&str) -> io::Result<Vec<u8>> + 'a;

impl TextTokenizer {
    /// Reads the tokenizer of a model directory.
    ///
    /// # Errors
    /// [`Error::File`] when `tokenizer.json` is missing or one of the files cannot be read, and
    /// [`Error::Tokenizer`] when the files contradict each other.
    pub fn from_directory(directory: &Path) -> Result<Self> {
        Self::from_files(directory, &|name| files::read(&directory.join(name), MOST_BYTES))
    }

    /// The same of files that `read` gives, by name; `directory` stands for their place in messages.
    ///
    /// # Errors
    /// Those of [`Self::from_directory`].
    pub fn from_files(directory: &Path, read: &ReadFile) -> Result<Self> {
        Self::read_files(directory, read, |path, bytes| {
            let json = parse(path, bytes)?;
            check(&json).map_err(|problem| Error::file(path, problem))?;
            serde_json::from_value(json).map_err(|error| unusable(path, &error.to_string()))
        })
    }

    /// The tokenizer that the contents of a `tokenizer.json` define, with nothing beside it.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when they define none.
    pub fn from_json(json: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(json).map_err(|error| Error::Tokenizer(error.to_string()))?;
        check(&value).map_err(Error::Tokenizer)?;
        let inner: Tokenizer =
            serde_json::from_value(value).map_err(|error| Error::Tokenizer(error.to_string()))?;
        let bos = leading_token(&inner, &Value::Null, None)?;
        Ok(Self::new(Parts {
            inner,
            bos,
            eos: BTreeSet::new(),
            hash: sha256_hex(json),
            special_tokens: BTreeMap::new(),
            chat_template: None,
            notes: Vec::new(),
        }))
    }

    /// The same with `build` to make a tokenizer of the bytes of `tokenizer.json`.
    pub(super) fn read_files(
        directory: &Path,
        read: &ReadFile,
        build: impl Fn(&Path, &[u8]) -> Result<Tokenizer>,
    ) -> Result<Self> {
        let path = directory.join("tokenizer.json");
        let bytes = read("tokenizer.json").map_err(|error| unreadable(directory, &path, &error))?;
        let mut inner = build(&path, &bytes)?;
        inner.with_truncation(None).map_err(failed)?;
        inner.with_padding(None);
        let notes = without_dropout(&mut inner).into_iter().collect();

        let read_json = |name: &str| match optional(directory, read, name)? {
            Some(bytes) => parse(&directory.join(name), &bytes),
            // Indexing null gives null.
            None => Ok(Value::Null),
        };
        let config = read_json("tokenizer_config.json")?;
        let special_tokens = special_tokens(&[&config, &read_json("special_tokens_map.json")?]);
        add_missing_tokens(&mut inner, &config)?;
        let bos = leading_token(&inner, &config, special_tokens.get("bos_token"))?;
        let mut eos: BTreeSet<u32> =
            special_tokens.get("eos_token").and_then(|token| inner.token_to_id(token)).into_iter().collect();
        let model = read_json("config.json")?;
        for source in [&read_json("generation_config.json")?, &model, &model["text_config"]] {
            eos.extend(ids(&source["eos_token_id"]));
        }
        let chat_template = template_files::find(directory, read, &config)?;
        let hash = sha256_hex(&bytes);
        Ok(Self::new(Parts { inner, bos, eos, hash, special_tokens, chat_template, notes }))
    }
}

fn unreadable(directory: &Path, path: &Path, error: &io::Error) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return Error::file(path, files::problem(error));
    }
    let model = ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model"];
    let problem = match model.iter().find(|name| directory.join(name).is_file()) {
        Some(name) => format!(
            "missing; there is only the SentencePiece model {name}, which cannot be read: convert it with \
             AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR) of transformers"
        ),
        None => "missing; write it with AutoTokenizer.from_pretrained(MODEL).save_pretrained(DIR) of \
                 transformers, or download it with the model"
            .to_string(),
    };
    Error::file(path, problem)
}

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Value> {
    json::parse(bytes, MOST_VALUES).map_err(|error| broken(path, &error))
}

pub(super) fn broken(path: &Path, error: &str) -> Error {
    Error::file(path, format!("broken JSON ({}); download the file again", short(error)))
}

pub(super) fn unusable(path: &Path, error: &str) -> Error {
    let error = short(error).trim_end_matches('.');
    Error::file(path, format!("not a tokenizer that can be used ({error}); download the file again"))
}

/// The file's contents; `None` when there is no such file.
pub(super) fn optional(directory: &Path, read: &ReadFile, name: &str) -> Result<Option<Vec<u8>>> {
    match read(name) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file(directory.join(name), files::problem(&error))),
    }
}

fn check(json: &Value) -> Result<(), String> {
    checks::settings(json)?;
    check_merges(json)
}

/// Turns off what makes a byte-pair model cut the same text differently from call to call, and says so: it is
/// for training.
fn without_dropout(inner: &mut Tokenizer) -> Option<String> {
    let ModelWrapper::BPE(model) = inner.get_model() else { return None };
    let dropout = model.dropout.filter(|dropout| *dropout > 0.0)?;
    let mut model = model.clone();
    model.dropout = None;
    inner.with_model(model);
    Some(format!(
        "tokenizer.json drops merges at random ({dropout} of them), which is for training; they are all used \
         here, so that a prompt is the same each time"
    ))
}

/// Every merge must make a known token: the library panics on some that do not.
fn check_merges(json: &Value) -> Result<(), String> {
    let model = &json["model"];
    let (Some(vocab), Some(merges)) = (model["vocab"].as_object(), model["merges"].as_array()) else {
        return Ok(());
    };
    let prefix = model["continuing_subword_prefix"].as_str().unwrap_or_default();
    for (rank, merge) in merges.iter().enumerate() {
        let halves = match merge {
            Value::String(text) => text.split_once(' '),
            pair => pair[0].as_str().zip(pair[1].as_str()),
        };
        let whole = halves.and_then(|(left, right)| Some([left, right.strip_prefix(prefix)?].concat()));
        if !whole.is_some_and(|whole| vocab.contains_key(&whole)) {
            return Err(format!(
                "merge {rank} is {merge}, which does not make a token of the vocabulary; download the file \
                 again"
            ));
        }
    }
    Ok(())
}

/// A special token is a string, or an object with its `content`.
fn special_tokens(sources: &[&Value]) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().or(value["content"].as_str()).map(str::to_string);
    SPECIAL_TOKENS
        .iter()
        .filter_map(|name| {
            let token = sources.iter().find_map(|source| text(&source[*name]))?;
            Some((name.to_string(), token))
        })
        .collect()
}

/// Adds the tokens that only `tokenizer_config.json` knows, as transformers does.
fn add_missing_tokens(inner: &mut Tokenizer, config: &Value) -> Result<()> {
    let Some(entries) = config["added_tokens_decoder"].as_object() else { return Ok(()) };
    let mut missing = Vec::new();
    for (id, entry) in entries {
        let flag = |name: &str| entry[name].as_bool().unwrap_or(false);
        let (Ok(number), Some(content)) = (id.parse::<u32>(), entry["content"].as_str()) else {
            return Err(Error::Tokenizer(format!("tokenizer_config.json: added token {id:?} is {entry}")));
        };
        let token = AddedToken::from(content, flag("special"))
            .normalized(flag("normalized"))
            .single_word(flag("single_word"))
            .lstrip(flag("lstrip"))
            .rstrip(flag("rstrip"));
        if !inner.get_added_vocabulary().get_vocab().contains_key(&token.content) {
            missing.push((number, token));
        }
    }
    missing.sort_by_key(|(id, _)| *id);
    inner.add_tokens(missing.iter().map(|(_, token)| token.clone())).map_err(failed)?;
    for (id, token) in missing {
        let given = inner.token_to_id(&token.content);
        if given != Some(id) {
            return Err(Error::Tokenizer(format!(
                "tokenizer_config.json gives token {:?} id {id}, but after tokenizer.json it would be \
                 {given:?}; the two files are not of one model",
                token.content
            )));
        }
    }
    Ok(())
}

/// The token put in front of every text: as `add_bos_token` says, or else as the post-processor does.
fn leading_token(inner: &Tokenizer, config: &Value, bos: Option<&String>) -> Result<Option<u32>> {
    let bos = bos.and_then(|token| inner.token_to_id(token));
    match config["add_bos_token"].as_bool() {
        Some(false) => return Ok(None),
        Some(true) if bos.is_some() => return Ok(bos),
        _ => {}
    }
    // Any text will do, as long as the vocabulary can write it.
    for probe in ["a", "0", "."] {
        let encode = |special| inner.encode(probe, special).map_err(failed);
        let (plain, full) = (encode(false)?, encode(true)?);
        let (plain, full) = (plain.get_ids(), full.get_ids());
        if plain.is_empty() {
            continue;
        }
        let before = full.windows(plain.len()).position(|window| window == plain).unwrap_or(0);
        return match full[..before] {
            [] => Ok(None),
            [token] => Ok(Some(token)),
            _ => Err(Error::Tokenizer(format!(
                "the post-processor of tokenizer.json puts {before} tokens in front of a text, and one at \
                 most can be handled; set add_bos_token in tokenizer_config.json to say whether BOS goes \
                 there alone"
            ))),
        };
    }
    Ok(None)
}

/// An id or a list of ids.
fn ids(value: &Value) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Value::Array(list) => list.iter().filter_map(id).collect(),
        single => id(single).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::super::Tokenize;
    use super::*;

    fn tokenizer_json() -> Value {
        json!({
            "version": "1.0",
            "truncation": {"max_length": 1, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
            "padding": {
                "strategy": {"Fixed": 4}, "direction": "Left", "pad_to_multiple_of": null, "pad_id": 5,
                "pad_type_id": 0, "pad_token": "</s>"
            },
            "added_tokens": [{
                "id": 6, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true
            }],
            "normalizer": null,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "post_processor": {"type": "Sequence", "processors": [
                {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
                {
                    "type": "TemplateProcessing",
                    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                    "special_tokens": {"<s>": {"id": "<s>", "ids": [6], "tokens": ["<s>"]}}
                }
            ]},
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": {"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4, "</s>": 5, "<s>": 6},
                "merges": ["a b", "Ġ ab"]
            }
        })
    }

    fn directory(files: &[(&str, Value)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, value) in files {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    fn load(files: &[(&str, Value)]) -> Result<TextTokenizer> {
        TextTokenizer::from_directory(directory(files).path())
    }

    #[test]
    fn nothing_is_added_and_spans_keep_their_spaces() {
        let tokenizer = load(&[("tokenizer.json", tokenizer_json())]).unwrap();
        let encoded = tokenizer.encode("ab ab ab<s>").unwrap();
        assert_eq!(encoded.ids, [3, 4, 4, 6]);
        assert_eq!(encoded.spans, [0..2, 2..5, 5..8, 8..11]);
        assert_eq!(tokenizer.decode(&encoded.ids).unwrap(), "ab ab ab<s>");
        assert_eq!(tokenizer.decode_plain(&encoded.ids).unwrap(), "ab ab ab");
        assert_eq!(tokenizer.bos(), Some(6));
        assert_eq!(tokenizer.special_ids(), &BTreeSet::from([6]));
        assert!(tokenizer.chat_template().unwrap().is_none());
    }

    #[test]
    fn a_character_that_no_token_stands_for_is_not_left_out_in_silence() {
        let tokenizer = load(&[("tokenizer.json", tokenizer_json())]).unwrap();
        let problem = tokenizer.encode("ab cab").unwrap_err().to_string();
        assert!(problem.contains("'c'") && problem.contains("\"ab cab\""), "{problem}");
        // A token for what is unknown stands in its place, and what the normalizer takes away is not missed.
        let mut unknown = tokenizer_json();
        unknown["model"]["unk_token"] = json!("</s>");
        let ids = load(&[("tokenizer.json", unknown)]).unwrap().encode("ab cab").unwrap().ids;
        assert_eq!(ids, [3, 2, 5, 3]);
        let mut taken = tokenizer_json();
        taken["normalizer"] = json!({"type": "Replace", "pattern": {"String": "c"}, "content": ""});
        assert_eq!(load(&[("tokenizer.json", taken)]).unwrap().encode("ab cab").unwrap().ids, [3, 4]);
    }

    #[test]
    fn the_configuration_overrides_the_post_processor_about_bos() {
        let config = |add: Value| json!({"add_bos_token": add, "bos_token": "<s>"});
        for (add, expected) in [(json!(false), None), (json!(true), Some(6)), (json!(null), Some(6))] {
            let files =
                [("tokenizer.json", tokenizer_json()), ("tokenizer_config.json", config(add.clone()))];
            assert_eq!(load(&files).unwrap().bos(), expected, "{add}");
        }
    }

    #[test]
    fn ids_that_end_a_response_come_from_every_file() {
        let tokenizer = load(&[
            ("tokenizer.json", tokenizer_json()),
            ("tokenizer_config.json", json!({"eos_token": {"content": "</s>"}})),
            ("generation_config.json", json!({"eos_token_id": [1, 99]})),
            ("config.json", json!({"eos_token_id": 0, "text_config": {"eos_token_id": [3]}})),
        ])
        .unwrap();
        assert_eq!(tokenizer.eos_ids(), &BTreeSet::from([0, 1, 3, 5]));
    }

    #[test]
    fn tokens_that_only_the_configuration_knows_are_added() {
        let added = |id: &str| {
            let entry = json!({
                "content": "<|im_end|>", "lstrip": false, "rstrip": false, "normalized": false,
                "single_word": false, "special": true
            });
            json!({"added_tokens_decoder": {id: entry}})
        };
        let files = |id| [("tokenizer.json", tokenizer_json()), ("tokenizer_config.json", added(id))];
        let tokenizer = load(&files("7")).unwrap();
        assert_eq!(tokenizer.encode("a<|im_end|>").unwrap().ids, [0, 7]);
        assert_eq!(tokenizer.eos_ids(), &BTreeSet::from([7]));
        assert_eq!(tokenizer.vocab_size(), 8);
        assert!(load(&files("9")).unwrap_err().to_string().contains("id 9"));
    }

    #[test]
    fn templates_come_from_the_file_of_their_own_first() {
        let named = json!({"chat_template": [
            {"name": "tools", "template": "tools"}, {"name": "default", "template": "{{ bos_token }}list"}
        ], "bos_token": "<s>"});
        let mut files = vec![("tokenizer.json", tokenizer_json()), ("tokenizer_config.json", named.clone())];
        let render = |files: &[(&str, Value)]| {
            load(files).unwrap().chat_template().unwrap().unwrap().render(None, "hi").unwrap()
        };
        assert_eq!(render(&files), "<s>list");
        files.push(("chat_template.jinja", json!("file")));
        assert_eq!(render(&files), "file");
    }

    #[test]
    fn damaged_directories_are_errors_with_a_remedy() {
        let message = |files: &[(&str, Value)]| load(files).unwrap_err().to_string();
        let truncated = &tokenizer_json().to_string()[..300];
        let mut merge = tokenizer_json();
        merge["model"]["merges"][1] = json!("<s> </s>");
        let mut unknown = tokenizer_json();
        unknown["model"]["type"] = json!("Mystery");
        for (files, expected) in [
            (vec![], "save_pretrained"),
            (vec![("tokenizer.model", json!("x"))], "SentencePiece model tokenizer.model"),
            (vec![("tokenizer.json", json!(truncated))], "broken JSON"),
            (vec![("tokenizer.json", json!({}))], "not a tokenizer"),
            (vec![("tokenizer.json", merge)], "merge 1"),
            (vec![("tokenizer.json", unknown)], "not a tokenizer"),
            (vec![("tokenizer.json", tokenizer_json()), ("config.json", json!("{"))], "config.json"),
        ] {
            let message = message(&files);
            assert!(message.contains(expected), "{message}");
        }
    }

    /// The JSON pointers of every value inside `value`.
    fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
        found.push(at.to_string());
        let children: Vec<(String, &Value)> = match value {
            Value::Object(map) => map.iter().map(|(key, child)| (key.clone(), child)).collect(),
            Value::Array(list) => {
                list.iter().enumerate().map(|(index, child)| (index.to_string(), child)).collect()
            }
            _ => vec![],
        };
        for (key, child) in children {
            pointers(child, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
        }
    }

    #[test]
    fn no_wrong_value_in_the_files_panics() {
        let config = json!({
            "bos_token": {"content": "<s>"}, "eos_token": "</s>", "add_bos_token": true,
            "added_tokens_decoder": {"7": {"content": "<x>", "special": true}},
            "chat_template": [{"name": "default", "template": "{{ bos_token }}"}]
        });
        let files = [("tokenizer.json", tokenizer_json()), ("tokenizer_config.json", config)];
        for (which, (_, value)) in files.iter().enumerate() {
            let mut found = vec![];
            pointers(value, "", &mut found);
            for pointer in found {
                for wrong in
                    [json!(null), json!(-1), json!(4_000_000_000u32), json!("é b"), json!([]), json!({})]
                {
                    let mut files = files.clone();
                    *files[which].1.pointer_mut(&pointer).unwrap() = wrong;
                    if let Ok(tokenizer) = load(&files) {
                        let ids =
                            tokenizer.encode("ab é</s><s>").map(|encoded| encoded.ids).unwrap_or_default();
                        let _ = tokenizer.decode(&ids);
                        let _ = tokenizer.chat_template();
                    }
                }
            }
        }
    }
}
