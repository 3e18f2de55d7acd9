//! How many trials it takes to decide whether a share or a difference keeps to a limit.
//!
//! Trials can decide when both answers could be shown with them: the best result that they can have would
//! have its 95 % interval on the one side of the limit, and the worst result on the other. Where even a
//! perfect result would leave its interval across the limit, a pass says nothing and one answer more or less
//! turns it. That depends on the number of trials and on the limit alone, and not on what was measured.

use super::paired::{PairedTrial, paired_interval};
use super::{Z95, share_interval};

/// Trials that a search for a number of them ends at.
const MOST: usize = 1 << 20;

/// Whether trials with so many prompts each can decide that a share is at least `least`.
#[must_use]
pub fn share_decides(prompts: &[usize], least: f64) -> bool {
    let end = |right: fn(usize) -> usize| {
        share_interval(&prompts.iter().map(|&n| (right(n), n)).collect::<Vec<_>>()).ends()
    };
    end(|n| n).zip(end(|_| 0)).is_some_and(|(best, worst)| best.0 >= least && worst.1 < least)
}

/// The smallest number of trials that can decide that a share is at least `least`; `None` of 0 and 1, which
/// no number decides.
///
/// Right answers alone have Wilson's interval from `K / (K + z²)` on, whatever number of prompts the K trials
/// have, and wrong ones alone one up to `z² / (K + z²)`, z = 1.96. So K is the first whole number above
/// `z² least / (1 - least)` and `z² (1 - least) / least`.
///
/// ```
/// use niah::stats::{share_decides, trials_for_share};
/// assert_eq!(trials_for_share(0.9), Some(35));
/// assert!(share_decides(&[5; 35], 0.9) && !share_decides(&[5; 34], 0.9));
/// assert_eq!(trials_for_share(1.0), None);
/// ```
#[must_use]
pub fn trials_for_share(least: f64) -> Option<usize> {
    if !(least > 0.0 && least < 1.0) {
        return None;
    }
    let odds = (least / (1.0 - least)).max((1.0 - least) / least);
    let about = (Z95 * Z95 * odds).floor();
    // No more than rounding away from the root. One trial of several prompts has no interval.
    let first = (about.min(MOST as f64) as usize).saturating_sub(1).max(2);
    (first..=first + 3).find(|&trials| share_decides(&vec![1; trials], least))
}

/// Whether so many trials can decide that B's share is below A's by at most `most`: when equal answers would
/// show it, and when nothing but losses would show that it is not so.
#[must_use]
pub fn drop_decides(trials: usize, most: f64) -> bool {
    let lost = |only_a| {
        let trial = PairedTrial { n: 1, only_a, only_b: 0 };
        // Of the drop, A - B.
        paired_interval(&vec![trial; trials]).interval.ends().map(|(low, high)| (-high, -low))
    };
    lost(0).zip(lost(1)).is_some_and(|(equal, worst)| equal.1 <= most && worst.0 > most)
}

/// The smallest number of trials that can decide that B's share is below A's by at most `most`; `None` where
/// no number does.
#[must_use]
pub fn trials_for_drop(most: f64) -> Option<usize> {
    if !(most > 0.0 && most < 1.0) {
        return None;
    }
    let mut high = 2;
    while !drop_decides(high, most) {
        high *= 2;
        if high > MOST {
            return None;
        }
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low.midpoint(high);
        if drop_decides(middle, most) { high = middle } else { low = middle }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_trials_is_the_first_that_decides() {
        for least in [0.01, 0.05, 0.2, 0.3, 0.5, 0.7, 0.85, 0.856, 0.9, 0.95, 0.99, 0.999] {
            let trials = trials_for_share(least).unwrap();
            assert!(share_decides(&vec![1; trials], least), "{least}: {trials}");
            assert!(share_decides(&vec![7; trials], least), "{least}: {trials} of seven prompts");
            assert!(trials == 2 || !share_decides(&vec![1; trials - 1], least), "{least}: {trials}");
        }
        // As the formula has it: 3.8415 * 9, and as much from the other side.
        assert_eq!(trials_for_share(0.9), trials_for_share(0.1));
        assert_eq!((trials_for_share(0.5), trials_for_share(0.95)), (Some(4), Some(73)));
        assert_eq!(
            (trials_for_share(0.0), trials_for_share(1.0), trials_for_share(f64::NAN)),
            (None, None, None)
        );
    }

    #[test]
    fn a_threshold_that_one_answer_turns_is_never_decided() {
        // With at most one wrong answer allowed in n, all right must still be shown.
        for n in 2..60 {
            let least = 1.0 - 0.5 / n as f64;
            assert!(!share_decides(&vec![1; n], least), "all {n} must be right");
        }
    }

    #[test]
    fn more_prompts_of_one_haystack_decide_no_more() {
        assert!(!share_decides(&[100], 0.5), "one trial");
        assert!(!share_decides(&[1000; 3], 0.5));
        assert!(!share_decides(&[], 0.5));
    }

    #[test]
    fn a_small_drop_takes_many_trials() {
        for most in [0.02, 0.05, 0.1, 0.3] {
            let trials = trials_for_drop(most).unwrap();
            assert!(drop_decides(trials, most) && !drop_decides(trials - 1, most), "{most}: {trials}");
        }
        assert!(trials_for_drop(0.05) > trials_for_drop(0.1));
        assert_eq!((trials_for_drop(0.0), trials_for_drop(1.0)), (None, None));
    }
}
