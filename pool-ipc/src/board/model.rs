//! A board in private memory, made of the model checker's atomics.

use crossbeam_utils::CachePadded;

use super::{
    layout::{Alarm, First, Header, Orders, PublisherSleep, ReleaseNotices, Row, Shape, Slot},
    table::Board,
};
use crate::primitive::{AtomicI64, AtomicU32, AtomicU64};

fn zero() -> AtomicU64 {
    AtomicU64::new(0)
}

fn slot() -> Slot {
    Slot {
        word: zero(),
        audience: zero(),
        record: zero(),
        function: zero(),
        items: zero(),
        range: zero(),
        shape: zero(),
        context: zero(),
        signature: zero(),
        context_offset: zero(),
        cancelled: zero(),
        manifest: zero(),
        context_manifest: zero(),
        limit: zero(),
        grace: zero(),
        first: zero(),
        progress: zero(),
        results: zero(),
        end: zero(),
        nanos: zero(),
        failure: zero(),
        failure_len: zero(),
        result_manifest: zero(),
        _claimer_rest: zero(),
        steps_at: zero(),
        steps_done: zero(),
        steps_total: zero(),
        call: zero(),
        _rest: std::array::from_fn(|_| zero()),
    }
}

fn row() -> Row {
    Row {
        finished: zero(),
        pid: AtomicU32::new(0),
        incarnation: AtomicU32::new(0),
        keeps: AtomicU32::new(0),
        stage: AtomicU32::new(0),
        refused: AtomicU32::new(0),
        overflowed: AtomicU32::new(0),
        _rest: std::array::from_fn(|_| zero()),
        clock: zero(),
        limit: zero(),
        grace: zero(),
        last_words: zero(),
        last_words_len: zero(),
        last_words_segments: zero(),
        _clock_rest: std::array::from_fn(|_| zero()),
        orders: CachePadded::new(Orders {
            wake_count: AtomicU32::new(0),
            leave: AtomicU32::new(0),
            serial: zero(),
            targeted: AtomicU32::new(0),
            ring: std::array::from_fn(|_| AtomicU32::new(0)),
        }),
    }
}

pub(super) fn leaked(shape: Shape) -> Board {
    let header = Header {
        published: CachePadded::new(zero()),
        claimed: CachePadded::new(zero()),
        publisher: CachePadded::new(PublisherSleep {
            state: AtomicU32::new(0),
            _pad: AtomicU32::new(0),
            wanted: AtomicI64::new(0),
        }),
        alarm: CachePadded::new(Alarm { at: zero(), time_outs: zero() }),
        sleepers: CachePadded::new(std::array::from_fn(|_| zero())),
        release_notices: CachePadded::new(ReleaseNotices {
            count: zero(),
            ids: std::array::from_fn(|_| [zero(), zero()]),
        }),
        first: CachePadded::new(First {
            count: zero(),
            others_wait: AtomicU32::new(0),
            _pad: AtomicU32::new(0),
            ring: std::array::from_fn(|_| zero()),
        }),
    };
    let rings =
        (0..(shape.places + 1) * shape.slots).map(|_| AtomicU32::new(0)).collect::<Vec<_>>();
    Board {
        header: Box::leak(Box::new(header)),
        rows: Box::leak((0..shape.places).map(|_| row()).collect()),
        slots: Box::leak((0..shape.slots).map(|_| slot()).collect()),
        rings: rings.leak(),
        published: std::sync::Arc::default(),
    }
}
