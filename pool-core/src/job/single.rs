//! A call of one item for one value: it needs no window, no sizes of chunks and no order.

use super::{collector::bad_result, transfer::Arrival, transport::Transport};
use crate::{
    engine::Awaited,
    error::Error,
    reentrancy::{InCall, Inside},
    session::Message,
    task::Form,
};

impl<F: Form> Transport<F> {
    /// Sends the one item of this transport's job and waits for its value.
    ///
    /// # Errors
    ///
    /// The failure of the task or of the pool.
    pub(crate) fn value_of(mut self, item: F::Item) -> Result<F::Output, Error> {
        const AWAITED: Awaited =
            Awaited { chunks: 1, has_items: false, most: usize::MAX, until: None };
        let _inside = InCall::enter(self.backend(), Inside::Call);
        self.exchange(item, AWAITED)?;
        let mut value = Vec::with_capacity(1);
        loop {
            while let Some(arrival) = self.next_arrival() {
                let mut failed = None;
                match arrival {
                    Arrival::Message(Message::Ended { .. }) => {}
                    Arrival::Message(Message::Failed(error)) => failed = Some(error),
                    Arrival::Values { values, .. } => value = values,
                    Arrival::Message(Message::Results(batch)) => {
                        self.decode(&batch, &mut value, |index, value| {
                            let bad = |fault| bad_result(batch.worker(), index, fault);
                            value.map_err(|fault| failed = Some(bad(fault))).ok()
                        });
                        self.check_cancelled()?;
                        self.release(batch);
                    }
                }
                if let Some(error) = failed {
                    return Err(error.into());
                }
                if let Some(value) = value.pop() {
                    self.finish()?;
                    return Ok(value);
                }
            }
            self.receive(AWAITED)?;
        }
    }
}
