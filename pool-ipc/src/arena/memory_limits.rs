//! How much memory and address space an arena should take on this machine.
//!
//! Invariant: few functions read files; pure functions interpret their text.

use std::{
    error::Error,
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use pool_shm::limits::{address_space, check_mappable, file_size, page_size};

/// No limit is smaller than this, and no reservation.
const LEAST: u64 = 16 << 20;

/// The largest reservation: room for blocks of many gibibytes, and few enough page tables.
const MOST: u64 = 64 << 30;

/// The size of an arena where addresses are few and no size was asked for, and (`SMALL_LEAST`) the
/// smallest size accepted then.
const SMALL: u64 = LEAST;
const SMALL_LEAST: u64 = 1 << 20;

/// A part of the 2^46 bytes that a process has at least on 64-bit systems, for all arenas of all
/// its pools.
const ADDRESSES: u64 = (1 << 46) / 16;

/// The memory an arena may take by default: a quarter of what is free in the machine or in the
/// cgroup, whichever is less; at least 16 MiB.
pub fn default_limit() -> u64 {
    let free = read(Path::new("/proc/meminfo")).and_then(|text| available(&text));
    let cgroup = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let files = files_of(cgroup, || read(Path::new("/proc/self/mountinfo")));
    let left = files.iter().filter_map(|[limit, usage]| {
        let limit = limit_in(&read(limit)?)?;
        left(limit, &read(usage)?)
    });
    quarter(left.chain(free).min())
}

/// Files with the limit of a cgroup and with its usage.
type Files = Arc<[[PathBuf; 2]]>;

/// The files with limits and usages for a process with this `/proc/self/cgroup`. The list of
/// mounts, which is long, is read again only when that text has changed, or when it could not be
/// read before.
fn files_of(cgroup: String, mounts: impl FnOnce() -> Option<String>) -> Files {
    static KNOWN: Mutex<Option<(String, Files)>> = Mutex::new(None);

    // If another thread holds the lock during a fork, it stays held for ever in the child.
    let mut known = KNOWN.try_lock().ok();
    if let Some(Some((of, files))) = known.as_deref()
        && *of == cgroup
    {
        return files.clone();
    }
    let Some(mounts) = mounts() else { return Files::default() };
    let files: Files = groups(&cgroup, &mounts).iter().flat_map(Group::files).collect();
    if let Some(known) = &mut known {
        **known = Some((cgroup, files.clone()));
    }
    files
}

/// Reads a file whose length shows only at its end, such as those of the kernel.
fn read(path: &Path) -> Option<String> {
    let mut text = String::with_capacity(4096);
    File::open(path).ok()?.take(u64::MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Bytes of address space to reserve for each arena of a pool of `processes` processes: at most 64
/// GiB, less where the limits of this process (`RLIMIT_AS`, `RLIMIT_FSIZE`) ask for it, or where
/// the system refuses as much. `asked` is the size that an arena shall be able to hold, if the user
/// set one.
///
/// # Errors
///
/// [`NoAddressSpace`] when the limits leave less than 16 MiB, or the system refuses that, or
/// refuses `asked` if that is less, or 1 MiB if nothing was asked for.
pub fn reservation(processes: usize, asked: Option<u64>) -> Result<u64, NoAddressSpace> {
    let most = fitting(processes, address_space(), file_size())?;
    granted(most, asked, processes, check_mappable)
}

/// The largest reservation up to `most` that the system grants.
fn granted(
    most: u64,
    asked: Option<u64>,
    processes: usize,
    check: impl Fn(u64) -> Result<(), pool_shm::Error>,
) -> Result<u64, NoAddressSpace> {
    let Err(mut refusal) = check(most) else { return Ok(most) };
    let page = page_size() as u64;
    let least = asked.unwrap_or(SMALL_LEAST).min(LEAST).next_power_of_two().max(page);
    let mut room = most;
    let halves = std::iter::successors(Some(most / 2), |bytes| Some(bytes / 2));
    for bytes in halves.take_while(|bytes| *bytes >= least) {
        match check(bytes) {
            Ok(()) => {
                let share = match refusal {
                    // An arena counts as locked only while it is being mapped; mappings that the
                    // program makes later stay locked.
                    pool_shm::Error::MemoryLocked { .. } => bytes / 4,
                    // The limit works like RLIMIT_AS: the program and the other arenas need
                    // addresses, too. Where addresses are few, a tool may read all of them, as
                    // valgrind does when a process ends.
                    _ => {
                        let wanted = asked.unwrap_or(SMALL).min(most).next_power_of_two();
                        wanted.min(bytes / 4 / (processes as u64).max(1))
                    }
                };
                return Ok(share.max(least) / page * page);
            }
            Err(error) => (room, refusal) = (bytes, error),
        }
    }
    let limited_by = match refusal {
        pool_shm::Error::MemoryLocked { .. } => {
            "mlockall with MCL_FUTURE (RLIMIT_MEMLOCK, ulimit -l: raise it, or lower arena_limit)"
        }
        _ => "what the system grants (addresses that one mapping can have)",
    };
    Err(NoAddressSpace { room: room / 2, needed: least, limited_by })
}

/// The limits of this process leave too little for an arena. Raise the limit that is named, or use
/// fewer processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAddressSpace {
    /// Bytes that the limits leave for each arena.
    pub room: u64,
    /// Bytes an arena needs.
    pub needed: u64,
    /// The limit that leaves too little.
    pub limited_by: &'static str,
}

impl fmt::Display for NoAddressSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { room, needed, limited_by } = self;
        write!(f, "{limited_by} leaves {room} bytes for each arena, which needs {needed}")
    }
}

impl Error for NoAddressSpace {}

fn fitting(
    processes: usize,
    address_space: Option<u64>,
    file_size: Option<u64>,
) -> Result<u64, NoAddressSpace> {
    let processes = (processes as u64).max(1);
    let limits = [
        (MOST, "the largest reservation"),
        (ADDRESSES / processes, "the number of processes"),
        (address_space.map_or(u64::MAX, |bytes| bytes / 4 / processes), "RLIMIT_AS (ulimit -v)"),
        (file_size.unwrap_or(u64::MAX), "RLIMIT_FSIZE (ulimit -f)"),
    ];
    let (room, limited_by) = limits.into_iter().min_by_key(|(room, _)| *room).expect("four limits");
    if room < LEAST {
        return Err(NoAddressSpace { room, needed: LEAST, limited_by });
    }
    let page = page_size() as u64;
    Ok(room / page * page)
}

fn quarter(free: Option<u64>) -> u64 {
    (free.unwrap_or(0) / 4).max(LEAST)
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The limit of a cgroup, if it has one.
fn limit_in(text: &str) -> Option<u64> {
    /// Version 1 writes the largest number of pages it can count for "no limit", version 2 writes
    /// "max".
    const NONE: u64 = 1 << 60;
    text.trim().parse().ok().filter(|limit| *limit < NONE)
}

/// The bytes that a cgroup leaves, from its limit and its usage.
fn left(limit: u64, usage: &str) -> Option<u64> {
    Some(limit.saturating_sub(usage.trim().parse().ok()?))
}

/// A memory cgroup of this process.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    /// Where the hierarchy is mounted; the limits of the groups above apply as well.
    mount: PathBuf,
    dir: PathBuf,
    names: [&'static str; 2],
}

impl Group {
    /// The files with limit and usage, from the group itself up to the mount.
    fn files(&self) -> impl Iterator<Item = [PathBuf; 2]> {
        let inside = self.dir.ancestors().take_while(|dir| dir.starts_with(&self.mount));
        inside.map(|dir| self.names.map(|name| dir.join(name)))
    }
}

/// The memory cgroups of this process, from `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn groups(cgroup: &str, mountinfo: &str) -> Vec<Group> {
    let group = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let (kind, names) = match controllers {
            "" => ("cgroup2", ["memory.max", "memory.current"]),
            some if some.split(',').any(|controller| controller == "memory") => {
                ("cgroup", ["memory.limit_in_bytes", "memory.usage_in_bytes"])
            }
            _ => return None,
        };
        mountinfo.lines().find_map(|mount| {
            let (root, point) = mounted(mount, kind)?;
            // In a container the group may lie outside the mount; then only the mount is visible.
            let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
            let below = if below.starts_with("..") { Path::new("") } else { below };
            Some(Group { mount: point.into(), dir: Path::new(point).join(below), names })
        })
    };
    cgroup.lines().filter_map(group).collect()
}

/// Root and mount point of a line of mountinfo, if it is a hierarchy of that kind with the memory
/// controller (version 1 names it in the options, version 2 has one hierarchy).
fn mounted<'a>(line: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let found = after.next() == Some(kind);
    let options = after.nth(1)?;
    let memory = kind == "cgroup2" || options.split(',').any(|option| option == "memory");
    let mut before = before.split(' ').skip(3);
    let place = (before.next()?, before.next()?);
    (found && memory).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn meminfo_counts_in_kib() {
        let text = "MemTotal:       24682416 kB\nMemFree: 1 kB\nMemAvailable:   24330992 kB\n";
        assert_eq!(available(text), Some(24_330_992 * 1024));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        assert_eq!(available("MemAvailable: many kB\n"), None);
    }

    #[test]
    fn a_cgroup_leaves_its_limit_less_its_usage() {
        assert_eq!(left(1000, "400\n"), Some(600));
        assert_eq!(left(1000, "1400\n"), Some(0));
        assert_eq!(left(1000, ""), None);
        assert_eq!(limit_in("1000\n"), Some(1000));
        assert_eq!(limit_in("max\n"), None);
        assert_eq!(limit_in("9223372036854771712\n"), None);
    }

    #[test]
    fn version_2_has_one_hierarchy() {
        let mounts = "24 30 0:22 / /sys rw - sysfs sysfs rw\n\
                      35 24 0:29 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = groups("0::/user.slice/app.scope\n", mounts);
        let files: Vec<_> = found.iter().flat_map(Group::files).map(|[limit, _]| limit).collect();
        let expected = ["/user.slice/app.scope", "/user.slice", ""];
        let expected = expected.map(|dir| PathBuf::from(format!("/sys/fs/cgroup{dir}/memory.max")));
        assert_eq!(files, expected);
    }

    #[test]
    fn version_1_is_found_by_its_controller() {
        let mounts = "40 35 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
                      41 35 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let found = groups("9:name=systemd:/\n4:memory:/jobs/7\n5:cpu,cpuacct:/x\n", mounts);
        let [group] = &found[..] else { panic!("{found:?}") };
        assert_eq!(group.dir, Path::new("/sys/fs/cgroup/memory/jobs/7"));
        assert_eq!(group.files().count(), 3);
        assert_eq!(group.names[0], "memory.limit_in_bytes");
    }

    #[test]
    fn a_container_sees_its_mount() {
        let mount = |root: &str| format!("41 35 0:31 {root} /cg rw - cgroup2 cgroup2 rw\n");
        let dir = |cgroup: &str, root: &str| groups(cgroup, &mount(root)).remove(0).dir;
        assert_eq!(dir("0::/docker/abc/x\n", "/docker/abc"), Path::new("/cg/x"));
        assert_eq!(dir("0::/elsewhere\n", "/docker/abc"), Path::new("/cg"));
        assert_eq!(dir("0::/../up\n", "/"), Path::new("/cg"));
        assert_eq!(groups("0::/x\n", ""), []);
    }

    #[test]
    fn mounts_that_could_not_be_read_are_read_the_next_time() {
        let cgroup = || "0::/jobs/read-twice\n".to_string();
        let mounts = "41 35 0:31 / /cg rw - cgroup2 cgroup2 rw\n";
        assert!(files_of(cgroup(), || None).is_empty());
        assert_eq!(files_of(cgroup(), || Some(mounts.to_string())).len(), 3);
    }

    #[test]
    fn the_default_is_a_quarter() {
        assert_eq!(quarter(Some(8 * GIB)), 2 * GIB);
        assert_eq!(quarter(Some(1)), LEAST);
        assert_eq!(quarter(None), LEAST);
        assert!(default_limit() >= LEAST);
    }

    #[test]
    fn what_the_system_refuses_is_halved() {
        let locked = |len| pool_shm::Error::MemoryLocked { len, limit: 0 };
        let most = |most: u64| move |len| if len > most { Err(locked(len)) } else { Ok(()) };
        assert_eq!(granted(64 * GIB, None, 3, most(u64::MAX)), Ok(64 * GIB));
        assert_eq!(granted(64 * GIB, None, 3, most(5 * GIB)), Ok(GIB));
        assert_eq!(granted(64 * GIB, Some(GIB), 3, most(LEAST)), Ok(LEAST));
        assert_eq!(granted(64 * GIB, None, 3, most(9 << 20)), Ok(2 << 20));
        assert_eq!(granted(64 * GIB, None, 3, most(2 << 20)), Ok(1 << 20));
        let refused = granted(64 * GIB, Some(GIB), 3, most(LEAST - 1)).unwrap_err();
        assert_eq!((refused.room, refused.needed), (LEAST / 2, LEAST));
        assert!(refused.to_string().contains("mlockall"), "{refused}");

        // All arenas together take a part of the addresses.
        let no_addresses = || pool_shm::limits::check_mappable(1 << 60);
        let refuse = |len: u64| if len > 32 * GIB { no_addresses() } else { Ok(()) };
        assert_eq!(granted(64 * GIB, None, 4, refuse), Ok(LEAST));
        assert_eq!(granted(64 * GIB, Some(GIB - 1), 4, refuse), Ok(GIB));
        assert_eq!(granted(64 * GIB, Some(u64::MAX), 4, refuse), Ok(2 * GIB));
        let none = granted(64 * GIB, None, 4, |_| no_addresses()).unwrap_err();
        assert!(!none.to_string().contains("mlockall"), "{none}");
    }

    #[test]
    fn reservations_fit_the_limits() {
        assert_eq!(fitting(0, None, None), Ok(64 * GIB));
        assert_eq!(fitting(64, None, None), Ok(64 * GIB));
        assert_eq!(fitting(1000, None, None).map(|bytes| bytes / GIB), Ok(4));
        assert_eq!(fitting(4, Some(32 * GIB), None), Ok(2 * GIB));
        assert_eq!(fitting(4, Some(32 * GIB), Some(GIB + 1)), Ok(GIB));
        let refused = fitting(4, Some(128 << 20), None).unwrap_err();
        assert_eq!((refused.room, refused.needed), (8 << 20, LEAST));
        assert!(refused.to_string().starts_with("RLIMIT_AS"));
        assert!(fitting(1, None, Some(1)).unwrap_err().limited_by.starts_with("RLIMIT_FSIZE"));
        assert!(fitting(usize::MAX, None, None).is_err());
    }
}
