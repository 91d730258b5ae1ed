//! Incarnations beyond the last one (here: names) are used again; serial numbers say which worker
//! is older.

use std::sync::Arc;

use super::*;

/// How many names there are.
const NAMES: u64 = (1 << 28) - 1;

fn start(engine: &mut Engine) -> Vec<(u32, u32, u64)> {
    let mut out = Vec::new();
    engine.start_missing(&mut out);
    let start = |action| match action {
        Action::Start { worker, incarnation, serial } => {
            Some((worker.number(), incarnation.number(), serial))
        }
        _ => None,
    };
    out.into_iter().filter_map(start).collect()
}

#[test]
fn the_name_after_the_last_is_the_first() {
    let mut engine = Engine::new(1, 2).counting_from(NAMES - 1);
    for (name, serial) in [(NAMES - 1, NAMES - 1), (NAMES, NAMES), (1, NAMES + 1), (2, NAMES + 2)] {
        assert_eq!(start(&mut engine), [(0, name as u32, serial)]);
        assert_eq!(engine.workers.serial_of(named(name as u32)), serial);
        engine.workers.vacate(named(name as u32), true);
    }
}

#[test]
fn a_name_of_a_live_worker_is_passed_over() {
    let mut engine = Engine::new(2, 4);
    assert_eq!(start(&mut engine), [(0, 1, 1), (1, 2, 2)]);
    engine.workers.vacate(named(1), true);
    let mut engine = engine.counting_from(NAMES + 2);
    assert_eq!(start(&mut engine), [(0, 3, NAMES + 3)]);
    // The older worker has the smaller serial number, whatever its name.
    assert!(engine.workers.serial_of(named(2)) < engine.workers.serial_of(named(3)));
}

#[test]
fn a_name_is_passed_over_while_results_or_an_arena_have_it() {
    let mut fixture = Fixture::new(1, 4);
    fixture.submit(1, 0, 1);
    assert_eq!(fixture.ended(0, 1, 1, Why::Complete), ["results 0+1 in 0", "free 1", "ended"]);
    fixture.engine.workers.vacate(named(1), true);
    let arena = Arc::new(());
    fixture.engine.workers.outlives(named(2), &arena);
    fixture.engine = fixture.engine.counting_from(NAMES + 1);
    assert_eq!(start(&mut fixture.engine), [(0, 3, NAMES + 3)]);
    fixture.engine.workers.vacate(named(3), true);
    fixture.engine.released(SlotIndex::new(0), &mut fixture.out);
    fixture.engine = fixture.engine.counting_from(2 * NAMES + 1);
    assert_eq!(start(&mut fixture.engine), [(0, 1, 2 * NAMES + 1)]);
    fixture.engine.workers.vacate(named(1), true);
    drop(arena);
    // Names whose arena is gone are found when more names are added.
    for name in 100..200 {
        fixture.engine.workers.outlives(named(name), &Arc::new(()));
    }
    assert_eq!(start(&mut fixture.engine), [(0, 2, 2 * NAMES + 2)]);
}

#[test]
fn those_that_are_retired_are_so_beyond_the_last_name() {
    let mut fixture =
        Fixture { engine: Engine::new(2, 8).counting_from(NAMES - 1), ..Fixture::new(2, 8) };
    assert_eq!(
        start(&mut fixture.engine),
        [(0, NAMES as u32 - 1, NAMES - 1), (1, NAMES as u32, NAMES)]
    );
    fixture.job = fixture.engine.open_job();
    fixture.engine.workers.retire_all();
    fixture.submit(2, 1, 1);
    assert_eq!(fixture.engine.chunk(SlotIndex::new(0)).unwrap().audience.min_serial, NAMES + 1);
    fixture.ended(0, NAMES as u32, 0, Why::Full);
    let back = fixture.engine.published().find(|(_, chunk)| chunk.in_hand.is_some()).unwrap().1;
    assert_eq!(back.audience, Audience { place: Some(1), min_serial: NAMES });
}
