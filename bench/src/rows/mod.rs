//! The rows, one file per question.
//!
//! * `channels.rs`: channels between processes.
//! * `cpu.rs`: tasks that just compute.
//! * `data_set.rs`: a large data set that workers share.
//! * `futures.rs`: calls of which the caller takes the results later.
//! * `heavy_tail.rs`: a few tasks that take most of the time.
//! * `locks.rs`: locks between processes.
//! * `many_calls.rs`: many calls at a time.
//! * `memory.rs`: the memory of the workers and the parent.
//! * `payload.rs`: large items and large results.
//! * `roundtrip.rs`: the smallest call.
//! * `shared.rs`: arrays in shared memory beside slices in private memory.
//! * `small.rs`: a map that is over soon.
//! * `start.rs`: builds a pool, runs one task on each worker, ends it.
//! * `tiny.rs`: the smallest tasks.

mod channels;
mod cpu;
mod data_set;
mod futures;
mod heavy_tail;
mod locks;
mod many_calls;
mod memory;
mod payload;
mod roundtrip;
mod shared;
mod small;
mod start;
mod tiny;

use crate::Part;

/// All parts, in the order of the table.
pub(crate) const PARTS: &[Part] = &[
    Part { name: "roundtrip", run: roundtrip::run },
    Part { name: "tiny/1", run: |scale| tiny::run(scale, 1) },
    Part { name: "tiny/2", run: |scale| tiny::run(scale, 2) },
    Part { name: "small", run: small::run },
    Part { name: "futures/gathered", run: futures::gathered },
    Part { name: "futures/beside", run: futures::beside },
    Part { name: "futures/ways", run: futures::ways },
    Part { name: "many_calls/maps", run: many_calls::maps },
    Part { name: "many_calls/applies", run: many_calls::applies },
    Part { name: "many_calls/stalled", run: many_calls::stalled },
    Part { name: "many_calls/dropped", run: many_calls::dropped },
    Part { name: "payload/in-1", run: |scale| payload::items(scale, 1) },
    Part { name: "payload/in-16", run: |scale| payload::items(scale, 16) },
    Part { name: "payload/out-1", run: |scale| payload::results(scale, 1) },
    Part { name: "payload/out-16", run: |scale| payload::results(scale, 16) },
    Part { name: "shared/set", run: shared::set },
    Part { name: "shared/copy", run: shared::copy },
    Part { name: "locks/alone", run: locks::alone },
    Part { name: "locks/contended", run: locks::contended },
    Part { name: "channels/one", run: channels::one_to_one },
    Part { name: "channels/two", run: channels::two_by_two },
    Part { name: "channels/large", run: channels::large },
    Part { name: "channels/to-and-fro", run: channels::ping_pong },
    Part { name: "data_set", run: data_set::run },
    Part { name: "start/processes", run: start::processes },
    Part { name: "start/threads", run: start::threads },
    Part { name: "cpu", run: cpu::run },
    Part { name: "heavy_tail", run: heavy_tail::run },
    Part { name: "memory/fork", run: |scale| memory::run(scale, pool_api::StartMethod::Fork) },
    Part {
        name: "memory/forkserver",
        run: |scale| memory::run(scale, pool_api::StartMethod::ForkServer),
    },
    Part { name: "memory/spawn", run: |scale| memory::run(scale, pool_api::StartMethod::Spawn) },
];
