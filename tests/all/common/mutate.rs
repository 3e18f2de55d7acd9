//! Seeded mutations of files, and the loop that feeds them to a reader.
//!
//! A target is a test that calls [`survives`] with a few whole inputs, a mutation of them and what reads the
//! result:
//!
//! ```ignore
//! let seeds = vec![fs::read("small.json").unwrap()];
//! mutate::survives("my reader", 2000, |m| m.json_text(&seeds), |bytes| drop(my_reader(bytes)));
//! ```
//!
//! Input number `n` of a target depends on `n` alone. A panic, an input that takes longer than
//! [`MOST_SECONDS`] or one that takes more memory than [`MOST_MEMORY`] fails the test with the number; what
//! ends the process leaves the number in a file named after the target in `CARGO_TARGET_TMPDIR`. To see one
//! again, or to run for hours by hand:
//!
//! ```text
//! NIAH_FUZZ_FIRST=1234 NIAH_FUZZ_ITERATIONS=1 cargo test --test mutations my_target
//! NIAH_FUZZ_ITERATIONS=1000000 nice cargo test --test mutations
//! ```

#![allow(dead_code, reason = "each test binary uses some of these")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

/// An input that takes longer hangs. Generous: a machine may be busy.
pub(crate) const MOST_SECONDS: u64 = 60;

/// The most memory that the process may have held after any input, in bytes.
pub(crate) const MOST_MEMORY: usize = 3 << 29;

/// Feeds mutated inputs to `read`: `iterations` of them, or as many as `NIAH_FUZZ_ITERATIONS` says, from
/// number `NIAH_FUZZ_FIRST` on. What `read` returns as an error is fine; it must not panic, hang or take the
/// process down.
pub(crate) fn survives(
    target: &str,
    iterations: u64,
    mutate: impl Fn(&mut Mutator) -> Vec<u8>,
    read: impl Fn(&[u8]),
) {
    let variable = |name| std::env::var(name).ok().map(|value: String| value.parse::<u64>().unwrap());
    let first = variable("NIAH_FUZZ_FIRST").unwrap_or(0);
    let count = variable("NIAH_FUZZ_ITERATIONS").unwrap_or(iterations);
    let note = note_of(target);
    let (begun, watched) = channel::<u64>();
    let name = target.to_string();
    let watchdog = thread::spawn(move || {
        let mut current = first;
        loop {
            match watched.recv_timeout(Duration::from_secs(MOST_SECONDS)) {
                Ok(number) => current = number,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("{name}: input {current} hangs; {}", again(current));
                    std::process::exit(101);
                }
            }
        }
    });
    let start = Instant::now();
    let mut failed = Vec::new();
    for number in first..first.saturating_add(count) {
        fs::write(&note, number.to_string()).unwrap();
        begun.send(number).unwrap();
        let input = mutate(&mut Mutator::new(number));
        if catch_unwind(AssertUnwindSafe(|| read(&input))).is_err() {
            failed.push(number);
        }
        if let Some(peak) = niah::process::peak_memory().filter(|peak| *peak > MOST_MEMORY) {
            panic!("{target}: {peak} bytes of memory after input {number}; {}", again(number));
        }
        if failed.len() == 10 {
            break;
        }
    }
    drop(begun);
    watchdog.join().unwrap();
    let first_failed = failed.first().copied().unwrap_or_default();
    assert!(failed.is_empty(), "{target}: inputs {failed:?} panic; {}", again(first_failed));
    let _ = fs::remove_file(&note);
    eprintln!("{target}: {count} inputs in {:.1} s", start.elapsed().as_secs_f64());
}

/// Where the number of the input that is being read stands.
fn note_of(target: &str) -> PathBuf {
    let name: String = target.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mutations-{name}"))
}

fn again(number: u64) -> String {
    format!("to see it again: NIAH_FUZZ_FIRST={number} NIAH_FUZZ_ITERATIONS=1")
}

/// Numbers that readers get wrong.
const EXTREMES: &[u64] = &[
    0,
    1,
    2,
    3,
    7,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x1_0000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x1_0000_0000,
    0x7FFF_FFFF_FFFF_FFFF,
    0x8000_0000_0000_0000,
    0xFFFF_FFFF_FFFF_FFF8,
    0xFFFF_FFFF_FFFF_FFFF,
];

/// Texts that readers get wrong: empty, long, controls, directions, halves of escapes, paths, formulas.
const TEXTS: &[&str] = &[
    "",
    " ",
    "\0",
    "\n",
    "\u{1b}[2J\u{7}",
    "\u{202e}abc\u{2066}",
    "\u{feff}",
    "\u{2581}",
    "\u{10ffff}",
    "e\u{301}\u{301}\u{301}",
    "NaN",
    "Infinity",
    "null",
    "-1",
    "1e999",
    "../../../../etc/passwd",
    "/dev/zero",
    "{{ x }}{% for x in y %}",
    "(((((((((a*)*)*)*)*)*)*)*)*b",
    "=1+1",
    "a,b\"c\r\n",
    "<|endoftext|>",
];

/// A source of mutations; the same seed gives the same ones.
pub(crate) struct Mutator {
    state: u64,
}

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66_D1CE_4E5B }
    }

    /// The next 64 bits (splitmix64).
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 when there is none.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() % end as u64) as usize }
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// True once in `n` times.
    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `seeds` with a few changes of its bytes: flips, cuts, copies, extreme numbers, pieces of
    /// another.
    pub(crate) fn bytes(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.pick(seeds).clone();
        for _ in 0..=self.below(4) {
            let other = self.pick(seeds);
            self.change_bytes(&mut bytes, other);
        }
        bytes
    }

    /// One change of `bytes`; some take a piece of `other`.
    pub(crate) fn change_bytes(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        match self.below(9) {
            0 => bytes.truncate(at),
            1 | 2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (self.next() % 8);
                }
            }
            3 => {
                let byte = *self.pick(&[0, 0xFF, b'"', b'{', b'[', b'\\', b',', b'\n', 0x80, b'9']);
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            4 | 5 => {
                // Numbers in binary files are most often aligned to their size.
                let number = self.pick(EXTREMES).to_le_bytes();
                let size = *self.pick(&[1, 2, 4, 8]);
                let at = if self.once_in(2) { at - at % size } else { at };
                for (place, byte) in bytes.iter_mut().skip(at).zip(&number[..size]) {
                    *place = *byte;
                }
            }
            6 => {
                let (from, len) = self.piece(bytes.len());
                let piece = bytes[from..from + len].to_vec();
                bytes.splice(at..at, piece);
            }
            7 => {
                let (from, len) = self.piece(bytes.len());
                bytes.drain(from..from + len);
            }
            _ => {
                let (from, len) = self.piece(other.len());
                let end = (at + len).min(bytes.len());
                bytes.splice(at..end, other[from..from + len].iter().copied());
            }
        }
    }

    /// A place in `size` bytes: where it begins and how many it has, mostly few.
    fn piece(&mut self, size: usize) -> (usize, usize) {
        let from = self.below(size + 1);
        let most = if self.once_in(4) { size } else { 64.min(size) };
        (from, self.below(most + 1).min(size - from))
    }

    /// One of `seeds`, which are JSON, with a few changes of its values, and now and then of its bytes.
    pub(crate) fn json_text(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut value: Value = serde_json::from_slice(self.pick::<Vec<u8>>(seeds)).unwrap();
        for _ in 0..=self.below(3) {
            self.change_json(&mut value);
        }
        let mut text = self.written(&value);
        if self.once_in(6) {
            self.change_bytes(&mut text, &seeds[0]);
        }
        text
    }

    /// `value` as text, now and then with what no [`Value`] can hold: deep nesting, numbers that are not
    /// finite or too long, keys that stand twice.
    pub(crate) fn written(&mut self, value: &Value) -> Vec<u8> {
        let text = value.to_string();
        if !text.contains(MARK) {
            return text.into_bytes();
        }
        let depth = *self.pick(&[100, 127, 128, 5000, 100_000]);
        let raw = match self.below(5) {
            0 => format!("{}{}", "[".repeat(depth), "]".repeat(depth)),
            1 => format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)),
            2 => {
                (*self.pick(&["NaN", "Infinity", "-Infinity", "1e999", "-1e400", "1e-400", "-0"])).to_string()
            }
            3 => "9".repeat(*self.pick(&[20, 40, 400])),
            _ => "{\"a\": 1, \"a\": [2], \"a\": {}}".to_string(),
        };
        text.replacen(&format!("\"{MARK}\""), &raw, 1).into_bytes()
    }

    /// One change of a value anywhere in `value`.
    pub(crate) fn change_json(&mut self, value: &mut Value) {
        let other = self.inner(value).clone();
        let place = self.inner_mut(value);
        match (self.below(10), place) {
            (0..=2, Value::Object(entries)) => self.change_entries(entries, other),
            (0..=2, Value::Array(items)) => self.change_items(items, other),
            (0..=2, Value::Number(number)) => {
                let changed = match self.below(5) {
                    0 => json!(number.as_f64().unwrap_or(0.0) + 1.0),
                    1 => json!(-number.as_f64().unwrap_or(0.0)),
                    2 => json!(number.as_u64().unwrap_or(0) / 2),
                    3 => json!(number.as_f64().unwrap_or(0.0) * 0.5),
                    _ => json!(number.as_u64().unwrap_or(0).saturating_add(1)),
                };
                *number = changed.as_number().cloned().unwrap_or_else(|| 0.into());
            }
            (0..=2, Value::String(text)) => {
                let at = text.char_indices().nth(self.below(text.len() + 1)).map_or(text.len(), |(at, _)| at);
                match self.below(3) {
                    0 => text.truncate(at),
                    1 => text.insert_str(at, self.pick::<&str>(TEXTS)),
                    _ => *text = text.repeat(1 + self.below(3)),
                }
            }
            (3, place) => *place = other,
            (_, place) => *place = self.any_value(),
        }
    }

    fn change_entries(&mut self, entries: &mut Map<String, Value>, other: Value) {
        let keys: Vec<String> = entries.keys().cloned().collect();
        if keys.is_empty() {
            entries.insert("a".to_string(), other);
            return;
        }
        let (one, two) = (self.pick(&keys).clone(), self.pick(&keys).clone());
        match self.below(5) {
            0 | 1 => drop(entries.remove(&one)),
            2 => {
                let (first, second) = (entries[&one].clone(), entries[&two].clone());
                entries.insert(one, second);
                entries.insert(two, first);
            }
            3 => {
                let value = entries.remove(&one).unwrap_or_default();
                entries.insert((*self.pick(TEXTS)).to_string(), value);
            }
            _ => drop(entries.insert(one, other)),
        }
    }

    fn change_items(&mut self, items: &mut Vec<Value>, other: Value) {
        let at = self.below(items.len() + 1);
        match self.below(6) {
            0 => items.insert(at, other),
            1 => items.truncate(at),
            2 if !items.is_empty() => drop(items.remove(at % items.len())),
            3 if !items.is_empty() => {
                let item = items[at % items.len()].clone();
                items.extend(vec![item; 1 + self.below(300)]);
            }
            4 => items.reverse(),
            _ => items.clear(),
        }
    }

    /// A value of any kind.
    pub(crate) fn any_value(&mut self) -> Value {
        match self.below(12) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(false),
            3 | 4 => json!(self.pick(EXTREMES)),
            5 => json!(-(*self.pick(EXTREMES) as i64 / 2)),
            6 => json!(*self.pick(&[0.5, -0.0, 1e-320, 1e308, -1e308, 1e15, 0.1, 2.5])),
            7 => json!(self.pick(TEXTS)),
            8 => json!("x".repeat(1 << self.below(18))),
            9 => (*self.pick(&[
                json!([]),
                json!({}),
                json!([[]]),
                json!([{}]),
                json!({"a": null}),
                json!([0, 1]),
            ]))
            .clone(),
            10 => json!(vec![self.pick(EXTREMES); self.below(2000)]),
            _ => json!(MARK),
        }
    }

    /// A value somewhere in `value`.
    fn inner<'a>(&mut self, value: &'a Value) -> &'a Value {
        let mut place = value;
        loop {
            let next = match place {
                Value::Object(entries) if !entries.is_empty() => {
                    entries.values().nth(self.below(entries.len()))
                }
                Value::Array(items) if !items.is_empty() => items.get(self.below(items.len())),
                _ => None,
            };
            match next {
                Some(next) if !self.once_in(5) => place = next,
                _ => return place,
            }
        }
    }

    fn inner_mut<'a>(&mut self, value: &'a mut Value) -> &'a mut Value {
        let deeper = match value {
            Value::Object(entries) => !entries.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => false,
        };
        if !deeper || self.once_in(5) {
            return value;
        }
        match value {
            Value::Object(entries) => {
                let at = self.below(entries.len());
                match entries.values_mut().nth(at) {
                    Some(next) => self.inner_mut(next),
                    None => unreachable!("the place is one of its entries"),
                }
            }
            Value::Array(items) => {
                let at = self.below(items.len());
                self.inner_mut(&mut items[at])
            }
            other => other,
        }
    }
}

/// Stands in a [`Value`] for a text that no value has; [`Mutator::written`] puts it in.
const MARK: &str = "\u{1F4A5}raw";
