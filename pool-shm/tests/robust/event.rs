//! One process sets and two wait and clear: no death keeps an event that is set from being seen.

use std::time::Duration;

use pool_shm::SharedEvent;

use crate::{
    Run,
    board::{Board, WORKERS, now_ns, wait_for},
    processes::{Chance, Processes},
    report::Report,
};

const SETTER: usize = 0;

pub(crate) fn run(run: &mut Run) -> Report {
    let board = Board::new();
    let event = SharedEvent::new().expect("an event");
    let work = |worker: usize, mut chance: Chance| {
        loop {
            if worker == SETTER {
                event.set();
                chance.dawdle(Duration::from_micros(50));
            } else {
                event.wait();
                event.clear();
                board.note_entry(worker);
            }
        }
    };
    let mut processes = Processes::start(&mut run.chance, work);
    let mut report = Report::default();
    while run.goes_on(report.kills) {
        run.chance.dawdle(Duration::from_millis(1));
        let worker = run.chance.below(WORKERS as u64) as usize;
        let killed = processes.kill(worker);
        processes.reap(worker);
        let after = wait_for("the waiting process", killed, || {
            if worker == SETTER {
                (!event.is_set()).then(now_ns)
            } else {
                Some(board.last_entry_but(worker)).filter(|at| *at > killed)
            }
        });
        report.kills += 1;
        report.after_others.push(after);
        processes.restart(worker, &mut run.chance);
    }
    report
}
