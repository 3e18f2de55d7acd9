//! The speed of a copy in memory that has the machine to itself: what decoding is measured against.

use std::time::{Duration, Instant};

use rayon::prelude::*;

/// Numbers that are copied: 128 MiB, more than the caches of most processors hold.
const NUMBERS: usize = 32 << 20;

/// Numbers that a thread copies at once.
const PART: usize = 1 << 18;

/// A copy by all threads, with the time that it has taken so far.
#[derive(Debug)]
pub struct CopyPeak {
    from: Vec<f32>,
    to: Vec<f32>,
    taken: Duration,
    copied: u32,
}

impl Default for CopyPeak {
    /// It has been made once, uncounted.
    fn default() -> Self {
        let mut peak =
            Self { from: vec![1.0; NUMBERS], to: vec![0.0; NUMBERS], taken: Duration::ZERO, copied: 0 };
        peak.copy();
        peak.take_rate();
        peak
    }
}

impl CopyPeak {
    /// Copies once.
    pub fn copy(&mut self) {
        let started = Instant::now();
        let parts = self.to.par_chunks_mut(PART).zip(self.from.par_chunks(PART));
        parts.for_each(|(to, from)| to.copy_from_slice(from));
        self.taken += started.elapsed();
        self.copied += 1;
    }

    /// Bytes a second since the last call; one that is read and written is two.
    pub fn take_rate(&mut self) -> f64 {
        let bytes = 2 * size_of_val(&self.from[..]);
        let taken = std::mem::take(&mut self.taken).as_secs_f64();
        f64::from(std::mem::take(&mut self.copied)) * bytes as f64 / taken.max(1e-9)
    }
}
