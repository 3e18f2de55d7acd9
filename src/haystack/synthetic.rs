//! The synthetic haystack: plausible English prose from a seeded grammar.
//!
//! It is endless, repeats no sentence, and stands in no training set. A paragraph keeps to one topic, one
//! town and two people; its sentences are drawn from a dozen forms over the words of the lexicon. Every
//! sentence is remembered by its hash and drawn again when it was there before.

#[rustfmt::skip] // a word a line would hide the lists
mod lexicon;

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use super::Source;
use crate::rng::Rng;
use crate::split::Split;
use lexicon::{
    ADJECTIVES, ADVERBS, CONNECTIVES, COUNTS, DEEDS, MEN, OPINIONS, PARTICIPLES, STATES, SURNAMES, TIMES,
    TOPICS, TOWNS, Topic, VERBS, WOMEN,
};

/// Words of a sentence, shortest and longest.
const WORDS: std::ops::RangeInclusive<usize> = 6..=30;

/// The prose of one trial, in sentences of this part.
#[must_use]
pub fn open(seed: u64, trial: usize, split: Split) -> Box<dyn Source> {
    let mut rng = Rng::for_purpose(seed, &["synthetic", &trial.to_string()]);
    let town = *rng.choose(TOWNS);
    Box::new(Synthetic { rng, town, split, written: HashSet::default() })
}

struct Synthetic {
    rng: Rng,
    town: &'static str,
    split: Split,
    written: HashSet<u64, BuildHasherDefault<DefaultHasher>>,
}

impl Source for Synthetic {
    fn push_piece(&mut self, out: &mut String) {
        // Half of the paragraphs stay in the town of the one before.
        if self.rng.below(2) == 0 {
            self.town = *self.rng.choose(TOWNS);
        }
        let mut paragraph = Paragraph {
            town: self.town,
            topic: self.rng.choose(TOPICS),
            people: [Person::draw(&mut self.rng), Person::draw(&mut self.rng)],
            rng: &mut self.rng,
        };
        let sentences = paragraph.rng.between(4, 9);
        let mut sentence = String::new();
        for number in 0..sentences {
            loop {
                sentence.clear();
                paragraph.write_sentence(&mut sentence, number == 0);
                let fits = WORDS.contains(&(1 + sentence.bytes().filter(|&byte| byte == b' ').count()));
                if fits
                    && self.split.holds(&sentence)
                    && self.written.insert(self.written.hasher().hash_one(&sentence))
                {
                    break;
                }
            }
            if number > 0 {
                out.push(' ');
            }
            out.push_str(&sentence);
        }
        out.push_str("\n\n");
    }
}

#[derive(Clone, Copy)]
struct Person {
    first: &'static str,
    last: &'static str,
    pronoun: &'static str,
}

impl Person {
    fn draw(rng: &mut Rng) -> Self {
        let (names, pronoun) = if rng.below(2) == 0 { (WOMEN, "she") } else { (MEN, "he") };
        Self { first: *rng.choose(names), last: *rng.choose(SURNAMES), pronoun }
    }
}

struct Paragraph<'r> {
    rng: &'r mut Rng,
    topic: &'static Topic,
    town: &'static str,
    people: [Person; 2],
}

impl Paragraph<'_> {
    fn write_sentence(&mut self, out: &mut String, opening: bool) {
        let form = if opening { self.rng.below(3) } else { self.rng.below(15) };
        match form {
            0 => {
                let (time, who, town) = (self.pick(TIMES), self.full_name(), self.town);
                self.join(out, &[time, ", ", &who, " of ", town, " "]);
                self.action(out);
                self.place(out);
            }
            1 => {
                let (who, role, town) = (self.full_name(), self.pick(self.topic.roles), self.town);
                self.join(out, &[&who, ", ", role, " of ", town, ", "]);
                self.action(out);
                self.reason(out);
            }
            2 => {
                let (town, role) = (self.town, self.pick(self.topic.roles));
                self.join(out, &["In ", town, ", ", role, " "]);
                self.action(out);
                self.join(out, &[" and "]);
                self.deed(out);
            }
            3 => {
                let (time, who) = (self.pick(TIMES), self.anyone());
                self.join(out, &[time, ", ", &who, " "]);
                self.action(out);
                self.place(out);
            }
            4 => {
                let who = self.anyone();
                self.join(out, &[&who, " "]);
                self.action(out);
                self.reason(out);
            }
            5 => {
                let event = self.pick(self.topic.events);
                self.join(out, &["When ", event, ", "]);
                self.clause(out);
            }
            6 => {
                self.join(out, &["Although "]);
                self.clause(out);
                self.join(out, &[", "]);
                self.thing_state(out);
            }
            7 => {
                let (object, participle, who) = (self.described(), self.pick(PARTICIPLES), self.named());
                self.join(out, &["The ", &object, " that had been ", participle, " by ", &who, " "]);
                let state = self.pick(STATES);
                self.join(out, &[state]);
            }
            8 => {
                let (count, object) = (self.pick(COUNTS), self.described());
                self.join(out, &["There were ", count, " ", &object, "s"]);
                self.place(out);
                self.join(out, &[", and "]);
                self.clause(out);
            }
            9 => {
                let (who, opinion) = (self.named(), self.pick(OPINIONS));
                self.join(out, &["\"I think ", opinion, ",\" said ", &who, ", who "]);
                self.action(out);
            }
            10 => {
                let (town, opinion) = (self.town, self.pick(OPINIONS));
                self.join(out, &["People in ", town, " said that ", opinion, ", but "]);
                self.clause(out);
            }
            11 => {
                let (connective, event) = (self.pick(CONNECTIVES), self.pick(self.topic.events));
                self.join(out, &[connective, ", ", event, ", and "]);
                self.thing_state(out);
            }
            12 => {
                let (connective, who) = (self.pick(CONNECTIVES), self.anyone());
                self.join(out, &[connective, ", ", &who, " "]);
                self.action(out);
            }
            13 => {
                let (who, adverb) = (self.anyone(), self.pick(ADVERBS));
                self.join(out, &[&who, " "]);
                self.deed(out);
                self.place(out);
                self.join(out, &[" ", adverb]);
            }
            _ => {
                self.join(out, &["Did anyone know why "]);
                self.clause(out);
                self.place(out);
                self.finish(out, '?');
                return;
            }
        }
        self.finish(out, '.');
    }

    /// A clause without capital: somebody did something.
    fn clause(&mut self, out: &mut String) {
        let who = self.anyone();
        self.join(out, &[&who, " "]);
        if self.rng.below(4) == 0 { self.deed(out) } else { self.action(out) }
    }

    /// A verb phrase with an object.
    fn action(&mut self, out: &mut String) {
        let (verb, object) = (self.pick(VERBS), self.described());
        let article = match self.rng.below(6) {
            0..3 => "the",
            3 => "another",
            _ if object.starts_with(['a', 'e', 'i', 'o', 'u']) => "an",
            _ => "a",
        };
        self.join(out, &[verb, " ", article, " ", &object]);
        if self.rng.below(4) == 0 {
            let adverb = self.pick(ADVERBS);
            self.join(out, &[" ", adverb]);
        }
    }

    fn deed(&mut self, out: &mut String) {
        let deed = self.pick(DEEDS);
        self.join(out, &[deed]);
    }

    fn thing_state(&mut self, out: &mut String) {
        let (object, state) = (self.described(), self.pick(STATES));
        self.join(out, &["the ", &object, " ", state]);
    }

    fn place(&mut self, out: &mut String) {
        let place = self.pick(self.topic.places);
        self.join(out, &[" ", place]);
    }

    fn reason(&mut self, out: &mut String) {
        let link = self.pick(&["because", "while", "before", "after", "so", "and then", "as soon as"]);
        self.join(
            out,
            &[if link == "so" { ", so" } else { " " }, link.strip_prefix("so").unwrap_or(link), " "],
        );
        if self.rng.below(2) == 0 {
            let event = self.pick(self.topic.events);
            self.join(out, &[event]);
        } else {
            self.clause(out);
        }
    }

    /// An adjective and a noun of the topic.
    fn described(&mut self) -> String {
        let (adjective, object) = (self.pick(ADJECTIVES), self.pick(self.topic.objects));
        [adjective, object].join(" ")
    }

    fn full_name(&mut self) -> String {
        let person = self.person();
        [person.first, person.last].join(" ")
    }

    /// One of the paragraph's people or of the topic's roles, by name.
    fn named(&mut self) -> String {
        match self.rng.below(5) {
            0 | 1 => self.person().first.to_string(),
            2 => self.full_name(),
            _ => self.pick(self.topic.roles).to_string(),
        }
    }

    /// The subject of a clause: somebody by name, or a pronoun.
    fn anyone(&mut self) -> String {
        if self.rng.below(6) == 0 { self.person().pronoun.to_string() } else { self.named() }
    }

    fn person(&mut self) -> Person {
        *self.rng.choose(&self.people)
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        self.rng.choose::<&str>(words)
    }

    fn join(&self, out: &mut String, parts: &[&str]) {
        parts.iter().for_each(|part| out.push_str(part));
    }

    /// Begins the sentence with a capital and ends it.
    fn finish(&self, out: &mut String, stop: char) {
        if let Some(first) = out.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        out.push(stop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haystack::sentences::sentence_ends;

    fn prose(seed: u64, bytes: usize) -> String {
        let mut source = open(seed, 0, Split::All);
        let mut out = String::new();
        while out.len() < bytes {
            source.push_piece(&mut out);
        }
        out
    }

    #[test]
    fn no_sentence_comes_twice() {
        for seed in 0..4 {
            let text = prose(seed, 900_000);
            let mut seen = HashSet::new();
            let mut from = 0;
            for end in sentence_ends(&text) {
                let sentence = text[from..end].trim();
                from = end;
                assert!(seen.insert(sentence), "seed {seed}: {sentence}");
                let words = sentence.split(' ').count();
                assert!((6..=30).contains(&words), "seed {seed}: {words} words: {sentence}");
            }
            assert!(seen.len() > 9_000, "{}", seen.len());
        }
    }

    #[test]
    fn sentences_are_well_formed() {
        let text = prose(11, 300_000);
        for wrong in ["  ", " ,", " .", ",,", " a a", " a e", " a i", " a o", "magic", "pass key"] {
            assert!(
                !text.contains(wrong),
                "{wrong:?} in {:?}",
                text.find(wrong).map(|at| &text[at - 40..at + 40])
            );
        }
        assert!(!text.contains(|c: char| c.is_ascii_digit()));
        for sentence in
            text.split("\n\n").flat_map(|paragraph| paragraph.split(". ")).filter(|s| !s.is_empty())
        {
            assert!(sentence.starts_with(|c: char| c.is_ascii_uppercase() || c == '"'), "{sentence}");
        }
    }

    #[test]
    fn seeds_and_trials_write_different_prose_and_repeat_themselves() {
        assert_eq!(prose(5, 10_000), prose(5, 10_000));
        assert_ne!(prose(5, 1_000), prose(6, 1_000));
    }
}
