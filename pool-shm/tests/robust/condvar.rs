//! Consumers that wait for items: a notification that a dead one has swallowed is made good.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use pool_shm::{LockError, SharedCondvar, SharedMutex, SharedMutexGuard};

use crate::{
    Run,
    board::{Board, LIMIT, WORKERS, now_ns, wait_for},
    crew::{Chance, Crew},
    report::Report,
};

type Locked<'a> = Result<SharedMutexGuard<'a, u64>, LockError<SharedMutexGuard<'a, u64>>>;

pub(crate) fn run(run: &mut Run) -> Report {
    let board = Board::new();
    let items = SharedMutex::new(0u64).expect("a mutex");
    let made = SharedCondvar::new().expect("a condition variable");
    let work = |worker: usize, mut chance: Chance| {
        loop {
            let mut guard = whole(items.lock(), &board);
            while *guard == 0 {
                guard = whole(made.wait(guard), &board);
            }
            board.inside[worker].store(1, SeqCst);
            chance.dawdle(Duration::from_micros(20));
            *guard -= 1;
            board.note_turn(worker);
            board.inside[worker].store(0, SeqCst);
        }
    };
    let mut crew = Crew::start(&mut run.chance, work);
    let mut report = Report::default();
    while run.goes_on(report.kills) {
        run.chance.dawdle(Duration::from_micros(200));
        let worker = run.chance.below(WORKERS as u64) as usize;
        let reported = board.reports.load(SeqCst);
        let left = || *whole(items.lock_timeout(LIMIT), &board);
        *whole(items.lock_timeout(LIMIT), &board) += 1;
        made.notify_one();
        // Long enough for the one that was notified to wake, or not.
        run.chance.dawdle(Duration::from_micros(100));
        let killed = crew.kill(worker);
        crew.reap(worker);
        let after = wait_for("the consumption of an item", killed, || {
            (left() == 0).then(|| now_ns().max(killed))
        });
        report.kills += 1;
        if board.inside[worker].swap(0, SeqCst) == 1 {
            assert!(board.reports.load(SeqCst) > reported, "a death was not reported");
            report.after_holding.push(after);
        } else {
            report.after_others.push(after);
        }
        crew.restart(worker, &mut run.chance);
    }
    report
}

/// The number of items is whole whoever died: one store changes it.
fn whole<'a>(locked: Locked<'a>, board: &Board) -> SharedMutexGuard<'a, u64> {
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
