//! Where the time of forward passes goes.

use std::time::{Duration, Instant};

/// Wall time inside the two heavy parts of the blocks, summed over layers and forward passes.
///
/// On the CPU this is the time of the computation. Other devices compute later than they are asked to, so
/// there it is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Inside [`crate::attention::attend`].
    pub attention: Duration,
    /// Inside the linear maps of the blocks. The head is none of them.
    pub linear: Duration,
}

impl Spent {
    /// Does `work` and counts its time as attention.
    pub(super) fn on_attention<T>(&mut self, work: impl FnOnce() -> T) -> T {
        timed(&mut self.attention, work)
    }

    /// Does `work` and counts its time as linear maps.
    pub(super) fn on_linear<T>(&mut self, work: impl FnOnce() -> T) -> T {
        timed(&mut self.linear, work)
    }
}

fn timed<T>(total: &mut Duration, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = work();
    *total += started.elapsed();
    done
}
