//! Readers and writers: readers see halves that agree, a dead writer is reported, and a dead reader
//! stops no writer.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use pool_shm::{LockError, SharedRwLock, SharedWriteGuard};

use crate::{
    Run,
    board::{Board, WORKERS, now_ns, wait_for},
    processes::{Chance, Processes},
    report::Report,
};

type Pair = [u64; 2];

/// The values of `Words::inside`.
const READS: u64 = 1;
const WRITES: u64 = 2;

/// When a worker last wrote.
fn wrote_at(board: &Board) -> &AtomicU64 {
    &board.extra[0]
}

pub(crate) fn run(run: &mut Run) -> Report {
    let board = Board::new();
    let lock = SharedRwLock::new([0u64; 2]).expect("a lock");
    let work = |worker: usize, mut chance: Chance| {
        loop {
            if chance.below(3) > 0 {
                read(&lock, &board, worker, &mut chance);
            } else {
                write(lock.write(), &board, worker, &mut chance);
            }
            chance.dawdle(Duration::from_micros(5));
        }
    };
    let mut processes = Processes::start(&mut run.chance, work);
    let mut report = Report::default();
    while run.goes_on(report.kills) {
        run.chance.dawdle(Duration::from_millis(1));
        let worker = run.chance.below(WORKERS as u64) as usize;
        let (reported, reclaimed) = (board.reports.load(SeqCst), lock.dead_readers());
        let killed = processes.kill(worker);
        let late = run.chance.below(2) == 0;
        if !late {
            processes.reap(worker);
        }
        // A worker that was killed while it wrote may have stamped this after the order to kill.
        let after = wait_for("the next writer", killed, || {
            let at = wrote_at(&board).load(SeqCst);
            (at > killed && board.last_entry_but(worker) > killed).then_some(at)
        });
        if late {
            processes.reap(worker);
        }
        report.kills += 1;
        match board.inside[worker].swap(0, SeqCst) {
            WRITES => {
                wait_for("the report of a death", killed, || {
                    (board.reports.load(SeqCst) > reported).then_some(killed)
                });
                let at = board.reported_at.load(SeqCst);
                report.after_holding.push(Duration::from_nanos(at - killed));
            }
            READS => {
                wait_for("the place of a reader", killed, || {
                    (lock.dead_readers() > reclaimed).then_some(killed)
                });
                report.after_holding.push(after);
            }
            _ => report.after_others.push(after),
        }
        assert!(board.reports.load(SeqCst) <= reported + 1, "one death was reported twice");
        assert!(lock.dead_readers() <= reclaimed + 1, "one place was taken back twice");
        processes.restart(worker, &mut run.chance);
    }
    report
}

fn read(lock: &SharedRwLock<Pair>, board: &Board, worker: usize, chance: &mut Chance) {
    let guard = match lock.read() {
        Ok(guard) => guard,
        Err(LockError::HolderDied(guard)) => {
            return write(Err(LockError::HolderDied(guard)), board, worker, chance);
        }
        Err(error) => panic!("{error}"),
    };
    board.inside[worker].store(READS, SeqCst);
    let before = *guard;
    assert_eq!(before[0], before[1], "a writer was inside");
    chance.dawdle(Duration::from_micros(20));
    assert_eq!(*guard, before, "a writer came in");
    board.note_entry(worker);
    board.inside[worker].store(0, SeqCst);
}

fn write(
    taken: Result<SharedWriteGuard<'_, Pair>, LockError<SharedWriteGuard<'_, Pair>>>,
    board: &Board,
    worker: usize,
    chance: &mut Chance,
) {
    let mut guard = match taken {
        Ok(guard) => guard,
        Err(LockError::HolderDied(mut guard)) => {
            board.note_report();
            guard[1] = guard[0];
            guard.mark_repaired();
            guard
        }
        Err(error) => panic!("{error}"),
    };
    board.inside[worker].store(WRITES, SeqCst);
    wrote_at(board).store(now_ns(), SeqCst);
    board.note_entry(worker);
    assert_eq!(guard[0], guard[1], "another thread was inside");
    guard[0] += 1;
    chance.dawdle(Duration::from_micros(20));
    guard[1] += 1;
    board.inside[worker].store(0, SeqCst);
}
