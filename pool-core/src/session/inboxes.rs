//! The inboxes of the jobs under way, and what has to be found among them without a look at each.
//!
//! Invariant: whether an inbox has a token, belongs to a queue and has news for it is noted outside
//! of it, too, so an inbox is changed in these respects by the table alone.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::RangeInclusive,
    time::Duration,
};

use super::results::Message;
use crate::{cancel::CancelToken, engine::JobId, error::Error};

#[derive(Debug)]
pub(super) struct Inbox {
    /// The number of its call in this process.
    pub(super) number: u64,
    pub(super) messages: VecDeque<Message>,
    /// The error that ended the job.
    job_error: Option<Error>,
    /// The token that may end the call from outside.
    token: Option<CancelToken>,
    /// Items that run when the call ends are killed after this time.
    pub(super) kill: Option<Duration>,
    /// The shortest time after which items of the failed job are being killed.
    pub(super) killed_in: Option<Duration>,
    /// Its consumer asks for results when it likes, so a stop of the pool does not wait for it.
    lazy: bool,
    /// Whether its items have a limit.
    pub(super) limited: bool,
    /// The own job of the async queue that it belongs to: threads at that queue take what arrives.
    queue: Option<JobId>,
    /// The serial from which on workers were started while the job was open.
    pub(super) first_serial: u64,
    /// Whether all its items have ended, so that it waits for its workers' ends only.
    pub(super) over: bool,
}

impl Inbox {
    /// The inbox of a job that has just been opened.
    pub(super) fn new(number: u64, messages: VecDeque<Message>, first_serial: u64) -> Self {
        Self {
            number,
            messages,
            job_error: None,
            token: None,
            kill: None,
            killed_in: None,
            lazy: false,
            limited: false,
            queue: None,
            first_serial,
            over: false,
        }
    }

    /// Says which token may end the call, and whether its consumer asks when it likes.
    pub(super) fn with(mut self, token: Option<CancelToken>, lazy: bool) -> Self {
        (self.token, self.lazy) = (token, lazy);
        self
    }

    pub(super) fn job_error(&self) -> Option<&Error> {
        self.job_error.as_ref()
    }

    pub(super) fn token(&self) -> Option<&CancelToken> {
        self.token.as_ref()
    }

    pub(super) fn is_lazy(&self) -> bool {
        self.lazy
    }

    pub(super) fn queue(&self) -> Option<JobId> {
        self.queue
    }

    /// Whether a thread waits in the call until it is over.
    fn is_blocking(&self) -> bool {
        self.queue.is_none() && !self.lazy
    }
}

#[derive(Debug, Default)]
pub(super) struct Inboxes {
    all: BTreeMap<JobId, Inbox>,
    /// The jobs that have a token.
    with_token: BTreeSet<JobId>,
    /// The jobs of queues for which something has arrived since a thread looked last, behind their
    /// queue's own job.
    news: BTreeSet<(JobId, JobId)>,
    /// Calls that a thread waits in until they are over.
    blocking: usize,
}

/// All jobs of the queue whose own job is `queue`.
fn of_queue(queue: JobId) -> RangeInclusive<(JobId, JobId)> {
    (queue, JobId(0))..=(queue, JobId(u64::MAX))
}

impl Inboxes {
    /// Adds the inbox of a job that has none.
    #[inline]
    pub(super) fn insert(&mut self, job: JobId, inbox: Inbox) {
        self.blocking += usize::from(inbox.is_blocking());
        if inbox.token.is_some() {
            self.with_token.insert(job);
        }
        let before = self.all.insert(job, inbox);
        debug_assert!(before.is_none(), "each job has a number of its own");
    }

    #[inline]
    pub(super) fn remove(&mut self, job: JobId) -> Option<Inbox> {
        let inbox = self.all.remove(&job)?;
        self.blocking -= usize::from(inbox.is_blocking());
        if inbox.token.is_some() {
            self.with_token.remove(&job);
        }
        if let Some(queue) = inbox.queue {
            self.news.remove(&(queue, job));
        }
        Some(inbox)
    }

    #[inline]
    pub(super) fn get(&self, job: JobId) -> Option<&Inbox> {
        self.all.get(&job)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, job: JobId) -> Option<&mut Inbox> {
        self.all.get_mut(&job)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (JobId, &Inbox)> {
        self.all.iter().map(|(job, inbox)| (*job, inbox))
    }

    /// Those that have a token.
    #[inline]
    pub(super) fn with_token(&self) -> impl Iterator<Item = (JobId, &Inbox)> {
        self.with_token.iter().filter_map(|job| Some((*job, self.all.get(job)?)))
    }

    /// Whether a thread waits in any call until that is over.
    pub(super) fn any_blocking(&self) -> bool {
        self.blocking > 0
    }

    /// Puts a message into the job's inbox, if it has one; answers whether it has, and whether it
    /// belongs to a queue.
    #[inline]
    pub(super) fn deliver(&mut self, job: JobId, message: Message) -> Option<Option<JobId>> {
        let inbox = self.all.get_mut(&job)?;
        inbox.messages.push_back(message);
        if let Some(queue) = inbox.queue {
            self.news.insert((queue, job));
        }
        Some(inbox.queue)
    }

    /// Notes why the job cannot go on, unless it has failed before.
    pub(super) fn fail(&mut self, job: JobId, error: &Error) {
        let Some(inbox) = self.all.get_mut(&job) else { return };
        inbox.job_error.get_or_insert_with(|| error.clone());
        if let Some(queue) = inbox.queue {
            self.news.insert((queue, job));
        }
    }

    /// Adds the job to the queue whose own job is `queue`.
    pub(super) fn join_queue(&mut self, job: JobId, queue: JobId) {
        self.set_queue(job, Some(queue));
    }

    /// Takes the job out of its queue.
    pub(super) fn leave_queue(&mut self, job: JobId) {
        self.set_queue(job, None);
    }

    fn set_queue(&mut self, job: JobId, queue: Option<JobId>) {
        let Some(inbox) = self.all.get_mut(&job) else { return };
        self.blocking -= usize::from(inbox.is_blocking());
        let before = std::mem::replace(&mut inbox.queue, queue);
        self.blocking += usize::from(inbox.is_blocking());
        if let Some(before) = before {
            self.news.remove(&(before, job));
        }
        if let Some(queue) = queue
            && (!inbox.messages.is_empty() || inbox.job_error.is_some())
        {
            self.news.insert((queue, job));
        }
    }

    /// Moves the job's messages to `taken`.
    ///
    /// # Errors
    ///
    /// Why the job cannot go on; `taken` has what had arrived before.
    pub(super) fn take(&mut self, job: JobId, taken: &mut VecDeque<Message>) -> Result<(), Error> {
        let Some(inbox) = self.all.get_mut(&job) else { return Err(Error::Terminated) };
        if let Some(queue) = inbox.queue {
            self.news.remove(&(queue, job));
        }
        taken.append(&mut inbox.messages);
        inbox.job_error.clone().map_or(Ok(()), Err)
    }

    /// Whether something has arrived for any job of the queue.
    #[inline]
    pub(super) fn has_news(&self, queue: JobId) -> bool {
        self.news.range(of_queue(queue)).next().is_some()
    }

    /// The jobs of the queue, but for its own, for which something has arrived since this was asked
    /// last.
    pub(super) fn take_news(&mut self, queue: JobId) -> Vec<JobId> {
        let news = self.news.range(of_queue(queue)).map(|(_, job)| *job);
        let jobs: Vec<_> = news.filter(|job| *job != queue).collect();
        for job in &jobs {
            self.news.remove(&(queue, *job));
        }
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(jobs: u64) -> Inboxes {
        let mut table = Inboxes::default();
        (1..=jobs).for_each(|job| table.insert(JobId(job), Inbox::new(job, VecDeque::new(), 0)));
        table
    }

    fn ended() -> Message {
        Message::Ended { bytes: 1 }
    }

    #[test]
    fn news_are_those_of_a_queue_until_they_are_taken() {
        let mut table = table(5);
        let (queue, other) = (JobId(1), JobId(2));
        assert_eq!(table.deliver(JobId(3), ended()), Some(None));
        for (job, queue) in [(1, queue), (3, queue), (4, queue), (2, other), (5, other)] {
            table.join_queue(JobId(job), queue);
        }
        // What had come before is news for the queue.
        assert_eq!((table.has_news(queue), table.has_news(other)), (true, false));
        assert_eq!(table.deliver(JobId(4), ended()), Some(Some(queue)));
        table.fail(queue, &Error::Cancelled);
        table.fail(JobId(5), &Error::Cancelled);
        assert_eq!(table.take_news(queue), [JobId(3), JobId(4)]);
        assert!(table.has_news(queue), "those of its own job are taken with its messages");
        assert!(matches!(table.take(queue, &mut VecDeque::new()), Err(Error::Cancelled)));
        assert_eq!((table.has_news(queue), table.has_news(other)), (false, true));
        table.remove(JobId(5));
        assert!(!table.has_news(other));
        assert_eq!(table.deliver(JobId(5), ended()), None);
    }

    #[test]
    fn calls_that_a_thread_waits_in_are_counted() {
        let mut table = table(2);
        table.insert(JobId(3), Inbox::new(3, VecDeque::new(), 0).with(None, true));
        table.join_queue(JobId(1), JobId(1));
        assert!(table.any_blocking());
        table.remove(JobId(2));
        assert!(!table.any_blocking());
        table.leave_queue(JobId(1));
        assert!(table.any_blocking());
    }
}
