//! The type of the value that a pool shares.

use std::any::TypeId;

/// The type of a shared value, and the type's name for errors.
#[derive(Debug, Clone, Copy)]
pub struct SharedType {
    pub(crate) id: TypeId,
    pub(crate) name: &'static str,
}

impl SharedType {
    pub(crate) fn of<S: 'static>() -> Self {
        Self { id: TypeId::of::<S>(), name: std::any::type_name::<S>() }
    }
}
