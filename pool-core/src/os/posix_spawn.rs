//! `posix_spawn`, with every error of its preparation.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    ptr,
};

use nix::{sys::signal::SigSet, unistd::Pid};

/// The action "close every descriptor from this one on" of `posix_spawn`, glibc 2.34 and later.
#[derive(Clone, Copy)]
pub(crate) struct CloseFrom(
    unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, c_int) -> c_int,
);

impl CloseFrom {
    /// Looks the function up at run time, so that programs still start with an older C library.
    pub(crate) fn find() -> Option<Self> {
        let name = c"posix_spawn_file_actions_addclosefrom_np";
        // SAFETY: `name` ends with a NUL; a lookup among the loaded objects has no other effect.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        (!found.is_null()).then(|| {
            // SAFETY: glibc documents this name with exactly this signature.
            Self(unsafe {
                std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, c_int) -> c_int,
                >(found)
            })
        })
    }
}

/// What a new process starts with.
pub(crate) struct Start<'a> {
    pub(crate) path: &'a CStr,
    pub(crate) argv: &'a [CString],
    pub(crate) environment: &'a [CString],
    /// Each descriptor and the number that it gets in the new process, in this order.
    pub(crate) descriptors: &'a [(BorrowedFd<'a>, RawFd)],
    /// After that, all descriptors from this number on are closed.
    pub(crate) close_from: Option<(CloseFrom, RawFd)>,
    pub(crate) blocked: &'a SigSet,
}

/// Starts a process by `posix_spawn`, and reports every error of its preparation: nix takes the
/// error numbers that the functions for actions return for success, and a copy that lacks its
/// descriptors would run `main`.
pub(crate) fn posix_spawn(start: &Start<'_>) -> io::Result<Pid> {
    let mut actions = FileActions::new()?;
    for (source, target) in start.descriptors {
        // SAFETY: `actions` is initialised; the numbers are checked by glibc and used in the new
        // process only.
        check(unsafe {
            libc::posix_spawn_file_actions_adddup2(&raw mut actions.0, source.as_raw_fd(), *target)
        })?;
    }
    if let Some((CloseFrom(add), first)) = start.close_from {
        // SAFETY: as above; `add` is glibc's function for this.
        check(unsafe { add(&raw mut actions.0, first) })?;
    }
    let attributes = Attributes::new(start.blocked)?;
    let (argv, environment) = (pointers(start.argv), pointers(start.environment));
    let mut pid = 0;
    // SAFETY: the path and all strings end with a NUL, both lists with a null pointer; everything
    // outlives the call, which returns only after the new process has its own memory.
    check(unsafe {
        libc::posix_spawn(
            &raw mut pid,
            start.path.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            argv.as_ptr(),
            environment.as_ptr(),
        )
    })?;
    Ok(Pid::from_raw(pid))
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: room for one value, which the call initialises if it returns 0; glibc's holds no
        // pointers into itself, so it may move.
        unsafe {
            check(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
            Ok(Self(actions.assume_init()))
        }
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, and not used again.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new(blocked: &SigSet) -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: room for one value, which the call initialises if it returns 0; plain data, so it
        // may move.
        let mut attributes = unsafe {
            check(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
            Self(attributes.assume_init())
        };
        // SAFETY: `attributes` is initialised and `blocked` is a signal set.
        unsafe {
            check(libc::posix_spawnattr_setsigmask(&raw mut attributes.0, blocked.as_ref()))?;
            check(libc::posix_spawnattr_setflags(
                &raw mut attributes.0,
                libc::POSIX_SPAWN_SETSIGMASK as _,
            ))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, and not used again.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

/// Makes a result of the error number that functions of the `posix_spawn` family return.
fn check(code: c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

fn pointers(strings: &[CString]) -> Vec<*mut c_char> {
    strings.iter().map(|s| s.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}
