//! The driver's checks of cancel tokens: of calls under way, and of calls that have returned while
//! items of them still run.

use std::time::Duration;

use super::{
    inboxes::Inbox,
    state::{DetachedCall, Session, SessionState},
};
use crate::{cancel::CancelToken, engine::JobId, error::Error};

impl Session {
    /// Ends the calls whose token was pulled: takes back the chunks that have not begun, and tells
    /// the workers that run the others.
    #[inline]
    pub(super) fn check_tokens(&self, state: &mut SessionState) {
        let (mut pulled, mut kills) = (Vec::new(), !state.detached_calls.is_empty());
        for (_, inbox) in state.inboxes.with_token() {
            if inbox.is_cancelled() {
                pulled.extend(inbox.token().cloned());
            }
            kills |= inbox.is_to_be_killed();
        }
        if !pulled.is_empty() {
            // After the check of the tokens: the results of items that had finished are kept.
            self.collect(state);
            let has_pulled =
                |inbox: &Inbox| inbox.token().is_some_and(|token| pulled.contains(token));
            let to_fail = |inbox: &Inbox| inbox.job_error().is_none() && has_pulled(inbox);
            self.fail_all(state, &Error::Cancelled, to_fail);
        }
        if !pulled.is_empty() || kills {
            self.cancel_failed(state);
            self.check_detached_calls(state);
        }
    }

    /// Checks all tokens if that of the job was pulled: a worker that is told of the end of one
    /// call then begins no other one that has the same token.
    #[inline]
    pub(super) fn check_token_of(&self, state: &mut SessionState, job: JobId) {
        if state.inboxes.get(job).is_some_and(Inbox::is_cancelled) {
            self.check_tokens(state);
        }
    }

    /// Keeps the token of a call that returns while items of it run, since the token may still have
    /// them killed. `grace` is what they were given.
    pub(super) fn keep_token(
        &self,
        state: &mut SessionState,
        job: JobId,
        inbox: &Inbox,
        grace: Option<Duration>,
    ) {
        if let Some(token) = inbox.token().cloned().filter(|_| state.engine.knows(job)) {
            state.detached_calls.push(DetachedCall { job, token, grace });
        }
    }

    fn check_detached_calls(&self, state: &mut SessionState) {
        let mut detached_calls = std::mem::take(&mut state.detached_calls);
        detached_calls.retain_mut(|call| {
            if !state.engine.knows(call.job) {
                return false;
            }
            if is_sooner(call.token.kill_grace(), call.grace) {
                call.grace = call.token.kill_grace();
                let slots = state.engine.published().filter(|(_, chunk)| chunk.job == call.job);
                let slots: Vec<_> = slots.map(|(slot, _)| slot).collect();
                self.kill_claimers(state, &slots, call.grace);
            }
            true
        });
        state.detached_calls = detached_calls;
    }
}

/// Whether the grace that is asked for is shorter than the one that was given.
fn is_sooner(asked: Option<Duration>, done: Option<Duration>) -> bool {
    asked.is_some_and(|asked| done.is_none_or(|done| asked < done))
}

impl SessionState {
    /// The tokens that can still end a call, each once, since several calls may have the same.
    pub(super) fn tokens(&self) -> Vec<CancelToken> {
        let live =
            |inbox: &Inbox| inbox.job_error().is_none().then(|| inbox.token().cloned()).flatten();
        let calls = self.inboxes.with_token().filter_map(|(_, inbox)| live(inbox));
        // (The descriptor of a token that was pulled stays readable.)
        let unpulled = |call: &&DetachedCall| !call.token.is_cancelled();
        let detached = self.detached_calls.iter().filter(unpulled).map(|call| call.token.clone());
        let mut tokens: Vec<_> = calls.chain(detached).collect();
        tokens.sort_unstable_by_key(CancelToken::address);
        tokens.dedup();
        tokens
    }

    /// Whether a token that was pulled may still have items killed, which no descriptor tells of.
    pub(super) fn may_kill(&self) -> bool {
        let asks = |token: &CancelToken, grace: Option<Duration>| {
            token.is_cancelled() && grace != Some(Duration::ZERO)
        };
        let has_ended = |(job, inbox): &(JobId, &Inbox)| {
            inbox.job_error().is_some() && self.engine.has_chunks_of(*job)
        };
        let mut calls = self.inboxes.with_token().filter(has_ended);
        self.detached_calls.iter().any(|call| asks(&call.token, call.grace))
            || calls.any(|(_, call)| call.token().is_some_and(|t| asks(t, call.killed_in)))
    }
}

impl Inbox {
    /// Whether the token was pulled and the call has not been told.
    fn is_cancelled(&self) -> bool {
        self.job_error().is_none() && self.token().is_some_and(CancelToken::is_cancelled)
    }

    /// Whether the call has failed and its token asks for a shorter grace than its items have.
    fn is_to_be_killed(&self) -> bool {
        let grace = || self.token().and_then(CancelToken::kill_grace);
        self.job_error().is_some() && is_sooner(grace(), self.killed_in)
    }

    /// How long items that run when the call ends may go on before they are killed; `None`: they
    /// are not killed.
    pub(super) fn grace(&self) -> Option<Duration> {
        let token = self.token().and_then(CancelToken::kill_grace);
        token.into_iter().chain(self.kill).min()
    }
}
