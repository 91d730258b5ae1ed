//! One process makes items and two consume them; each side waits for the other and notifies it.
//! Whichever dies, even between a change and its notification, the others go on.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use pool_shm::{LockError, SharedCondvar, SharedMutex, SharedMutexGuard};

use crate::{
    Run,
    board::{Board, LIMIT, WORKERS, now_ns, wait_for},
    processes::{Chance, Processes},
    report::Report,
};

const MAKER: usize = 0;

/// The value of `Words::inside` of a worker that holds the lock.
const HOLDS: u64 = 1;
const CHANGED: u64 = 2;

type Guard<'a> = SharedMutexGuard<'a, u64>;

pub(crate) fn run(run: &mut Run) -> Report {
    let board = Board::new();
    let items = SharedMutex::new(0u64).expect("a mutex");
    let (made, taken) =
        (SharedCondvar::new().expect("a condition"), SharedCondvar::new().expect("a condition"));
    let work = |worker: usize, mut chance: Chance| {
        let (waits_for, tells, change) =
            if worker == MAKER { (&taken, &made, 1) } else { (&made, &taken, -1) };
        loop {
            let mut guard = whole(items.lock(), &board);
            while blocked(worker, *guard) {
                let waited = waits_for.wait_while(guard, |items| blocked(worker, *items));
                guard = whole(waited, &board);
            }
            board.inside[worker].store(HOLDS, SeqCst);
            chance.dawdle(Duration::from_micros(20));
            *guard = guard.wrapping_add_signed(change);
            board.note_entry(worker);
            board.inside[worker].store(0, SeqCst);
            drop(guard);
            board.inside[worker].store(CHANGED, SeqCst);
            chance.dawdle(Duration::from_micros(20));
            board.inside[worker].store(0, SeqCst);
            tells.notify_one();
        }
    };
    let mut processes = Processes::start(&mut run.chance, work);
    let mut report = Report::default();
    while run.goes_on(report.kills) {
        run.chance.dawdle(Duration::from_millis(1));
        let worker = run.chance.below(WORKERS as u64) as usize;
        let reported = board.reports.load(SeqCst);
        let killed = processes.kill(worker);
        processes.reap(worker);
        // Entries of the dead worker itself do not count.
        let dead = now_ns();
        let after = if worker == MAKER {
            wait_for("the consumption of what is left", killed, || {
                let left = *whole(items.lock_timeout(LIMIT), &board);
                (left == 0).then(|| board.last_entry_but(MAKER).max(dead))
            })
        } else {
            let other = (MAKER + 1..WORKERS).find(|other| *other != worker).expect("two consume");
            wait_for("the other consumer", killed, || {
                Some(board.entered_at[other].load(SeqCst)).filter(|at| *at > dead)
            })
        };
        report.kills += 1;
        match board.inside[worker].swap(0, SeqCst) {
            HOLDS => {
                wait_for("the report of a death", killed, || {
                    (board.reports.load(SeqCst) > reported).then_some(killed)
                });
                let at = board.reported_at.load(SeqCst);
                report.after_holding.push(Duration::from_nanos(at - killed));
            }
            CHANGED => report.before_notifying.push(after),
            _ => report.after_others.push(after),
        }
        processes.restart(worker, &mut run.chance);
    }
    report
}

/// One item at most is made ahead.
fn blocked(worker: usize, items: u64) -> bool {
    (items > 0) == (worker == MAKER)
}

/// The number of items is whole after any death: one store changes it.
fn whole<'a>(locked: Result<Guard<'a>, LockError<Guard<'a>>>, board: &Board) -> Guard<'a> {
    match locked {
        Ok(guard) => guard,
        Err(LockError::HolderDied(mut guard)) => {
            board.note_report();
            guard.mark_repaired();
            guard
        }
        Err(error) => panic!("{error}"),
    }
}
