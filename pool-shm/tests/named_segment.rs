//! Named segments: who finds them, who removes them, and what stays behind.

#[path = "support/processes.rs"]
mod processes;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use nix::sys::{signal::Signal, wait::WaitStatus};
use pool_shm::{Error, NamedSegment};
use processes::{end_of, finish, prefix, run, start};

fn main() {
    run(&[
        ("another_process_opens_by_name", another_process_opens),
        ("only_the_user_may_open", only_the_user),
        ("a_forked_child_s_drop_removes_nothing", forked_drop),
        ("a_child_s_own_segment_goes_with_it", own_of_child),
        ("a_killed_creator_leaves_a_stale_name", stale_name),
        ("a_name_that_means_something_else_by_now_stays", replaced_name),
        ("no_size_yet_is_not_ready", not_ready),
        ("no_room_is_an_error_and_leaves_no_name", no_room),
        ("bad_input_is_named", bad_input),
    ]);
}

fn file(name: &str) -> std::path::PathBuf {
    Path::new("/dev/shm").join(name)
}

fn named(name: &str) -> (String, NamedSegment) {
    let name = prefix() + name;
    let segment = NamedSegment::create(&name, 5000).expect("create");
    (name, segment)
}

fn another_process_opens() {
    let (name, ours) = named("open");
    assert_eq!(ours.len(), 5000);
    finish(start(|| {
        let theirs = NamedSegment::open(&format!("/{name}")).expect("open");
        assert_eq!(theirs.len(), 5000);
        // SAFETY: byte 4999 is mapped, and the parent waits.
        unsafe { theirs.as_ptr().add(4999).write(42) };
    }));
    // SAFETY: as above; the child has ended.
    assert_eq!(unsafe { ours.as_ptr().add(4999).read() }, 42);
    drop(ours);
    assert!(
        matches!(NamedSegment::open(&name), Err(Error::NotFound { name: found }) if found == name)
    );
}

fn only_the_user() {
    let (name, _ours) = named("mode");
    let mode = fs::metadata(file(&name)).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

fn forked_drop() {
    let (name, ours) = named("fork");
    let mut ours = Some(ours);
    finish(start(|| drop(ours.take())));
    assert!(file(&name).exists());
    drop(ours);
    assert!(!file(&name).exists());
}

fn own_of_child() {
    let name = prefix() + "child";
    finish(start(|| {
        let own = NamedSegment::create(&name, 1).expect("create");
        assert!(file(&name).exists());
        drop(own);
        assert!(!file(&name).exists());
    }));
}

fn stale_name() {
    let name = prefix() + "stale";
    let child = start(|| {
        let _kept = NamedSegment::create(&name, 1).expect("create");
        nix::sys::signal::raise(Signal::SIGKILL).expect("raise");
    });
    assert_eq!(end_of(child), WaitStatus::Signaled(child, Signal::SIGKILL, false));
    let error = NamedSegment::create(&name, 1).expect_err("stale");
    assert!(matches!(error, Error::Exists { name: found } if found == name));
    NamedSegment::unlink(&name).expect("unlink");
    NamedSegment::create(&name, 1).expect("create");
    assert!(matches!(NamedSegment::unlink(&name), Err(Error::NotFound { .. })));
}

fn replaced_name() {
    let (name, first) = named("replaced");
    NamedSegment::unlink(&name).expect("unlink");
    let second = NamedSegment::create(&name, 1).expect("create");
    drop(first);
    assert!(file(&name).exists());
    drop(second);
    assert!(!file(&name).exists());
}

fn not_ready() {
    let name = prefix() + "empty";
    fs::write(file(&name), []).expect("write");
    assert!(matches!(NamedSegment::open(&name), Err(Error::NotReady { .. })));
    NamedSegment::unlink(&name).expect("unlink");
}

fn no_room() {
    let room = nix::sys::statvfs::statvfs("/dev/shm").expect("statvfs");
    let len = (room.blocks() as u64 + 1) * room.fragment_size() as u64;
    let name = prefix() + "room";
    if room.blocks() != 0 {
        let error = NamedSegment::create(&name, len).expect_err("more than there is");
        assert!(matches!(error, Error::Os { .. }), "{error}");
    }
    assert!(!file(&name).exists());
}

fn bad_input() {
    assert!(matches!(NamedSegment::create("a/b", 1), Err(Error::InvalidName { .. })));
    assert!(matches!(NamedSegment::open(""), Err(Error::InvalidName { .. })));
    assert!(matches!(NamedSegment::unlink(".."), Err(Error::InvalidName { .. })));
    assert!(matches!(NamedSegment::create("a", 0), Err(Error::Empty)));
    assert!(matches!(NamedSegment::create("a", u64::MAX), Err(Error::TooLong { .. })));
}
