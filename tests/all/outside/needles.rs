//! `--needles FILE`: needles of the user's own, out of a table or JSON lines.

use std::path::Path;

use niah::grid::{Cell, ContextLength, Depth};
use niah::haystack::Haystack;
use niah::prompt::{Assistant, Form, Prompt, PromptPlan, Snap};
use niah::span::SpanKind;
use niah::store::csv;
use niah::task::{Controlled, Distracted, Needles, Task};
use niah::tokenizer::Tokenize;
use niah::trial::{Outcome, Trial};

use crate::common::bench::{Bench, stderr};
use crate::toys::{self, Toy};

const TABLE: &str = "\
prompt,needle,question,answer,kind,depth
a,The key of the mill is brass.,What are the keys made of?,brass,,
a,The key of the barn is iron.,,iron,target,
a,\"The key of the shed, once, was tin.\",,,stale,0
b,\"A parrot \"\"Bo\"\" lives at the inn.\",Who lives at the inn?,parrot,,
b,A cat lives at the school.,,cat,other,100
,The bell rings at seven.,When does the bell ring?,seven,,
";

fn read(name: &str, text: impl AsRef<[u8]>) -> Result<Needles, String> {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join(name);
    std::fs::write(&path, text).unwrap();
    let shorter = |error: niah::Error| error.to_string().replace(&format!("{}/", place.path().display()), "");
    Needles::read(&path).map_err(shorter)
}

fn prompt(task: Box<dyn Task>, depth: f64, index: usize) -> Prompt {
    prompt_by(&toys::words(), task, depth, index)
}

fn prompt_by(toy: &Toy, task: Box<dyn Task>, depth: f64, index: usize) -> Prompt {
    let (haystack, form) = (Haystack::resolve("essays").unwrap(), Form::Completion);
    let plan = PromptPlan {
        built: niah::prompt::Built::default(),
        task,
        haystack,
        form,
        snap: Snap::Sentence,
        assistant: Assistant::default(),
        answer_budget: None,
    };
    let cell = Cell { context_length: ContextLength(900), depth: Depth::from_percent(depth).unwrap() };
    let trial = Trial { cell, index, seed: 3 };
    plan.build(&trial, toy, &mut plan.haystack_tokens(&trial)).unwrap()
}

fn of(index: usize, depth: f64) -> Prompt {
    prompt(Box::new(read("n.csv", TABLE).unwrap()), depth, index)
}

fn spans(prompt: &Prompt) -> Vec<(String, &str)> {
    prompt.spans.iter().map(|span| (span.kind.to_string(), span.text.as_str())).collect()
}

#[test]
fn the_rows_of_a_prompt_stand_together_each_with_its_kind_and_place() {
    let toy = toys::words();
    let first = prompt_by(&toy, Box::new(read("n.csv", TABLE).unwrap()), 50.0, 0);
    let expected = [
        ("stale", "The key of the shed, once, was tin."),
        ("target", "The key of the mill is brass."),
        ("target", "The key of the barn is iron."),
    ];
    assert_eq!(spans(&first), expected.map(|(kind, text)| (kind.to_string(), text)));
    assert_eq!(first.expected, ["brass", "iron"]);
    assert_eq!((first.needles.len(), first.answer_items.len()), (2, 2));
    assert!((40.0..56.0).contains(&first.actual_depth.unwrap().percent()), "{}", first.actual_depth.unwrap());
    for span in &first.spans {
        let text = toy.decode(&first.tokens[span.tokens.clone()]).unwrap();
        assert_eq!(text.trim(), span.text);
    }
    let second = of(1, 50.0);
    assert_eq!(
        (second.question.as_str(), second.expected.as_slice()),
        ("Who lives at the inn?", &["parrot".to_string()][..])
    );
    assert_eq!(spans(&second)[0].1, "A parrot \"Bo\" lives at the inn.");
    let last = second.spans.last().unwrap();
    assert_eq!((last.kind, last.tokens.end), (SpanKind::Other, second.haystack.end));
}

#[test]
fn trials_take_the_prompts_in_turn_and_begin_anew_behind_the_last() {
    for (index, question) in
        [(2, "When does the bell ring?"), (3, "What are the keys made of?"), (5, "When does the bell ring?")]
    {
        assert_eq!(of(index, 0.0).question, question);
    }
    let task = read("n.csv", TABLE).unwrap();
    assert!(task.notes(1)[0].contains("1 of its 3 prompts"), "{:?}", task.notes(1));
    assert!(task.notes(3)[0].contains("modulo 3"), "{:?}", task.notes(3));
}

#[test]
fn json_lines_and_tables_give_the_same_prompts_whatever_ends_their_lines() {
    let lines = [
        r#"{"needle": "The bell rings at 7.", "question": "When?", "answer": 7, "depth": 30}"#,
        "",
        r#"{"answer": "eight", "question": "And now?", "needle": "It rings at eight.", "depth": "60%", "kind": null}"#,
    ];
    let table = "needle,question,answer,depth\nThe bell rings at 7.,When?,7,30\n\nIt rings at eight.,And now?,eight,60%\n";
    let json = lines.join("\n");
    for (name, text) in [
        ("n.jsonl", json.clone()),
        ("n", json.clone()),
        ("n.jsonl", format!("\u{FEFF}{}", json.replace('\n', "\r\n"))),
        ("n.csv", table.to_string()),
        ("n.txt", table.to_string()),
        ("n.csv", format!("\u{FEFF}{}", table.replace('\n', "\r\n"))),
    ] {
        let task = read(name, &text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(task.without_depth().is_some(), "every needle has a depth");
        let [first, second] = [0, 1].map(|index| prompt(Box::new(task.clone()), 0.0, index));
        assert_eq!((first.question.as_str(), second.question.as_str()), ("When?", "And now?"));
        assert!(
            (20.0..31.0).contains(&first.actual_depth.unwrap().percent()),
            "{}",
            first.actual_depth.unwrap()
        );
        assert!(
            (50.0..61.0).contains(&second.actual_depth.unwrap().percent()),
            "{}",
            second.actual_depth.unwrap()
        );
    }
}

#[test]
fn controls_and_distractors_work_on_needles_of_a_file() {
    let without = prompt(
        Box::new(Controlled::new(Box::new(read("n.csv", TABLE).unwrap()), "no-needle").unwrap()),
        50.0,
        0,
    );
    assert!(without.spans.iter().all(|span| span.absent) && !without.text.contains("brass"));
    let distracted = Distracted::new(Box::new(read("n.csv", TABLE).unwrap()), 1).unwrap();
    let more = prompt(Box::new(distracted), 50.0, 2);
    assert_eq!(more.question, "When does the bell ring?");
    assert_eq!(more.spans.iter().filter(|span| span.kind == SpanKind::Distractor).count(), 1);
}

#[test]
fn a_wrong_file_is_refused_with_line_column_and_what_is_expected() {
    let head = "needle,question,answer,kind,depth,prompt\n";
    let row = |row: &str| format!("{head}{row}\n");
    let huge = format!("needle,question,answer\n\"{}\",q,a\n", "a ".repeat(600_000));
    for (name, text, words) in [
        ("n.csv", String::new(), &["n.csv: found no rows"][..]),
        ("n.jsonl", " \n\n".to_string(), &["found no rows"]),
        ("n.csv", head.to_string(), &["found no rows"]),
        ("n.csv", "needle,answer\nA b.,b\n".to_string(), &["line 1", "needle, answer", "question"]),
        ("n.csv", "needle,needle,question,answer\na,b,c,d\n".to_string(), &["line 1", "each of them once"]),
        ("n.csv", row("A red door.,Which?,blue,,,"), &["line 2, answer", "\"blue\"", "A red door."]),
        ("n.csv", row("Fred did it.,Which?,red,,,"), &["line 2, answer", "a longer word"]),
        ("n.csv", row(",Which?,red,,,"), &["line 2, needle", "nothing"]),
        ("n.csv", row("A red door.,,red,,,"), &["line 2, question", "nothing"]),
        ("n.csv", row("A red door.,Which?,,,,"), &["line 2, answer", "nothing"]),
        ("n.csv", row("A red door.,Is it red?,red,,,"), &["line 2, question", "does not say"]),
        ("n.csv", row("A red door.,Which?,red,goal,,"), &["line 2, kind", "\"goal\"", "target, other"]),
        ("n.csv", row("A red door.,Which?,red,stale,,"), &["line 2, kind", "stale", "target"]),
        ("n.csv", row("A red door.,Which?,red,,101,"), &["line 2, depth", "101", "between 0"]),
        ("n.csv", row("A red door.,Which?,red,,deep,"), &["line 2, depth", "deep"]),
        ("n.csv", row("A red door.,Which?,red"), &["line 2", "3 fields", "6 as in the first line"]),
        ("n.csv", row("A \"red door.,Which?,red,,,"), &["odd number of quotation marks"]),
        (
            "n.csv",
            row("A red door.,Which?,red,,5,\nA tin door.,Which?,tin,,,"),
            &["line 3, depth", "nothing", "as in line 2"],
        ),
        (
            "n.csv",
            row("A red door.,Which?,red,,,p\nA tin door.,What?,tin,,,p"),
            &["line 3, question", "a prompt asks one"],
        ),
        (
            "n.csv",
            row("A red door.,Which?,red,,,p\nNo red gate.,,,other,,p"),
            &["line 3, needle", "the answer of line 2"],
        ),
        (
            "n.csv",
            row("A red door.,Which?,red,,,p\nA red door.,,red,,,p"),
            &["line 3, needle", "the answer of line 2"],
        ),
        ("n.csv", huge, &["line 2, needle", "1200000 bytes", "at most 1048576"]),
        ("n.csv", "needle,question,answer\nA\0b,q,a\n".to_string(), &["line 2", "a zero byte"]),
        ("n.jsonl", "[\n{}\n]".to_string(), &["line 1", "jq"]),
        ("n.json", "[{\"needle\": 1}]".to_string(), &["line 1", "a list", "jq -c"]),
        (
            "n.jsonl",
            "{\"needle\": \"a b\", \"question\": [1], \"answer\": \"b\"}".to_string(),
            &["line 1, question", "no text"],
        ),
        ("n.jsonl", "{\"needle\"".to_string(), &["line 1", "no JSON"]),
        (
            "n.jsonl",
            "{\"needle\": \"a b\", \"answer\": \"b\"}".to_string(),
            &["line 1", "one called question"],
        ),
    ] {
        let error = read(name, &text).unwrap_err();
        for word in words {
            assert!(error.contains(word), "no {word:?} in {error}");
        }
        assert!(error.len() < 700, "{}", error.len());
    }
    let utf_16: Vec<u8> =
        [0xFF, 0xFE].into_iter().chain("needle".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert!(read("n.csv", utf_16).unwrap_err().contains("UTF-16"));
    let latin = b"needle,question,answer\nCaf\xE9 au lait,q,lait\n";
    assert!(read("n.csv", latin).unwrap_err().contains("line 2: found a byte that is not UTF-8"));
    assert!(Needles::read(Path::new("/nowhere/n.csv")).unwrap_err().to_string().contains("cannot read"));
}

#[test]
fn a_run_on_a_file_of_needles_knows_the_file_goes_on_and_grows() {
    let bench = Bench::new();
    std::fs::write(bench.path("n.csv"), TABLE).unwrap();
    let run =
        ["run", "-m=tiny", "--needles=n.csv", "--context-lengths=900", "--depths=0,100", "-o=out", "-n=2"];
    let said = stderr(&bench.output(&run));
    assert!(said.contains("2 of its 3 prompts; --trials 3 asks all"), "{said}");
    let rows: Vec<Outcome> = csv::read(bench.path("out/results.csv")).unwrap();
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row.task == "needles" && row.error.is_none()), "{rows:?}");
    bench.stdout(&[&run[..], &["-n=4"]].concat());
    let rows: Vec<Outcome> = csv::read(bench.path("out/results.csv")).unwrap();
    assert_eq!(rows.len(), 8);
    assert_eq!(rows[0].expected_answer, "brass|iron");
    assert!(bench.text("out/kinds.csv").contains("stale"));
    let whole = bench.text("out/attention.csv");
    bench.stdout(&["attend", "out", "--trial=1", "--depth=100"]);
    std::fs::write(bench.path("n.csv"), TABLE.replace("brass", "amber")).unwrap();
    bench.refused(&[&run[..], &["-n=4"]].concat(), &["another plan", "needles_sha256"]);
    assert_eq!(bench.text("out/attention.csv"), whole);
    bench.refused(&["prompts", "-m=tiny", "--needles=gone.csv"], &["gone.csv", "cannot read"]);
    let both = bench.output(&["prompts", "-m=tiny", "--needles=n.csv", "--needle=x"]);
    assert_eq!(both.status.code(), Some(2));
}
