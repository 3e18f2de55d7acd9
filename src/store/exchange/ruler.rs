//! RULER: its predictions, `MODEL/synthetic/LENGTH/pred/TASK.jsonl`, a line to each answer.
//!
//! They hold no scores: its `evaluate.py` counts the expected answers that an answer contains (of its tasks
//! `qa_*` whether it contains any). The same is done here when they are read.
//!
//! It would count a row without an answer as wrong. Such rows of ours stand in `unanswered/TASK.jsonl` beside
//! `pred`, where it does not look.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::fields::Fields;
use super::reading::each_line;
use super::theirs::{Found, Given, Notes, TheirRow};
use super::{Files, Ours, in_full, in_path, lines};
use crate::error::Result;
use crate::grid::LONGEST;
use crate::store::directory::RunRecord;
use crate::trial::{Outcome, Status};

/// What it is called.
pub(super) const NAME: &str = "RULER";

/// Whether a line is one of its predictions.
pub(super) fn is_prediction(fields: &Fields<'_>) -> bool {
    fields.has("pred") && fields.has("outputs")
}

/// The folder of its predictions.
const PREDICTIONS: &str = "pred";
/// The folder of our rows that have none.
const UNANSWERED: &str = "unanswered";

/// Whether a file lies where its predictions do.
pub(super) fn is_name(path: &Path) -> bool {
    Place::of(path).length.is_some()
}

/// The lines of a file of predictions.
pub(super) fn predictions(path: &Path) -> Result<Found> {
    let place = Place::of(path);
    let (mut rows, mut missing, mut rounded) = (Vec::new(), 0, 0);
    each_line(path, |number, value| {
        let at = format!("line {number}");
        let fields = Fields::of(path, &at, &value)?;
        let others = match fields.value("others") {
            Some(Value::Object(_)) => fields.object("others")?,
            _ => None,
        };
        let ours = others.map(|others| others.ours()).transpose()?.unwrap_or_default();
        let tokens = fields.tokens("length")?;
        let length = ours.context_length.or(place.length);
        let of_tokens =
            || tokens.filter(|tokens| (1..=LONGEST).contains(tokens)).map(usize::next_power_of_two);
        let Some(length) = length.or_else(of_tokens).filter(|length| *length <= LONGEST) else {
            missing += 1;
            return Ok(());
        };
        rounded += usize::from(ours.context_length.or(place.length).is_none());
        let outputs = fields.texts("outputs")?;
        let response = fields.needed("pred", fields.text("pred")?, "a text")?;
        let any = place.task.as_deref().is_some_and(|task| task.starts_with("qa"));
        rows.push(TheirRow {
            model: place.model.clone(),
            task: place.task.clone(),
            context_length: Some(length),
            score: (!outputs.is_empty()).then(|| Given::Settled(score(&response, &outputs, any))),
            expected: outputs,
            response: Some(response),
            prompt_tokens: tokens,
            ours,
            place: at,
            ..TheirRow::default()
        });
        Ok(())
    })?;
    let mut notes = Notes::default();
    if rows.iter().any(|row: &TheirRow| row.ours.score.is_none()) {
        notes.say("its files hold no scores: they are counted here as its evaluate.py counts them");
    }
    notes.count(missing, "rows say no length, or -1, and are left out");
    notes.count(
        rounded,
        "rows say how many tokens they have and not of which length they are: their tokens are rounded up to a power \
         of two",
    );
    Ok(Found { from: NAME, scorer: Some("string_match".to_string()), rows, notes })
}

/// The share of the expected answers that an answer contains, or with `any` whether it has one, in any case
/// of letters.
fn score(response: &str, outputs: &[String], any: bool) -> f64 {
    let response = response.to_lowercase();
    let found = outputs.iter().filter(|output| response.contains(&output.to_lowercase())).count();
    match any {
        true => f64::from(u8::from(found > 0)),
        false => found as f64 / outputs.len() as f64,
    }
}

/// What the path of a file says.
struct Place {
    task: Option<String>,
    length: Option<usize>,
    model: Option<String>,
}

impl Place {
    fn of(path: &Path) -> Self {
        let path = in_full(path);
        let task = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        let folders: Vec<String> = path
            .parent()
            .into_iter()
            .flat_map(|folder| folder.components())
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        let [before @ .., length, pred] = folders.as_slice() else {
            return Self { task, length: None, model: None };
        };
        let length = length.parse().ok().filter(|length| (1..=LONGEST).contains(length));
        let length = length.filter(|_| [PREDICTIONS, UNANSWERED].contains(&pred.as_str()));
        let model = match before {
            [.., model, kind] if kind == "synthetic" => Some(model.clone()),
            [.., model] if length.is_some() => Some(model.clone()),
            _ => None,
        };
        Self { task, length, model: model.filter(|_| length.is_some()) }
    }
}

/// A run as predictions of RULER.
pub(super) fn write(record: &RunRecord, rows: &[&Outcome]) -> Result<Files> {
    let name = format!("{}.jsonl", in_path(record.settings.task_name()));
    let root = PathBuf::from(in_path(&record.settings.model.name)).join("synthetic");
    let mut files: BTreeMap<PathBuf, Vec<Result<Value>>> = BTreeMap::new();
    let mut next: BTreeMap<usize, usize> = BTreeMap::new();
    for row in rows {
        let folder = if row.status == Status::Ok { PREDICTIONS } else { UNANSWERED };
        let path = root.join(row.context_length.to_string()).join(folder).join(&name);
        let index = next.entry(row.context_length).or_default();
        files.entry(path).or_default().push(prediction(record, *index, row));
        *index += 1;
    }
    files.into_iter().map(|(path, rows)| Ok((path, lines(rows)?))).collect()
}

fn prediction(record: &RunRecord, index: usize, row: &Outcome) -> Result<Value> {
    Ok(json!({
        "index": index,
        "pred": row.model_response.clone().unwrap_or_default(),
        "input": row.question,
        "outputs": record.expected(row),
        "others": { "id": index, "niah": Ours::of(record, row).value()? },
        "truncation": -1,
        "length": row.prompt_tokens.map_or(json!(-1), |tokens| json!(tokens)),
    }))
}
