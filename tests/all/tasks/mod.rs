//! Every task, in both forms, at several lengths, depths and seeds: prompts hold what they promise.

mod controls;
mod copies;
mod independent;
mod measured;
mod page;
mod parts;
mod real;
mod ruler;
mod several;

use std::sync::Arc;

use niah::grid::{Cell, ContextLength, Depth};
use niah::haystack::Haystack;
use niah::prompt::{Assistant, Form, Prompt, PromptPlan, Snap};
use niah::registry::Entry;
use niah::split::Split;
use niah::task::{MakeTask, OfSplit, TASKS, Task};
use niah::tokenizer::ChatTemplate;
use niah::trial::Trial;

use crate::toys::Toy;

/// Tasks whose prompts may say the answer outside of their spans: words are counted, copied or compared.
const SAID_ELSEWHERE: &[&str] =
    &["rounds", "graphwalks", "graphwalks-parents", "absence", "repeat", "ruler-cwe", "ruler-fwe"];

fn task(name: &str) -> Box<dyn Task> {
    (niah::registry::find("task", TASKS, name).unwrap().value)()
}

fn chat() -> Form {
    let render =
        |_: Option<&str>, user: &str| Ok(format!("<s><|user|>\n{}</s>\n<|assistant|>\n", user.trim()));
    Form::Chat { system: None, render: Arc::new(render) }
}

/// The form of a template that a checkpoint brings.
fn chat_of(template: ChatTemplate) -> Form {
    let render = move |system: Option<&str>, user: &str| template.render(system, user);
    Form::Chat { system: None, render: Arc::new(render) }
}

fn plan_of(task: Box<dyn Task>, form: Form) -> PromptPlan {
    let haystack = match task.listing() {
        Some(_) => Haystack::none(),
        None => Haystack::resolve(task.default_haystack()).unwrap(),
    };
    PromptPlan {
        built: niah::prompt::Built::default(),
        task,
        haystack,
        form,
        snap: Snap::Sentence,
        assistant: Assistant::default(),
        answer_budget: None,
    }
}

fn plan(name: &str, form: Form) -> PromptPlan {
    plan_of(task(name), form)
}

fn trial(length: usize, depth: f64, index: usize, seed: u64) -> Trial {
    let cell = Cell { context_length: ContextLength(length), depth: Depth::from_percent(depth).unwrap() };
    Trial { cell, index, seed }
}

fn build(plan: &PromptPlan, trial: &Trial, toy: &Toy) -> Prompt {
    let built = plan.build(trial, toy, &mut plan.haystack_tokens(trial));
    built.unwrap_or_else(|error| panic!("{} {}: {error}", plan.task.name(), toy.name))
}

/// A length at which every task has something to read for this tokenizer.
fn enough(toy: &Toy) -> usize {
    match toy.name {
        "bytes" => 9000,
        "merging" => 3000,
        _ => 1600,
    }
}

fn entries() -> impl Iterator<Item = &'static Entry<MakeTask>> {
    TASKS.iter()
}

fn held_out(name: &str) -> Box<dyn Task> {
    Box::new(OfSplit::new(task(name), Split::HeldOut))
}
