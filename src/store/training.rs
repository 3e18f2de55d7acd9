//! The directory of a training: a checkpoint in Hugging Face's layout, the table of its steps, and what to go
//! on from.
//!
//! | file | |
//! |---|---|
//! | `config.json`, `model.safetensors`, `tokenizer.json` | the checkpoint, in F32 or rounded to BF16 |
//! | `training.csv` | a row for every step |
//! | `training.json` | everything that is needed to repeat the training |
//! | `training-state.safetensors` | parameters, moments and step, for `--resume` |
//!
//! Each file takes the place of the one before it in a single step, so a training that ends at any moment
//! goes on from the last state that was saved.

use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::directory::{make, replace, rescue_place};
use crate::checkpoint::{NamedTensor, Numbers, read_safetensors, write_safetensors};
use crate::error::{self, Error, Result};
use crate::files;
use crate::train::{Layout, State, StepReport};

/// What a training is made of: `settings` decide its result, the rest is about the machine.
#[derive(Debug, Clone)]
pub struct TrainingRecord {
    /// Everything that the result depends on.
    pub settings: Value,
    /// Version, command, machine and the like.
    pub about: Value,
    /// `tokenizer.json`.
    pub tokenizer: String,
}

/// The directory of one training.
pub struct TrainingDirectory {
    path: PathBuf,
    rows: Vec<StepReport>,
    rounded: bool,
    /// Files that stay as they are, by name: a directory that is removed meanwhile is made again with them.
    fixed: Vec<(&'static str, Vec<u8>)>,
    /// Locked against a second training while this lives.
    lock: Option<File>,
}

/// Bytes of a table or a text of a training, at most.
const MOST_BYTES: u64 = 256 << 20;

const CSV: &str = "training.csv";
/// Everything that is needed to repeat the training.
pub const TRAINING_JSON: &str = "training.json";
const TOKENIZER: &str = "tokenizer.json";
/// How often a state is written before it is given up.
const TRIES: usize = 5;
const STATE: &str = "training-state.safetensors";

/// Names of the columns.
const COLUMNS: &str = "step,loss,answer_loss,learning_rate,tokens_per_second,gradient_norm,s_mean,s_min,s_max,window_max,\
     windows_beyond";

impl TrainingDirectory {
    /// Begins a training in a directory that holds none.
    ///
    /// # Errors
    /// [`Error::File`] when it holds one, or cannot be written.
    pub fn create(path: &Path, record: &TrainingRecord) -> Result<Self> {
        for name in [TRAINING_JSON, STATE, "model.safetensors"] {
            if path.join(name).exists() {
                let problem = format!("holds {name} already; `resume` goes on, or choose another `output`");
                return Err(Error::file(path, problem));
            }
        }
        make(path)?;
        let mut directory =
            Self { path: path.to_path_buf(), rows: vec![], rounded: false, fixed: vec![], lock: None };
        let whole = serde_json::json!({"settings": record.settings, "about": record.about});
        directory.keep(TRAINING_JSON, format!("{whole:#}\n").into_bytes())?;
        directory.lock = lock(path)?;
        directory.keep(TOKENIZER, record.tokenizer.clone().into_bytes())?;
        Ok(directory)
    }

    /// Goes on with the training of a directory, from its last state.
    ///
    /// # Errors
    /// [`Error::PlanChanged`] when it has other settings, and [`Error::File`] when it holds no state.
    pub fn resume(path: &Path, settings: &Value, layout: &Layout) -> Result<(Self, State)> {
        let stored = Self::settings(path)?;
        let lock = lock(path)?;
        let old = stored.as_object().into_iter().flatten();
        let differs = |(key, old): (&String, &Value)| {
            let new = settings.get(key).unwrap_or(&Value::Null);
            (new != old).then(|| format!("{key}: {old} -> {new}"))
        };
        let differences: Vec<_> = old.filter_map(differs).collect();
        if !differences.is_empty()
            || stored.as_object().map(|s| s.len()) != settings.as_object().map(|s| s.len())
        {
            return Err(Error::PlanChanged { path: path.to_path_buf(), difference: differences.join(", ") });
        }
        let state = read_state(&path.join(STATE), layout)?;
        let file = path.join(CSV);
        let text = files::read_text(&file, MOST_BYTES).map_err(|error| {
            Error::file(&file, format!("cannot be read: {error}; begin in another `output`"))
        })?;
        let rows: Option<Vec<_>> = text.lines().skip(1).take(state.step).map(parsed).collect();
        let rows = rows.filter(|rows| rows.len() == state.step).ok_or_else(|| {
            Error::file(&file, format!("does not hold {} steps; begin in another `output`", state.step))
        })?;
        let read = |name: &'static str| {
            let file = path.join(name);
            let bytes = files::read(&file, MOST_BYTES).map_err(|error| {
                Error::file(&file, format!("cannot be read: {error}; begin in another `output`"))
            })?;
            Ok::<_, Error>((name, bytes))
        };
        let fixed = vec![read(TRAINING_JSON)?, read(TOKENIZER)?];
        Ok((Self { path: path.to_path_buf(), rows, rounded: false, fixed, lock }, state))
    }

    /// The settings of the training that this directory holds.
    ///
    /// # Errors
    /// [`Error::File`] when there is none.
    pub fn settings(path: &Path) -> Result<Value> {
        Ok(Self::record(path)?["settings"].take())
    }

    /// The whole record of the training that this directory holds: `settings`, and `about` the rest.
    ///
    /// # Errors
    /// [`Error::File`] when there is none.
    pub fn record(path: &Path) -> Result<Value> {
        let file = path.join(TRAINING_JSON);
        let read = files::read(&file, MOST_BYTES).map_err(|error| {
            Error::file(&file, format!("cannot be read: {error}; without `resume` a training begins"))
        })?;
        serde_json::from_slice(&read)
            .map_err(|error| Error::file(&file, format!("broken JSON ({error}); begin in another `output`")))
    }

    /// Writes `config.json`. Where it says `bfloat16`, the weights of the checkpoint are rounded when they
    /// are written; what training goes on from stays as it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn describe(&mut self, config: &Value) -> Result<()> {
        self.rounded = config["dtype"] == "bfloat16";
        self.keep("config.json", format!("{config:#}\n").into_bytes())
    }

    /// Writes a file that stays as it is.
    fn keep(&mut self, name: &'static str, bytes: Vec<u8>) -> Result<()> {
        self.write(name, |mut file| file.write_all(&bytes))?;
        self.fixed.push((name, bytes));
        Ok(())
    }

    /// Where to write, when the directory is no longer that of this training: again to its place when nothing
    /// is there, else beside it.
    fn other_place(&self) -> Result<Option<Self>> {
        let found = files::read(&self.path.join(TRAINING_JSON), MOST_BYTES).ok();
        if found.is_some() && found.as_ref() == self.fixed.first().map(|(_, bytes)| bytes) {
            return Ok(None);
        }
        let path = match found {
            None => {
                make(&self.path).map_err(|error| Error::output(&self.path, error))?;
                self.path.clone()
            }
            Some(_) => rescue_place(&self.path).map_err(|error| Error::output(&self.path, error))?,
        };
        let (rows, fixed) = (self.rows.clone(), self.fixed.clone());
        let other = Self { path, rows, rounded: self.rounded, fixed, lock: None };
        for (name, bytes) in &other.fixed {
            other.write(name, |mut file| file.write_all(bytes))?;
        }
        Ok(Some(other))
    }

    /// Keeps the row of a step, to be written with the next state.
    pub fn push(&mut self, row: StepReport) {
        self.rows.push(row);
    }

    /// Rows of the steps so far.
    #[must_use]
    pub fn rows(&self) -> &[StepReport] {
        &self.rows
    }

    /// Writes table, checkpoint and state.
    ///
    /// # Errors
    /// When they cannot be written, and when the directory was removed or replaced meanwhile: what is to be
    /// saved is safe then.
    pub fn save(&self, state: &State, layout: &Layout) -> Result<()> {
        let (mut removed, mut tries) = (false, 0);
        let place = loop {
            tries += 1;
            let other = self.other_place();
            removed |= !matches!(other, Ok(None));
            let saved = other.and_then(|other| {
                let place = other.as_ref().unwrap_or(self);
                place.save_all(state, layout).map(|()| place.path.clone())
            });
            match saved {
                Ok(_) if !removed => return Ok(()),
                Ok(place) => break place,
                // It may also go while it is written to, and again while it is made again.
                Err(_) if tries < TRIES => {}
                Err(error) => return Err(error),
            }
        };
        let problem = format!(
            "the directory was removed or replaced while the training went on; all {} steps are in {} now, \
             where `resume` goes on",
            state.step,
            place.display()
        );
        Err(Error::output(&self.path, problem))
    }

    fn save_all(&self, state: &State, layout: &Layout) -> Result<()> {
        // The state goes last: what it does not know of is written again when the training goes on.
        self.save_table()?;
        let tensor = |tensor: &'_ crate::train::TensorLayout| {
            (tensor.name.clone(), tensor.shape.clone(), tensor.range.clone())
        };
        let named: Vec<_> = layout.tensors().iter().map(tensor).collect();
        let tensors: Vec<_> = named
            .iter()
            .map(|(name, shape, range)| NamedTensor {
                name,
                shape: shape.clone(),
                numbers: match self.rounded {
                    true => Numbers::Bf16(&state.parameters[range.clone()]),
                    false => Numbers::F32(&state.parameters[range.clone()]),
                },
            })
            .collect();
        self.write("model.safetensors", |file| {
            write_safetensors(BufWriter::new(file), &tensors, &[("format", "pt".to_string())])
        })?;
        let whole = |name, numbers| NamedTensor {
            name,
            shape: vec![state.parameters.len()],
            numbers: Numbers::F32(numbers),
        };
        let tensors = [
            whole("parameters", &state.parameters[..]),
            whole("first_moments", &state.moments[0]),
            whole("second_moments", &state.moments[1]),
        ];
        self.write(STATE, |file| {
            write_safetensors(BufWriter::new(file), &tensors, &[("step", state.step.to_string())])
        })
    }

    /// Writes the table alone: of a training that cannot go on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_table(&self) -> Result<()> {
        self.write(CSV, |mut file| {
            let mut table = format!("{COLUMNS}\n");
            self.rows.iter().for_each(|row| table.push_str(&line(row)));
            file.write_all(table.as_bytes())
        })
    }

    fn write(&self, name: &str, write: impl FnOnce(File) -> std::io::Result<()>) -> Result<()> {
        let path = self.path.join(name);
        replace(&path, |new| {
            let failed = |error: std::io::Error| {
                let reason = error::reason(&error);
                Error::output(&path, format!("cannot be written: {reason}; make room, then `resume`"))
            };
            write(File::create(new).map_err(failed)?).map_err(failed)
        })
    }
}

/// Refuses a directory that another training is writing to. A file system without locks is no reason to stop.
fn lock(directory: &Path) -> Result<Option<File>> {
    let path = directory.join(TRAINING_JSON);
    let file = File::open(&path).map_err(|error| Error::file(&path, format!("cannot be read: {error}")))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(Error::file(
            directory,
            "another training is writing to it; wait for its end or use another `output`",
        )),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

fn read_state(path: &Path, layout: &Layout) -> Result<State> {
    if !path.exists() {
        return Err(Error::file(path, "not found: nothing was saved yet; begin anew in another `output`"));
    }
    let (mut tensors, words) = read_safetensors(path)?;
    let mut take = |name: &str| {
        let numbers = tensors.remove(name).filter(|numbers| numbers.len() == layout.len());
        numbers.ok_or_else(|| Error::Tensor {
            path: path.to_path_buf(),
            tensor: name.to_string(),
            expected: format!("{} numbers", layout.len()),
            found: "none or another number: the state of another model; begin in another `output`"
                .to_string(),
        })
    };
    let (parameters, first, second) = (take("parameters")?, take("first_moments")?, take("second_moments")?);
    let step = words.get("step").and_then(|step| step.parse().ok());
    let step = step.ok_or_else(|| Error::file(path, "does not say its step; begin in another `output`"))?;
    Ok(State { step, parameters, moments: [first, second] })
}

/// The steps of the training in a directory; none where it keeps no table.
///
/// # Errors
/// [`Error::File`] when the table cannot be read.
pub fn step_reports(directory: &Path) -> Result<Vec<StepReport>> {
    let path = directory.join(CSV);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let cannot = |problem: String| Error::file(&path, format!("cannot be read: {problem}; train again"));
    let text = files::read_text(&path, MOST_BYTES).map_err(|error| cannot(error.to_string()))?;
    let row = |(number, line)| parsed(line).ok_or_else(|| cannot(format!("line {} is damaged", number + 2)));
    text.lines().skip(1).enumerate().map(row).collect()
}

/// One row, a line; what is missing is empty.
fn line(row: &StepReport) -> String {
    let mut line = row.step.to_string();
    for number in numbers(row) {
        line.push(',');
        if let Some(number) = number {
            let _ = write!(line, "{number}");
        }
    }
    line.push('\n');
    line
}

fn numbers(row: &StepReport) -> [Option<f64>; 10] {
    [
        Some(row.loss),
        row.answer_loss,
        Some(row.learning_rate),
        Some(row.tokens_per_second),
        Some(row.gradient_norm),
        row.s_mean,
        row.s_min,
        row.s_max,
        row.window_max,
        row.windows_beyond.map(|count| count as f64),
    ]
}

fn parsed(line: &str) -> Option<StepReport> {
    let mut fields = line.split(',');
    let step = fields.next()?.parse().ok()?;
    let numbers: Vec<Option<f64>> = fields
        .map(|field| if field.is_empty() { Some(None) } else { field.parse().ok().map(Some) })
        .collect::<Option<_>>()?;
    let &[
        loss,
        answer_loss,
        learning_rate,
        tokens_per_second,
        gradient_norm,
        s_mean,
        s_min,
        s_max,
        window_max,
        windows_beyond,
    ] = numbers.as_slice()
    else {
        return None;
    };
    Some(StepReport {
        step,
        loss: loss?,
        answer_loss,
        learning_rate: learning_rate?,
        tokens_per_second: tokens_per_second?,
        gradient_norm: gradient_norm?,
        s_mean,
        s_min,
        s_max,
        window_max,
        windows_beyond: windows_beyond.map(|count| count as usize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were_written() {
        let row = StepReport {
            step: 3,
            loss: 1.0 / 3.0,
            answer_loss: None,
            learning_rate: 1e-5,
            tokens_per_second: 12345.678,
            gradient_norm: 0.0,
            s_mean: Some(-0.25),
            s_min: Some(-1.0),
            s_max: Some(0.5),
            window_max: Some(300.5),
            windows_beyond: Some(2),
        };
        assert_eq!(parsed(line(&row).trim_end()), Some(row));
        assert_eq!(line(&row).matches(',').count(), COLUMNS.matches(',').count());
        let softmax = StepReport { s_mean: None, window_max: None, windows_beyond: None, ..row };
        assert_eq!(parsed(line(&softmax).trim_end()), Some(softmax));
        for wrong in ["", "1,2", "1,,1,1,1,1,1,1,1,,", "1,1,1,1,1,1,1,1,1,1", "1,1,1,1,1,1,1,1,1"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
