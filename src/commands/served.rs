//! `niah run --endpoint`: a grid that a server answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::json;

use super::dry::{self, ServedDry};
use super::kept::{Keeping, Kept};
use super::run::{FIGURES, OF_PAGE, ended, masked};
use super::shown::{Shown, check};
use super::telling::{Telling, stopped};
use super::{print, stop_on_interrupt, warn};
use crate::cli::{EndpointArgs, RunArgs};
use crate::error::{Error, Result};
use crate::evaluate::served::{Asks, Known, go_on, record};
use crate::evaluate::{Watch, judged_report};
use crate::export::style::Style;
use crate::plan::{ModelChoice, Served, ServedPlan, Settings, Shard, ThinkingChoice};
use crate::printable;
use crate::process;
use crate::report::Report;
use crate::server::{Api, ApiKey, Authorities, Counting, Endpoint, Limits, Logprobs, Manner, Server, models};
use crate::store::directory::{RunDirectory, RunRecord};
use crate::store::page;

/// Requests at a time, at most.
const MOST_CONCURRENT: usize = 1024;

/// What a request may take: what is longer has no end on a clock.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(366 * 24 * 3600);

/// Runs the command.
///
/// # Errors
/// When the plan cannot be made, when the server does not answer as it is asked, when results cannot be kept,
/// when every trial failed or, where that is wanted, any of them, or when the user stopped it.
pub(super) fn run(args: &RunArgs, style: &Style) -> Result<()> {
    check(&args.form, FIGURES)?;
    let mut asker = Asker::of(args)?;
    let plan = asker.plan(masked(args)?, args.output.as_deref())?;
    warn(&plan.warnings);
    if args.dry_run {
        plan.check_prompts()?;
        return dry_run(&asker.dry(&plan, args.limit), args);
    }
    let directory = args.output.clone().unwrap_or_else(|| default_directory(&plan, args.shard));
    let record = record_of(&plan, args.shard)?;
    let stop = Arc::clone(&asker.stop);
    let keeping = Keeping { tokens: false, limit: args.limit, telling: &args.telling, stop: &stop };
    let Kept { store, ran, planned, mut telling } = asker.run_into(&directory, &plan, &record, &keeping)?;
    let report = judged_report(store.outcomes(), store.run_record(), args.rule.length_rule());
    let page = || page::page(&directory, store.run_record(), store.outcomes(), report.clone());
    let page = args.form.wants(OF_PAGE).then(page).transpose()?;
    let shown = Shown::of(&args.form, &Report::from(report), page.as_ref(), style)?.out();
    telling.note(&format!("results: {}", directory.display()));
    shown?;
    ended(store.outcomes(), &ran, planned, args.fail_on_error)
}

/// What `run.json` says of a plan, or of a part of it.
///
/// # Errors
/// When a prompt cannot be built.
pub(super) fn record_of(plan: &ServedPlan, shard: Option<Shard>) -> Result<RunRecord> {
    record(plan, shard, json!({ "os": std::env::consts::OS, "arch": std::env::consts::ARCH }))
}

/// A server as a command asks it, for as many plans as the command has: what is found out of it for one holds
/// for the others.
pub(super) struct Asker {
    server: Server,
    known: Known,
    /// What tokens of the texts of each task are counted with.
    counted: BTreeMap<String, Counting>,
    served: Served,
    asks: Asks,
    stop: Arc<AtomicBool>,
}

impl Asker {
    /// A server as it was named; where no model is, it is asked for the one that it has.
    ///
    /// # Errors
    /// When what was typed is wrong, or the server does not say which model it has.
    pub(super) fn of(args: &RunArgs) -> Result<Self> {
        process::share_one_arena();
        process::give_back_large_blocks();
        let (manner, stop) = (manner(&args.endpoint)?, stop_on_interrupt()?);
        let model = match args.model.checkpoint.given().or(manner.endpoint.deployment()) {
            Some(name) => name.to_string(),
            None => only_model(&models(&manner, &stop)?)?,
        };
        let thinking = args.model.chat.thinking.map(|choice| choice == ThinkingChoice::On);
        Ok(Self {
            server: Server::new(&manner, &model, args.grid.seed).thinking(thinking),
            known: Known::default(),
            counted: BTreeMap::new(),
            served: Served {
                endpoint: manner.endpoint.address(),
                api: manner.api,
                tokenizer: args.endpoint.tokenizer.clone(),
                counting: None,
                logprobs: args.endpoint.logprobs,
            },
            asks: Asks {
                concurrency: args.endpoint.concurrency,
                check_lengths: !args.endpoint.no_length_check,
                limit: None,
                shard: args.shard,
            },
            stop,
        })
    }

    /// The plan of these settings. Where tokens are not counted with the model's tokenizer, they are as in
    /// the run of its task that lies in `before`, or as in an earlier plan of that task, as its texts are the
    /// same.
    ///
    /// # Errors
    /// Those of [`ServedPlan::resolve`].
    pub(super) fn plan(&mut self, settings: Settings, before: Option<&Path>) -> Result<ServedPlan> {
        let task = settings.task.clone();
        let model = ModelChoice::of(self.server.model());
        let counting = before.and_then(|before| self.counted_in(before));
        let counting = counting.or_else(|| self.counted.get(&task).copied());
        let served = Some(Served { counting, ..self.served.clone() });
        let (server, stop) = (&mut self.server, &self.stop);
        let mut count = |sample: &str| Ok(server.calibrate(sample, stop)?);
        let plan = ServedPlan::resolve(Settings { model, served, ..settings }, &mut count)?;
        self.counted.extend(plan.served().counting.map(|counting| (task, counting)));
        Ok(plan)
    }

    /// How tokens were counted in the run that lies in a directory, where it is of the same server: its
    /// prompts are built in the same way again.
    fn counted_in(&self, directory: &Path) -> Option<Counting> {
        let RunRecord { settings, .. } = RunRecord::read(directory).ok()?;
        let served = settings.served.filter(|served| served.api == self.served.api)?;
        served.counting.filter(|_| settings.model.name == self.server.model())
    }

    /// Asks what `directory` lacks of a plan.
    ///
    /// # Errors
    /// When the directory is of another plan or cannot be written, when the server does not answer as it is
    /// asked, and when the run is stopped, with what to do.
    pub(super) fn run_into(
        &mut self,
        directory: &Path,
        plan: &ServedPlan,
        record: &RunRecord,
        keeping: &Keeping<'_>,
    ) -> Result<Kept> {
        let mut store = RunDirectory::open(directory, record, keeping.tokens)?;
        let planned = plan.part(self.asks.shard).len();
        let telling = Telling::of(&plan.settings, store.outcomes(), keeping.telling);
        let mut telling = telling.planning(planned);
        // What it took to plan is not needed beside what answers take.
        process::give_back_memory();
        let asks = Asks { limit: keeping.limit, ..self.asks };
        let watch = Watch { progress: &mut telling, stop: keeping.stop };
        let ran = go_on(plan, &mut self.server, &mut self.known, &mut store, asks, watch);
        let ran = ran.map_err(|error| stopped(error, &store, planned, directory))?;
        Ok(Kept { store, ran, planned, telling })
    }

    /// What a plan would ask, of which at most `limit` trials are asked now.
    pub(super) fn dry(&self, plan: &ServedPlan, limit: Option<usize>) -> ServedDry {
        let trials = plan.part(self.asks.shard);
        ServedDry {
            model: plan.settings.model.name.clone(),
            endpoint: plan.served().endpoint.clone(),
            task: plan.prompts.task.name(),
            prompts: trials.len(),
            prompts_now: limit.unwrap_or(trials.len()).min(trials.len()),
            tokens_at_most: plan.tokens_of(&trials),
            exact: plan.is_exact(),
            length_checks: match self.asks.check_lengths {
                true => 2 * plan.lengths_asked().len(),
                false => 0,
            },
            concurrency: self.asks.concurrency,
        }
    }
}

/// How the server is asked.
fn manner(args: &EndpointArgs) -> Result<Manner> {
    if !(1..=MOST_CONCURRENT).contains(&args.concurrency) {
        let expected = format!("1 to {MOST_CONCURRENT}");
        return Err(Error::invalid("--concurrency", args.concurrency, expected));
    }
    let timeout = Duration::try_from_secs_f64(args.timeout).ok();
    let timeout = timeout.filter(|time| !time.is_zero() && *time <= LONGEST_TIMEOUT);
    let expected = "seconds, more than 0 and at most those of a year";
    let timeout = timeout.ok_or_else(|| Error::invalid("--timeout", args.timeout, expected))?;
    if let Some(rate) = args.rate_limit.filter(|rate| !(rate.is_finite() && *rate >= 0.001)) {
        return Err(Error::invalid("--rate-limit", rate, "requests a minute, more than 0"));
    }
    let by_tokenizer = if args.tokenizer.is_some() { Api::Completions } else { Api::Chat };
    let defaults = Limits::default();
    let endpoint = Endpoint::new(args.endpoint.as_deref().unwrap_or_default())?;
    let variable = |name: &str| std::env::var(name).ok();
    Ok(Manner {
        api: args.api.or(endpoint.api()).unwrap_or(by_tokenizer),
        key: ApiKey::find(args.api_key_file.as_deref(), variable)?,
        authorities: Authorities::find(&endpoint, variable)?,
        endpoint,
        stream: args.stream,
        limits: Limits {
            timeout,
            connect: defaults.connect.min(timeout),
            retries: args.retries,
            rate: args.rate_limit,
            // An echo says a few hundred bytes of every token of a prompt.
            answer: if args.logprobs == Logprobs::Expected { defaults.answer << 5 } else { defaults.answer },
            ..defaults
        },
    })
}

/// The one model that a server has.
fn only_model(models: &[String]) -> Result<String> {
    match models {
        [only] => Ok(only.clone()),
        [] => {
            Err(Error::invalid("model", "nothing", "the name of one: the server does not say which it has"))
        }
        several => {
            let expected = format!("one of those that the server has: {}", printable::listed(several));
            Err(Error::invalid("model", "nothing", printable::line(&expected).into_owned()))
        }
    }
}

/// `niah-runs/MODEL-served-TASK`, for a part of the plan with its number.
fn default_directory(plan: &ServedPlan, shard: Option<Shard>) -> PathBuf {
    let part = shard.map_or(String::new(), |shard| format!("-{}-of-{}", shard.number(), shard.count()));
    Path::new("niah-runs").join(format!("{}-{}{part}", plan.file_name(), plan.prompts.task.name()))
}

/// Says what a run would ask.
fn dry_run(asked: &ServedDry, args: &RunArgs) -> Result<()> {
    match args.form.output_format.name {
        "table" => print(&printable::lines(&asked.to_string())),
        "json" => print(&dry::json(asked)?),
        other => Err(Error::invalid("--output-format", other, "table or json beside --dry-run")),
    }
}
