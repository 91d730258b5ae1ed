//! Values as archives, and the references in them to other objects of the server.
//!
//! Invariant: an item counts as a reference to each object that it names, from before it is stored
//! until its last copy is dropped.

use std::{
    cell::RefCell,
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

/// Drops objects whose last reference is gone. What they held goes the same way, one after the
/// other, since a chain of them may be longer than a stack is deep.
pub(super) fn drop_all(objects: Vec<Arc<dyn Object>>) {
    let is_running = ENDED.with_borrow_mut(|ended| match ended {
        Some(ended) => {
            ended.extend(objects);
            true
        }
        None => {
            *ended = Some(objects);
            false
        }
    });
    if is_running {
        return;
    }
    while let Some(object) = ENDED.with_borrow_mut(|ended| ended.as_mut().and_then(Vec::pop)) {
        drop(object);
    }
    ENDED.set(None);
}
