//! A call of one item for one value: it needs no window, no sizes of chunks and no order.

use pool_ipc::Wire;

use super::{
    collector::bad_result,
    transfer::Arrival,
    transport::{Arrived, Transport},
};
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
            if one_of(self.arrived(), &mut value)?
                && let Some(value) = value.pop()
            {
                self.finish()?;
                return Ok(value);
            }
            self.receive(AWAITED)?;
        }
    }
}

/// Takes what has arrived until there is a value; returns whether there is one.
#[inline]
fn one_of<R: Wire>(mut arrived: Arrived<'_, R>, value: &mut Vec<R>) -> Result<bool, Error> {
    while let Some(arrival) = arrived.next() {
        let mut failed = None;
        match arrival {
            Arrival::Message(Message::Ended { .. }) => {}
            Arrival::Message(Message::Failed(error)) => failed = Some(error),
            Arrival::Values { values, .. } => *value = values,
            Arrival::Message(Message::Results(batch)) => arrived.read(batch, |batch, raw| {
                raw.decode(batch, value, |index, value| {
                    let bad = |fault| bad_result(batch.worker(), index, fault);
                    value.map_err(|fault| failed = Some(bad(fault))).ok()
                });
            })?,
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        if !value.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
