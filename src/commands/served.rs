//! `niah run --endpoint`: a grid that a server answers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::run::{FIGURES, OF_PAGE, ended, masked};
use super::shown::{Shown, check};
use super::telling::{Telling, stopped};
use super::{print, stop_on_interrupt, warn};
use crate::cli::{EndpointArgs, RunArgs};
use crate::error::{Error, Result};
use crate::evaluate::served::{Asks, go_on, record};
use crate::evaluate::{Watch, judged_report};
use crate::export::style::Style;
use crate::plan::{ModelChoice, Served, ServedPlan, Settings, Shard, ThinkingChoice};
use crate::printable;
use crate::report::Report;
use crate::server::{Api, ApiKey, Endpoint, Limits, Logprobs, Manner, Server, models};
use crate::store::directory::{RunDirectory, RunRecord};
use crate::store::page;
use crate::task::groups;

/// Requests at a time, at most.
const MOST_CONCURRENT: usize = 1024;

/// Runs the command.
///
/// # Errors
/// When the plan cannot be made, when the server does not answer as it is asked, when results cannot be kept,
/// when every trial failed or, where that is wanted, any of them, or when the user stopped it.
pub(super) fn run(args: &RunArgs, style: &Style) -> Result<()> {
    check(&args.form, FIGURES)?;
    if groups::is_several(&args.grid.task) {
        let expected = "one task beside `endpoint`: run the command once for each";
        return Err(Error::invalid("--task", args.grid.task.as_str(), expected));
    }
    let manner = manner(&args.endpoint)?;
    let stop = stop_on_interrupt()?;
    let model = match args.model.checkpoint.given().or(manner.endpoint.deployment()) {
        Some(name) => name.to_string(),
        None => only_model(&models(&manner, &stop)?)?,
    };
    let settings = with_server(masked(args)?, &args.endpoint, &manner, &model);
    let mut server = Server::new(&manner, &model, settings.seed).thinking(thinking(&settings));
    let settings = counted_as_before(settings, args.output.as_deref());
    let mut count = |sample: &str| Ok(server.calibrate(sample, &stop)?);
    let plan = ServedPlan::resolve(settings, &mut count)?;
    warn(&plan.warnings);
    if args.dry_run {
        return dry_run(&plan, args);
    }
    let directory = args.output.clone().unwrap_or_else(|| default_directory(&plan, args.shard));
    let record =
        record(&plan, args.shard, json!({ "os": std::env::consts::OS, "arch": std::env::consts::ARCH }))?;
    let mut store = RunDirectory::open(&directory, &record, false)?;
    let mut telling = Telling::of(&plan.settings, store.outcomes(), &args.telling);
    let asks = Asks {
        concurrency: args.endpoint.concurrency,
        check_lengths: !args.endpoint.no_length_check,
        limit: args.limit,
        shard: args.shard,
    };
    let watch = Watch { progress: &mut telling, stop: &stop };
    let ran = go_on(&plan, &mut server, &mut store, asks, watch);
    let planned = plan.part(args.shard).len();
    let ran = ran.map_err(|error| stopped(error, &store, planned, &directory))?;
    let report = judged_report(store.outcomes(), store.run_record(), args.rule.length_rule());
    let page = || page::page(&directory, store.run_record(), store.outcomes(), report.clone());
    let page = args.form.wants(OF_PAGE).then(page).transpose()?;
    let shown = Shown::of(&args.form, &Report::from(report), page.as_ref(), style)?.out();
    telling.note(&format!("results: {}", directory.display()));
    shown?;
    ended(store.outcomes(), &ran, planned, args.fail_on_error)
}

/// How the server is asked.
fn manner(args: &EndpointArgs) -> Result<Manner> {
    if !(1..=MOST_CONCURRENT).contains(&args.concurrency) {
        let expected = format!("1 to {MOST_CONCURRENT}");
        return Err(Error::invalid("--concurrency", args.concurrency, expected));
    }
    let timeout = Duration::try_from_secs_f64(args.timeout).ok().filter(|time| !time.is_zero());
    let timeout = timeout.ok_or_else(|| Error::invalid("--timeout", args.timeout, "seconds, more than 0"))?;
    if let Some(rate) = args.rate_limit.filter(|rate| !(rate.is_finite() && *rate >= 0.001)) {
        return Err(Error::invalid("--rate-limit", rate, "requests a minute, more than 0"));
    }
    let by_tokenizer = if args.tokenizer.is_some() { Api::Completions } else { Api::Chat };
    let defaults = Limits::default();
    let endpoint = Endpoint::new(args.endpoint.as_deref().unwrap_or_default())?;
    Ok(Manner {
        api: args.api.or(endpoint.api()).unwrap_or(by_tokenizer),
        endpoint,
        key: ApiKey::find(args.api_key_file.as_deref(), |name| std::env::var(name).ok())?,
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

fn with_server(settings: Settings, args: &EndpointArgs, manner: &Manner, model: &str) -> Settings {
    let served = Served {
        endpoint: manner.endpoint.address(),
        api: manner.api,
        tokenizer: args.tokenizer.clone(),
        counting: None,
        logprobs: args.logprobs,
    };
    let model = ModelChoice::of(model);
    Settings { model, served: Some(served), ..settings }
}

/// Whether the chat template is told that the model thinks.
fn thinking(settings: &Settings) -> Option<bool> {
    settings.thinking.map(|choice| choice == ThinkingChoice::On)
}

/// The settings with the counting of the run that lies in the directory, where it is of the same server: its
/// prompts are built in the same way again.
fn counted_as_before(mut settings: Settings, directory: Option<&Path>) -> Settings {
    let before = directory.and_then(|directory| RunRecord::read(directory).ok());
    let before = before.filter(|record| record.settings.model.name == settings.model.name);
    if let (Some(served), Some(before)) =
        (&mut settings.served, before.and_then(|record| record.settings.served))
        && before.api == served.api
    {
        served.counting = before.counting;
    }
    settings
}

/// `niah-runs/MODEL-served-TASK`, for a part of the plan with its number.
fn default_directory(plan: &ServedPlan, shard: Option<Shard>) -> PathBuf {
    let part = shard.map_or(String::new(), |shard| format!("-{}-of-{}", shard.number(), shard.count()));
    Path::new("niah-runs").join(format!("{}-{}{part}", plan.file_name(), plan.prompts.task.name()))
}

/// Says what a run would ask.
fn dry_run(plan: &ServedPlan, args: &RunArgs) -> Result<()> {
    plan.check_prompts()?;
    let trials = plan.part(args.shard);
    let (prompts, tokens) = (trials.len(), plan.tokens_of(&trials));
    let now = args.limit.unwrap_or(prompts).min(prompts);
    let checks = match args.endpoint.no_length_check {
        true => 0,
        false => 2 * plan.settings.grid.context_lengths().len(),
    };
    match args.form.output_format.name {
        "table" => print(&printable::lines(&format!(
            "{} at {}: {prompts} prompts ({now} now) of {tokens} tokens at most with their answers, {} at a time, and before \
             them {checks} that see whether lengths are read whole\n",
            plan.settings.model.name,
            plan.served().endpoint,
            args.endpoint.concurrency
        ))),
        "json" => {
            let told = json!({
                "model": plan.settings.model.name,
                "endpoint": plan.served().endpoint,
                "prompts": prompts,
                "prompts_now": now,
                "tokens_at_most": tokens,
                "exact": plan.is_exact(),
                "length_checks": checks,
            });
            print(&format!("{told:#}\n"))
        }
        other => Err(Error::invalid("--output-format", other, "table or json beside --dry-run")),
    }
}
