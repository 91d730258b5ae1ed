//! One writer at a time: the two halves of the data agree, and the worker that finds a dead holder
//! makes them agree again.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use pool_shm::{LockError, SharedMutex};

use crate::{
    Run,
    board::{Board, WORKERS, wait_for},
    processes::{Chance, Processes},
    report::Report,
};

pub(crate) fn run(run: &mut Run) -> Report {
    let mutex = SharedMutex::new([0u64; 2]).expect("a mutex");
    kill_holders(run, |board, worker, chance| change(&mutex, board, worker, chance))
}

/// Kills processes that do nothing but `change`: it gets a lock, notes that on the board and, if it
/// is told of a death, that too.
pub(crate) fn kill_holders(run: &mut Run, change: impl Fn(&Board, usize, &mut Chance)) -> Report {
    let board = Board::new();
    let work = |worker: usize, mut chance: Chance| {
        loop {
            change(&board, worker, &mut chance);
            chance.dawdle(Duration::from_micros(5));
        }
    };
    let mut processes = Processes::start(&mut run.chance, work);
    let mut report = Report::default();
    while run.goes_on(report.kills) {
        run.chance.dawdle(Duration::from_millis(1));
        let worker = run.chance.below(WORKERS as u64) as usize;
        let reported = board.reports.load(SeqCst);
        let killed = processes.kill(worker);
        // Half of the dead stay zombies until the next holder is there.
        let late = run.chance.below(2) == 0;
        if !late {
            processes.reap(worker);
        }
        let after = wait_for("the next holder", killed, || {
            Some(board.last_entry_but(worker)).filter(|at| *at > killed)
        });
        if late {
            processes.reap(worker);
        }
        report.kills += 1;
        if board.inside[worker].swap(0, SeqCst) == 1 {
            wait_for("the report of a death", killed, || {
                (board.reports.load(SeqCst) > reported).then_some(killed)
            });
            let at = board.reported_at.load(SeqCst);
            report.after_holding.push(Duration::from_nanos(at - killed));
        } else {
            report.after_others.push(after);
        }
        assert!(board.reports.load(SeqCst) <= reported + 1, "one death was reported twice");
        processes.restart(worker, &mut run.chance);
    }
    report
}

fn change(mutex: &SharedMutex<[u64; 2]>, board: &Board, worker: usize, chance: &mut Chance) {
    let mut guard = match mutex.lock() {
        Ok(guard) => guard,
        Err(LockError::HolderDied(mut guard)) => {
            board.note_report();
            guard[1] = guard[0];
            guard.mark_repaired();
            guard
        }
        Err(error) => panic!("{error}"),
    };
    board.inside[worker].store(1, SeqCst);
    board.note_entry(worker);
    assert_eq!(guard[0], guard[1], "another thread was inside");
    guard[0] += 1;
    chance.dawdle(Duration::from_micros(20));
    guard[1] += 1;
    board.inside[worker].store(0, SeqCst);
}
