//! The function of a call, as far as its name can be found.

use std::{any::type_name, mem};

use super::symbols;
use crate::task::Form;

/// The function of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Function {
    /// The address of a `fn`; `None`: a closure with captures.
    address: Option<usize>,
    /// The name of its type.
    type_name: &'static str,
}

impl Function {
    /// The function of a form that has a `fn` pointer.
    pub(crate) fn portable<F: Form>(function: F::Function) -> Self {
        const { assert!(size_of::<F::Function>() == size_of::<usize>()) };
        // SAFETY: forms are sealed, and their functions are `fn` pointers or references: one
        // pointer.
        let pointer: *const () = unsafe { mem::transmute_copy(&function) };
        Self { address: Some(pointer.addr()), type_name: type_name::<F::Function>() }
    }

    /// A closure with captures.
    pub(crate) fn closure<G>() -> Self {
        Self { address: None, type_name: type_name::<G>() }
    }

    /// Its name, or that of its type.
    pub(crate) fn name(self) -> String {
        let found = self.address.and_then(symbols::name_of);
        found.unwrap_or_else(|| self.type_name.to_string())
    }
}
