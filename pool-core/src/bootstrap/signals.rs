//! What a zygote, a worker or a process of one function does on signals.
//!
//! Invariant: a signal that is meant for the whole program (Ctrl-C, hang-up, a supervisor's SIGTERM
//! to the group) never ends a process of a pool before the parent; the parent decides, and they end
//! with it (`ending_signals.rs`). A signal that the user ignores stays ignored, as under `nohup`. A
//! process of one function belongs to the user: the signals that ask a process to end do so.

use libc::c_int;

use super::ending_signals::{is_no_worker, on_ending_signal};
use crate::os::{Disposition, ENDING, sys, unblock_signals};

/// Removes the handlers of the program that this process was forked from, and those that its
/// initialisers have set. Ignored signals stay ignored, except SIGCHLD; SIGPIPE is ignored; signals
/// that ask the program to end get the handler of `ending_signals.rs`, which an executed program
/// does not inherit. No signal is blocked afterwards, and no flag stays that the program has set:
/// with `SA_NOCLDWAIT`, for example, the kernel would report no child's end. Does not allocate.
pub(crate) fn reset_signals() {
    reset(wish);
}

/// Removes the handlers of the program, as [`reset_signals`] does, in a process that runs one
/// function: SIGTERM, SIGINT and SIGHUP end it, also where the program ignores them.
pub(crate) fn reset_signals_of_process() {
    reset(wish_of_process);
}

fn reset(wish: fn(c_int, Disposition) -> Disposition) {
    is_no_worker();
    for signal in 1..=libc::SIGRTMAX() {
        let Ok(present) = sys::disposition(signal) else {
            continue;
        };
        let wish = wish(signal, present);
        if wish != present || wish == Disposition::Handled || signal == libc::SIGCHLD {
            // This fails for the signals that the C library uses itself.
            let _ = sys::set_disposition(signal, wish, on_ending_signal);
        }
    }
    unblock_signals();
}

fn wish(signal: c_int, present: Disposition) -> Disposition {
    if signal == libc::SIGPIPE {
        return Disposition::Ignored;
    }
    if signal == libc::SIGCHLD {
        return Disposition::Default;
    }
    let ending = ENDING.iter().any(|ending| *ending as c_int == signal);
    match present {
        Disposition::Ignored => Disposition::Ignored,
        _ if ending => Disposition::Handled,
        _ => Disposition::Default,
    }
}

fn wish_of_process(signal: c_int, present: Disposition) -> Disposition {
    match signal {
        libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGCHLD => Disposition::Default,
        libc::SIGPIPE => Disposition::Ignored,
        _ if present == Disposition::Ignored => Disposition::Ignored,
        _ => Disposition::Default,
    }
}

#[cfg(test)]
mod tests {
    use Disposition::{Default, Handled, Ignored};

    use super::*;

    #[test]
    fn ignored_signals_stay_ignored_except_two() {
        assert!(wish(libc::SIGHUP, Ignored) == Ignored);
        assert!(wish(libc::SIGUSR1, Ignored) == Ignored);
        assert!(wish(libc::SIGCHLD, Ignored) == Default);
        assert!(wish(libc::SIGPIPE, Default) == Ignored);
    }

    #[test]
    fn handlers_go_and_ending_is_left_to_the_parent() {
        assert!(wish(libc::SIGALRM, Handled) == Default);
        assert!(wish(libc::SIGUSR1, Default) == Handled);
        assert!(wish(libc::SIGSEGV, Handled) == Default);
        assert!(wish(libc::SIGTERM, Default) == Handled);
        assert!(wish(libc::SIGINT, Handled) == Handled);
    }

    #[test]
    fn a_process_of_one_function_ends_when_it_is_asked_to() {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            for present in [Ignored, Handled, Default] {
                assert!(wish_of_process(signal, present) == Default);
            }
        }
        assert!(wish_of_process(libc::SIGUSR1, Handled) == Default);
        assert!(wish_of_process(libc::SIGQUIT, Ignored) == Ignored);
        assert!(wish_of_process(libc::SIGPIPE, Default) == Ignored);
    }
}
