//! Two permits for three processes: those of the dead come back, and none too many.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use pool_shm::SharedSemaphore;

use crate::{
    Run,
    board::{Board, LIMIT, WORKERS, now_ns, wait_for},
    processes::{Chance, Processes},
    report::Report,
};

pub(crate) fn run(run: &mut Run) -> Report {
    let board = Board::new();
    let semaphore = SharedSemaphore::new(2).expect("a semaphore");
    let work = |worker: usize, mut chance: Chance| {
        loop {
            let permit = semaphore.acquire().expect("acquire");
            board.inside[worker].store(1, SeqCst);
            board.note_entry(worker);
            chance.dawdle(Duration::from_micros(20));
            board.inside[worker].store(0, SeqCst);
            drop(permit);
        }
    };
    let mut processes = Processes::start(&mut run.chance, work);
    let mut report = Report::default();
    while run.goes_on(report.kills) {
        run.chance.dawdle(Duration::from_millis(1));
        let worker = run.chance.below(WORKERS as u64) as usize;
        let reclaimed = semaphore.reclaimed();
        let killed = processes.kill(worker);
        let late = run.chance.below(2) == 0;
        if !late {
            processes.reap(worker);
        }
        let after = wait_for("the next permit", killed, || {
            Some(board.last_entry_but(worker)).filter(|at| *at > killed)
        });
        if late {
            processes.reap(worker);
        }
        report.kills += 1;
        if board.inside[worker].swap(0, SeqCst) == 1 {
            let after = wait_for("the permit of the dead", killed, || {
                (semaphore.reclaimed() > reclaimed).then(now_ns)
            });
            report.after_holding.push(after);
        } else {
            report.after_others.push(after);
            // The worker may have died between taking the permit and saying so.
            drop([(); 2].map(|()| semaphore.acquire_timeout(LIMIT).expect("both come back")));
        }
        assert!(semaphore.reclaimed() <= reclaimed + 1, "one permit came back twice");
        processes.restart(worker, &mut run.chance);
    }
    drop(processes);
    let both = [(); 2].map(|()| semaphore.acquire_timeout(LIMIT).expect("both are left"));
    assert!(semaphore.try_acquire().is_err(), "there are too many");
    drop(both);
    report
}
