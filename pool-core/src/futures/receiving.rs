//! How answers of the processes get to their futures: by any thread that works at the queue.
//!
//! Invariant: a thread has one answer in hand at a time, without the lock, so the user's code in it
//! holds up no other future; answers in which there is none, numbers for futures that nothing
//! watches, are completed at once, with the lock. The session's job is closed once, when no thread
//! reads answers.

use std::sync::{MutexGuard, atomic::Ordering};

use super::{
    in_flight::{Answer, InFlight},
    processes::ProcessQueue,
};
use crate::{
    error::Error,
    job::ItemAllocator,
    mutex::lock,
    panic::drop_quietly,
    reentrancy::{InCall, Inside},
    session::{Buffers, Message},
};

/// The slots of results that were read are given back in groups of this many, or when there is
/// nothing more to read.
const RELEASED_AT_ONCE: usize = 16;

impl ProcessQueue {
    /// Works, or waits for others who do.
    pub(super) fn work_while(&self, condition: impl Fn(&InFlight) -> bool) {
        loop {
            let seen = self.passes.load(Ordering::SeqCst);
            if !condition(&lock(&self.in_flight)) {
                return;
            }
            self.queue_shared.waiting.fetch_add(1, Ordering::SeqCst);
            let passed = || self.passes.load(Ordering::SeqCst) != seen || self.has_backlog();
            self.allocator.session.wait_for_messages(self.allocator.job, self.due(), &passed);
            self.queue_shared.waiting.fetch_sub(1, Ordering::SeqCst);
            self.work(false, true);
        }
    }

    /// Completes what has arrived and sends what may be sent. `poll`: checks for arrivals first;
    /// `idle`: may wait for room.
    #[inline]
    pub(super) fn work(&self, poll: bool, idle: bool) {
        self.answer(poll, idle);
        let session = &self.allocator.session;
        if session.reports_matter() && lock(&self.in_flight).under_way() == 0 {
            session.watch_while_idle();
        }
        if !self.queue_shared.background.is_empty() && !self.allocator.session.is_foreign() {
            let news = self.allocator.session.take_news(self.allocator.job);
            let news = news.into_iter().map(|job| job.0);
            let ended = self.queue_shared.background.advance(news, &|| self.wake_waiting());
            self.passes.fetch_add(1, Ordering::SeqCst);
            if ended > 0 {
                self.wake_waiting();
                self.queue_shared.jobs_ended(ended);
            }
        }
    }

    /// Completes and sends calls of one item, without the jobs in the background.
    #[inline]
    fn answer(&self, poll: bool, idle: bool) {
        let ItemAllocator { session, job, .. } = &self.allocator;
        let mut in_flight = lock(&self.in_flight);
        if in_flight.outstanding() == 0 && !poll && self.queue_shared.background.is_empty() {
            return;
        }
        let mut buffers = in_flight.buffers(session);
        let gone = session.take_messages(*job, poll, &mut buffers.taken).err();
        let mut completed = false;
        while let Some(message) = buffers.taken.pop_front() {
            match message {
                Message::Ended { .. } => {}
                Message::Results(batch) => {
                    in_flight.ran(batch.nanos);
                    let receiver = in_flight.end(batch.first);
                    if receiver.as_ref().is_some_and(|r| r.receive_plain(&batch, &mut buffers)) {
                        buffers.released.extend(batch.slot());
                        completed = true;
                    } else {
                        in_flight.answered.push_back((receiver, Answer::Batch(batch)));
                    }
                }
                Message::Failed(mut error) => {
                    let receiver = in_flight.end(std::mem::take(&mut error.index));
                    in_flight.answered.push_back((receiver, Answer::Failed(error.into())));
                }
            }
        }
        if completed {
            session.submit(&mut buffers.released, None);
            // The user's code in what is handed out next may wait for those that are complete.
            if !in_flight.answered.is_empty() {
                self.wake_waiting();
            }
        }
        let (some, in_flight) = self.hand_out(in_flight, &mut buffers);
        // A thread that drains the queue has waited for this thread, too.
        let over = in_flight.closed && in_flight.outstanding() == 0;
        // Another thread has found the end and reports why: this one may only see that the job is
        // gone.
        let reported = in_flight.over;
        self.put_away(in_flight, buffers);
        match gone {
            Some(_) if reported => return,
            Some(error) => return self.give_up(&error),
            None => {}
        }
        let (failed, left) = self.send_waiting(idle);
        self.passes.fetch_add(1, Ordering::SeqCst);
        if completed || some || failed || over {
            self.wake_waiting();
        }
        self.left_line(left);
    }

    /// Hands answers over, one after the other, until there are none; whether there were any.
    #[inline]
    fn hand_out<'d>(
        &'d self,
        mut in_flight: MutexGuard<'d, InFlight>,
        buffers: &mut Buffers,
    ) -> (bool, MutexGuard<'d, InFlight>) {
        in_flight.busy += 1;
        let (mut some, mut shared) = (false, false);
        while let Some((receiver, answer)) = in_flight.answered.pop_front() {
            let more = !in_flight.answered.is_empty();
            // Relaxed: written with the table locked only.
            if more != self.backlog.load(Ordering::Relaxed) {
                self.backlog.store(more, Ordering::SeqCst);
            }
            drop(in_flight);
            if more && !shared {
                self.wake_waiting();
            }
            (some, shared) = (true, shared || more);
            if let Some(receiver) = receiver {
                let inside = receiver.enter_delivery();
                match answer {
                    Answer::Batch(batch) => {
                        receiver.receive(&batch, &self.allocator, buffers);
                        buffers.released.extend(batch.slot());
                    }
                    Answer::Failed(error) => receiver.fail(error),
                }
                drop_quietly(receiver);
                drop(inside);
            } else if let Answer::Batch(batch) = answer {
                buffers.released.extend(batch.slot());
            }
            let enough = if more { RELEASED_AT_ONCE } else { 1 };
            if buffers.released.len() >= enough {
                self.allocator.session.submit(&mut buffers.released, None);
            }
            in_flight = lock(&self.in_flight);
        }
        in_flight.busy -= 1;
        // Another thread may have taken the last one.
        if !buffers.released.is_empty() {
            self.allocator.session.submit(&mut buffers.released, None);
        }
        (some, in_flight)
    }

    /// Returns the buffers, and closes the session's job if all is over.
    #[inline]
    fn put_away(&self, mut in_flight: MutexGuard<'_, InFlight>, buffers: Box<Buffers>) {
        in_flight.put_buffers(buffers);
        self.close_job_if_over(in_flight);
    }

    /// Whether there are answers or jobs that no thread has in hand.
    #[inline]
    pub(super) fn has_backlog(&self) -> bool {
        self.backlog.load(Ordering::SeqCst) || self.queue_shared.background.has_backlog()
    }

    /// Wakes other threads that wait for a future: some futures are complete, or can be completed.
    pub(super) fn wake_waiting(&self) {
        if self.queue_shared.waiting.load(Ordering::SeqCst) > 0 {
            self.allocator.session.notify();
        }
    }

    /// Closes the queue, and answers every open call with this error.
    pub(super) fn give_up(&self, why: &Error) {
        let mut in_flight = lock(&self.in_flight);
        in_flight.closed = true;
        let unsent = in_flight.give_up(why);
        in_flight.over = true;
        let foreign = self.allocator.session.is_foreign();
        if !foreign {
            self.allocator.session.queue_leaves(self.allocator.job);
        }
        if foreign {
            let answered = std::mem::take(&mut in_flight.answered);
            drop(in_flight);
            answered
                .into_iter()
                .filter_map(|(receiver, _)| receiver)
                .for_each(|r| r.fail(why.clone()));
        } else {
            let mut buffers = in_flight.buffers(&self.allocator.session);
            let (_, in_flight) = self.hand_out(in_flight, &mut buffers);
            self.put_away(in_flight, buffers);
        }
        let inside = InCall::enter(self.queue_shared.backend, Inside::Delivery);
        drop_quietly(unsent);
        drop(inside);
        self.queue_shared.background.end(why);
        self.passes.fetch_add(1, Ordering::SeqCst);
        self.queue_shared.driver.unpark();
        if !foreign {
            self.allocator.session.notify();
            let _inside = InCall::enter(self.queue_shared.backend, Inside::Delivery);
            self.queue_shared.budget.wake_submitters();
        }
    }

    /// Closes the session's job once no thread reads results of it.
    fn close_job_if_over(&self, mut in_flight: MutexGuard<'_, InFlight>) {
        let ItemAllocator { session, job, .. } = &self.allocator;
        if !in_flight.over
            || in_flight.busy > 0
            || !in_flight.answered.is_empty()
            || session.is_foreign()
        {
            return;
        }
        let buffers = in_flight.last_buffers();
        drop(in_flight);
        session.close_job(*job, buffers.unwrap_or_else(|| session.take_buffers()));
    }
}
