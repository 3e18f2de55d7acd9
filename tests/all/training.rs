//! What is trained on, and that training learns: sequences are what they claim, share nothing with
//! evaluation, and a batch can be over-fitted; the same on any number of threads.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use niah::checkpoint::Config;
use niah::checkpoint::families::describe;
use niah::grid::{Cell, ContextLength, Depth};
use niah::hash::sha256_hex;
use niah::haystack::Haystack;
use niah::prompt::{Assistant, Form, PromptPlan, Snap};
use niah::split::Split;
use niah::task::{OfSplit, TASKS, Task};
use niah::tokenizer::{TextTokenizer, Tokenize, train_tokenizer};
use niah::train::data::{Mixture, RECIPE, Sequence, Sources, vocabulary_texts};
use niah::train::decoder::{Multiplier, TrainableDecoder};
use niah::train::{
    Initial, LayerKind, Schedule, Sizes, State, Trainable, Trainer, TrainingSettings, initial,
};

const ROWS: usize = 256;

fn task_named(name: &str) -> Box<dyn Task> {
    (TASKS.iter().find(|entry| entry.name == name).unwrap().value)()
}

static SOURCES: LazyLock<Sources> = LazyLock::new(|| {
    let haystacks = ["essays", "synthetic"].map(|name| Haystack::resolve(name).unwrap());
    Sources::new(haystacks.to_vec(), task_named("magic")).unwrap()
});

static TOKENIZER: LazyLock<TextTokenizer> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let json = train_tokenizer(&vocabulary_texts(&SOURCES).unwrap(), 512).unwrap();
    std::fs::write(directory.path().join("tokenizer.json"), json).unwrap();
    TextTokenizer::from_directory(directory.path()).unwrap()
});

fn mixture(shares: &[(&str, f64)], rows: usize, seed: u64) -> Mixture<'static> {
    growing(shares, rows, seed, 0)
}

fn growing(shares: &[(&str, f64)], rows: usize, seed: u64, curriculum: usize) -> Mixture<'static> {
    let shares: Vec<_> = shares.iter().map(|(name, share)| (name.to_string(), *share)).collect();
    Mixture::new(&SOURCES, &*TOKENIZER, &shares, rows, seed, curriculum).unwrap()
}

fn text(sequence: &Sequence) -> String {
    TOKENIZER.decode(&sequence.tokens[1..]).unwrap()
}

fn answers(sequence: &Sequence) -> Vec<String> {
    sequence
        .answers
        .iter()
        .map(|tokens| TOKENIZER.decode(&sequence.tokens[tokens.clone()]).unwrap())
        .collect()
}

#[test]
fn sequences_have_one_token_more_than_rows_and_depend_on_seed_step_and_index_alone() {
    let shares = [("text", 1.0), ("needles", 2.0), ("key-values", 1.0)];
    let (one, other) = (mixture(&shares, ROWS, 4), mixture(&shares, ROWS, 5));
    let sequence = |step, index| one.sequence(step, index).unwrap();
    let found: Vec<_> = (0..40).map(|index| sequence(7, index)).collect();
    for (index, expected) in found.iter().enumerate().rev() {
        assert_eq!(expected.tokens.len(), ROWS + 1);
        assert_eq!(expected.tokens[0], TOKENIZER.bos().unwrap());
        assert_eq!(&sequence(7, index), expected);
    }
    assert_ne!(found[3], sequence(8, 3));
    assert_ne!(found[3], other.sequence(7, 3).unwrap());
    let kinds = [
        found.iter().filter(|s| text(s).contains("special magic")).count(),
        found.iter().filter(|s| text(s).contains('=')).count(),
    ];
    assert!(kinds.iter().all(|count| (5..30).contains(count)), "{kinds:?}");
}

#[test]
fn a_recipe_that_gives_other_sequences_gets_another_number() {
    let shares = [("text", 1.0), ("needles", 1.0), ("key-values", 1.0)];
    let mixture = growing(&shares, 128, 3, 10);
    let drawn: String = (0..24).map(|index| text(&mixture.sequence(index / 2, index).unwrap())).collect();
    assert_eq!((RECIPE, &sha256_hex(drawn)[..16]), (2, "71c2d6d8e690304b"));
}

#[test]
fn every_question_is_answered_by_a_needle_before_it() {
    let data = mixture(&[("needles", 1.0)], ROWS, 1);
    let mut asked = BTreeSet::new();
    for index in 0..200 {
        let sequence = data.sequence(0, index).unwrap();
        let (text, answers) = (text(&sequence), answers(&sequence));
        assert!((1..=3).contains(&answers.len()), "{text}");
        asked.insert(answers.len());
        for (answer, tokens) in answers.iter().zip(&sequence.answers) {
            assert!(
                answer.len() == 7 && answer.bytes().all(|byte| byte.is_ascii_digit()),
                "{answer}: {text}"
            );
            let before = TOKENIZER.decode(&sequence.tokens[1..tokens.start]).unwrap();
            let completion = &before[before.rfind("\nThe special magic").unwrap() + 1..];
            assert!(before.contains(&format!("{completion}{answer}.")), "{text}");
        }
    }
    assert_eq!(asked.len(), 3);
}

#[test]
fn values_of_keys_seen_before_are_answers() {
    let data = mixture(&[("key-values", 1.0)], ROWS, 1);
    for index in 0..100 {
        let sequence = data.sequence(0, index).unwrap();
        let text = text(&sequence);
        let mut seen = BTreeSet::new();
        let again: Vec<&str> = text
            .lines()
            .filter(|line| line.len() == 8 && !seen.insert(*line))
            .map(|line| &line[2..])
            .collect();
        let answers = answers(&sequence);
        assert_eq!(answers[..again.len()], again, "{text}");
        // The last line may be cut.
        assert!(answers.len() <= again.len() + 1 && answers.len() >= 2, "{text}");
    }
}

#[test]
fn a_curriculum_begins_with_few_letters_and_short_values_and_ends_where_there_is_none() {
    let shares = [("key-values", 1.0)];
    let (plain, growing) = (mixture(&shares, ROWS, 1), growing(&shares, ROWS, 1, 100));
    let sizes = |step: usize| {
        let texts: Vec<String> = (0..20).map(|index| text(&growing.sequence(step, index).unwrap())).collect();
        let whole = |text: &String| {
            let mut lines: Vec<_> = text.lines().map(str::to_string).collect();
            lines.pop();
            lines
        };
        let lines: Vec<_> = texts.iter().map(whole).collect();
        let letters =
            lines.iter().map(|lines| lines.iter().map(|line| &line[..1]).collect::<BTreeSet<_>>().len());
        let digits: BTreeSet<_> = lines.iter().flatten().map(|line| line.len() - 2).collect();
        (letters.max().unwrap(), digits)
    };
    assert_eq!(sizes(0), (3, BTreeSet::from([2])));
    let (letters, digits) = sizes(50);
    assert!((4..=14).contains(&letters) && digits == BTreeSet::from([4]), "{letters} {digits:?}");
    assert_ne!(plain.sequence(99, 3).unwrap(), growing.sequence(99, 3).unwrap());
    assert_eq!(plain.sequence(100, 3).unwrap(), growing.sequence(100, 3).unwrap());
}

#[test]
fn prompts_of_any_task_are_trained_on_with_their_answers() {
    for (task, items) in [("multi-2", 2), ("multi", 4), ("magic-multikey", 1)] {
        let data = mixture(&[(task, 1.0)], ROWS, 1);
        for index in 0..40 {
            let sequence = data.sequence(0, index).unwrap();
            assert_eq!((sequence.tokens.len(), &sequence), (ROWS + 1, &data.sequence(0, index).unwrap()));
            let answers = answers(&sequence);
            assert!(!answers.is_empty(), "{task}: {}", text(&sequence));
            for (answer, tokens) in answers.iter().zip(&sequence.answers) {
                let numbers: Vec<&str> = answer.split(|c: char| !c.is_ascii_digit()).collect();
                let numbers: Vec<_> = numbers.into_iter().filter(|number| !number.is_empty()).collect();
                assert_eq!(numbers.len(), items, "{task}: {answer}");
                let before = TOKENIZER.decode(&sequence.tokens[1..tokens.start]).unwrap();
                for number in numbers {
                    assert!(
                        before.contains(&format!("number is: {number}.")),
                        "{task}: {number} in {before}"
                    );
                    assert!(Split::Training.holds(number), "{number}");
                }
            }
        }
    }
}

#[test]
fn the_last_value_of_a_key_is_what_a_stream_of_updates_is_trained_to_say() {
    let data = mixture(&[("updates", 1.0)], 1024, 1);
    for index in 0..10 {
        let sequence = data.sequence(0, index).unwrap();
        let before = TOKENIZER.decode(&sequence.tokens[1..sequence.answers[0].start]).unwrap();
        let answer = answers(&sequence)[0].clone();
        let lines = || before.lines().filter_map(|line| line.split_once(": "));
        let last = |key: &str| lines().rfind(|(of, _)| *of == key).map(|(_, value)| value.to_string());
        let asked = before.rsplit_once("values of ").unwrap().1.trim_end_matches(" are: ");
        let asked = asked.trim_end().trim_end_matches(" are:").replace(", and ", ", ");
        let expected: Vec<String> = asked.split(", ").map(|key| last(key).unwrap()).collect();
        let said = answer.replace(", and ", ", ").trim().to_string();
        assert_eq!(
            said.split(", ").map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>(),
            expected
        );
    }
}

#[test]
fn prompts_of_tasks_are_short_where_a_curriculum_begins() {
    let data = growing(&[("multi-2", 1.0)], 512, 1, 100);
    let prompts = |step: usize| -> usize {
        (0..20).map(|index| data.sequence(step, index).unwrap().answers.len()).sum()
    };
    assert!(prompts(0) > prompts(100) + 10, "{} {}", prompts(0), prompts(100));
}

/// Sentences of four words and more, and numbers of six digits and more.
fn parts(text: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let sentences = text.split(['.', '?', '!', '\n']).map(str::trim);
    let sentences = sentences.filter(|sentence| sentence.split(' ').count() > 3);
    let own = |sentence: &&str| !sentence.contains("special magic");
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|number| number.len() >= 6);
    (sentences.filter(own).map(str::to_string).collect(), numbers.map(str::to_string).collect())
}

/// Twenty prompts of evaluation.
fn held_out(task: &str, haystack: &str) -> Vec<String> {
    let plan = PromptPlan {
        built: niah::prompt::Built::default(),
        task: Box::new(OfSplit::new(task_named(task), Split::HeldOut)),
        haystack: Haystack::resolve(haystack).unwrap().part(Split::HeldOut).unwrap(),
        form: Form::Completion,
        assistant: Assistant::default(),
        snap: Snap::Sentence,
        answer_budget: None,
    };
    let cell = Cell { context_length: ContextLength(2048), depth: Depth::from_percent(50.0).unwrap() };
    let prompt = |index| {
        let trial = niah::trial::Trial { cell, index, seed: 42 };
        plan.build(&trial, &*TOKENIZER, &mut plan.haystack_tokens(&trial)).unwrap().text
    };
    (0..20).map(prompt).collect()
}

#[test]
fn training_and_evaluation_share_no_sentence_and_no_value() {
    let data = mixture(&[("needles", 1.0), ("text", 1.0), ("key-values", 0.2)], ROWS, 42);
    let (mut sentences, mut values) = (BTreeSet::new(), BTreeSet::new());
    for index in 0..1500 {
        let (more, numbers) = parts(&text(&data.sequence(0, index).unwrap()));
        sentences.extend(more);
        values.extend(numbers);
    }
    assert!(sentences.len() > 3000 && values.len() > 2000, "{} {}", sentences.len(), values.len());
    assert!(values.iter().filter(|value| value.len() == 7).all(|value| Split::Training.holds(value)));
    for haystack in ["essays", "synthetic"] {
        for prompt in held_out("magic", haystack) {
            let (evaluated, numbers) = parts(&prompt);
            assert!(!evaluated.is_empty() && !numbers.is_empty());
            assert_eq!(evaluated.intersection(&sentences).next(), None, "{haystack}");
            assert_eq!(numbers.intersection(&values).next(), None, "{haystack}");
        }
    }
}

#[test]
fn key_value_lines_of_training_and_evaluation_share_no_value() {
    let data = mixture(&[("key-values", 1.0)], ROWS, 42);
    let trained: BTreeSet<String> =
        (0..300).flat_map(|index| parts(&text(&data.sequence(0, index).unwrap())).1).collect();
    assert!(trained.len() > 2000 && trained.iter().all(|value| value.len() == 6), "{}", trained.len());
    assert!(trained.iter().all(|value| Split::Training.holds(value)));
    for prompt in held_out("abcdigits", "synthetic") {
        let (_, evaluated) = parts(&prompt);
        assert!(evaluated.len() >= 26, "{prompt}");
        assert_eq!(evaluated.intersection(&trained).next(), None);
    }
}

const FROM: Initial = Initial { range: 0.05, layers: 2, ssmax_scale: 0.3 };

fn tiny(rows: usize) -> TrainableDecoder {
    tiny_of(rows, Multiplier::Learned { bias: false })
}

/// The same with another multiplier on its global layer.
fn tiny_of(rows: usize, multiplier: Multiplier) -> TrainableDecoder {
    tiny_with(rows, multiplier, false)
}

fn tiny_with(rows: usize, multiplier: Multiplier, differential: bool) -> TrainableDecoder {
    let sizes = Sizes {
        hidden_size: 32,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 2,
        layer_pattern: vec![LayerKind::Local, LayerKind::Global],
        sliding_window: 8,
        differential,
        ..Sizes::default()
    };
    let config = sizes.config(512).unwrap();
    let config = Config::new(Path::new("config.json"), config.as_object().unwrap().clone());
    let (_, spec) = describe(&config).unwrap();
    let multipliers = [Multiplier::One, multiplier];
    TrainableDecoder::new(spec, rows, &multipliers, FROM).unwrap()
}

fn settings(steps: usize) -> TrainingSettings {
    TrainingSettings {
        steps,
        batch_size: 4,
        accumulation: 2,
        lr: 0.01,
        schedule: Schedule::Constant,
        warmup_steps: 2,
        weight_decay: 0.1,
        betas: (0.9, 0.95),
        clip: 1.0,
        answer_weight: 5.0,
    }
}

fn begin(model: &TrainableDecoder) -> State {
    State::new(initial(model, 1))
}

#[test]
fn one_batch_can_be_learned_by_heart() {
    learns_by_heart(&tiny(48), &[]);
}

#[test]
fn one_batch_can_be_learned_by_heart_with_what_is_read_from_rows() {
    for (multiplier, part) in
        [(Multiplier::ScaledEntmax, "attn_scale_"), (Multiplier::Forgetting, "fgate_proj")]
    {
        learns_by_heart(&tiny_of(48, multiplier), &[part]);
    }
}

#[test]
fn one_batch_can_be_learned_by_heart_with_heads_that_are_subtracted_in_pairs() {
    learns_by_heart(&tiny_with(48, Multiplier::Learned { bias: false }, true), &["lambda_"]);
}

/// The loss falls from that of a guess to next to nothing, and tensors with each of `parts` in their names
/// learn.
fn learns_by_heart(model: &TrainableDecoder, parts: &[&str]) {
    let data = mixture(&[("text", 1.0), ("key-values", 1.0)], 48, 3);
    // The same step again and again: its sequences never change.
    let settings = settings(1);
    let mut state = begin(model);
    let before = state.parameters.clone();
    let mut loss = f64::INFINITY;
    for step in 0..150 {
        let mut trainer = Trainer::new(model, &data, &settings, state);
        loss = trainer.step().unwrap().loss;
        if step == 0 {
            assert!((loss - 512f64.ln()).abs() < 0.5, "untrained: {loss}");
        }
        state = State { step: 0, ..trainer.state().clone() };
    }
    assert!(loss < 0.5, "{loss}");
    for part in parts {
        let of_part = model.layout().tensors().iter().filter(|tensor| tensor.name.contains(part));
        let moved: Vec<bool> = of_part
            .map(|tensor| state.parameters[tensor.range.clone()] != before[tensor.range.clone()])
            .collect();
        assert!(!moved.is_empty() && moved.iter().all(|&moved| moved), "{part}: {moved:?}");
    }
}

#[test]
fn a_training_is_the_same_on_any_number_of_threads_and_when_it_goes_on() {
    let model = tiny(96);
    let data = mixture(&[("needles", 1.0), ("key-values", 1.0)], 96, 3);
    let settings = settings(6);
    let train = |mut state: State, steps: usize, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut losses = Vec::new();
            let mut trainer = Trainer::new(&model, &data, &settings, state.clone());
            for _ in 0..steps {
                losses.push(trainer.step().unwrap().loss);
            }
            state = trainer.state().clone();
            (losses, state)
        })
    };
    let (losses, whole) = train(begin(&model), 6, 1);
    let (first, half) = train(begin(&model), 3, 3);
    let (second, rest) = train(half, 3, 2);
    assert_eq!([first, second].concat(), losses);
    assert!(rest == whole, "not bit for bit");
}

/// What the first step makes of the parameters.
fn first_step(change: impl Fn(&mut TrainingSettings)) -> (State, f64) {
    let model = tiny(48);
    let data = mixture(&[("text", 1.0), ("key-values", 1.0)], 48, 3);
    let mut settings = TrainingSettings { warmup_steps: 0, ..settings(1) };
    change(&mut settings);
    let mut trainer = Trainer::new(&model, &data, &settings, begin(&model));
    let norm = trainer.step().unwrap().gradient_norm;
    (trainer.into_state(), norm)
}

#[test]
fn gradients_that_are_added_up_over_batches_are_those_of_one_large_batch() {
    let (added, _) = first_step(|settings| (settings.batch_size, settings.accumulation) = (2, 4));
    let (whole, _) = first_step(|settings| (settings.batch_size, settings.accumulation) = (8, 1));
    let (other, _) = first_step(|settings| (settings.batch_size, settings.accumulation) = (7, 1));
    assert!(added == whole && added != other);
}

#[test]
fn a_gradient_larger_than_the_limit_is_scaled_to_it_and_a_smaller_one_is_left() {
    // Behind the first step the first moment is (1 - 0.9) times the gradient that was used.
    let used =
        |state: &State| state.moments[0].iter().map(|&m| f64::from(m / 0.1).powi(2)).sum::<f64>().sqrt();
    let (free, norm) = first_step(|settings| settings.clip = 0.0);
    assert!((used(&free) / norm - 1.0).abs() < 1e-4, "{} of {norm}", used(&free));
    let (limited, same) = first_step(|settings| settings.clip = norm / 8.0);
    assert_eq!(norm, same, "the norm is that before clipping");
    assert!((used(&limited) / norm - 0.125).abs() < 1e-5, "{} of {norm}", used(&limited));
    let (wide, _) = first_step(|settings| settings.clip = 2.0 * norm);
    assert!(wide == free);
}

#[test]
fn matrices_decay_and_norms_and_scales_do_not() {
    let (lr, decay) = (0.01, 0.1);
    let [(plain, _), (decayed, _)] =
        [0.0, decay].map(|decay| first_step(|settings| settings.weight_decay = decay));
    let model = tiny(48);
    let before = initial(&model, 1);
    let mut kinds = [0, 0];
    for tensor in model.layout().tensors() {
        let lost = tensor.range.clone().map(|i| f64::from(plain.parameters[i] - decayed.parameters[i]));
        let factor = if tensor.shape.len() > 1 { lr * decay } else { 0.0 };
        for (lost, i) in lost.zip(tensor.range.clone()) {
            let expected = factor * f64::from(before[i]);
            assert!(
                (lost - expected).abs() < 1e-7 && (factor > 0.0 || lost == 0.0),
                "{}: {lost}",
                tensor.name
            );
        }
        kinds[usize::from(factor > 0.0)] += 1;
    }
    assert!(kinds.iter().all(|&count| count > 2), "{kinds:?}");
}
