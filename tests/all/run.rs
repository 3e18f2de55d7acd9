//! A whole run without a model: a script answers, the runner scores, the directory keeps the rows, the report
//! draws them. And what may befall a run: it is stopped, trials fail, files are torn, the plan changes.

use crate::common;
#[allow(dead_code, reason = "other tests use the rest")]
use crate::toys;

mod growing;
mod resuming;

use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use niah::attention::probe::ProbeRequest;
use niah::attention::{AttentionProbe, AttentionRecorder, HeadRow};
use niah::error::{Error, Result};
use niah::export::style::Style;
use niah::export::terminal::blocks;
use niah::export::{csv as csv_form, json};
use niah::generate::{Completion, LanguageModel, Request};
use niah::grid::{ContextLength, Depth, Grid};
use niah::haystack::Haystack;
use niah::plan::{ChatChoice, ModelChoice, RunPlan, Settings};
use niah::progress::Silent;
use niah::prompt::{Assistant, Form, Prompt, PromptPlan, Snap};
use niah::report::data::Data;
use niah::report::document::{Block, Document, Figure};
use niah::report::heatmap::Heatmap;
use niah::report::run::summary;
use niah::report::{self, CellSummary, Report, Summary};
use niah::runner::{Labels, RunContext, run_trials};
use niah::score::SCORERS;
use niah::spec::Dtype;
use niah::store::csv;
use niah::store::directory::{
    ATTENTION_CSV, RESULTS_CSV, RUN_JSON, RunDirectory, RunRecord, SPANS_CSV, TOKENS_CSV,
};
use niah::task::TASKS;
use niah::tokenizer::Tokenize;
use niah::trial::{AttentionRow, Finding, Outcome, Status, TokenRow, Trial};
use toys::Toy;

/// Shorter than this the script answers right.
const RIGHT_BELOW: usize = 300;
/// Shorter than this it looks at the needle.
const LOOKS_BELOW: usize = 900;
const LENGTHS: [usize; 3] = [256, 768, 1024];
/// Needle mass of the script's heads where it looks, by layer and head; sums of powers of two, so that sums
/// are exact.
const MASS: [[f32; 2]; 2] = [[0.0, 0.25], [0.5, 0.125]];
/// What is left of [`MASS`] where it does not look: no more than other spans get.
const FAINT: f32 = 0.0;
const LOGPROB: f64 = -0.5;

/// A model by rule. Its answer and its attention depend on the prompt's length alone.
#[derive(Default)]
struct Script<'a> {
    /// Tokens of the prompts that were asked, in order.
    asked: Vec<usize>,
    /// Set while the prompt of this number is read, from 0.
    stop: Option<(usize, &'a AtomicBool)>,
    /// Numbers of the prompts that fail.
    fails: Vec<usize>,
}

impl LanguageModel for Script<'_> {
    fn complete(
        &mut self,
        request: Request<'_>,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Completion> {
        let (number, n) = (self.asked.len(), request.tokens.len());
        self.asked.push(n);
        if let Some((_, stop)) = self.stop.filter(|(at, _)| *at == number) {
            stop.store(true, Ordering::Relaxed);
        }
        if !progress(n) {
            return Err(Error::Interrupted);
        }
        if self.fails.contains(&number) {
            return Err(Error::Compute("the script says so".to_string()));
        }
        let right = n < RIGHT_BELOW;
        let tokens = if right { request.answer.to_vec() } else { request.answer[1..].to_vec() };
        Ok(Completion {
            tokens,
            thought: None,
            answer_logprobs: vec![LOGPROB; request.answer.len()],
            answer_ranks: (1..=request.answer.len()).rev().collect(),
            attention: attention(&request, n),
            ..Completion::default()
        })
    }
}

/// Every head puts half of its needle mass on the first token of the needle, half on the first of the value,
/// and the rest on key 0. Only the first answering row looks.
fn attention(request: &Request<'_>, n: usize) -> niah::attention::probe::AttentionCapture {
    let (needle, value) = (request.spans[0][0].start, request.spans[1][0].start);
    let mut probe = AttentionProbe::new(ProbeRequest {
        rows: n - 1..n - 1 + request.answer.len(),
        spans: request.spans.to_vec(),
        scored: request.scored.to_vec(),
        items: request.items.iter().map(|item| n - 1 + item).collect(),
        chosen_head: request.chosen_head,
    });
    for (layer, heads) in MASS.iter().enumerate() {
        for (head, &mass) in heads.iter().enumerate() {
            for row in 0..request.answer.len() {
                let mass = if row > 0 { 0.0 } else { mass * strength(n) };
                let mut weights = vec![0.0; n + row];
                weights[0] = 1.0 - mass;
                weights[needle] += mass / 2.0;
                weights[value] += mass / 2.0;
                probe.record(HeadRow {
                    layer,
                    head,
                    row: n - 1 + row,
                    weights: &weights,
                    ..HeadRow::default()
                });
            }
        }
    }
    probe.finish()
}

fn strength(prompt_tokens: usize) -> f32 {
    if prompt_tokens < LOOKS_BELOW { 1.0 } else { FAINT }
}

/// A grid of three lengths and two depths, two trials a cell, on a toy tokenizer.
struct World {
    tokenizer: Toy,
    prompts: PromptPlan,
    settings: Settings,
}

impl World {
    fn new() -> Self {
        let depths = [0.0, 50.0].map(|percent| Depth::from_percent(percent).unwrap()).to_vec();
        let settings = Settings {
            model: ModelChoice {
                variant: "softmax".to_string(),
                dtype: Some(Dtype::F32),
                ..ModelChoice::of("script")
            },
            grid: Grid::new(LENGTHS.map(ContextLength).to_vec(), depths).unwrap(),
            trials: 2,
            seed: 7,
            apply_chat_template: ChatChoice::Never,
            ..Settings::default()
        };
        let prompts = PromptPlan {
            built: niah::prompt::Built::default(),
            task: (niah::registry::find("task", TASKS, "magic").unwrap().value)(),
            haystack: Haystack::resolve("noise").unwrap(),
            form: Form::Completion,
            assistant: Assistant::default(),
            snap: Snap::Sentence,
            answer_budget: None,
        };
        Self { tokenizer: toys::bytes(), prompts, settings }
    }

    fn trials(&self) -> Vec<Trial> {
        let seed = self.settings.seed;
        (0..self.settings.trials)
            .flat_map(|index| self.settings.grid.cells().map(move |cell| Trial { cell, index, seed }))
            .collect()
    }

    fn prompt(&self, trial: &Trial) -> Prompt {
        self.prompts.build(trial, &self.tokenizer, &mut self.prompts.haystack_tokens(trial)).unwrap()
    }

    fn record(&self) -> RunRecord {
        // As a plan has them: the lengths and depths of the grid are decisions of their own.
        let mut decisions = serde_json::to_value(&self.settings).unwrap();
        let grid = decisions["grid"].take();
        decisions.as_object_mut().unwrap().extend(grid.as_object().unwrap().clone());
        let identity: niah::plan::Identity = serde_json::from_value(decisions).unwrap();
        let config_hash = identity.hash();
        RunRecord {
            niah: "test".to_string(),
            run_id: config_hash[..8].to_string(),
            config_hash,
            command: vec!["niah".to_string()],
            started_utc: niah::clock::now_utc(),
            settings: self.settings.clone(),
            variant: "softmax".to_string(),
            variant_description: "m = 1".to_string(),
            training_length: Some(300),
            model: serde_json::Value::Null,
            tokens: serde_json::Value::Null,
            warnings: Vec::new(),
            machine: serde_json::Value::Null,
            identity,
            answers_of: None,
            shard: None,
            merged: Vec::new(),
            imported: None,
        }
    }

    fn open(&self, directory: &Path) -> Result<RunDirectory> {
        RunDirectory::open(directory, &self.record(), true)
    }

    /// What `niah run` does: opens the directory, runs the trials that it does not hold yet, and puts the
    /// rows in order. Returns them as they came.
    fn run(&self, directory: &Path, model: &mut Script<'_>, stop: &AtomicBool) -> Result<Vec<Outcome>> {
        let mut store = self.open(directory)?;
        let record = store.run_record().clone();
        let done = store.done();
        let missing: Vec<_> =
            self.trials().into_iter().filter(|trial| !done.contains(&trial.row_id())).collect();
        let context = RunContext {
            own_scorers: &std::collections::BTreeMap::new(),
            prompts: &self.prompts,
            tokenizer: &self.tokenizer,
            scorer: niah::registry::find("scorer", SCORERS, &self.settings.scorer).unwrap().value,
            end_tokens: &[],
            keep_tokens: true,
            keep_retrieval: false,
            blocking: None,
            labels: Labels {
                run_id: record.run_id,
                model: self.settings.model.name.clone(),
                variant: record.variant,
                config_hash: record.config_hash,
            },
        };
        run_trials(&context, &missing, model, &mut store, &mut Silent, stop)?;
        let rows = store.outcomes().to_vec();
        store.settle(&self.trials())?;
        Ok(rows)
    }

    fn run_all(&self, directory: &Path) -> Vec<Outcome> {
        self.run(directory, &mut Script::default(), &AtomicBool::new(false)).unwrap()
    }

    fn cells(&self, outcomes: &[Outcome]) -> Vec<CellSummary> {
        report::cells(outcomes, &self.settings.grid.cells().collect::<Vec<_>>())
    }

    fn cells_csv(&self, outcomes: &[Outcome]) -> String {
        self.written(outcomes, csv_form::write)
    }

    /// The cells in a form.
    fn written(&self, outcomes: &[Outcome], form: fn(&Report, &Style) -> Result<Vec<u8>>) -> String {
        let report = Report { document: Document::default(), data: Data::rows("run", self.cells(outcomes)) };
        String::from_utf8(form(&report, &Style::plain(100)).unwrap()).unwrap()
    }

    /// Both heatmaps and the summary.
    fn drawn(&self, outcomes: &[Outcome]) -> String {
        let (cells, style) = (self.cells(outcomes), Style::plain(100));
        let maps = [Heatmap::accuracy(&cells, Some(300)), Heatmap::needle_mass(&cells, Some(300))];
        let maps = maps.map(|map| blocks(&[Block::Figure(Figure::heatmap("map", map))], &style));
        [&maps[..], &[blocks(&summary(&Summary::of(outcomes)), &style)]].concat().join("\n")
    }
}

fn outcomes(directory: &Path) -> Vec<Outcome> {
    csv::read(directory.join(RESULTS_CSV)).unwrap()
}

/// The rows without what the clock decides.
fn timeless(directory: &Path) -> Vec<Outcome> {
    let clockless = |row| Outcome { duration_seconds: None, timestamp_utc: String::new(), ..row };
    outcomes(directory).into_iter().map(clockless).collect()
}

fn text(directory: &Path, file: &str) -> String {
    fs::read_to_string(directory.join(file)).unwrap()
}

fn assert_same_run(one: &Path, other: &Path) {
    assert_eq!(timeless(one), timeless(other));
    assert_eq!(text(one, ATTENTION_CSV), text(other, ATTENTION_CSV));
    assert_eq!(text(one, TOKENS_CSV), text(other, TOKENS_CSV));
}

#[test]
fn a_row_says_what_was_asked_and_what_came_of_it() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    world.run_all(directory.path());
    let (rows, trials, record) = (outcomes(directory.path()), world.trials(), world.record());
    assert_eq!(rows.len(), trials.len());
    for (row, trial) in rows.iter().zip(&trials) {
        let prompt = world.prompt(trial);
        let n = prompt.tokens.len();
        let right = n < RIGHT_BELOW;
        let answer = &prompt.expected[0];
        let strength = f64::from(strength(n));
        let finding = match () {
            () if right => Finding::Found,
            () if n < LOOKS_BELOW => Finding::Looked,
            () => Finding::Missed,
        };
        let expected = Outcome {
            run_id: record.run_id.clone(),
            model: "script".to_string(),
            variant: "softmax".to_string(),
            task: "magic".to_string(),
            context_length: trial.cell.context_length.0,
            depth_percent: trial.cell.depth,
            trial: trial.index,
            seed: 7,
            prompt_tokens: Some(n),
            actual_depth_percent: Some(prompt.actual_depth.unwrap().percent()),
            needle_start: Some(prompt.needles[0].start),
            needle_end: Some(prompt.needles[0].end),
            needle: prompt.needle_texts[0].clone(),
            question: prompt.question.clone(),
            expected_answer: answer.clone(),
            model_response: Some(if right { answer.clone() } else { answer[1..].to_string() }),
            score: Some(if right { 1.0 } else { 0.0 }),
            correct: Some(right),
            answer_logprob: Some(LOGPROB * answer.len() as f64),
            answer_rank: Some(answer.len()),
            outcome: Some(finding),
            needle_mass_top: Some(0.5 * strength),
            needle_mass_mean: Some(0.875 / 4.0 * strength),
            status: Status::Ok,
            error: None,
            duration_seconds: row.duration_seconds,
            timestamp_utc: row.timestamp_utc.clone(),
            config_hash: record.config_hash.clone(),
            row_id: format!("{}:{}:{}", trial.cell.context_length.0, trial.cell.depth, trial.index),
            value_start: Some(prompt.values[0].start),
            value_end: Some(prompt.values[0].end),
            prompt_hash: Some(prompt.prompt_hash.clone()),
            total_mass_top: None,
            control_spans: Some(prompt.controls().len()).filter(|spans| *spans > 0),
            control_mass_top: Some(0.0).filter(|_| !prompt.controls().is_empty()),
            // Nothing lies on other spans, and one head gives nothing to the needle either.
            needle_excess_top: Some(0.5 * strength).filter(|_| !prompt.controls().is_empty()),
            control_excess_top: Some(0.0).filter(|_| !prompt.controls().is_empty()),
            thinking_tokens: None,
            thinking_cut: None,
            changed_word: None,
            answered_word: None,
            // The rest of a number is no value of the text.
            answered: Some(if right { "target" } else { "nothing" }.to_string()),
            looked_at: Some("target".to_string()),
            earlier_values: None,
            earlier_age: None,
            noise_floor: None,
        };
        assert_eq!(row, &expected);
        assert_eq!(row.control_spans.is_some(), trial.cell.context_length.0 > 256, "room for the controls");
        assert!(row.duration_seconds.is_some() && row.timestamp_utc.ends_with('Z'));
        let span = |start: Option<usize>, end: Option<usize>| &prompt.tokens[start.unwrap()..end.unwrap()];
        let decode = |tokens| world.tokenizer.decode(tokens).unwrap();
        assert_eq!(decode(span(row.needle_start, row.needle_end)), row.needle);
        assert_eq!(decode(span(row.value_start, row.value_end)), row.expected_answer);
    }
}

#[test]
fn every_head_of_every_trial_has_a_row_that_joins() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    world.run_all(directory.path());
    let rows: Vec<AttentionRow> = csv::read(directory.path().join(ATTENTION_CSV)).unwrap();
    let trials = world.trials();
    assert_eq!(rows.len(), 4 * trials.len());
    for (trial, rows) in trials.iter().zip(rows.chunks(4)) {
        let prompt = world.prompt(trial);
        let (n, answer) = (prompt.tokens.len() as f64, prompt.answer_tokens.len() as f64);
        for (row, (layer, head)) in rows.iter().zip([(0, 0), (0, 1), (1, 0), (1, 1)]) {
            assert_eq!((&row.row_id, row.layer, row.head), (&trial.row_id(), layer, head));
            assert_eq!(row.run_id, world.record().run_id);
            let mass = f64::from(MASS[layer][head] * strength(prompt.tokens.len()));
            assert_eq!((row.needle_mass, row.value_mass, row.total_mass), (mass, mass / 2.0, 1.0));
            assert_eq!((row.sink_mass, row.argmax_position), (1.0 - mass, 0));
            let close = |found: f64, expected: f64| (found - expected).abs() < 1e-12;
            assert!(close(row.lift.unwrap(), mass * n / prompt.needles[0].len() as f64));
            let entropy: f64 =
                [1.0 - mass, mass / 2.0, mass / 2.0].iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
            assert!(close(row.entropy.unwrap(), entropy));
            // One answering row of all looks at the needle.
            assert!(close(row.answer_needle_mass, mass / answer));
            assert!(close(row.answer_value_mass, mass / 2.0 / answer));
            assert!(close(row.answer_total_mass, 1.0));
            assert!(close(row.answer_sink_mass, 1.0 - mass / answer));
        }
    }
}

#[test]
fn every_token_of_every_prompt_has_a_row_with_its_text_and_its_masses() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    world.run_all(directory.path());
    let rows: Vec<TokenRow> = csv::read(directory.path().join(TOKENS_CSV)).unwrap();
    let mut rows = rows.as_slice();
    for trial in world.trials() {
        let prompt = world.prompt(&trial);
        let (own, others) = rows.split_at(prompt.tokens.len());
        rows = others;
        assert!(own.iter().all(|row| row.row_id == trial.row_id()));
        assert!(own.iter().map(|row| row.position).eq(0..prompt.tokens.len()));
        let texts: String = own.iter().map(|row| row.token.as_str()).collect();
        assert_eq!(texts, world.tokenizer.decode(&prompt.tokens).unwrap());
        let strength = f64::from(strength(prompt.tokens.len()));
        let (needle, value) = (prompt.needles[0].start, prompt.values[0].start);
        for (mass_mean, mass_top_head, position) in [
            (1.0 - 0.875 / 4.0 * strength, 1.0 - 0.5 * strength, 0),
            (0.875 / 8.0 * strength, 0.25 * strength, needle),
            (0.875 / 8.0 * strength, 0.25 * strength, value),
            (0.0, 0.0, value + 1),
        ] {
            assert_eq!((own[position].mass_mean, own[position].mass_top_head), (mass_mean, mass_top_head));
        }
    }
    assert!(rows.is_empty());
}

#[test]
fn the_report_is_drawn_from_the_rows() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let outcomes = world.run_all(directory.path());
    let header = "context_length,depth_percent,n,n_correct,accuracy,ci_low,ci_high,ci_method,n_error,n_skipped,\
                  needle_mass_top_mean,needle_mass_top_sd,answer_logprob_mean,total_mass_mean,needle_share_mean,\
                  n_trials,needle_mass_ci_low,needle_mass_ci_high,needle_mass_ci_method,score_mean,score_ci_low,\
                  score_ci_high,score_ci_method";
    let (all, none) = ("1.0,0.3423802275066531,1.0,wilson", "0.0,0.0,0.6576197724933469,wilson");
    let alike = "2,,,withheld: all trials alike";
    let lines = [
        header.to_string(),
        format!("256,0.0,2,2,{all},0,0,0.5,0.0,-3.5,,,{alike},{all}"),
        format!("256,50.0,2,2,{all},0,0,0.5,0.0,-3.5,,,{alike},{all}"),
        format!("768,0.0,2,0,{none},0,0,0.5,0.0,-3.5,,,{alike},{none}"),
        format!("768,50.0,2,0,{none},0,0,0.5,0.0,-3.5,,,{alike},{none}"),
        format!("1024,0.0,2,0,{none},0,0,0.0,0.0,-3.5,,,{alike},{none}"),
        format!("1024,50.0,2,0,{none},0,0,0.0,0.0,-3.5,,,{alike},{none}"),
    ];
    assert_eq!(world.cells_csv(&outcomes), lines.join("\n") + "\n");
    let drawn = world.drawn(&outcomes);
    for line in [
        "depth %   256    |  768       1k",
        "     50  100% @@ |   0%       0%",
        "     50  0.50 == | 0.50 ==  0.00",
        "    256    4        2         4       100%   34-100%         0.500        0",
        "    all   12        2         4        33%     5-84%         0.333        0",
        "found 4, looked 4, missed 4",
    ] {
        assert!(drawn.lines().any(|drawn| drawn == line), "{line:?} in\n{drawn}");
    }
}

#[test]
fn cells_that_have_not_run_stay_missing() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let mut model = Script { stop: Some((3, &stop)), ..Script::default() };
    let error = world.run(directory.path(), &mut model, &stop).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    let outcomes = outcomes(directory.path());
    let csv = world.cells_csv(&outcomes);
    assert!(
        csv.contains("\n768,50.0,0,0,,,,,0,0,,,,,,0,,,,,,,\n1024,0.0,0,0,,,,,0,0,,,,,,0,,,,,,,\n"),
        "{csv}"
    );
    let json: serde_json::Value = serde_json::from_str(&world.written(&outcomes, json::write)).unwrap();
    assert_eq!(
        (&json["rows"][5]["context_length"], &json["rows"][5]["accuracy"]),
        (&1024.into(), &serde_json::Value::Null)
    );
    let drawn = world.drawn(&outcomes);
    for line in ["      0  100% @@ |   0%      .", "     50  100% @@ |  .        .", " .  missing: 3"] {
        assert!(drawn.lines().any(|drawn| drawn == line), "{line:?} in\n{drawn}");
    }
}

#[test]
fn weights_are_read_for_their_hash_only_when_results_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    common::tiny_checkpoint(directory.path());
    let model = ModelChoice::of(directory.path().display().to_string());
    let plan = RunPlan::resolve(Settings { model, ..World::new().settings }, &Device::Cpu).unwrap();
    fs::remove_file(directory.path().join("model.safetensors")).unwrap();
    assert_eq!(plan.probe_prompts().unwrap().len(), 6, "prompts need no weights");
    assert!(plan.identity().unwrap_err().to_string().contains("model.safetensors"));
}

#[test]
fn another_program_evaluates_a_grid_in_one_call_and_without_a_word() {
    let directory = tempfile::tempdir().unwrap();
    common::tiny_checkpoint(directory.path());
    let model = ModelChoice::of(directory.path().display().to_string());
    let settings = Settings { model, max_new_tokens: Some(2), ..World::new().settings };
    let run = niah::evaluate(settings, &niah::Device::Cpu).unwrap();
    assert_eq!((run.cells().len(), run.outcomes.len(), run.planned()), (6, 12, 12));
    assert!(run.cells().iter().all(|cell| cell.means.n == 2 && cell.means.needle_mass_top_mean.is_some()));
    run.check().unwrap();
    assert_eq!(run.record.settings.model.dtype, Some(Dtype::F32), "the precision is settled");
}

#[test]
fn settings_without_a_word_run_the_checkpoint_that_comes_with_niah() {
    let settings = Settings::default();
    let plan = RunPlan::resolve(settings.clone(), &Device::Cpu).unwrap();
    assert_eq!(plan.trials().len(), 15);
    assert_eq!(settings.model.name, niah::checkpoint::DEFAULT_CHECKPOINT);
}
