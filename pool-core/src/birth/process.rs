//! What this process is called and how many threads it has.
//!
//! Invariant: both ask or tell the kernel; nothing is remembered, so nothing is wrong after a fork.

use std::{
    fs, io, thread,
    time::{Duration, Instant},
};

use nix::sys::prctl;

/// Names this process in `ps` and `top`: the first 15 bytes of `name`, up to a NUL. Does not allocate.
pub(crate) fn set_process_name(name: &str) {
    const LEN: usize = 15;
    let len = (0..=LEN).rev().find(|len| name.is_char_boundary(*len)).unwrap_or(0);
    let mut buffer = [0; LEN + 1];
    buffer[..len].copy_from_slice(&name.as_bytes()[..len]);
    if let Ok(name) = std::ffi::CStr::from_bytes_until_nul(&buffer) {
        let _ = prctl::set_name(name);
    }
}

/// How many threads this process has. One that was just joined may still be listed, so that more than one is
/// believed only after a few milliseconds.
///
/// # Errors
///
/// What reading `/proc/self/task` says.
pub(crate) fn thread_count() -> io::Result<usize> {
    let deadline = Instant::now() + Duration::from_millis(5);
    loop {
        let count = fs::read_dir("/proc/self/task")?.count();
        if count <= 1 || Instant::now() >= deadline {
            return Ok(count);
        }
        thread::sleep(Duration::from_micros(200));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_between_characters() {
        // In a thread of its own: the name belongs to the thread.
        let named = |name: &'static str| {
            let thread = thread::spawn(move || {
                set_process_name(name);
                prctl::get_name().unwrap()
            });
            thread.join().unwrap().into_string().unwrap()
        };
        assert_eq!(named("pool-w3"), "pool-w3");
        assert_eq!(named("0123456789abcdefgh"), "0123456789abcde");
        assert_eq!(named("0123456789abcdé"), "0123456789abcd");
    }

    #[test]
    fn threads_are_counted() {
        let (hold, wait) = std::sync::mpsc::channel::<()>();
        let thread = thread::spawn(move || wait.recv());
        assert!(thread_count().unwrap() >= 2);
        drop(hold);
        assert!(thread.join().unwrap().is_err());
    }
}
