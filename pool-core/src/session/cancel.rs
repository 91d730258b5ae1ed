//! The cancel tokens of the calls under way, as the driver sees them.

use super::hub::{Fatal, Hub, Inbox, Session};
use crate::{cancel::CancelToken, engine::JobId};

impl Session {
    /// Ends the calls whose token was pulled: takes back what has not begun, tells what runs.
    #[inline]
    pub(super) fn heed_tokens(&self, hub: &mut Hub) {
        if hub.inboxes.iter().any(|(_, inbox)| inbox.is_cancelled()) {
            self.fail_all(hub, &Fatal::Cancelled, Inbox::is_cancelled);
            self.cancel_failed(hub);
        }
    }

    /// As [`Session::heed_tokens`], if that of the job was pulled: no worker that is told of the end of one call begins another that
    /// has the same token.
    #[inline]
    pub(super) fn heed_token_of(&self, hub: &mut Hub, job: JobId) {
        if hub.inboxes.get(job).is_some_and(Inbox::is_cancelled) {
            self.heed_tokens(hub);
        }
    }
}

impl Hub {
    /// The tokens that can still end a call.
    pub(super) fn tokens(&self) -> Vec<CancelToken> {
        let live = |inbox: &Inbox| inbox.fatal.is_none().then(|| inbox.token.clone()).flatten();
        self.inboxes.iter().filter_map(|(_, inbox)| live(inbox)).collect()
    }
}

impl Inbox {
    /// Whether the call was cancelled and does not know yet.
    fn is_cancelled(&self) -> bool {
        self.fatal.is_none() && self.token.as_ref().is_some_and(CancelToken::is_cancelled)
    }
}
