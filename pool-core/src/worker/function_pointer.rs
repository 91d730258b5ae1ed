//! Converts a function to its address as a number, and back.

use crate::task::Form;

pub(super) fn address_of_function<F: Form>(function: F::Function) -> usize {
    const { assert!(size_of::<F::Function>() == size_of::<usize>()) };
    // SAFETY: forms are sealed, and their functions are `fn` pointers or references: one pointer.
    let pointer: *const () = unsafe { std::mem::transmute_copy(&function) };
    pointer.expose_provenance()
}

/// The function at an address that `address_of_function` gave.
///
/// # Safety
///
/// `pointer` is the address of an `F::Function` in this process.
pub(super) unsafe fn function_at<F: Form>(pointer: *const ()) -> F::Function {
    const { assert!(size_of::<F::Function>() == size_of::<*const ()>()) };
    // SAFETY: as promised; see `address_of_function`.
    unsafe { std::mem::transmute_copy(&pointer) }
}
