//! This process's reference to one object, which all its proxies of that object share.
//!
//! Invariant: while an attachment is there, the server counts `grants` references of this session.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::Session;

/// How long the server keeps an object for a proxy that was encoded for another process.
const ON_THE_WAY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Attachment {
    session: Arc<Session>,
    object: u64,
    grants: AtomicU64,
    /// When a proxy was encoded for another process the last time.
    sent: Mutex<Option<Instant>>,
}

impl Attachment {
    pub(super) fn new(session: Arc<Session>, object: u64, grants: u64) -> Self {
        Self { session, object, grants: AtomicU64::new(grants), sent: Mutex::new(None) }
    }

    pub(super) fn add_grant(&self) {
        self.grants.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn set_sent(&self) {
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    pub(crate) fn object(&self) -> u64 {
        self.object
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let grants = *self.grants.get_mut();
        if grants > 0 {
            let sent = *self.sent.get_mut().unwrap_or_else(PoisonError::into_inner);
            let keep =
                sent.map_or(Duration::ZERO, |sent| ON_THE_WAY.saturating_sub(sent.elapsed()));
            self.session.release(self.object, grants, keep);
        }
    }
}
