//! RULER's prompts against its templates, by parsers that know nothing of how they are written.

use std::collections::{BTreeMap, BTreeSet};

use niah::prompt::{Form, Prompt, Snap};
use niah::tokenizer::Tokenize;

use super::{build, plan, real, trial};
use crate::toys;

const LENGTHS: [usize; 5] = [512, 1024, 2048, 4096, 8192];

const NOISE: &str =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

/// The prompts of a task in the completion form, in two toy tokenizers and in those of two checkpoints, at
/// every length that has room for it.
fn each(name: &str, check: impl Fn(&Prompt, usize)) {
    let toys = [toys::words(), toys::merging()];
    let mut tokenizers: Vec<(&str, &dyn Tokenize)> = toys.iter().map(|toy| (toy.name, toy as _)).collect();
    tokenizers.extend(real::tokenizers().map(|(name, tokenizer)| (name, tokenizer as &dyn Tokenize)));
    for (of, tokenizer) in tokenizers {
        let mut built = 0;
        for length in LENGTHS {
            for (depth, seed) in [(0.0, 1), (45.0, 2), (100.0, 3)] {
                let plan = plan(name, Form::Completion);
                let trial = trial(length, depth, 0, seed);
                if let Ok(prompt) = plan.build(&trial, tokenizer, &mut plan.haystack_tokens(&trial)) {
                    let taken = prompt.tokens.len() + prompt.answer_budget;
                    assert!(taken <= length, "{name} {of}: {taken} for {length}");
                    assert!(
                        length - taken < longest_item(&prompt, tokenizer),
                        "{name} {of}: {taken} for {length}"
                    );
                    check(&prompt, length);
                    built += 1;
                }
            }
        }
        assert!(built >= 9, "{name} {of}: {built}");
    }
}

/// Tokens of the longest item of a prompt's text, a sentence, a line or a word with its number, as many as
/// may be missing at its end.
fn longest_item(prompt: &Prompt, tokenizer: &dyn Tokenize) -> usize {
    let text = tokenizer.decode(&prompt.tokens[prompt.haystack.clone()]).unwrap();
    let items = text.split_inclusive('\n').flat_map(|line| line.split_inclusive(". "));
    let longest = items.map(|item| tokenizer.encode(item).unwrap().ids.len()).max().unwrap();
    longest.max(Snap::SENTENCE_BOUND)
}

/// What stands between two texts that must be there, and what stands behind the second.
fn between<'a>(text: &'a str, first: &str, second: &str) -> (&'a str, &'a str) {
    let (_, behind) = text.split_once(first).unwrap_or_else(|| panic!("{first:?} in {text:?}"));
    behind.split_once(second).unwrap_or_else(|| panic!("{second:?} in {behind:?}"))
}

/// A needle task's prompt: its type, context and query, once the template has been checked.
struct Needles<'a> {
    plural: &'a str,
    context: &'a str,
    query: &'a str,
}

fn needles<'a>(text: &'a str, plural: &'a str, several: bool) -> Needles<'a> {
    let singular = plural.strip_suffix('s').unwrap();
    let (instruction, question, prefix) = if several {
        (
            format!(
                "Some special magic {plural} are hidden within the following text. Make sure to memorize it. I \
                 will quiz you about the {plural} afterwards.\n"
            ),
            format!("\nWhat are all the special magic {plural} for "),
            (format!(" The special magic {plural} for "), " mentioned in the provided text are"),
        )
    } else {
        (
            format!(
                "A special magic {singular} is hidden within the following text. Make sure to memorize it. I \
                 will quiz you about the {singular} afterwards.\n"
            ),
            format!("\nWhat is the special magic {singular} for "),
            (format!(" The special magic {singular} for "), " mentioned in the provided text is"),
        )
    };
    assert!(text.starts_with(&instruction), "{text}");
    let (context, asked) = between(text, &instruction, &question);
    let (query, rest) = asked.split_once(" mentioned in the provided text?").unwrap();
    // A space that is a token of its own stays in the prompt.
    assert_eq!(rest.trim_end(), format!("{}{query}{}", prefix.0, prefix.1));
    Needles { plural, context, query }
}

/// Every needle of a context, key and value.
fn found(parsed: &Needles<'_>) -> Vec<(String, String)> {
    let start = format!("One of the special magic {} for ", parsed.plural);
    let all = parsed.context.split(&start).skip(1);
    let pair = |rest: &str| {
        let (key, rest) = rest.split_once(" is: ").unwrap();
        (key.to_string(), rest.split_once('.').unwrap().0.to_string())
    };
    all.map(pair).collect()
}

fn is_number(text: &str) -> bool {
    text.len() == 7 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

fn is_words(text: &str) -> bool {
    let mut parts = text.split('-');
    parts.clone().count() >= 2 && parts.all(|part| part.bytes().all(|byte| byte.is_ascii_lowercase()))
}

#[test]
fn single_needles_have_one_key_with_one_value() {
    for (name, plural, is_value) in [
        ("ruler-niah-single-1", "numbers", is_number as fn(&str) -> bool),
        ("ruler-niah-single-2", "numbers", is_number),
        ("ruler-niah-single-3", "uuids", is_uuid),
    ] {
        each(name, |prompt, _| {
            let parsed = needles(&prompt.text, plural, false);
            let [(key, value)] = &found(&parsed)[..] else { panic!("{}", prompt.text) };
            assert!(key == parsed.query && is_words(key) && is_value(value), "{key} {value}");
            assert_eq!(prompt.expected, [value.as_str()]);
            if name == "ruler-niah-single-1" {
                let others: Vec<_> = parsed.context.lines().filter(|line| *line != NOISE).collect();
                assert_eq!(others, [prompt.needle_texts[0].as_str()]);
            } else {
                assert!(!parsed.context.contains(NOISE));
            }
        });
    }
}

#[test]
fn multikey_1_has_four_keys_among_essays() {
    each("ruler-niah-multikey-1", |prompt, _| {
        let parsed = needles(&prompt.text, "numbers", false);
        let all = found(&parsed);
        let keys: BTreeSet<_> = all.iter().map(|(key, _)| key).collect();
        let values: BTreeSet<_> = all.iter().map(|(_, value)| value).collect();
        assert_eq!((all.len(), keys.len(), values.len()), (4, 4, 4));
        let asked: Vec<_> =
            all.iter().filter(|(key, _)| key == parsed.query).map(|(_, value)| value).collect();
        assert_eq!(asked, [&prompt.expected[0]]);
    });
}

#[test]
fn multikey_2_and_3_are_needles_in_every_line() {
    for (name, plural, of_form) in [
        ("ruler-niah-multikey-2", "numbers", (is_words as fn(&str) -> bool, is_number as fn(&str) -> bool)),
        ("ruler-niah-multikey-3", "uuids", (is_uuid, is_uuid)),
    ] {
        each(name, |prompt, _| {
            let parsed = needles(&prompt.text, plural, false);
            let all = found(&parsed);
            let lines: Vec<String> = all
                .iter()
                .map(|(key, value)| format!("One of the special magic {plural} for {key} is: {value}."))
                .collect();
            assert_eq!(parsed.context, lines.join("\n"));
            let keys: BTreeSet<_> = all.iter().map(|(key, _)| key).collect();
            assert_eq!(keys.len(), all.len());
            assert!(all.iter().all(|(key, value)| of_form.0(key) && of_form.1(value)));
            let asked: Vec<_> =
                all.iter().filter(|(key, _)| key == parsed.query).map(|(_, value)| value).collect();
            assert_eq!(asked, [&prompt.expected[0]]);
        });
    }
}

#[test]
fn multivalue_has_four_values_of_one_key_and_multiquery_four_keys() {
    each("ruler-niah-multivalue", |prompt, _| {
        let parsed = needles(&prompt.text, "numbers", true);
        let all = found(&parsed);
        assert!(all.len() == 4 && all.iter().all(|(key, _)| key == parsed.query));
        assert_eq!(prompt.expected, all.into_iter().map(|(_, value)| value).collect::<Vec<_>>());
    });
    each("ruler-niah-multiquery", |prompt, _| {
        let parsed = needles(&prompt.text, "numbers", true);
        let all = found(&parsed);
        let keys: Vec<_> = all.iter().map(|(key, _)| key.as_str()).collect();
        let [a, b, c, d] = keys[..] else { panic!("{keys:?}") };
        assert_eq!(parsed.query, format!("{a}, {b}, {c}, and {d}"));
        assert_eq!(prompt.expected, all.into_iter().map(|(_, value)| value).collect::<Vec<_>>());
    });
}

const TRACK: &str =
    "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n";

/// The variables of a chain in a context, from the first on, and the value.
fn chain(context: &str) -> (Vec<String>, String) {
    let lines = context.lines().filter(|line| *line != NOISE);
    let assigned: Vec<_> =
        lines.map(|line| line.strip_prefix("VAR ").unwrap().split_once(" = ").unwrap()).collect();
    let value = assigned[0].1.to_string();
    for pair in assigned.windows(2) {
        assert_eq!(pair[1].1, format!("VAR {} ", pair[0].0));
    }
    (assigned.iter().map(|(name, _)| name.to_string()).collect(), value)
}

#[test]
fn tracking_has_a_chain_of_four_hops_and_a_solved_example() {
    each("ruler-vt", |prompt, _| {
        let parts: Vec<_> = prompt.text.split(TRACK).collect();
        let ["", example, asked] = parts[..] else { panic!("{}", prompt.text) };
        for (part, letters, value_is_asked) in [(example, 3, true), (asked, 5, true)] {
            let (context, question) = part.split_once("\nQuestion: ").unwrap();
            let (names, value) = chain(context);
            assert_eq!(names.len(), 5);
            assert!(value_is_asked && value.len() == 5 && value.bytes().all(|byte| byte.is_ascii_digit()));
            assert!(
                names
                    .iter()
                    .all(|name| name.len() == letters && name.bytes().all(|b| b.is_ascii_uppercase()))
            );
            let words = format!(
                "Find all variables that are assigned the value {value} in the text above. Answer: According to \
                 the chain(s) of variable assignment in the text above, 5 variables are assigned the value \
                 {value}, they are:"
            );
            let rest = question.strip_prefix(&words).unwrap_or_else(|| panic!("{question}"));
            if letters == 3 {
                assert_eq!(rest, format!(" {}\n\n", names.join(" ")));
            } else {
                assert_eq!((rest.trim(), &names), ("", &prompt.expected));
            }
        }
        let kinds: Vec<_> = prompt.spans.iter().map(|span| span.kind.to_string()).collect();
        assert_eq!(kinds, ["hop-1", "hop-2", "hop-3", "hop-4", "hop-5"]);
    });
}

/// How often each word of a numbered list comes; the numbers must be right.
fn counted(list: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let words: Vec<_> = list.split(' ').collect();
    for (number, pair) in words.chunks(2).enumerate() {
        assert_eq!(pair[0], format!("{}.", number + 1));
        *counts.entry(pair[1].to_string()).or_insert(0) += 1;
    }
    counts
}

#[test]
fn common_words_come_as_often_as_promised_and_a_solved_example_stands_before() {
    const LIST: &str = "Below is a numbered list of words. In these words, some appear more often than others. \
                        Memorize the ones that appear most often.\n";
    const QUESTION: &str = "\nQuestion: What are the 10 most common words in the above list? Answer: The top 10 \
                            words that appear most often in the list are:";
    each("ruler-cwe", |prompt, length| {
        let parts: Vec<_> = prompt.text.split(LIST).collect();
        let ["", example, asked] = parts[..] else { panic!("{}", prompt.text) };
        let (of_common, of_others, example_common, example_others, example_words) =
            if length < 4096 { (6, 1, 3, 1, 20) } else { (30, 3, 10, 3, 40) };
        let (list, rest) = asked.split_once(QUESTION).unwrap();
        assert_eq!(rest.trim(), "");
        let counts = counted(list);
        let common: BTreeSet<_> =
            counts.iter().filter(|(_, n)| **n == of_common).map(|(word, _)| word).collect();
        assert_eq!(common, prompt.expected.iter().collect());
        assert_eq!(common.len(), 10);
        assert!(counts.values().all(|&n| n == of_common || n == of_others) && counts.len() > 10);
        let others = counts.keys().filter(|word| !common.contains(word));
        assert!(others.flat_map(|word| word.split('-')).all(|part| !common.contains(&part.to_string())));
        let (list, answer) = example.split_once(QUESTION).unwrap();
        let counts = counted(list);
        assert_eq!(counts.len(), example_words);
        let solved = counted(answer.trim());
        assert_eq!(solved.len(), 10);
        for (word, n) in counts {
            assert_eq!(n, if solved.contains_key(&word) { example_common } else { example_others });
        }
    });
}

#[test]
fn frequent_words_follow_the_zeta_law_behind_the_dots() {
    const READ: &str = "Read the following coded text and track the frequency of each coded word. Find the three \
                        most frequently appeared coded words. ";
    const QUESTION: &str = "\nQuestion: Do not provide any explanation. Please ignore the dots '....'. What are the \
                            three most frequently appeared words in the above coded text? Answer: According \
                            to the coded text above, the three most frequently appeared words are:";
    each("ruler-fwe", |prompt, length| {
        let (coded, rest) = between(&prompt.text, READ, QUESTION);
        assert!(prompt.text.starts_with(READ) && rest.trim().is_empty());
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for word in coded.split(' ') {
            *counts.entry(word).or_insert(0) += 1;
        }
        let mut ranked: Vec<_> = counts.into_iter().map(|(word, n)| (n, word)).collect();
        ranked.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(ranked[0].1, "...");
        assert!(
            ranked[1..]
                .iter()
                .all(|(_, word)| word.len() == 6 && word.bytes().all(|b| b.is_ascii_lowercase()))
        );
        let top: Vec<_> = ranked[1..4].iter().map(|(_, word)| *word).collect();
        assert_eq!(prompt.expected, top);
        assert!(ranked[3].0 > ranked[4].0 && ranked.len() <= (length / 50).max(5));
        // Counts of rank k are those of rank 1 over k squared, rounded down each.
        for (rank, (n, _)) in ranked.iter().enumerate().take(5) {
            let law = ranked[0].0 as f64 / ((rank + 1) * (rank + 1)) as f64;
            assert!((*n as f64 - law).abs() <= 1.0, "rank {rank}: {n} for {law}");
        }
    });
}

#[test]
fn budgets_are_the_published_ones() {
    for (name, budget) in [
        ("ruler-niah-single-1", 128),
        ("ruler-niah-multikey-3", 128),
        ("ruler-niah-multiquery", 128),
        ("ruler-vt", 30),
        ("ruler-cwe", 120),
        ("ruler-fwe", 50),
    ] {
        let (plan, toy) = (plan(name, Form::Completion), toys::words());
        let prompt = build(&plan, &trial(4096, 50.0, 0, 1), &toy);
        assert!(plan.task.answer_budget() == budget && prompt.answer_budget >= budget, "{name}");
        assert_eq!(plan.task.default_scorer(), "contains");
    }
}
