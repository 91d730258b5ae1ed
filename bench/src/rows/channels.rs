//! What do channels between processes carry?
//!
//! They are compared with crossbeam's channels between threads and with a pipe, which a system call
//! on either side takes eight bytes in and out of; and a message that goes to and fro with a word
//! that two processes spin on.

use crate::{
    Outcome,
    bout::{Bout, Expected, Scale},
    channels::{self, COPY, CROSSBEAM, OURS, SPIN, Sides},
    line::{Goal, Unit},
};

/// One sender, one receiver.
pub(crate) fn one_to_one(scale: &Scale) -> Outcome {
    let count = scale.count(1_000_000);
    let ours = channels::one_to_one(count)?;
    let by_pipe = channels::one_to_one_by_pipe(count / 10)?;
    let mut bout = Bout::new("channels", "u64, one to one", Unit::MegaMessages);
    let expected = Expected::beside(CROSSBEAM).floor(Goal::Value(8.0)).aim(Goal::Ratio(0.5));
    bout.subject(OURS, expected, ours);
    bout.baseline(CROSSBEAM, channels::one_to_one_of_threads(count));
    bout.subject("pipe, processes", Expected::beside(CROSSBEAM), by_pipe);
    bout.run(scale.rounds(15))
}

/// Two senders, two receivers.
pub(crate) fn two_by_two(scale: &Scale) -> Outcome {
    let each = scale.count(500_000);
    let mut bout = Bout::new("channels", "u64, two senders, two receivers", Unit::MegaMessages);
    let expected = Expected::beside(CROSSBEAM).floor(Goal::Value(2.0));
    bout.subject(OURS, expected, channels::two_by_two(each)?);
    bout.baseline(CROSSBEAM, channels::two_by_two_of_threads(each));
    bout.run(scale.rounds(15))
}

/// Messages of 1 MiB, read in place.
pub(crate) fn large(scale: &Scale) -> Outcome {
    let count = scale.count(200);
    let source = channels::large_source();
    let mut bout = Bout::new("channels", "1 MiB, one to one", Unit::GibPerSecond);
    let ours = channels::large(count, source)?;
    bout.subject("channel, read in place", Expected::beside(COPY), ours);
    bout.baseline(COPY, channels::large_copies(count, source)?);
    bout.run(scale.rounds(15))
}

/// A message that goes to and fro.
pub(crate) fn ping_pong(scale: &Scale) -> Outcome {
    let count = scale.count(100_000);
    let sides = Sides::pick()?;
    let ours = channels::to_and_fro(count, sides)?;
    let spinning = channels::to_and_fro_spinning(count, sides)?;
    sides.take_ours()?;
    let mut bout = Bout::new("channels", "to and fro, hot", Unit::Nanos);
    bout.subject(OURS, Expected::beside(SPIN).floor(Goal::Ratio(4.0)), ours);
    bout.baseline(SPIN, spinning);
    bout.run(scale.rounds(15))
}
