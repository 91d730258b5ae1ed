//! Three parties: when one is killed, at any step, the two others are told.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
    time::Duration,
};

use pool_shm::{LockError, SharedBarrier};

use crate::{
    Run,
    board::{Board, WORKERS, now_ns, wait_for},
    processes::{Chance, Processes},
    report::Report,
};

/// How often the barrier was made whole again.
fn resets(board: &Board) -> &AtomicU64 {
    &board.extra[0]
}

/// How many rounds had a leader.
fn rounds(board: &Board) -> &AtomicU64 {
    &board.extra[1]
}

pub(crate) fn run(run: &mut Run) -> Report {
    let board = Board::new();
    let barrier = SharedBarrier::new(WORKERS).expect("a barrier");
    let work = |worker: usize, mut chance: Chance| {
        loop {
            let seen = resets(&board).load(SeqCst);
            let entries = board.entries[worker].load(SeqCst);
            match barrier.wait() {
                Ok(result) => {
                    if result.is_leader() {
                        rounds(&board).fetch_add(1, SeqCst);
                    }
                    board.entries[worker].store(entries + 1, SeqCst);
                }
                Err(LockError::Broken) => {
                    board.note_report();
                    while resets(&board).load(SeqCst) == seen {
                        thread::sleep(Duration::from_micros(50));
                    }
                }
                Err(error) => panic!("{error}"),
            }
            chance.dawdle(Duration::from_micros(20));
        }
    };
    let mut processes = Processes::start(&mut run.chance, work);
    let mut report = Report::default();
    while run.goes_on(report.kills) {
        // After two rounds, all three are parties.
        let begun = rounds(&board).load(SeqCst);
        wait_for("the next rounds", now_ns(), || {
            (rounds(&board).load(SeqCst) > begun + 2).then(now_ns)
        });
        run.chance.dawdle(Duration::from_millis(1));
        let worker = run.chance.below(WORKERS as u64) as usize;
        let reported = board.reports.load(SeqCst);
        let killed = processes.kill(worker);
        processes.reap(worker);
        wait_for("the others to be told", killed, || {
            (board.reports.load(SeqCst) == reported + 2).then_some(killed)
        });
        let at = board.reported_at.load(SeqCst);
        report.after_holding.push(Duration::from_nanos(at - killed));
        assert!(barrier.is_broken());
        report.kills += 1;

        barrier.reset();
        resets(&board).fetch_add(1, SeqCst);
        processes.restart(worker, &mut run.chance);
    }
    report
}
