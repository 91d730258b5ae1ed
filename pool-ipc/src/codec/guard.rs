//! What bounds one encoding or decoding, and keeps the reason why it ends.
//!
//! Invariant: the first reason is kept. Errors of the formats only make their own code return.

use std::{
    cell::{Cell, RefCell},
    fmt, hint, ptr,
};

use crate::SerdeFault;

use super::SerdeError;

/// What a format can hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Its bytes say what they hold: fields may be left out, lengths come later.
    pub(super) self_describing: bool,
}

/// The state of one encoding or decoding.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) rules: Rules,
    depth: Cell<usize>,
    /// An address in the stack where it begins.
    stack: usize,
    elements: Cell<usize>,
    /// Bytes of memory of the structs and lists made since an element was counted.
    made: Cell<usize>,
    /// Bytes of memory of elements beyond the number of bytes.
    free: Cell<usize>,
    /// What is written next is the content of a `Some`.
    in_some: Cell<bool>,
    fault: Cell<Option<SerdeFault>>,
    message: RefCell<Option<String>>,
}

impl Guard {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            depth: Cell::new(0),
            stack: here(),
            elements: Cell::new(0),
            made: Cell::new(0),
            free: Cell::new(0),
            in_some: Cell::new(false),
            fault: Cell::new(None),
            message: RefCell::new(None),
        }
    }

    /// One level deeper, until the level is dropped.
    #[inline]
    pub(super) fn enter<E>(&self) -> Result<Level<'_>, Failure<E>> {
        let depth = self.depth.get();
        let stack = self.stack.abs_diff(here());
        if depth >= SerdeFault::MAX_DEPTH || stack > SerdeFault::MAX_STACK {
            return Err(Failure::Fault(SerdeFault::TooDeep));
        }
        self.depth.set(depth + 1);
        Ok(Level(self))
    }

    /// Counts an element of a list or map whose length its type does not say.
    #[inline]
    pub(super) fn count_element(&self) {
        self.elements.set(self.elements.get().saturating_add(1));
    }

    /// Refuses more elements than a value with so many bytes may have.
    #[inline]
    pub(super) fn check_elements<E>(&self, bytes: usize) -> Result<(), Failure<E>> {
        if self.elements.get() > bytes.saturating_add(SerdeFault::FREE_ELEMENTS) {
            return Err(Failure::Fault(SerdeFault::TooManyElements));
        }
        Ok(())
    }

    /// Something of so many bytes of memory is made.
    #[inline]
    pub(super) fn made(&self, size: usize) {
        self.made.set(self.made.get().saturating_add(size));
    }

    /// Refuses more memory for elements that take no bytes than these may have: the element that
    /// was just counted has at least `size`, and what was made for it.
    #[inline]
    pub(super) fn check_memory<E>(&self, bytes: usize, size: usize) -> Result<(), Failure<E>> {
        let size = size.max(self.made.replace(0));
        if self.elements.get() <= bytes {
            return Ok(());
        }
        self.free.set(self.free.get().saturating_add(size));
        if self.free.get() > SerdeFault::FREE_MEMORY {
            return Err(Failure::Fault(SerdeFault::TooManyElements));
        }
        Ok(())
    }

    /// A `Some` begins.
    #[inline]
    pub(super) fn begin_some(&self) {
        self.in_some.set(self.rules.self_describing);
    }

    /// Something begins that is not written like `None`.
    #[inline]
    pub(super) fn begin_value(&self) {
        self.in_some.set(false);
    }

    /// Something begins that is written like `None`.
    #[inline]
    pub(super) fn begin_nothing<E>(&self) -> Result<(), Failure<E>> {
        if self.in_some.replace(false) {
            return Err(Failure::Fault(SerdeFault::NestedOption));
        }
        Ok(())
    }

    /// Keeps why the encoding or decoding ends, unless a reason is kept already.
    #[cold]
    fn keep(&self, fault: SerdeFault, message: Option<String>) {
        if self.fault.get().is_none() {
            self.fault.set(Some(fault));
            *self.message.borrow_mut() = message;
        }
    }

    /// Why the encoding or decoding ended, with `otherwise` where only the format knows.
    #[cold]
    pub(super) fn into_error(self, otherwise: SerdeFault) -> SerdeError {
        SerdeError {
            fault: self.fault.get().unwrap_or(otherwise),
            message: self.message.into_inner(),
        }
    }

    pub(super) fn fault(&self) -> Option<SerdeFault> {
        self.fault.get()
    }
}

/// An address in the stack.
#[inline]
fn here() -> usize {
    let local = 0u8;
    ptr::from_ref(hint::black_box(&local)).addr()
}

/// One level of nesting.
pub(super) struct Level<'g>(&'g Guard);

impl Drop for Level<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.depth.set(self.0.depth.get() - 1);
    }
}

/// The error of guarded serializers and deserializers.
#[derive(Debug)]
pub(super) enum Failure<E> {
    /// The format's own.
    Format(E),
    /// A bound.
    Fault(SerdeFault),
    /// What a type's own code said.
    Said(String),
}

impl<E> Failure<E> {
    /// Keeps the reason, and gives the format an error of its own.
    #[cold]
    pub(super) fn keep_in(self, guard: &Guard, error: impl FnOnce() -> E) -> E {
        match self {
            Self::Format(error) => return error,
            Self::Fault(fault) => guard.keep(fault, None),
            Self::Said(message) => guard.keep(SerdeFault::Refused, Some(message)),
        }
        error()
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(error) => error.fmt(f),
            Self::Fault(fault) => fault.fmt(f),
            Self::Said(message) => f.write_str(message),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for Failure<E> {}

impl<E: serde::ser::Error> serde::ser::Error for Failure<E> {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Said(message.to_string())
    }
}

impl<E: serde::de::Error> serde::de::Error for Failure<E> {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Said(message.to_string())
    }
}
