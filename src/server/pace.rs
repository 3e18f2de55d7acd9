//! When requests may go out: at most so many a minute, and none before the time that the server asked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a stop of the run stays unheard, at most.
const HEARD: Duration = Duration::from_millis(100);

/// The turns of all requests of a run.
#[derive(Debug)]
pub(super) struct Pace {
    /// Between two requests.
    interval: Duration,
    /// When the next may go out.
    next: Mutex<Instant>,
    sleep: fn(Duration),
}

impl Pace {
    /// At most `rate` requests a minute, and as many as there are without.
    pub(super) fn new(rate: Option<f64>, sleep: fn(Duration)) -> Self {
        let interval = rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(60.0 / rate));
        Self { interval, next: Mutex::new(Instant::now()), sleep }
    }

    /// Waits for the turn of a request; whether it may go out, and the run was not stopped.
    pub(super) fn turn(&self, stop: &AtomicBool) -> bool {
        let now = Instant::now();
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let at = now.max(*next);
            *next = at + self.interval;
            at
        };
        self.wait(at - now, stop)
    }

    /// Lets no request out for so long.
    pub(super) fn hold(&self, wait: Duration) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = (*next).max(Instant::now() + wait);
    }

    /// Waits, unless the run is stopped.
    pub(super) fn wait(&self, mut left: Duration, stop: &AtomicBool) -> bool {
        while !stop.load(Ordering::Relaxed) {
            if left.is_zero() {
                return true;
            }
            let piece = left.min(HEARD);
            (self.sleep)(piece);
            left -= piece;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static SLEPT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    fn sleep(time: Duration) {
        SLEPT.set(SLEPT.get() + time);
    }

    #[test]
    fn requests_go_out_at_their_rate_and_after_the_time_that_was_asked_for() {
        let go = AtomicBool::new(false);
        let free = Pace::new(None, sleep);
        assert!(free.turn(&go) && free.turn(&go));
        assert_eq!(SLEPT.take(), Duration::ZERO);
        let paced = Pace::new(Some(1.0), sleep);
        assert!(paced.turn(&go) && paced.turn(&go) && paced.turn(&go));
        // The second waits a minute and the third two, as nobody really slept.
        let slept = SLEPT.take();
        assert!((170..=180).contains(&slept.as_secs()), "{slept:?}");
        free.hold(Duration::from_secs(30));
        assert!(free.turn(&go));
        assert!(SLEPT.take().as_secs() >= 29);
    }

    #[test]
    fn a_stop_is_heard_while_it_waits() {
        let pace = Pace::new(None, sleep);
        assert!(!pace.wait(Duration::from_secs(3600), &AtomicBool::new(true)));
        assert_eq!(SLEPT.take(), Duration::ZERO);
    }
}
