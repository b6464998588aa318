//! A circuit breaker per peer: after five failures in a row calls fail at once for a while, then one is let through to
//! see. The pause doubles from one second to five: a trial costs next to nothing, and a peer that is back is used soon.

use std::sync::Mutex;
use std::time::{Duration, Instant};

const FAILURES: u32 = 5;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5);

/// The state of one peer. The present is passed in, so that a test can move it.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    pause: Duration,
    open_until: Option<Instant>,
    /// Whether somebody is trying at the moment.
    trial: bool,
}

impl Breaker {
    /// Whether a call may be tried. While open, one caller per pause gets a yes.
    pub fn admits(&self, now: Instant) -> bool {
        let mut state = self.0.lock().expect("nothing panics under this lock");
        match state.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                // This one is the trial; the others wait for what becomes of it.
                state.open_until = Some(now + state.pause);
                state.trial = true;
                true
            }
        }
    }

    /// What became of a call.
    pub fn record(&self, answered: bool, now: Instant) {
        let mut state = self.0.lock().expect("nothing panics under this lock");
        if answered {
            *state = State::default();
            return;
        }
        // Calls that were under way when it opened say nothing new; each would double the pause.
        if state.open_until.is_some_and(|until| now < until) && !state.trial {
            return;
        }
        state.trial = false;
        state.failures += 1;
        if state.failures >= FAILURES {
            state.pause = (state.pause * 2).clamp(SHORTEST, LONGEST);
            state.open_until = Some(now + state.pause);
        }
    }

    /// Whether calls are refused at the moment.
    pub fn open(&self, now: Instant) -> bool {
        self.0.lock().expect("nothing panics under this lock").open_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert!(breaker.admits(now));
            breaker.record(false, now);
        }
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_one_success_between_does_not() {
        let now = Instant::now();
        assert!(!broken(now).admits(now));

        let breaker = Breaker::default();
        for call in 0..20 {
            breaker.record(call % 5 == 0, now);
        }
        assert!(breaker.admits(now));
    }

    #[test]
    fn after_the_pause_one_call_is_tried_and_decides() {
        let now = Instant::now();
        let breaker = broken(now);
        let later = now + SHORTEST;
        assert!(breaker.admits(later));
        assert!(!breaker.admits(later));
        breaker.record(false, later);
        assert!(!breaker.admits(later + SHORTEST));
        let later = later + SHORTEST * 2;
        assert!(breaker.admits(later));
        breaker.record(true, later);
        assert!(breaker.admits(later) && breaker.admits(later));
    }

    #[test]
    fn calls_that_were_under_way_do_not_lengthen_the_pause() {
        let now = Instant::now();
        let breaker = broken(now);
        for _ in 0..100 {
            breaker.record(false, now);
        }
        assert!(breaker.admits(now + SHORTEST));
    }
}
