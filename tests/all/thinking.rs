//! Models that think before they answer, and answers that begin with no words of the task: what the prompt
//! leaves to the model, where the answering query stands, and what counts as the answer.

use crate::common;
#[allow(dead_code, reason = "other tests use the rest")]
use crate::toys;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use common::bench::Bench;
use niah::attention::variant::{VARIANTS, VariantInputs};
use niah::checkpoint::{Checkpoint, RopeOverride};
use niah::error::Result;
use niah::generate::{Completion, DecoderModel, LanguageModel, ReadThought, Request, Stage, Thinking};
use niah::grid::{Cell, ContextLength, Depth};
use niah::haystack::Haystack;
use niah::model::decoder::Decoder;
use niah::progress::Silent;
use niah::prompt::{AnswerPrefix, Assistant, Form, Prompt, PromptPlan, Snap};
use niah::runner::{Labels, RunContext, run_one};
use niah::score::SCORERS;
use niah::spec::Dtype;
use niah::task::TASKS;
use niah::tokenizer::{ChatTemplate, MARKS, Tokenize};
use niah::trial::{Outcome, Trial};
use toys::Toy;

/// The end token of the toys.
const END: u32 = 1;

fn chat(tail: &'static str) -> Form {
    Form::Chat {
        system: None,
        render: Arc::new(move |_, user| Ok(format!("<|user|>{user}<|assistant|>{tail}"))),
    }
}

fn plan(tail: &'static str, prefix: AnswerPrefix, thinking_budget: Option<usize>) -> PromptPlan {
    PromptPlan {
        built: niah::prompt::Built::default(),
        task: (niah::registry::find("task", TASKS, "magic").unwrap().value)(),
        haystack: Haystack::resolve("noise").unwrap(),
        form: chat(tail),
        assistant: Assistant { prefix, marks: Some(MARKS[0]), thinking_budget },
        snap: Snap::Sentence,
        answer_budget: None,
    }
}

fn trial(length: usize) -> Trial {
    let cell = Cell { context_length: ContextLength(length), depth: Depth::from_percent(50.0).unwrap() };
    Trial { cell, index: 0, seed: 5 }
}

fn built(plan: &PromptPlan, tokenizer: &Toy, length: usize) -> Prompt {
    let trial = trial(length);
    plan.build(&trial, tokenizer, &mut plan.haystack_tokens(&trial)).unwrap()
}

#[test]
fn a_prompt_ends_where_the_thought_begins_and_keeps_room_for_it() {
    for tokenizer in toys::all() {
        let text = |ids: &[u32]| tokenizer.decode(ids).unwrap();
        for (tail, opened) in [("", false), ("\n", false), ("<think>\n", true), (" <think>", true)] {
            for prefix in [AnswerPrefix::Task, AnswerPrefix::None] {
                let case = format!("{} {tail:?} {prefix:?}", tokenizer.name);
                let without = plan(tail, prefix, None);
                let with = plan(tail, prefix, Some(70));
                let (short, prompt) = (built(&without, &tokenizer, 1500), built(&with, &tokenizer, 1500));
                assert!(prompt.text.ends_with(&format!("<|assistant|>{tail}")), "{case}: {}", prompt.text);
                let bos = usize::from(tokenizer.bos.is_some());
                assert_eq!(text(&prompt.tokens[bos..]), prompt.text, "{case}");
                let thought = prompt.thought.as_ref().unwrap();
                assert_eq!((thought.opened, thought.budget), (opened, 70), "{case}");
                assert_eq!(text(&thought.closing), "</think>", "{case}");
                let words = match prefix {
                    AnswerPrefix::Task => prompt.question.replace("What is t", "T").replace('?', " is:"),
                    AnswerPrefix::None => String::new(),
                };
                // A space before the answer may be a part of its first token.
                assert_eq!(text(&thought.lead).trim_end(), format!("\n\n{words}").trim_end(), "{case}");
                assert_eq!(text(&thought.words).trim_end(), words, "{case}");
                assert_eq!(text(&prompt.answer_tokens).trim(), prompt.expected[0], "{case}");
                assert_eq!(text(&prompt.tokens[prompt.needles[0].clone()]).trim(), prompt.needle_texts[0]);
                assert!(prompt.longest() <= 1500 && prompt.longest() > 1350, "{case}: {}", prompt.longest());
                assert!(short.longest() <= 1500 && short.thought.is_none(), "{case}");
                assert!(
                    prompt.tokens.len() + 70 <= short.tokens.len() + 20,
                    "{case}: the thought is counted"
                );
            }
        }
    }
}

#[test]
fn without_the_tasks_words_the_answer_begins_behind_the_template_or_the_question() {
    for tokenizer in toys::all() {
        let text = |ids: &[u32]| tokenizer.decode(ids).unwrap();
        let budget = |prompt: &Prompt| prompt.answer_budget;
        let with = built(&plan("", AnswerPrefix::Task, None), &tokenizer, 1500);
        let without = built(&plan("", AnswerPrefix::None, None), &tokenizer, 1500);
        assert!(with.text.trim_end().ends_with(" number is:"), "{}", with.text);
        assert!(without.text.ends_with("number?<|assistant|>"), "{}", without.text);
        assert_eq!(text(&without.answer_tokens), without.expected[0]);
        assert_eq!(budget(&without), budget(&with) + 48, "room for its own words");
        for name in ["magic", "ruler-niah-single-1", "passkey"] {
            let task = (niah::registry::find("task", TASKS, name).unwrap().value)();
            let plain = PromptPlan { task, form: Form::Completion, ..plan("", AnswerPrefix::None, None) };
            let prompt = built(&plain, &tokenizer, 2000);
            let asked = prompt.question.trim_end();
            assert!(prompt.text.ends_with(&format!("{asked}\n")), "{name}: {:?}", prompt.text);
            assert_eq!(text(&prompt.answer_tokens).trim(), prompt.expected[0], "{name}");
        }
    }
}

#[test]
fn a_task_that_asks_by_the_words_of_its_answer_alone_is_refused_without_them() {
    let task = (niah::registry::find("task", TASKS, "abcdigits").unwrap().value)();
    let plan = PromptPlan { task, ..plan("", AnswerPrefix::None, None) };
    let trial = trial(3000);
    let error = plan.build(&trial, &toys::bytes(), &mut plan.haystack_tokens(&trial)).unwrap_err();
    assert!(error.to_string().starts_with("answer prefix: found none, expected task"), "{error}");
}

/// A model that thinks and says what a script says.
struct Teller<'a> {
    tokenizer: &'a Toy,
    thinks: &'a str,
    says: &'a str,
    /// What stood before the answer.
    before: String,
}

impl LanguageModel for Teller<'_> {
    fn complete(&mut self, request: Request<'_>, _: &mut dyn FnMut(usize) -> bool) -> Result<Completion> {
        let mut script = self.tokenizer.encode(self.thinks)?.ids.into_iter();
        let next = |_| Ok(script.next().unwrap_or(END));
        let thinking = request.thinking.as_ref();
        let thought = thinking.map(|thinking| thinking.think(request.end_tokens, next)).transpose()?;
        let mut before = request.tokens.to_vec();
        before.extend(thought.iter().flat_map(|thought| thought.tokens.iter().chain(&thought.bridge)));
        self.before = self.tokenizer.decode(&before)?;
        let mut tokens = self.tokenizer.encode(self.says)?.ids;
        tokens.truncate(request.max_new_tokens);
        Ok(Completion { tokens, thought, ..Completion::default() })
    }
}

/// The row of a trial whose model thinks and says this, with what stood before the answer.
fn told(plan: &PromptPlan, tokenizer: &Toy, thinks: &str, says: &str) -> (Outcome, String) {
    let context = RunContext {
        own_scorers: &std::collections::BTreeMap::new(),
        prompts: plan,
        tokenizer,
        scorer: niah::registry::find("scorer", SCORERS, "contains").unwrap().value,
        end_tokens: &[END],
        keep_tokens: false,
        keep_retrieval: false,
        blocking: None,
        labels: Labels::default(),
    };
    let prompt = built(plan, tokenizer, 1500);
    let answer = &prompt.expected[0];
    let [thinks, says] = [thinks, says].map(|text| text.replace("RIGHT", answer));
    let mut model = Teller { tokenizer, thinks: &thinks, says: &says, before: String::new() };
    let never = AtomicBool::new(false);
    let run = run_one(&context, &trial(1500), &prompt, None, &mut model, &mut Silent, &never);
    let behind = model.before.rsplit("<|assistant|>").next().unwrap().replace(answer, "RIGHT");
    (run.unwrap().0.outcome, behind)
}

#[test]
fn a_thought_is_cut_from_the_answer_and_its_tokens_are_counted() {
    const WORDS: &str = "The special magic ";
    /// What it is of; tail, thought, answer; tokens of the thought in bytes, whether it is cut, the answer
    /// that counts, its score; how the text before the answer begins.
    type Case = (&'static str, [&'static str; 3], usize, bool, &'static str, f64, &'static str);
    let cases: [Case; 9] = [
        (
            "thought and answer",
            ["", "<think>Is it 1?</think>", "RIGHT."],
            23,
            false,
            "RIGHT.",
            1.0,
            "<think>Is it 1?</think>\n\nThe",
        ),
        (
            "opened by the template",
            ["<think>\n", "Hm.</think>", "RIGHT."],
            11,
            false,
            "RIGHT.",
            1.0,
            "<think>\nHm.</think>\n\nThe",
        ),
        (
            "the thought alone is right",
            ["", "<think>RIGHT</think>", "None."],
            22,
            false,
            "None.",
            0.0,
            "<think>RIGHT</think>\n\nThe",
        ),
        (
            "never an end",
            ["", "<think>on and on and on and on and on", "RIGHT"],
            30,
            true,
            "RIGHT",
            1.0,
            "<think>on and on and on and on</think>\n\nThe",
        ),
        (
            "silence within it",
            ["<think>\n", "Hm", "RIGHT"],
            2,
            true,
            "RIGHT",
            1.0,
            "<think>\nHm</think>\n\nThe",
        ),
        ("no thought", ["", "It is RIGHT", "RIGHT"], 0, false, "RIGHT", 1.0, WORDS),
        ("nothing at all", ["", "", ""], 0, false, "", 0.0, WORDS),
        ("an end without a beginning", ["", "</think>", "RIGHT"], 0, false, "RIGHT", 1.0, WORDS),
        (
            "an end twice",
            ["", "<think>1</think></think>", "</think> RIGHT"],
            16,
            false,
            " RIGHT",
            1.0,
            "<think>1</think>\n\nThe",
        ),
    ];
    let tokenizer = toys::bytes();
    for (name, [tail, thinks, says], tokens, cut, answer, score, before) in cases {
        let plan = plan(tail, AnswerPrefix::Task, Some(30));
        let (row, behind) = told(&plan, &tokenizer, thinks, says);
        let response = row.model_response.as_deref().unwrap().replace(&row.expected_answer, "RIGHT");
        assert_eq!((response.as_str(), row.score), (answer, Some(score)), "{name}");
        assert_eq!((row.thinking_tokens, row.thinking_cut), (Some(tokens), Some(cut)), "{name}");
        assert!(behind.starts_with(before) && behind.ends_with(" number is: "), "{name}: {behind:?}");
    }
}

#[test]
fn a_second_thought_in_the_answer_does_not_count_either() {
    let tokenizer = toys::bytes();
    let plan = plan("", AnswerPrefix::None, Some(30));
    let (row, _) = told(&plan, &tokenizer, "<think>1</think>", "<think>RIGHT</think>No idea.");
    assert_eq!((row.model_response.as_deref(), row.score), (Some("No idea."), Some(0.0)));
    let (row, _) = told(&plan, &tokenizer, "<think>1</think>", "RIGHT<think>or");
    assert_eq!((row.model_response, row.score), (Some(row.expected_answer), Some(1.0)));
}

#[test]
fn marks_in_the_prompt_begin_and_end_no_thought() {
    for tokenizer in toys::all() {
        let text = "A page said </think> once. Another said <think> at its end.";
        let plan =
            PromptPlan { haystack: Haystack::from_text(text), ..plan("", AnswerPrefix::Task, Some(60)) };
        let (row, behind) = told(&plan, &tokenizer, "<think>Hm</think>", "RIGHT");
        assert_eq!(row.thinking_cut, Some(false), "{}", tokenizer.name);
        assert!(behind.starts_with("<think>Hm</think>\n\nThe special"), "{}: {behind:?}", tokenizer.name);
        let (row, _) = told(&plan, &tokenizer, "It is </think>", "RIGHT");
        assert_eq!((row.thinking_tokens, row.score), (Some(0), Some(1.0)), "{}", tokenizer.name);
    }
}

#[test]
fn every_tokenizer_sees_where_a_thought_ends_and_what_space_is_behind() {
    for tokenizer in toys::all() {
        let plan = plan("<think>\n", AnswerPrefix::Task, Some(60));
        let (row, behind) = told(&plan, &tokenizer, "It is 7.\n\nSo 7.</think>", "RIGHT");
        assert_eq!((row.thinking_cut, row.score), (Some(false), Some(1.0)), "{}", tokenizer.name);
        let expected = "<think>\nIt is 7.\n\nSo 7.</think>\n\nThe special magic ";
        assert!(behind.starts_with(expected), "{}: {behind:?}", tokenizer.name);
    }
}

#[test]
fn where_nobody_decides_a_thought_in_the_answer_is_found_and_cut() {
    let tokenizer = toys::bytes();
    let plan = plan("", AnswerPrefix::None, None);
    for (says, answer, tokens, cut) in [
        ("<think>RIGHT or 1</think> It is 1.", " It is 1.", 27, false),
        ("RIGHT</think>It is 1.", "It is 1.", 15, false),
        ("<think>RIGHT, and on", "", 22, true),
        ("It is RIGHT.", "It is RIGHT.", 0, false),
    ] {
        let (row, behind) = told(&plan, &tokenizer, "", says);
        let response = row.model_response.as_deref().unwrap().replace(&row.expected_answer, "RIGHT");
        assert_eq!((response.as_str(), behind.as_str()), (answer, ""), "{says}");
        assert_eq!((row.thinking_tokens, row.thinking_cut), (Some(tokens), Some(cut)), "{says}");
    }
    let opened = self::plan("<think>\n", AnswerPrefix::None, None);
    for (says, answer, tokens, cut) in
        [("RIGHT or 1</think>It is 1.", "It is 1.", 20, false), ("It may be RIGHT", "", 17, true)]
    {
        let (row, _) = told(&opened, &tokenizer, "", says);
        assert_eq!(row.model_response.as_deref(), Some(answer), "{says}");
        assert_eq!((row.thinking_tokens, row.thinking_cut), (Some(tokens), Some(cut)), "{says}");
    }
    // Where no marks are known nothing is said of thoughts.
    let unknown = PromptPlan { assistant: Assistant { marks: None, ..plan.assistant }, ..plan };
    let (row, _) = told(&unknown, &tokenizer, "", "It is RIGHT.");
    assert_eq!((row.thinking_tokens, row.thinking_cut), (None, None));
}

/// A thought that goes on, or none.
struct Always(Stage);

impl ReadThought for Always {
    fn stage(&self, _: &[u32]) -> Result<Stage> {
        Ok(self.0)
    }
}

fn decoder(vector: &str) -> DecoderModel {
    let folder = common::fixture("vectors").join(vector).display().to_string();
    let checkpoint = Checkpoint::open(&folder, RopeOverride::default()).unwrap();
    let decoder: Decoder = checkpoint.load(&Device::Cpu, Dtype::F32, Decoder::load).unwrap();
    let spec = decoder.spec();
    let softmax = niah::registry::find("variant", VARIANTS, "softmax").unwrap().value;
    let inputs = VariantInputs {
        layers: &spec.layers,
        heads: spec.num_attention_heads,
        own: Some(&checkpoint.own_variant),
        training_length: spec.training_length(),
        ..VariantInputs::default()
    };
    let variant = softmax(&inputs).unwrap();
    DecoderModel::new(decoder, variant, 16)
}

#[test]
fn the_answering_query_stands_behind_the_thought_as_if_all_of_it_were_the_prompt() {
    let (prompt, answer): (Vec<u32>, [u32; 3]) = ((0..40).map(|i| i * 5 % 8).collect(), [1, 2, 3]);
    let spans = [vec![3..6], vec![4..6], vec![10..14]];
    let ask = |model: &mut DecoderModel, tokens: &[u32], thinking: Option<Thinking<'_>>| {
        let request = Request {
            tokens,
            thinking,
            answer: &answer,
            max_new_tokens: 4,
            end_tokens: &[],
            spans: &spans,
            items: &[0],
            chosen_head: None,
            forks: &[],
            ..Request::default()
        };
        model.complete(request, &mut |_| true).unwrap()
    };
    let reader = |stage| Always(stage);
    // The second has states, which cannot be taken back.
    for vector in ["llama", "qwen3_5"] {
        for (stage, budget, thinks) in [(Stage::Open, 6, 6), (Stage::None, 6, 0), (Stage::Undecided, 2, 0)] {
            let reader = reader(stage);
            let thinking = Thinking { budget, closing: &[7], lead: &[6, 5], words: &[5], reader: &reader };
            for sharing in [false, true] {
                let fresh = || decoder(vector);
                let mut model = if sharing { fresh().sharing_prefixes(80) } else { fresh() };
                // The second time it meets the cache that the first has left.
                for _ in 0..2 {
                    let found = ask(&mut model, &prompt, Some(thinking));
                    let thought = found.thought.as_ref().unwrap();
                    assert_eq!((thought.tokens.len(), thought.cut), (thinks, thinks > 0), "{stage:?}");
                    let whole = [&prompt[..], &thought.tokens, &thought.bridge].concat();
                    let expected = ask(&mut fresh(), &whole, None);
                    assert_eq!(found.tokens, expected.tokens, "{stage:?}");
                    assert_eq!(found.answer_ranks, expected.answer_ranks, "{stage:?}");
                    for (a, b) in found.answer_logprobs.iter().zip(&expected.answer_logprobs) {
                        assert!((a - b).abs() < 1e-4, "{stage:?}: {a} {b}");
                    }
                    assert_eq!(found.attention.mean_row.len(), whole.len(), "one weight a key");
                    assert_eq!(found.attention.heads.len(), expected.attention.heads.len());
                    for (a, b) in found.attention.heads.iter().zip(&expected.attention.heads) {
                        for (a, b) in a.first.span_mass.iter().zip(&b.first.span_mass) {
                            assert!((a - b).abs() < 1e-4, "{stage:?}: {a} {b}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn templates_as_they_are_published_have_their_switch_and_their_marks() {
    let bytes = fs::read(common::fixture("chat_templates.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&bytes).unwrap();
    for (name, has_switch) in [
        ("qwen3-like/user", true),
        ("smollm3-like/user", true),
        ("chatml/user", false),
        ("gemma-3/user", false),
    ] {
        let case = cases.iter().find(|case| case["name"] == name).unwrap();
        let template = || ChatTemplate::new(case["template"].as_str().unwrap(), BTreeMap::new()).unwrap();
        let rendered = |on| template().thinking(on).and_then(|template| template.render(None, "Who?"));
        let (on, off) = (rendered(true), rendered(false));
        assert_eq!((on.is_ok(), off.is_ok()), (has_switch, has_switch), "{name}");
        let marks = template().marks(&toys::bytes()).unwrap();
        assert_eq!(marks, has_switch.then_some(MARKS[0]), "{name}");
        if has_switch {
            let (on, off) = (on.unwrap(), off.unwrap());
            assert!(off.contains("</think>") && !on.contains("</think>"), "{name}: {on:?} {off:?}");
        }
    }
}

/// A template whose switch lets the assistant's turn begin within a thought.
const SWITCHED: &str = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] {% if \
                        enable_thinking %}<think>\n{% endif %}";

fn bench(template: &str) -> Bench {
    let bench = Bench::new();
    fs::write(bench.path("tiny/chat_template.jinja"), template).unwrap();
    bench
}

const RUN: [&str; 6] = ["run", "tiny", "--context-lengths=500", "--depths=50,100", "--trials=2", "--seed=3"];

fn run(bench: &Bench, more: &[&str]) -> String {
    bench.stdout(&[&RUN[..], more].concat())
}

/// The rows without what the clock decides.
fn timeless(bench: &Bench, directory: &str) -> Vec<Outcome> {
    let clockless = |row| Outcome { duration_seconds: None, timestamp_utc: String::new(), ..row };
    bench.outcomes(directory).into_iter().map(clockless).collect()
}

#[test]
fn a_run_that_thinks_says_so_and_is_told_apart_from_one_that_does_not() {
    let bench = bench(SWITCHED);
    let on = ["--thinking=on", "--max-thinking-tokens=20"];
    let page = run(&bench, &[&on[..], &["-o", "on"]].concat());
    assert!(page.contains("thinking of 20 tokens at most"), "{page}");
    assert!(page.contains("thoughts before the answer: 20 tokens in the mean, 4 of 4 cut short"), "{page}");
    let rows = bench.outcomes("on");
    assert!(rows.iter().all(|row| (row.thinking_tokens, row.thinking_cut) == (Some(20), Some(true))));
    let identity = |directory: &str| bench.run_json(directory)["identity"].clone();
    assert_eq!(
        (&identity("on")["thinking"], &identity("on")["max_thinking_tokens"]),
        (&"on".into(), &20.into())
    );

    run(&bench, &[&on[..], &["-o", "unshared", "--no-prefix-sharing"]].concat());
    assert_eq!(timeless(&bench, "on"), timeless(&bench, "unshared"));

    let page = run(&bench, &["--thinking=off", "-o", "off"]);
    assert!(page.contains("thinking off") && !page.contains("thoughts before"), "{page}");
    assert!(bench.outcomes("off").iter().all(|row| row.thinking_tokens.is_none()));
    run(&bench, &["-o", "plain"]);
    for key in ["thinking", "max_thinking_tokens", "answer_prefix"] {
        assert!(identity("plain").get(key).is_none(), "{key} is not said where nobody has decided");
    }
    // This template's own choice is off, so that the prompts are the same.
    let prompts = |directory: &str| {
        bench.outcomes(directory).into_iter().map(|row| row.prompt_hash).collect::<Vec<_>>()
    };
    assert_eq!(prompts("off"), prompts("plain"));
    assert_ne!(prompts("on"), prompts("plain"));
    bench.refused(&[&RUN[..], &["--thinking=off", "-o", "on"]].concat(), &["another plan", "thinking"]);
    let compared = bench.stdout(&["compare", "off", "on"]);
    let words = compared.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("another choice of thinking"), "{compared}");
    assert!(bench.stdout(&["view", "on", "--by=trial", "--output-format=csv"]).contains("thinking_cut"));
    assert!(bench.stdout(&["attend", "on"]).contains("attention of the query"));
}

#[test]
fn a_run_without_the_tasks_words_has_longer_answers_and_says_so() {
    let bench = bench(SWITCHED);
    let page = run(&bench, &["--answer-prefix=none", "-o", "none"]);
    assert!(page.contains("no answer prefix"), "{page}");
    assert_eq!(bench.run_json("none")["identity"]["answer_prefix"], "none");
    assert!(bench.outcomes("none").iter().all(|row| row.thinking_tokens == Some(0)));
    let prompts =
        bench.stdout(&["prompts", "tiny", "--context-lengths=500", "--answer-prefix=none", "--limit=1"]);
    assert!(prompts.contains("[assistant] \""), "{prompts}");
    bench.refused(
        &[&RUN[..], &["--task=abcdigits", "--context-lengths=2k", "--answer-prefix=none"]].concat(),
        &["--answer-prefix: found none, expected task"],
    );
}

#[test]
fn what_a_checkpoint_cannot_think_is_refused_with_a_remedy() {
    let bench = bench("{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] ");
    let refused = |more: &[&str], words: &[&str]| bench.refused(&[&RUN[..], more].concat(), words);
    for choice in ["--thinking=on", "--thinking=off"] {
        refused(&[choice], &["no switch of thinking", "leave --thinking out"]);
        refused(&[choice, "--apply-chat-template=never"], &["--thinking", "this run uses plain text"]);
    }
    refused(&["--max-thinking-tokens=5"], &["--max-thinking-tokens: found 5", "--thinking=on"]);
    let bench = self::bench(SWITCHED);
    let refused = |more: &[&str], words: &[&str]| bench.refused(&[&RUN[..], more].concat(), words);
    refused(&["--thinking=on"], &["question, thought and answer take", "ask for at least"]);
    refused(&["--thinking=on", "--max-thinking-tokens=0"], &["--max-thinking-tokens: found 0"]);
    refused(&["--thinking=maybe"], &["--thinking", "known: on, off"]);
}

#[test]
fn a_template_that_thinks_in_any_case_is_warned_of_where_nobody_decides() {
    let bench = bench("{% for m in messages %}{{ m.content }}\n{% endfor %}[assistant] <think>\n");
    let said = |more: &[&str]| {
        let output = bench.output(&[&RUN[..], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", common::bench::stderr(&output));
        common::bench::stderr(&output)
    };
    assert!(said(&["-o", "plain"]).contains("begins a thought, and the words of the answer stand in it"));
    assert!(said(&["-o", "none", "--answer-prefix=none"]).contains("it takes of the answer's own tokens"));
    let on = ["--thinking=on", "--max-thinking-tokens=5", "-o", "on"];
    assert!(!said(&on).contains("begins a thought"));
    assert!(bench.outcomes("on").iter().all(|row| row.thinking_tokens == Some(5)));
    bench.refused(&[&RUN[..], &["--thinking=off"]].concat(), &["no switch of thinking"]);
}
