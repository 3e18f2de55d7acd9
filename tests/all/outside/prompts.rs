//! `--prompts FILE`: prompts of any benchmark, put to the model as they are.

use niah::store::csv;
use niah::store::directory::RunRecord;
use niah::trial::{Outcome, SpanRow, Status};
use serde_json::{Value, json};

use crate::common::bench::{Bench, stderr};

/// Rows of every form that a checkpoint without a template takes.
fn rows() -> Vec<Value> {
    vec![
        json!({"id": "own", "prompt": "Die Tür der Mühle ist rot.\n\nWhich colour is it? It is",
               "expected": "rot", "spans": [{"kind": "target", "start": 22, "end": 25}], "context_length": 512}),
        json!({"index": 7, "input": "What is 2 and 2?", "outputs": ["4", "four"], "length": 200,
               "answer_prefix": " Answer: it is", "scorer": "any", "token_position_answer": -1}),
        json!({"_id": "c", "prompt": "Die Tür der Mühle ist rot.\n\nWhose mill is it?", "expected": ["Ann's", "Bob's"],
               "answer_budget": 60}),
    ]
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn bench(text: &str) -> Bench {
    let bench = Bench::new();
    std::fs::write(bench.path("p.jsonl"), text).unwrap();
    bench
}

fn prompts(bench: &Bench, flags: &[&str]) -> Vec<Value> {
    let text = bench.stdout(&[&["prompts", "-m=tiny"], flags].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn results(bench: &Bench) -> Vec<Outcome> {
    csv::read(bench.path("out/results.csv")).unwrap()
}

/// A template in the tiny checkpoint that trims what is said.
fn with_template(bench: &Bench) {
    let template = "{% for message in messages %}<|{{ message.role }}|>{{ message.content | trim }}\n\
                    {% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";
    std::fs::write(bench.path("tiny/chat_template.jinja"), template).unwrap();
}

#[test]
fn prompts_are_put_to_the_model_as_they_are_with_their_spans_in_characters() {
    let bench = bench(&lines(&rows()));
    let said = prompts(&bench, &["--prompts=p.jsonl"]);
    let texts: Vec<&str> = said.iter().map(|line| line["prompt"].as_str().unwrap()).collect();
    assert_eq!(texts[0], rows()[0]["prompt"]);
    assert_eq!(texts[1], "What is 2 and 2? Answer: it is");
    assert_eq!(texts[2], rows()[2]["prompt"]);
    let ids: Vec<&str> = said.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["own", "7", "c"]);
    let lengths: Vec<u64> = said.iter().map(|line| line["context_length"].as_u64().unwrap()).collect();
    assert_eq!(lengths[..2], [512, 256], "its own, and RULER's rounded up");
    let taken = said[2]["prompt_tokens"].as_u64().unwrap() + said[2]["answer_budget"].as_u64().unwrap();
    assert_eq!(lengths[2], taken.next_power_of_two().max(128));
    let span = &said[0]["spans"][0];
    assert_eq!((span["kind"].as_str(), span["text"].as_str()), (Some("target"), Some("rot")));
    assert_eq!((span["start"].as_u64(), span["end"].as_u64()), (Some(22), Some(25)));
    assert_eq!(said[1]["answer_text"], " 4", "any of several is right, so one is said");
    assert_eq!(said[2]["answer_text"], " Ann's, Bob's");
    assert_eq!(said[2]["answer_budget"], 60);
}

#[test]
fn a_run_has_a_row_for_each_prompt_goes_on_and_knows_the_file() {
    let bench = bench(&lines(&rows()));
    let run = ["run", "-m=tiny", "--prompts=p.jsonl", "-o=out"];
    let dry = bench.stdout(&[&run[..], &["--dry-run"]].concat());
    assert!(dry.contains("task       prompts, completion form") && dry.contains("3 prompts"), "{dry}");
    let tokens = dry.lines().find(|line| line.starts_with("tokens")).unwrap();
    let number = |at: usize| -> usize {
        tokens
            .split(|c: char| !c.is_ascii_digit())
            .filter(|part| !part.is_empty())
            .nth(at)
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!(number(1) <= number(0), "{tokens}");
    bench.stdout(&[&run[..], &["--limit=1"]].concat());
    let first = bench.text("out/results.csv");
    let said = stderr(&bench.output(&run));
    assert!(said.contains("2 of 3 prompts say no spans"), "{said}");
    assert!(said.contains("3 of 3 trials"), "{said}");
    assert!(bench.text("out/results.csv").starts_with(&first));
    let rows = results(&bench);
    assert_eq!(rows.iter().map(|row| row.trial).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(rows.iter().all(|row| row.status == Status::Ok && row.task == "prompts"));
    assert!(rows[0].needle_mass_top.is_some() && rows[1].needle_mass_top.is_none());
    assert_eq!(csv::read::<SpanRow>(bench.path("out/spans.csv")).unwrap().len(), 1);
    let record = RunRecord::read(&bench.path("out")).unwrap();
    assert_eq!((record.settings.planned(), record.settings.grid.depths().len()), (3, 1));
    for command in [&["view", "out", "--export=page.html"][..], &["attend", "out", "--trial=1"]] {
        let output = bench.output(command);
        assert_ne!(output.status.code(), Some(2), "{command:?}: {}", stderr(&output));
    }
    let changed = lines(&self::rows()).replace("\"rot\"", "\"blau\"");
    std::fs::write(bench.path("p.jsonl"), changed).unwrap();
    bench.refused(&run, &["another plan", "prompts_sha256"]);
}

#[test]
fn rows_are_the_same_on_any_number_of_threads_and_without_sharing() {
    let bench = bench(&lines(&rows()));
    let run = |more: &[&str]| {
        bench.stdout(&[&["run", "-m=tiny", "--prompts=p.jsonl", "-o=out"], more].concat());
        let rows: Vec<Outcome> = results(&bench)
            .into_iter()
            .map(|row| Outcome { duration_seconds: None, timestamp_utc: String::new(), ..row })
            .collect();
        let spans = bench.text("out/spans.csv");
        std::fs::remove_dir_all(bench.path("out")).unwrap();
        (rows, spans)
    };
    let one = run(&["--threads=1"]);
    assert_eq!(run(&["--threads=3"]), one);
    let apart = run(&["--no-prefix-sharing"]).0;
    let answers = |rows: &[Outcome]| rows.iter().map(|row| row.model_response.clone()).collect::<Vec<_>>();
    assert_eq!(answers(&apart), answers(&one.0));
}

#[test]
fn what_niah_prompts_writes_comes_back_with_equal_tokens_and_spans() {
    let same = [
        "prompt",
        "prompt_sha256",
        "prompt_tokens",
        "spans",
        "needle_spans",
        "value_spans",
        "expected",
        "answer_text",
        "answer_prefix",
        "answer_budget",
        "messages",
        "context_length",
        "id",
        "scorer",
    ];
    for template in [false, true] {
        let bench = Bench::new();
        if template {
            with_template(&bench);
        }
        for task in
            ["magic", "multi-2", "kv-phonebook", "updates", "gkamradt", "rounds", "absence", "ruler-vt"]
        {
            for control in [None, Some("--control=no-needle")] {
                if control.is_some() && !["magic", "multi-2", "kv-phonebook", "gkamradt"].contains(&task) {
                    continue;
                }
                let task = format!("--task={task}");
                let flags = ["--context-lengths=1500", "--depths=40", task.as_str()];
                let flags: Vec<&str> = flags.iter().copied().chain(control).collect();
                let before = prompts(&bench, &flags);
                std::fs::write(bench.path("p.jsonl"), lines(&before)).unwrap();
                let after = prompts(&bench, &["--prompts=p.jsonl"]);
                assert_eq!(before.len(), after.len());
                for (one, other) in before.iter().zip(&after) {
                    for key in same {
                        assert_eq!(one[key], other[key], "{task} {control:?} template {template}: {key}");
                    }
                }
            }
        }
    }
}

#[test]
fn where_a_needle_was_left_out_comes_back_at_every_depth() {
    let bench = Bench::new();
    let flags = ["--context-lengths=700", "--depths=0,50,100", "--control=no-needle", "--task=magic"];
    let wrote = bench.stdout(&[&["prompts", "-m=tiny"], &flags[..]].concat());
    std::fs::write(bench.path("p.jsonl"), &wrote).unwrap();
    let spans = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["spans"][0].clone()).collect()
    };
    let again = bench.stdout(&["prompts", "-m=tiny", "--prompts=p.jsonl"]);
    assert_eq!(spans(&again).len(), 3);
    for (own, again) in spans(&wrote).iter().zip(spans(&again)) {
        let key = |key: &str| (own[key].clone(), again[key].clone());
        for (own, again) in [key("tokens"), key("value_tokens"), key("absent")] {
            assert_eq!(own, again);
        }
    }
}

#[test]
fn tokens_of_spans_that_overlap_count_once() {
    let prompt = "The red door is open. The code is 4711. What is the code? It is";
    let of = |spans: Value| {
        let row = json!({"prompt": prompt, "expected": "4711", "context_length": 256, "spans": spans});
        let bench = bench(&lines(&[row]));
        bench.stdout(&["run", "-m=tiny", "--prompts=p.jsonl", "-o=out"]);
        results(&bench)[0].needle_mass_top.unwrap()
    };
    let whole = of(json!([{"start": 22, "end": 39}]));
    assert_eq!(of(json!([{"start": 22, "end": 39}, {"start": 22, "end": 39}])), whole);
    assert_eq!(of(json!([{"start": 22, "end": 33}, {"start": 26, "end": 39}])), whole);
}

#[test]
fn a_span_says_what_stands_at_its_place() {
    let bench = Bench::new();
    for task in ["gkamradt", "passkey", "magic"] {
        let task = format!("--task={task}");
        let text = bench.stdout(&["prompts", "-m=tiny", "--context-lengths=900", "--depths=50", &task]);
        let row: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let part = |text: &str, start: &Value, end: &Value| -> String {
            let [start, end] = [start, end].map(|at| at.as_u64().unwrap() as usize);
            text.chars().skip(start).take(end - start).collect()
        };
        let span = &row["spans"][0];
        let stands = part(row["prompt"].as_str().unwrap(), &span["start"], &span["end"]);
        assert_eq!(span["text"], json!(stands));
        let value = part(&stands, &span["value"][0], &span["value"][1]);
        assert!(
            row["expected"].as_array().unwrap().iter().any(|one| value.contains(one.as_str().unwrap())),
            "{value}"
        );
    }
}

#[test]
fn a_prompt_without_a_needle_has_no_depth() {
    let bench = bench(&lines(&[json!({"prompt": "Say 4711. It is", "expected": "4711"})]));
    bench.stdout(&["run", "-m=tiny", "--prompts=p.jsonl", "-o=out"]);
    assert_eq!(results(&bench)[0].actual_depth_percent, None);
    let alone =
        ["run", "-m=tiny", "--control=needle-only", "--context-lengths=700", "--depths=50", "-o=alone"];
    bench.stdout(&alone);
    assert_eq!(bench.outcomes("alone")[0].actual_depth_percent, None);
}

#[test]
fn conversations_are_put_into_the_template_and_their_spans_are_found_there() {
    let messages = json!([
        {"role": "system", "content": "user"},
        {"role": "user", "content": "  Änne lives in Ulm.  "},
        {"role": "assistant", "content": [{"type": "text", "text": "assistant"}]},
        {"role": "user", "content": "Where does Änne live?"},
    ]);
    let row = json!({"id": "chat", "messages": messages, "expected": "Ulm", "answer_prefix": " In",
                     "spans": [{"kind": "target", "message": 1, "start": 2, "end": 20, "value": [14, 17]}]});
    let bench = bench(&lines(&[row]));
    let failing = bench.output(&["run", "-m=tiny", "--prompts=p.jsonl", "-o=out"]);
    assert_eq!(failing.status.code(), Some(1));
    let without = stderr(&failing);
    assert!(
        without.contains("prompt \"chat\" (line 1)") && without.contains("no chat template"),
        "{without}"
    );
    with_template(&bench);
    let said = prompts(&bench, &["--prompts=p.jsonl"]);
    assert_eq!(
        said[0]["prompt"],
        "<|system|>user\n<|user|>Änne lives in Ulm.\n<|assistant|>assistant\n<|user|>Where does Änne live?\n<|assistant|> In"
    );
    let span = &said[0]["spans"][0];
    assert_eq!(span["text"], "Änne lives in Ulm.");
    assert_eq!((span["message"]["number"].as_u64(), span["message"]["start"].as_u64()), (Some(1), Some(0)));
    assert_eq!(said[0]["messages"][3]["content"], "Where does Änne live?");
    let instructed = prompts(&bench, &["--prompts=p.jsonl", "--apply-chat-template=always"]);
    assert_eq!(instructed[0]["prompt"], said[0]["prompt"]);
}

#[test]
fn a_text_is_a_users_turn_where_the_template_is_asked_for() {
    let bench = bench(&lines(&rows()[..2]));
    with_template(&bench);
    assert_eq!(prompts(&bench, &["--prompts=p.jsonl"])[0]["prompt"], rows()[0]["prompt"], "as it is");
    let said = prompts(
        &bench,
        &["--prompts=p.jsonl", "--apply-chat-template=always", "--system-instruction=Be brief."],
    );
    let expected =
        format!("<|system|>Be brief.\n<|user|>{}\n<|assistant|>", rows()[0]["prompt"].as_str().unwrap());
    assert_eq!(said[0]["prompt"], expected.as_str());
    assert_eq!(said[0]["spans"][0]["text"], "rot");
    assert_eq!(said[0]["spans"][0]["message"]["number"], 1);
    let ruler = "<|system|>Be brief.\n<|user|>What is 2 and 2?\n<|assistant|> Answer: it is";
    assert_eq!(said[1]["prompt"], ruler);
}

#[test]
fn mrcr_of_openai_is_understood() {
    let turns = json!([{"role": "user", "content": "Say a poem."}, {"role": "assistant", "content": "Roses."},
                       {"role": "user", "content": "Say it again, behind aB3."}]);
    let row = json!({"prompt": turns.to_string(), "answer": "aB3Roses.", "random_string_to_prepend": "aB3",
                     "n_needles": 2, "total_messages": 3});
    let bench = bench(&lines(&[row]));
    with_template(&bench);
    let said = &prompts(&bench, &["--prompts=p.jsonl"])[0];
    assert_eq!(said["messages"], turns);
    assert_eq!((&said["expected"], &said["scorer"]), (&json!(["aB3", "Roses."]), &json!("sequence-ratio")));
    assert_eq!(said["answer_text"], "aB3Roses.");
}

#[test]
fn a_wrong_file_is_refused_with_line_key_and_what_is_expected() {
    let row = |more: Value| {
        let mut row = json!({"prompt": "Ärger am Tor", "expected": "Tor"});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        lines(&[json!({"prompt": "x y", "expected": "z"}), row])
    };
    let span = |span: Value| row(json!({"spans": [span]}));
    for (text, words) in [
        (String::new(), &["p.jsonl: found no rows"][..]),
        ("[1]\n".to_string(), &["line 1", "a list", "jq"]),
        ("{\"prompt\": \"a\0\"}\n".to_string(), &["line 1", "a zero byte"]),
        (
            "{\"expected\": \"a\", \"text\": 1}".to_string(),
            &["line 1", "the keys expected, text", "prompt, messages and input"],
        ),
        (row(json!({"expected": null})), &["line 2, expected", "nothing", "a list of texts"]),
        (row(json!({"expected": []})), &["line 2, expected", "an empty list"]),
        (row(json!({"expected": " "})), &["line 2, expected", "an empty text"]),
        (row(json!({"outputs": ["x"]})), &["line 2, outputs", "a second answer"]),
        (row(json!({"prompt": 7})), &["line 2, prompt", "a number", "a text"]),
        (row(json!({"id": "0"})), &["line 2, id", "\"0\"", "line 1 has this one"]),
        (row(json!({"id": [1]})), &["line 2, id", "a list"]),
        (row(json!({"context_length": 0})), &["line 2, context_length", "0"]),
        (row(json!({"context_length": "4k"})), &["line 2, context_length", "\"4k\"", "a whole number"]),
        (row(json!({"answer_budget": -1})), &["line 2, answer_budget", "-1"]),
        (row(json!({"scorer": "best"})), &["scorer of prompt \"1\" (line 2)", "\"best\"", "one of match"]),
        (row(json!({"messages": []})), &["line 2, messages", "an empty list"]),
        (row(json!({"messages": [{"role": "user"}]})), &["line 2, messages", "message 0"]),
        (row(json!({"spans": {}})), &["line 2, spans", "an object"]),
        (
            span(json!({"kind": "goal", "start": 0, "end": 1})),
            &["line 2, spans[0]", "\"goal\"", "target, other"],
        ),
        (
            span(json!({"start": 9, "end": 13})),
            &["line 2, spans[0]", "the characters 9 to 13", "12 characters"],
        ),
        (span(json!({"start": 3, "end": 1})), &["line 2, spans[0]", "the characters 3 to 1"]),
        (
            span(json!({"start": 0, "end": 1, "message": 9})),
            &["line 2, spans[0]", "message 9", "the row has no messages"],
        ),
        (
            row(json!({"random_string_to_prepend": "aB3"})),
            &["line 2, answer", "\"Tor\"", "begins with random_string_to_prepend"],
        ),
        (span(json!({"start": 5, "end": 5})), &["line 2, spans[0]", "nothing at start to end"]),
        (span(json!({"start": "9", "end": 12})), &["line 2, spans[0]", "start \"9\""]),
        (
            span(json!({"start": 10, "end": 13, "text": "Tor"})),
            &["line 2, spans[0]", "the characters 10 to 13"],
        ),
        (span(json!({"start": 8, "end": 11, "text": "Tor"})), &["line 2, spans[0]", "\" To\"", "not bytes"]),
        (
            span(json!({"start": 9, "end": 12, "value": [0, 4]})),
            &["line 2, spans[0]", "the characters 0 to 4"],
        ),
    ] {
        let bench = bench(&text);
        bench.refused(&["prompts", "-m=tiny", "--prompts=p.jsonl"], words);
    }
}

#[test]
fn flags_of_a_grid_have_no_place_beside_a_file_of_prompts() {
    let bench = bench(&lines(&rows()));
    for flag in [
        "--task=magic",
        "--context-lengths=1k",
        "--depths=0",
        "--trials=2",
        "--haystack=noise",
        "--control=no-needle",
        "--distractors=1",
        "--needle=x",
        "--snap=none",
    ] {
        bench.refused(
            &["run", "-m=tiny", "--prompts=p.jsonl", flag],
            &["--prompts", flag.split('=').next().unwrap()],
        );
    }
    bench.refused(
        &["run", "-m=tiny", "--prompts=p.jsonl", "--system-instruction=x"],
        &["--system-instruction", "plain text"],
    );
}

#[test]
fn a_model_thinks_before_it_answers_a_conversation_as_before_a_task() {
    let bench = Bench::new();
    let template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] {% if \
                    enable_thinking %}<think>\n{% endif %}";
    std::fs::write(bench.path("tiny/chat_template.jinja"), template).unwrap();
    let think = ["--thinking=on", "--max-thinking-tokens=8"];
    let task = ["-m=tiny", "--context-lengths=600", "--depths=50", "-n=2"];
    bench.stdout(&[&["prompts", "-o=p.jsonl"][..], &task, &think].concat());
    bench.stdout(&[&["run", "-o=task"][..], &task, &think].concat());
    bench.stdout(&[&["run", "-o=out", "-m=tiny", "--prompts=p.jsonl"][..], &think].concat());
    let known = |row: Outcome| {
        (row.prompt_hash, row.model_response, row.needle_mass_top, row.answer_logprob, row.thinking_tokens)
    };
    let of_task: Vec<Outcome> = csv::read(bench.path("task/results.csv")).unwrap();
    let (of_task, given): (Vec<_>, Vec<_>) =
        (of_task.into_iter().map(known).collect(), results(&bench).into_iter().map(known).collect());
    assert_eq!(of_task, given);
    assert_eq!(given[0].4, Some(8));
}
