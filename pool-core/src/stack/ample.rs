//! Provides stack for calls whose items or results are large.
//!
//! Without optimisations each function that a value goes through has a copy of it, so that a call
//! with an array of half a megabyte takes more than the stack of a thread. Where the present stack
//! has too little left, such a call runs on a stack that is mapped for it.
//!
//! Invariant: for types of up to [`LARGE`] bytes nothing of this runs: the compiler decides. While
//! a mapped stack is in use the thread knows its range ([`switched`]), also in a signal handler.
//! The switch itself is in `switch.rs`.

use std::cell::Cell;

use super::{
    mapped::{MappedStack, StackRange},
    size,
    switch::call_on,
};

/// Values of more bytes are large.
const LARGE: usize = 16 << 10;
/// Copies of a value that a call may have on the stack; the most seen were 43 without optimisations
/// and 6 with them.
const COPIES: usize = 64;
/// Copies of a value for which the present stack must have room. (A program without optimisations
/// and without debug assertions, which is taken for an optimised one, needs a larger stack for
/// large values.)
const COPIES_HERE: usize = if cfg!(debug_assertions) { COPIES } else { 12 };
/// Bytes that a call takes in addition to the copies.
const BESIDE: usize = 256 << 10;

thread_local! {
    /// The stack that the thread runs on, if that is known.
    static HERE: Cell<Option<StackRange>> = const { Cell::new(None) };
    /// The mapped stack that the thread runs on, if it runs on one.
    static SWITCHED: Cell<Option<StackRange>> = const { Cell::new(None) };
}

/// Whether a call with values of these types is large.
#[must_use]
pub const fn is_large<A, R>() -> bool {
    size_of::<A>() > LARGE || size_of::<R>() > LARGE
}

/// Calls `act` where the stack has room for the copies of an `A` and an `R`.
///
/// # Panics
///
/// If `act` panics.
#[inline(always)]
pub fn with_room<A, R, T>(act: impl FnOnce() -> T) -> T {
    if const { !is_large::<A, R>() } {
        return act();
    }
    if has_room(needed::<A, R>(COPIES_HERE)) {
        return on_this(act);
    }
    // The result comes back through a box, so that it has one copy on the caller's stack.
    *on_another(needed::<A, R>(COPIES), || Box::new(act()))
}

/// Evaluates an expression with the value of `$from` in `$value`, on a stack like that of
/// [`with_room`]. For the first function that gets a value: the caller's stack then has one copy of
/// it, where each further function would have another one.
#[doc(hidden)]
#[macro_export]
macro_rules! move_with_room {
    // `$beside` is evaluated when the value has been moved: a call before that would cost a copy.
    (<$item:ty, $result:ty>($from:expr => $value:ident $(; $name:ident = $beside:expr)?)
        => $call:expr) => {
        if const { $crate::is_large::<$item, $result>() } {
            let mut place = Some($from);
            $(let $name = $beside;)?
            $crate::with_room::<$item, $result, _>(|| {
                let $value = place.take().expect("it is taken once");
                $call
            })
        } else {
            match $from {
                $value => {
                    $(let $name = $beside;)?
                    $call
                }
            }
        }
    };
}

pub(crate) use move_with_room;

/// The mapped stack that the calling thread runs on instead of its own, if any. May be called in a
/// signal handler.
pub(crate) fn switched() -> Option<StackRange> {
    SWITCHED.try_with(Cell::get).ok().flatten()
}

/// Notes that the calling thread, the only one of its process, runs on this stack from now on.
pub(crate) fn runs_on(range: StackRange) {
    HERE.set(Some(range));
    SWITCHED.set(None);
}

const fn needed<A, R>(copies: usize) -> usize {
    let (item, result) = (size_of::<A>(), size_of::<R>());
    let larger = if item > result { item } else { result };
    larger.saturating_mul(copies).saturating_add(BESIDE)
}

/// Whether `bytes` bytes are left of the present stack.
#[inline(never)]
fn has_room(bytes: usize) -> bool {
    let mark = 0u8;
    let here = std::ptr::from_ref(&mark).addr();
    // A stack that the thread has left, for example by a fork, does not count.
    let left = HERE.get().and_then(|range| range.below(here)).or_else(|| {
        let range = own_stack()?;
        HERE.set(Some(range));
        range.below(here)
    });
    left.is_some_and(|left| left >= bytes)
}

/// The stack that the calling thread was made with.
fn own_stack() -> Option<StackRange> {
    let (base, bytes) = pool_shm::thread_stack().ok()?;
    Some(StackRange { top: base.checked_add(bytes)?, bytes })
}

/// Calls `act` in a frame of its own, so that its copies do not lie in the frame of a caller that
/// checks whether there is room for them.
#[inline(never)]
fn on_this<T>(act: impl FnOnce() -> T) -> T {
    act()
}

/// Calls `act` on a stack with room for `bytes` bytes and as much as a stack of the usual size: for
/// the user's code, and so that calls within the call find room. If the system has no room for that
/// stack, calls it on the present one.
#[inline(never)]
fn on_another<T>(bytes: usize, act: impl FnOnce() -> T) -> T {
    let Ok(mut stack) = MappedStack::new(bytes.saturating_add(size(None))) else {
        return on_this(act);
    };
    let _back = Back::to_present(stack.range());
    call_on(&mut stack, act)
}

/// Notes at its drop that the thread runs on its previous stack again.
struct Back {
    here: Option<StackRange>,
    switched: Option<StackRange>,
}

impl Back {
    fn to_present(other: StackRange) -> Self {
        let before = Self { here: HERE.get(), switched: SWITCHED.get() };
        HERE.set(Some(other));
        SWITCHED.set(Some(other));
        before
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        HERE.set(self.here);
        SWITCHED.set(self.switched);
    }
}

#[cfg(test)]
mod tests {
    use std::{hint::black_box, panic, thread};

    use super::*;

    const BIG: usize = 512 << 10;
    type Big = [u8; BIG];

    fn from_small_thread(run: impl FnOnce() + Send + 'static) {
        let small = thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap();
        small.join().unwrap();
    }

    /// Uses `mib` MiB of stack.
    #[inline(never)]
    fn deep(mib: usize) -> usize {
        let frame = black_box([1u8; 1 << 20]);
        if mib == 0 { 0 } else { usize::from(frame[mib]) + deep(mib - 1) }
    }

    #[test]
    fn a_large_call_has_room_and_a_small_one_stays_where_it_is() {
        from_small_thread(|| {
            assert_eq!(with_room::<u8, [u8; LARGE], _>(switched), None);
            let value = with_room::<Big, (), _>(|| {
                let range = switched().unwrap();
                assert!(range.bytes >= needed::<Big, ()>(COPIES) + size(None));
                assert!(range.below((&raw const range).addr()).is_some());
                [deep(10) as u8; BIG]
            });
            assert_eq!((value[BIG - 1], switched()), (10, None));
            let value = [3u8; BIG];
            let sum = |value: Big| usize::from(value[7]) + deep(10);
            assert_eq!(move_with_room!(<(), Big>(value => value) => sum(value)), 13);
        });
    }

    #[test]
    fn what_has_room_stays_where_it_is() {
        let large = thread::Builder::new().stack_size(64 << 20).spawn(|| {
            assert_eq!(with_room::<Big, Big, _>(switched), None);
            assert!(HERE.get().is_some());
        });
        large.unwrap().join().unwrap();
    }

    /// The inner call has room on the outer one's stack, a call with larger values has not.
    #[test]
    fn calls_are_nested_and_made_again() {
        from_small_thread(|| {
            for _ in 0..2 {
                with_room::<Big, (), _>(|| {
                    let outer = switched();
                    assert_eq!(with_room::<(), Big, _>(switched), outer);
                    let inner = with_room::<[u8; 8 * BIG], (), _>(|| (switched(), deep(60)));
                    assert!(inner.0.is_some() && inner.0 != outer && inner.1 == 60);
                    assert_eq!(switched(), outer);
                });
                assert_eq!(switched(), None);
            }
        });
    }

    #[test]
    fn a_panic_comes_back_through_both_stacks() {
        from_small_thread(|| {
            struct Tells<'a>(&'a Cell<u32>);
            impl Drop for Tells<'_> {
                fn drop(&mut self) {
                    self.0.set(self.0.get() + 1);
                }
            }
            let drops = Cell::new(0);
            for panics in 1..3 {
                let caught = panic::catch_unwind(panic::AssertUnwindSafe(|| {
                    let _before = Tells(&drops);
                    with_room::<Big, (), _>(|| {
                        let _on_it = Tells(&drops);
                        with_room::<[u8; 8 * BIG], (), _>(|| panic::resume_unwind(Box::new(7)))
                    })
                }));
                assert_eq!(caught.unwrap_err().downcast_ref(), Some(&7));
                assert_eq!((drops.get(), switched()), (2 * panics, None));
            }
            assert_eq!(with_room::<Big, (), _>(|| deep(10)), 10);
        });
    }

    #[test]
    fn the_way_back_is_in_the_backtrace() {
        #[inline(never)]
        fn the_caller_of_a_large_call() -> String {
            with_room::<Big, (), _>(|| std::backtrace::Backtrace::force_capture().to_string())
        }
        from_small_thread(|| {
            let text = the_caller_of_a_large_call();
            assert!(text.contains("the_caller_of_a_large_call"), "{text}");
        });
    }

    #[test]
    fn the_stack_of_a_thread_is_found() {
        from_small_thread(|| {
            let range = own_stack().unwrap();
            let here = (&raw const range).addr();
            let left = range.below(here).unwrap();
            assert!((1 << 20..3 << 20).contains(&left), "{left}");
            assert_eq!(range.below(range.top), None);
            assert_eq!(range.below(range.top - range.bytes - 1), None);
            runs_on(StackRange { top: 1 << 12, bytes: 1 << 12 });
            assert!(has_room(1 << 10), "a stack that was left is not asked");
        });
    }
}
