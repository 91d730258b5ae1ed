//! Workers beyond the last name: names are used again, age goes by serial numbers.

use std::sync::Arc;

use super::*;

/// How many names there are.
const NAMES: u64 = (1 << 28) - 1;

fn start(engine: &mut Engine) -> Vec<(u32, u32, u64)> {
    let mut out = Vec::new();
    engine.staff(&mut out);
    let start = |action| match action {
        Action::Start { place, incarnation, serial } => Some((place, incarnation, serial)),
        _ => None,
    };
    out.into_iter().filter_map(start).collect()
}

#[test]
fn the_name_after_the_last_is_the_first() {
    let mut engine = Engine::new(1, 2).counting_from(NAMES - 1);
    for (name, serial) in [(NAMES - 1, NAMES - 1), (NAMES, NAMES), (1, NAMES + 1), (2, NAMES + 2)] {
        assert_eq!(start(&mut engine), [(0, name as u32, serial)]);
        assert_eq!(engine.workers.serial_of(name as u32), serial);
        engine.workers.vacate(name as u32, true);
    }
}

#[test]
fn a_name_of_a_living_worker_is_passed_over() {
    let mut engine = Engine::new(2, 4);
    assert_eq!(start(&mut engine), [(0, 1, 1), (1, 2, 2)]);
    engine.workers.vacate(1, true);
    let mut engine = engine.counting_from(NAMES + 2);
    assert_eq!(start(&mut engine), [(0, 3, NAMES + 3)]);
    // The older one is older, whatever came since.
    assert!(engine.workers.serial_of(2) < engine.workers.serial_of(3));
}

#[test]
fn a_name_is_passed_over_while_results_or_an_arena_have_it() {
    let mut crew = Crew::new(1, 4);
    crew.submit(1, 0, 1);
    assert_eq!(crew.ended(0, 1, 1, Why::Complete), ["results 0+1 in 0", "free 1", "ended"]);
    crew.engine.workers.vacate(1, true);
    let arena = Arc::new(());
    crew.engine.workers.outlives(2, &arena);
    crew.engine = crew.engine.counting_from(NAMES + 1);
    assert_eq!(start(&mut crew.engine), [(0, 3, NAMES + 3)]);
    crew.engine.workers.vacate(3, true);
    crew.engine.released(0, &mut crew.out);
    crew.engine = crew.engine.counting_from(2 * NAMES + 1);
    assert_eq!(start(&mut crew.engine), [(0, 1, 2 * NAMES + 1)]);
    crew.engine.workers.vacate(1, true);
    drop(arena);
    // What is over is found when there is more.
    for name in 100..200 {
        crew.engine.workers.outlives(name, &Arc::new(()));
    }
    assert_eq!(start(&mut crew.engine), [(0, 2, 2 * NAMES + 2)]);
}

#[test]
fn those_that_are_retired_are_so_beyond_the_last_name() {
    let mut crew = Crew { engine: Engine::new(2, 8).counting_from(NAMES - 1), ..Crew::new(2, 8) };
    assert_eq!(
        start(&mut crew.engine),
        [(0, NAMES as u32 - 1, NAMES - 1), (1, NAMES as u32, NAMES)]
    );
    crew.job = crew.engine.open_job();
    crew.engine.workers.retire_all();
    crew.submit(2, 1, 1);
    assert_eq!(crew.engine.chunk(0).unwrap().audience.min_serial, NAMES + 1);
    crew.ended(0, NAMES as u32, 0, Why::Full);
    let back = crew.engine.published().find(|(_, chunk)| chunk.in_hand.is_some()).unwrap().1;
    assert_eq!(back.audience, Audience { place: Some(1), min_serial: NAMES });
}
