//! Values as archives, and the references in them to other objects of the server.
//!
//! Invariant: an item counts as a reference to each object that it names, from before it is stored
//! until its last copy is dropped.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
};

use super::shared::{Object, Shared};
use crate::protocol::{Blob, Fault};

/// A value that the server keeps.
pub(super) struct Item {
    bytes: Vec<u8>,
    references: Option<References>,
}

struct References {
    server: Weak<Shared>,
    objects: Vec<u64>,
}

impl Item {
    /// Takes in what a client has sent.
    pub(super) fn new(blob: Blob, server: &Arc<Shared>) -> Result<Arc<Self>, Fault> {
        let Blob { bytes, objects } = blob;
        if objects.is_empty() {
            return Ok(Arc::new(Self { bytes, references: None }));
        }
        server.retain(&objects)?;
        let references = Some(References { server: Arc::downgrade(server), objects });
        Ok(Arc::new(Self { bytes, references }))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn objects(&self) -> &[u64] {
        self.references.as_ref().map_or(&[], |references| &references.objects)
    }
}

impl Drop for References {
    fn drop(&mut self) {
        if let Some(server) = self.server.upgrade() {
            drop_all(server.release(self.objects.iter().map(|object| (*object, 1)), None));
        }
    }
}

thread_local! {
    static ENDED: RefCell<Option<Vec<Arc<dyn Object>>>> = const { RefCell::new(None) };
}

/// While it lives, objects whose last reference is gone wait; with it they are dropped. What they
/// held goes the same way, one after the other, since a chain of them may be longer than a stack is
/// deep. A panic of an own type's `Drop` goes no further.
pub(super) struct DropsLater {
    is_outermost: bool,
}

impl DropsLater {
    pub(super) fn begin() -> Self {
        let begin = |ended: &mut Option<_>| {
            let is_outermost = ended.is_none();
            ended.get_or_insert_default();
            is_outermost
        };
        Self { is_outermost: ENDED.with_borrow_mut(begin) }
    }
}

impl Drop for DropsLater {
    fn drop(&mut self) {
        if !self.is_outermost {
            return;
        }
        let next = || ENDED.with_borrow_mut(|ended| ended.as_mut().and_then(Vec::pop));
        while let Some(object) = next() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(object))) {
                // Its own `Drop` may panic, too.
                std::mem::forget(payload);
            }
        }
        ENDED.set(None);
    }
}

/// Drops objects whose last reference is gone, now or with the [`DropsLater`] of this thread.
pub(super) fn drop_all(objects: Vec<Arc<dyn Object>>) {
    let _now = DropsLater::begin();
    ENDED.with_borrow_mut(|ended| ended.get_or_insert_default().extend(objects));
}
