//! Which mappings of this process are part of its core dumps.

use std::{fs, num::NonZeroU64};

use pool_shm::{ForkMark, NamedSegment, Segment, SharedArray, dump_shared_objects};

/// For each mapping whose line in `smaps` contains `label`: whether core dumps leave it out.
fn kept_out(label: &str) -> Vec<bool> {
    let text = fs::read_to_string("/proc/self/smaps").expect("a list of mappings");
    let mut found = Vec::new();
    let mut wanted = false;
    for line in text.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            if wanted {
                found.push(flags.split_whitespace().any(|flag| flag == "dd"));
            }
        } else if line.split_once(' ').is_some_and(|(range, _)| range.contains('-')) {
            wanted = line.contains(label);
        }
    }
    found
}

/// One test, since the setting is that of the whole process.
#[test]
fn only_shared_objects_on_request() {
    let plain = Segment::create("dumps-plain", 1 << 30).unwrap();
    let (ours, theirs) = (plain.map().unwrap(), plain.map_read_only().unwrap());
    assert_eq!(kept_out("/memfd:dumps-plain"), [true, true]);
    let _mark = ForkMark::new(NonZeroU64::MIN).unwrap();

    let first = SharedArray::<u64>::new(1 << 20).unwrap();
    let name = format!("dumps.{}", std::process::id());
    let named = NamedSegment::create(&name, 4096).unwrap();
    let opened = NamedSegment::open(&name).unwrap();
    assert_eq!(kept_out("/memfd:pool-shm"), [true]);
    assert_eq!(kept_out(&name), [true, true]);

    dump_shared_objects(true);
    let second = SharedArray::<u64>::new(1 << 20).unwrap();
    assert_eq!(kept_out("/memfd:pool-shm"), [false, false]);
    assert_eq!(kept_out("/memfd:dumps-plain"), [true, true]);
    drop((named, opened));
    let named = NamedSegment::create(&name, 4096).unwrap();
    assert_eq!(kept_out(&name), [false]);
    drop(named);

    dump_shared_objects(false);
    dump_shared_objects(false);
    assert_eq!(kept_out("/memfd:pool-shm"), [true, true]);
    drop((first, second));

    ours.set_dumped(true).unwrap();
    let mut both = kept_out("/memfd:dumps-plain");
    both.sort_unstable();
    assert_eq!(both, [false, true]);
    drop(theirs);
}
