//! The rows: what channels do in the benchmarks of the pool, beside the two other libraries.
//!
//! Each row has the goals of a channel. iceoryx2 has no receivers that share the work, so two of
//! its subscribers take as many messages as two receivers do, of half as many that are published;
//! ipc-channel has one receiver, and nothing to compare with two.

use pool_bench::{
    Outcome, Part,
    bout::{Bout, Expected, Scale},
    channels::{self, COPY, CROSSBEAM, OURS, SPIN, Sides},
    line::{Goal, Unit},
};

use crate::{files, iceoryx, ipc};

const ROW: &str = "rivals";
const ICEORYX: &str = "iceoryx2, polled";
const IPC: &str = "ipc-channel";

/// All rows.
pub(crate) const PARTS: &[Part] = &[
    Part { name: "one", run: one_to_one },
    Part { name: "two", run: two_by_two },
    Part { name: "large", run: large },
    Part { name: "to-and-fro", run: to_and_fro },
];

/// One sender, one receiver.
fn one_to_one(scale: &Scale) -> Outcome {
    let count = scale.count(1_000_000);
    let ours = channels::one_to_one(count)?;
    let ipc = ipc::one_to_one(count / 10)?;
    let config = files::config()?;
    let iceoryx = iceoryx::one_to_one(&config, count)?;
    let mut bout = Bout::new(ROW, "u64, one to one", Unit::MegaMessages);
    let expected = Expected::beside(CROSSBEAM).floor(Goal::Value(8.0)).aim(Goal::Ratio(0.5));
    bout.subject(OURS, expected, ours);
    bout.baseline(CROSSBEAM, channels::one_to_one_of_threads(count));
    bout.subject(ICEORYX, Expected::beside(OURS), iceoryx);
    bout.subject(IPC, Expected::beside(OURS), ipc);
    bout.run(scale.rounds(15))
}

/// Two senders, two receivers.
fn two_by_two(scale: &Scale) -> Outcome {
    let each = scale.count(500_000);
    let ours = channels::two_by_two(each)?;
    let config = files::config()?;
    let iceoryx = iceoryx::two_by_two(&config, each)?;
    let mut bout = Bout::new(ROW, "u64, two senders, two receivers", Unit::MegaMessages);
    let expected = Expected::beside(CROSSBEAM).floor(Goal::Value(2.0));
    bout.subject(OURS, expected, ours);
    bout.baseline(CROSSBEAM, channels::two_by_two_of_threads(each));
    bout.subject("iceoryx2, polled, each to both", Expected::beside(OURS), iceoryx);
    bout.run(scale.rounds(15))
}

/// Messages of 1 MiB.
fn large(scale: &Scale) -> Outcome {
    let count = scale.count(200);
    let source = channels::large_source();
    let ours = channels::large(count, source)?;
    let ipc = ipc::large(count, source)?;
    let bytes = ipc::large_bytes(count, source)?;
    let config = files::config()?;
    let iceoryx = iceoryx::large(&config, count, source)?;
    let mut bout = Bout::new(ROW, "1 MiB, one to one", Unit::GibPerSecond);
    bout.subject(OURS, Expected::beside(ICEORYX).floor(Goal::Ratio(0.45)), ours);
    bout.subject(ICEORYX, Expected::beside(COPY), iceoryx);
    bout.subject("ipc-channel, shared memory", Expected::beside(OURS), ipc);
    bout.subject("ipc-channel, bytes", Expected::beside(OURS), bytes);
    bout.baseline(COPY, channels::large_copies(count, source)?);
    bout.run(scale.rounds(15))
}

/// A message that goes to and fro.
fn to_and_fro(scale: &Scale) -> Outcome {
    let count = scale.count(100_000);
    let sides = Sides::pick()?;
    let ours = channels::to_and_fro(count, sides)?;
    let spinning = channels::to_and_fro_spinning(count, sides)?;
    let ipc = ipc::to_and_fro(count / 10, sides)?;
    let config = files::config()?;
    let iceoryx = iceoryx::to_and_fro(&config, count, sides)?;
    sides.take_ours()?;
    let mut bout = Bout::new(ROW, "to and fro, hot", Unit::Nanos);
    bout.subject(OURS, Expected::beside(SPIN).floor(Goal::Ratio(4.0)), ours);
    bout.baseline(SPIN, spinning);
    bout.subject(ICEORYX, Expected::beside(OURS), iceoryx);
    bout.subject(IPC, Expected::beside(OURS), ipc);
    bout.run(scale.rounds(15))
}
