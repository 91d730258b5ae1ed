//! How a queue takes a call of one item in, whatever its workers are.
//!
//! Invariant: a call that is not taken in gives its item back, and leaves nothing behind but a
//! number that no handle has.

use std::sync::Arc;

use super::{
    handle::AsyncResult,
    queue::{AsyncQueue, Room, Terms, Unaccepted},
    refused::Refused,
    shared_state::Entry,
};
use crate::{compact::Compact, error::Error, shared::SharedValue, task::Portable};

/// A call that was admitted, on its way into a queue.
pub(super) struct NewCall<'e, F: Portable, T> {
    pub(super) item: Compact<F::Item>,
    /// The future that the call completes.
    pub(super) entry: &'e Arc<Entry<F::Output>>,
    pub(super) target: T,
    /// The value that a task in a thread sees.
    #[cfg_attr(not(feature = "threads"), allow(dead_code))]
    pub(super) shared: Option<SharedValue>,
    pub(super) terms: Terms,
}

/// A queue, by what differs from kind to kind of workers: how a call gets to them.
pub(super) trait Placement: AsyncQueue {
    /// How these workers find the function.
    type Target<F: Portable>;

    /// Makes the target of a call, or refuses a call that these workers cannot take.
    fn target<F: Portable<Context = ()>>(
        &self,
        item: &F::Item,
        function: F::Function,
        terms: &Terms,
    ) -> Result<Self::Target<F>, Error>;

    /// Whether the driver thread has to work for such a call while no thread waits for it.
    fn is_driven(terms: &Terms) -> bool;

    /// Whether [`MOST_WAITING`](super::MOST_WAITING) calls wait in an open queue.
    fn is_full(&self) -> bool;

    /// Hands the call to the workers, or lets it wait for them. Returns how many calls wait with
    /// it; 0: it does not wait.
    fn place<F: Portable<Context = ()>>(
        self: &Arc<Self>,
        call: NewCall<'_, F, Self::Target<F>>,
    ) -> Result<usize, Unaccepted<Compact<F::Item>>>;

    /// Waits while more than [`MOST_WAITING`](super::MOST_WAITING) calls wait; `waiting`: how many
    /// there were when the caller's call was placed.
    fn make_room(&self, waiting: usize);
}

/// Takes a call in. With [`Room::Wait`] this waits while too many calls wait for a worker.
#[inline]
pub(super) fn submit<F: Portable<Context = ()>, Q: Placement>(
    queue: &Arc<Q>,
    item: Compact<F::Item>,
    function: F::Function,
    shared: Option<SharedValue>,
    terms: Terms,
    room: Room,
) -> Result<AsyncResult<F::Output>, Unaccepted<Compact<F::Item>>> {
    let queue_shared = queue.queue_shared();
    let is_driven = Q::is_driven(&terms);
    let admitted = queue
        .check()
        .and_then(|()| queue_shared.budget.check())
        .and_then(|()| if is_driven { queue_shared.driver.start() } else { Ok(()) })
        .and_then(|()| queue.target::<F>(&item, function, &terms));
    let target = match admitted {
        Ok(target) => target,
        Err(error) => return Err(Unaccepted::Refused(Refused { item, error })),
    };
    if room == Room::Refuse && queue.is_full() {
        return Err(Unaccepted::Full(item));
    }
    let entry = Entry::new(queue_shared.clone());
    let waiting = queue.place(NewCall { item, entry: &entry, target, shared, terms })?;
    if is_driven {
        queue_shared.driver.unpark_if_parked();
    }
    if room == Room::Wait {
        queue.make_room(waiting);
    }
    Ok(AsyncResult::new(entry))
}
