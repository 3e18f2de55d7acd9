//! The essays that come with the program: original English prose on everyday things.

use super::Source;
use crate::rng::Rng;
use crate::split::Split;

const ESSAYS: &[&str] = &[
    include_str!("../../haystacks/essays/01-tides.txt"),
    include_str!("../../haystacks/essays/02-bread.txt"),
    include_str!("../../haystacks/essays/03-bridges.txt"),
    include_str!("../../haystacks/essays/04-maps.txt"),
    include_str!("../../haystacks/essays/05-bicycles.txt"),
    include_str!("../../haystacks/essays/06-libraries.txt"),
    include_str!("../../haystacks/essays/07-glass.txt"),
    include_str!("../../haystacks/essays/08-beekeeping.txt"),
    include_str!("../../haystacks/essays/09-calendars.txt"),
    include_str!("../../haystacks/essays/10-rivers.txt"),
    include_str!("../../haystacks/essays/11-lighthouses.txt"),
    include_str!("../../haystacks/essays/12-soil.txt"),
    include_str!("../../haystacks/essays/13-keyboards.txt"),
    include_str!("../../haystacks/essays/14-weaving.txt"),
    include_str!("../../haystacks/essays/15-salt.txt"),
    include_str!("../../haystacks/essays/16-post.txt"),
];

const BREAK: &str = "\n\n";

struct Essays {
    rng: Rng,
    order: Vec<&'static str>,
    next: usize,
}

impl Source for Essays {
    fn push_piece(&mut self, out: &mut String) {
        if self.next == self.order.len() {
            self.rng.shuffle(&mut self.order);
            self.next = 0;
        }
        out.push_str(self.order[self.next]);
        out.push_str(BREAK);
        self.next += 1;
    }

    fn period(&self) -> Option<usize> {
        Some(self.order.iter().map(|essay| essay.len() + BREAK.len()).sum())
    }
}

/// All essays of this part in an order drawn for this trial, then all of them again in another order.
#[must_use]
pub(super) fn open(seed: u64, trial: usize, split: Split) -> Box<dyn Source> {
    let rng = Rng::for_purpose(seed, &["essays", &trial.to_string()]);
    let order: Vec<_> = ESSAYS.iter().map(|essay| essay.trim()).filter(|essay| split.holds(essay)).collect();
    Box::new(Essays { rng, next: order.len(), order })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_essay_is_prose_that_gives_no_answer_away() {
        for essay in ESSAYS {
            let title = essay.lines().next().unwrap_or_default();
            assert!(essay.len() > 3_000 && !essay.contains('\r'), "{title}");
            assert!(!essay.contains("magic") && !essay.contains("pass key"), "{title}");
            assert!(!essay.as_bytes().windows(5).any(|w| w.iter().all(u8::is_ascii_digit)), "{title}");
        }
    }

    #[test]
    fn trials_read_the_essays_in_different_orders_and_each_once_a_pass() {
        let first = |trial| {
            let mut source = open(0, trial, Split::All);
            let mut out = String::new();
            (0..ESSAYS.len()).for_each(|_| source.push_piece(&mut out));
            assert!(ESSAYS.iter().all(|essay| out.contains(essay.trim())));
            assert_eq!(source.period(), Some(out.len()));
            out
        };
        assert_eq!(first(0), first(0));
        assert_ne!(first(0), first(1));
    }
}
