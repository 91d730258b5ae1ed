//! Named segments: which programs find them, may open them and remove them, and what stays behind.

#[path = "support/processes.rs"]
mod processes;

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::Write,
    os::unix::fs::{FileExt, PermissionsExt, symlink},
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::{
        signal::{Signal, kill, raise},
        wait::WaitStatus,
    },
    unistd::{Uid, User, close, geteuid, setuid},
};
use pool_shm::{Error, NamedSegment};
use processes::{end_of, finish, prefix, run, start};

/// Bytes before those of the user.
const HEAD: u64 = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, name] = &arguments[..]
        && word == "another-program"
    {
        return another_program(name);
    }
    run(&[
        ("another_program_opens_by_name", another_program_opens),
        ("a_second_create_is_an_error", second_create),
        ("bytes_are_copied_within_the_segment_only", bytes_in_range),
        ("only_the_user_may_open", only_the_user),
        ("another_user_cannot_open", another_user),
        ("a_file_that_others_may_open_is_refused", open_to_others),
        ("a_forked_child_s_drop_and_exit_remove_nothing", forked),
        ("a_child_s_own_segment_goes_with_it", own_of_child),
        ("a_killed_creator_leaves_a_stale_name", stale_name),
        ("a_creator_killed_at_any_moment_can_be_replaced", killed_at_any_moment),
        ("what_is_not_finished_is_not_ready", not_ready),
        ("one_in_use_is_replaced_for_those_who_come_later", replaced_in_use),
        ("a_drop_beside_a_replacement_removes_nothing_else", drop_beside_replacement),
        ("many_replace_at_once_and_are_told_why_not", many_at_once),
        ("a_name_that_means_something_else_by_now_stays", replaced_name),
        ("a_name_that_is_kept_outlives_its_creator", kept_name),
        ("what_is_no_segment_is_left_alone", no_segment),
        ("no_standard_input_does_not_leak_the_name", no_standard_input),
        ("a_lock_that_is_not_released_is_an_error", held_lock),
        ("no_room_is_an_error_and_leaves_no_name", no_room),
        ("bad_input_is_named", bad_input),
    ]);
}

fn file(name: &str) -> PathBuf {
    PathBuf::from("/dev/shm").join(name)
}

fn named(name: &str) -> (String, NamedSegment) {
    let name = prefix() + name;
    let segment = NamedSegment::create(&name, 5000).expect("create");
    (name, segment)
}

/// Reads and writes the last byte.
fn exchange(segment: &NamedSegment, value: u8) -> u8 {
    // SAFETY: the byte is mapped, and the other program that has the segment waits.
    unsafe { segment.as_ptr().add(segment.len() - 1).replace(value) }
}

/// The life of this executable when it gets a name: a program that knows nothing else.
fn another_program(name: &str) {
    let theirs = NamedSegment::open(&format!("/{name}")).expect("open");
    assert_eq!((theirs.len(), theirs.name()), (5000, name));
    assert!(theirs.as_ptr().addr().is_multiple_of(64));
    assert_eq!(exchange(&theirs, 42), 21);
    assert!(matches!(NamedSegment::create(name, 1), Err(Error::Exists { .. })));
}

fn another_program_opens() {
    let (name, ours) = named("open");
    assert_eq!((ours.len(), exchange(&ours, 21)), (5000, 0));
    let this = std::env::current_exe().expect("this program");
    let status = Command::new(this).args(["another-program", &name]).status().expect("it runs");
    assert!(status.success(), "{status}");
    assert_eq!(exchange(&ours, 0), 42);
    drop(ours);
    let gone = NamedSegment::open(&name);
    assert!(matches!(gone, Err(Error::NotFound { name: found }) if found == name));
}

fn second_create() {
    let (name, ours) = named("second");
    let error = NamedSegment::create(&name, 1).expect_err("it is taken");
    assert!(matches!(&error, Error::Exists { name: found } if *found == name), "{error}");
    let same = NamedSegment::open(&name).expect("open");
    assert_eq!((same.id(), same.len()), (ours.id(), 5000));
}

fn bytes_in_range() {
    let (name, ours) = named("bytes");
    let theirs = NamedSegment::open(&name).expect("open");
    let written: Vec<u8> = (0..5000u32).map(|index| (index % 251) as u8).collect();
    ours.write_at(0, &written).expect("all of it");
    for (offset, len) in [(0, 5000), (1, 4999), (4999, 1), (5000, 0), (777, 100)] {
        let mut read = vec![0; len];
        theirs.read_at(offset, &mut read).expect("within");
        assert_eq!(read, written[offset..offset + len]);
    }
    for (offset, len) in [(0, 5001), (5000, 1), (5001, 0), (usize::MAX, 2)] {
        let mut bytes = vec![7; len];
        let refused = [theirs.read_at(offset, &mut bytes), theirs.write_at(offset, &bytes)];
        assert!(refused.iter().all(|r| matches!(r, Err(Error::OutOfRange { size: 5000, .. }))));
        assert!(bytes.iter().all(|byte| *byte == 7));
    }
}

fn only_the_user() {
    let (name, _ours) = named("mode");
    let mode = fs::metadata(file(&name)).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Runs `act` as another user, if the system allows that.
fn as_another_user(act: impl FnOnce()) -> bool {
    if !geteuid().is_root() {
        println!("skipped: only root can become another user, and this is user {}", geteuid());
        return false;
    }
    let nobody = User::from_name("nobody").ok().flatten().map_or(Uid::from_raw(65534), |n| n.uid);
    let child = start(|| {
        if let Err(errno) = setuid(nobody) {
            println!("skipped: this process cannot become user {nobody}: {errno}");
            std::process::exit(77);
        }
        act();
    });
    match end_of(child) {
        WaitStatus::Exited(_, 0) => true,
        WaitStatus::Exited(_, 77) => false,
        other => panic!("{other:?}"),
    }
}

fn another_user() {
    let (name, ours) = named("user");
    let taken = as_another_user(|| {
        let refused = |error| matches!(error, Error::WrongUser { name: found } if found == name);
        assert!(refused(NamedSegment::open(&name).expect_err("open")));
        assert!(refused(NamedSegment::create_or_replace(&name, 1).expect_err("replace")));
        assert!(refused(NamedSegment::unlink(&name).expect_err("unlink")));
        assert!(matches!(NamedSegment::create(&name, 1), Err(Error::Exists { .. })));
    });
    assert_eq!(NamedSegment::open(&name).expect("still there").id(), ours.id());
    if !taken {
        return;
    }
    // Root could open it, and is refused all the same: its owner may cut it at any time.
    let name = prefix() + "theirs";
    as_another_user(|| {
        NamedSegment::create(&name, 1).expect("create").keep_name();
    });
    for refused in [
        NamedSegment::open(&name).map(drop),
        NamedSegment::create_or_replace(&name, 1).map(drop),
        NamedSegment::unlink(&name),
    ] {
        assert!(matches!(refused, Err(Error::WrongUser { .. })), "{refused:?}");
    }
    fs::remove_file(file(&name)).expect("remove");
}

fn open_to_others() {
    let (name, ours) = named("public");
    fs::set_permissions(file(&name), Permissions::from_mode(0o666)).expect("chmod");
    assert!(matches!(NamedSegment::open(&name), Err(Error::WrongUser { .. })));
    fs::set_permissions(file(&name), Permissions::from_mode(0o600)).expect("chmod");
    assert_eq!(NamedSegment::open(&name).expect("open").id(), ours.id());
}

fn forked() {
    let (name, ours) = named("fork");
    let mut ours = Some(ours);
    finish(start(|| drop(ours.take())));
    finish(start(|| std::process::exit(0)));
    assert!(file(&name).exists());
    let ours = ours.expect("only the child's was taken");
    assert_eq!(NamedSegment::open(&name).expect("open").id(), ours.id());
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
        let kept = NamedSegment::create(&name, 9).expect("create");
        exchange(&kept, 1);
        raise(Signal::SIGKILL).expect("raise");
    });
    assert_eq!(end_of(child), WaitStatus::Signaled(child, Signal::SIGKILL, false));
    let error = NamedSegment::create(&name, 1).expect_err("stale");
    assert!(matches!(error, Error::Exists { name: found } if found == name));
    let stale = NamedSegment::open(&name).expect("open").id();

    let fresh = NamedSegment::create_or_replace(&name, 9).expect("create_or_replace");
    assert_eq!(exchange(&fresh, 2), 0);
    assert_ne!(fresh.id(), stale);
    assert_eq!(NamedSegment::open(&name).expect("open").id(), fresh.id());
    drop(fresh);
    assert!(matches!(NamedSegment::unlink(&name), Err(Error::NotFound { .. })));
    // Without a segment to replace it creates one.
    NamedSegment::create_or_replace(&name, 9).expect("create_or_replace");
    assert!(!file(&name).exists());
}

fn killed_at_any_moment() {
    let name = prefix() + "killed";
    for round in 0..100u32 {
        let child = start(|| {
            loop {
                drop(NamedSegment::create_or_replace(&name, 1 << 16).expect("create_or_replace"));
            }
        });
        // The moment of the kill varies in steps of which creating takes a few.
        let moment = Instant::now() + Duration::from_micros(u64::from(400 + 7 * round));
        while Instant::now() < moment {}
        kill(child, Signal::SIGKILL).expect("kill");
        assert_eq!(end_of(child), WaitStatus::Signaled(child, Signal::SIGKILL, false));
        let fresh = NamedSegment::create_or_replace(&name, 9).expect("create_or_replace");
        assert_eq!(NamedSegment::open(&name).expect("open").id(), fresh.id());
    }
    assert!(!file(&name).exists());
}

/// A file as its maker leaves it when it is killed early.
fn unfinished(name: &str, len: u64) -> File {
    let made = OpenOptions::new().write(true).create_new(true).open(file(name)).expect("create");
    made.set_permissions(Permissions::from_mode(0o600)).expect("chmod");
    made.set_len(len).expect("truncate");
    made
}

fn not_ready() {
    let name = prefix() + "unfinished";
    for len in [0, HEAD + 100] {
        unfinished(&name, len);
        assert!(matches!(NamedSegment::open(&name), Err(Error::NotReady { .. })));
        assert!(matches!(NamedSegment::create(&name, 1), Err(Error::Exists { .. })));
        NamedSegment::create_or_replace(&name, 1).expect("create_or_replace");
        unfinished(&name, len);
        NamedSegment::unlink(&name).expect("unlink");
    }
}

fn replaced_in_use() {
    let (name, old) = named("used");
    let reader = NamedSegment::open(&name).expect("open");
    let new = NamedSegment::create_or_replace(&name, 100).expect("create_or_replace");
    exchange(&new, 5);
    exchange(&old, 7);
    assert_eq!(exchange(&reader, 0), 7, "those who have the old one keep it");
    drop(old);
    let later = NamedSegment::open(&name).expect("the old one's drop removes no name");
    assert_eq!((later.id(), exchange(&later, 0)), (new.id(), 5));
}

fn drop_beside_replacement() {
    let name = prefix() + "beside";
    for _ in 0..200 {
        let (mut hear, mut say) = std::io::pipe().expect("pipe");
        let child = start(|| {
            let old = NamedSegment::create(&name, 1).expect("create");
            say.write_all(b"!").expect("the parent listens");
            drop(old);
        });
        std::io::Read::read_exact(&mut hear, &mut [0]).expect("the child speaks");
        let new = NamedSegment::create_or_replace(&name, 1).expect("create_or_replace");
        finish(child);
        assert_eq!(NamedSegment::open(&name).expect("open").id(), new.id());
    }
}

fn many_at_once() {
    let name = prefix() + "many";
    let children = [(); 3].map(|()| {
        start(|| {
            for round in 0..1500 {
                match NamedSegment::create_or_replace(&name, 100).map(drop) {
                    Ok(()) | Err(Error::Exists { .. }) => {}
                    Err(error) => panic!("{round}: {error:?}"),
                }
                match NamedSegment::open(&name).map(drop) {
                    Ok(()) | Err(Error::NotFound { .. } | Error::NotReady { .. }) => {}
                    Err(error) => panic!("{round}: {error:?}"),
                }
            }
        })
    });
    children.into_iter().for_each(finish);
    drop(NamedSegment::create_or_replace(&name, 1).expect("create_or_replace"));
    assert!(!file(&name).exists());
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

fn kept_name() {
    let name = prefix() + "kept";
    finish(start(|| {
        let mut ours = NamedSegment::create(&name, 3).expect("create");
        exchange(&ours, 9);
        ours.keep_name();
    }));
    assert_eq!(exchange(&NamedSegment::open(&name).expect("open"), 0), 9);
    NamedSegment::unlink(&name).expect("unlink");
}

fn no_segment() {
    let name = prefix() + "other";
    let other = unfinished(&name, 4096);
    other.write_all_at(b"the user's own data", 0).expect("write");
    refuses_to_touch(&name);
    other.set_len(10).expect("truncate");
    refuses_to_touch(&name);
    fs::remove_file(file(&name)).expect("remove");
    fs::create_dir(file(&name)).expect("a directory");
    refuses_to_touch(&name);
    fs::remove_dir(file(&name)).expect("remove");
    symlink("/nowhere", file(&name)).expect("a link");
    refuses_to_touch(&name);
    fs::remove_file(file(&name)).expect("remove");

    // Cut or grown since it was made.
    let (name, ours) = named("cut");
    let resize = |len| {
        let opened = File::options().write(true).open(file(&name)).expect("open");
        opened.set_len(len).expect("truncate");
    };
    for len in [HEAD + 4999, HEAD + 5001] {
        resize(len);
        assert!(matches!(NamedSegment::open(&name), Err(Error::NotASegment { .. })));
    }
    resize(8);
    assert!(matches!(NamedSegment::open(&name), Err(Error::NotASegment { .. })));
    resize(0);
    assert!(matches!(NamedSegment::open(&name), Err(Error::NotReady { .. })));
    drop(ours);
    assert!(!file(&name).exists());
}

fn refuses_to_touch(name: &str) {
    for refused in [
        NamedSegment::open(name).map(drop),
        NamedSegment::create_or_replace(name, 1).map(drop),
        NamedSegment::unlink(name),
    ] {
        assert!(matches!(refused, Err(Error::NotASegment { .. })), "{refused:?}");
    }
    assert!(file(name).symlink_metadata().is_ok());
}

fn no_standard_input() {
    let name = prefix() + "zero";
    finish(start(|| {
        close(0).expect("close");
        drop(NamedSegment::create(&name, 1).expect("create"));
        assert!(!file(&name).exists());
    }));
}

fn held_lock() {
    let (name, ours) = named("lock");
    let opened = File::open(file(&name)).expect("open");
    let lock = Flock::lock(opened, FlockArg::LockExclusive).expect("lock");
    let refused = NamedSegment::create_or_replace(&name, 1);
    assert!(matches!(refused, Err(Error::Os { .. })), "{refused:?}");
    drop(lock);
    drop(ours);
    assert!(!file(&name).exists());
}

fn no_room() {
    let room = nix::sys::statvfs::statvfs("/dev/shm").expect("statvfs");
    let len = (room.blocks() as u64 + 1) * room.fragment_size() as u64;
    let name = prefix() + "room";
    if room.blocks() == 0 {
        return println!("skipped: /dev/shm has no limit here");
    }
    for refused in [NamedSegment::create(&name, len), NamedSegment::create_or_replace(&name, len)] {
        assert!(matches!(refused, Err(Error::Os { .. })), "{refused:?}");
    }
    assert!(!file(&name).exists());
}

fn bad_input() {
    assert!(matches!(NamedSegment::create("a/b", 1), Err(Error::InvalidName { .. })));
    assert!(matches!(NamedSegment::create_or_replace("a\0", 1), Err(Error::InvalidName { .. })));
    assert!(matches!(NamedSegment::open(""), Err(Error::InvalidName { .. })));
    assert!(matches!(NamedSegment::unlink(".."), Err(Error::InvalidName { .. })));
    for make in [NamedSegment::create, NamedSegment::create_or_replace] {
        assert!(matches!(make("a", 0), Err(Error::Empty)));
        assert!(matches!(make("a", u64::MAX), Err(Error::TooLong { .. })));
    }
}
