//! How much of a program is shown.

use super::{CallState, InsightsState, PoolState, Program, WorkerState};

const POOLS: usize = 32;
const WORKERS: usize = 256;
const CALLS: usize = 60;
const ERRORS: usize = 3;
const PARTS: usize = 8;
const LONGEST: usize = 10;
/// Bytes of a name or a place.
const NAME: usize = 400;
/// Bytes of an argument's text.
const ARGUMENT: usize = 2_000;
/// Bytes of the text of an error, and of its backtrace.
const TEXT: usize = 8_000;

impl Program {
    /// Cuts it to the limits, the oldest first. With a larger `factor` the lists are shorter.
    pub(crate) fn cut(&mut self, factor: usize) {
        [&mut self.name, &mut self.user, &mut self.host]
            .into_iter()
            .for_each(|name| cut(name, NAME));
        keep_last(&mut self.pools, POOLS);
        self.pools.iter_mut().for_each(|pool| pool.cut(factor.max(1)));
    }
}

impl PoolState {
    fn cut(&mut self, factor: usize) {
        cut(&mut self.method, NAME);
        self.workers.truncate(WORKERS / factor);
        self.workers.iter_mut().for_each(WorkerState::cut);
        // Those that go on stay before those that have ended.
        let mut ended = self.calls.len().saturating_sub(CALLS / factor);
        self.calls.retain(|call| {
            let goes = ended > 0 && call.ended.is_some();
            ended -= usize::from(goes);
            !goes
        });
        keep_last(&mut self.calls, CALLS / factor);
        self.calls.iter_mut().for_each(|call| call.cut(factor));
        if let Some(insights) = &mut self.insights {
            insights.cut(factor);
        }
    }
}

impl WorkerState {
    fn cut(&mut self) {
        cut(&mut self.stage, NAME);
    }
}

impl CallState {
    fn cut(&mut self, factor: usize) {
        let names = [&mut self.function, &mut self.location, &mut self.form];
        names.into_iter().for_each(|name| cut(name, NAME));
        keep_last(&mut self.errors, (ERRORS / factor).max(1));
        for error in &mut self.errors {
            cut(&mut error.text, TEXT / factor);
            cut(&mut error.backtrace, TEXT / factor);
        }
    }
}

impl InsightsState {
    fn cut(&mut self, factor: usize) {
        cut(&mut self.note, NAME);
        self.parts.truncate(PARTS);
        self.parts.iter_mut().for_each(|part| cut(&mut part.name, NAME));
        self.longest.truncate(LONGEST / factor);
        self.longest.iter_mut().for_each(|longest| cut(&mut longest.argument, ARGUMENT / factor));
        self.workers.truncate(WORKERS / factor);
        self.workers.iter_mut().for_each(|worker| worker.times.truncate(PARTS));
    }
}

fn keep_last<T>(list: &mut Vec<T>, most: usize) {
    let over = list.len().saturating_sub(most);
    list.drain(..over);
}

/// Cuts a text between two characters, and marks that.
fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::{super::json::tests::program, *};
    use crate::state::{ErrorState, Outcome};

    #[test]
    fn the_oldest_calls_that_have_ended_go_first() {
        let mut large = program();
        let call = large.pools[0].calls[0].clone();
        large.pools[0].calls = (0..1000)
            .map(|number| CallState { number, ended: (number > 0).then_some(1), ..call.clone() })
            .collect();
        large.cut(1);
        let numbers: Vec<_> = large.pools[0].calls.iter().map(|call| call.number).collect();
        assert_eq!(numbers.len(), CALLS);
        assert_eq!((numbers[0], numbers[1], numbers[CALLS - 1]), (0, 941, 999));
    }

    #[test]
    fn what_is_larger_than_the_limits_is_cut_and_fits_a_frame() {
        let mut large = program();
        let long = "é".repeat(TEXT);
        let error = ErrorState { text: long.clone(), backtrace: long.clone() };
        let pool = &mut large.pools[0];
        pool.calls[0].function = long;
        pool.calls[0].outcome = Outcome::Failed;
        pool.calls = vec![pool.calls[0].clone(); CALLS + 1];
        pool.calls[CALLS].errors = vec![error; ERRORS + 1];
        pool.workers = vec![pool.workers[0].clone(); WORKERS + 1];
        large.cut(1);
        assert_eq!(large.pools[0].workers.len(), WORKERS);
        assert_eq!(large.pools[0].calls[CALLS - 1].errors.len(), ERRORS);
        large.pools = vec![large.pools[0].clone(); POOLS + 1];
        large.cut(1);
        assert_eq!(large.pools.len(), POOLS);
        assert_eq!(large.pools[0].calls.len(), CALLS);
        assert!(large.pools[0].calls[0].function.len() < NAME + 4);
        large.cut(64);
        assert!(pool_ipc::to_bytes(&large).unwrap().len() < crate::frame::MAX_BYTES);
    }
}
