//! Calls the initialisers of the executable that are linked after the hook.
//!
//! Invariant: when a copy is taken over, every initialiser of the executable has run exactly once,
//! as if `main` were about to start: the C library calls those before the hook, and the hook calls
//! those after it and does not return. In a static executable at a fixed address the array cannot
//! be found and the later ones do not run.

use std::{
    ffi::{c_char, c_int},
    mem::transmute,
    ptr,
};

use super::image::Image;

/// What the C library passes to every initialiser.
#[derive(Clone, Copy)]
pub(crate) struct Arguments {
    pub(crate) argc: c_int,
    pub(crate) argv: *const *const c_char,
    pub(crate) environment: *const *const c_char,
}

pub(crate) type Initialiser = extern "C" fn(c_int, *const *const c_char, *const *const c_char);

/// Calls the initialisers after `own`, an entry of the executable's array.
pub(crate) fn run_after(own: *const Initialiser, arguments: Arguments) {
    let Some((start, len)) = Image::main().and_then(Image::init_array) else {
        return;
    };
    let entry = |i: usize| start + i * size_of::<usize>();
    let Some(own) = (0..len).find(|i| entry(*i) == own as usize) else {
        return;
    };
    for i in own + 1..len {
        // SAFETY: an entry of the array that the image's dynamic section describes; the loader has
        // relocated it.
        let address = unsafe { ptr::with_exposed_provenance::<usize>(entry(i)).read() };
        if address != 0 {
            // SAFETY: the C library would call this very entry with these arguments, as soon as the
            // hook returns, which it does not do after this.
            let initialiser = unsafe { transmute::<usize, Initialiser>(address) };
            initialiser(arguments.argc, arguments.argv, arguments.environment);
        }
    }
}
