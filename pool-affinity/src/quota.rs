//! The CPU quota of the control group, v1 and v2, in whole CPUs rounded up.
//!
//! Everything works on text through one `read` function, so tests need no real control group. The
//! quota of a group binds its children too: the smallest on the way up to the mount point counts.
//! Formats: cgroups(7), proc_pid_mountinfo(5), the kernel's `cgroup-v2` and `sched-bwc` pages.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// CPUs worth of time that the control groups of this process grant, v1 and v2, rounded up to whole
/// CPUs; `None` for no limit.
///
/// `root` is `/`, or a folder laid out like it: `proc/self/cgroup`, `proc/self/mountinfo`, and the
/// files of the groups where that says they are mounted. A file that is missing or empty limits
/// nothing.
///
/// ```
/// use std::path::Path;
///
/// assert!(pool_affinity::cpu_quota(Path::new("/")).is_none_or(|cpus| cpus >= 1));
/// ```
pub fn cpu_quota(root: &Path) -> Option<usize> {
    quota(|path| fs::read_to_string(root.join(path.strip_prefix("/").unwrap_or(path))).ok())
}

fn quota(read: impl Fn(&Path) -> Option<String>) -> Option<usize> {
    let membership = read(Path::new("/proc/self/cgroup"))?;
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    let quota = |mount: Mount| {
        let group = mount.version.group(&membership)?;
        let levels = mount.levels(Path::new(group));
        levels.iter().filter_map(|level| mount.version.quota(level, &read)).min()
    };
    mounts.lines().filter_map(Mount::parse).filter_map(quota).min()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Version {
    /// The group of the process in the hierarchy that limits CPU time.
    fn group(self, membership: &str) -> Option<&str> {
        membership.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (id, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
            let found = match self {
                Self::V1 => controllers.split(',').any(|name| name == "cpu"),
                Self::V2 => id == "0" && controllers.is_empty(),
            };
            found.then_some(group)
        })
    }

    fn quota(self, level: &Path, read: impl Fn(&Path) -> Option<String>) -> Option<usize> {
        match self {
            Self::V1 => cfs_quota(
                &read(&level.join("cpu.cfs_quota_us"))?,
                &read(&level.join("cpu.cfs_period_us"))?,
            ),
            Self::V2 => cpu_max(&read(&level.join("cpu.max"))?),
        }
    }
}

/// A mounted hierarchy that can limit CPU time.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    version: Version,
    /// The group that the mount point shows; below `/` in containers.
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (place, source) = line.split_once(" - ")?;
        let mut source = source.split(' ');
        let (kind, options) = (source.next()?, source.nth(1)?);
        let version = match kind {
            "cgroup2" => Version::V2,
            "cgroup" if options.split(',').any(|option| option == "cpu") => Version::V1,
            _ => return None,
        };
        let mut place = place.split(' ').skip(3).map(unescape);
        Some(Self { version, root: place.next()?, point: place.next()? })
    }

    /// The folders of the group and of its parents, as far as this mount shows them.
    fn levels(&self, group: &Path) -> Vec<PathBuf> {
        // A group outside of the mount, or above the root of its namespace (`/..`), is not shown.
        let normal =
            |path: &&Path| path.components().all(|part| matches!(part, Component::Normal(_)));
        let below = group.strip_prefix(&self.root).ok().filter(normal);
        let below = below.unwrap_or(Path::new(""));
        below.ancestors().map(|level| self.point.join(level)).collect()
    }
}

/// The kernel writes blanks and backslashes in paths as octal numbers.
fn unescape(path: &str) -> PathBuf {
    path.replace(r"\040", " ")
        .replace(r"\011", "\t")
        .replace(r"\012", "\n")
        .replace(r"\134", r"\")
        .into()
}

/// v2: `<quota or "max"> <period>`; some kernels and containers show an empty file.
fn cpu_max(text: &str) -> Option<usize> {
    const DEFAULT_PERIOD: u64 = 100_000;
    let mut fields = text.split_whitespace();
    let quota = fields.next()?.parse().ok()?;
    let period = fields.next().map_or(Some(DEFAULT_PERIOD), |period| period.parse().ok())?;
    whole_cpus(quota, period)
}

/// v1: two files; a quota of -1 is no limit.
fn cfs_quota(quota: &str, period: &str) -> Option<usize> {
    whole_cpus(quota.trim().parse().ok()?, period.trim().parse().ok()?)
}

fn whole_cpus(quota: u64, period: u64) -> Option<usize> {
    (period > 0).then(|| usize::try_from(quota.div_ceil(period).max(1)).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The quota on a machine of these files.
    fn quota(files: &[(&str, &str)]) -> Option<usize> {
        super::quota(|path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path)?;
            Some(file.1.to_owned())
        })
    }

    const V2: &str = "22 1 0:26 / /proc rw - proc proc rw\n\
        31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn cpu_max_of_all_kinds() {
        for (text, cpus) in [
            ("max 100000\n", None),
            ("", None),
            ("\n", None),
            ("max", None),
            ("garbage 1", None),
            ("100000 0", None),
            ("200000 100000\n", Some(2)),
            ("150000 100000\n", Some(2)),
            ("1000 100000\n", Some(1)),
            ("0 100000\n", Some(1)),
            ("300000", Some(3)),
        ] {
            assert_eq!(cpu_max(text), cpus, "{text:?}");
        }
    }

    #[test]
    fn cfs_quota_of_all_kinds() {
        for (quota, period, cpus) in [
            ("-1\n", "100000\n", None),
            ("", "100000", None),
            ("250000\n", "100000\n", Some(3)),
            ("50000\n", "100000\n", Some(1)),
            ("50000\n", "0\n", None),
        ] {
            assert_eq!(cfs_quota(quota, period), cpus, "{quota:?} {period:?}");
        }
    }

    #[test]
    fn v2_takes_the_smallest_on_the_way_up() {
        let base = [
            ("/proc/self/cgroup", "0::/user.slice/job\n"),
            ("/proc/self/mountinfo", V2),
            ("/sys/fs/cgroup/user.slice/job/cpu.max", "max 100000\n"),
        ];
        assert_eq!(quota(&base), None);
        let parent = ("/sys/fs/cgroup/user.slice/cpu.max", "250000 100000\n");
        assert_eq!(quota(&[base.as_slice(), &[parent]].concat()), Some(3));
        let own = ("/sys/fs/cgroup/user.slice/job/cpu.max", "100000 100000\n");
        assert_eq!(quota(&[base[0], base[1], own, parent]), Some(1));
    }

    #[test]
    fn v1_in_a_container_and_a_silent_v2_beside_it() {
        let mounts = "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n\
            33 31 0:30 /docker/abc /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let groups = "4:cpu,cpuacct:/docker/abc\n3:cpuset:/docker/abc\n0::/docker/abc\n";
        assert_eq!(
            quota(&[
                ("/proc/self/cgroup", groups),
                ("/proc/self/mountinfo", mounts),
                ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "350000\n"),
                ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ]),
            Some(4)
        );
    }

    #[test]
    fn a_group_that_the_mount_does_not_show_counts_from_the_mount_point() {
        for group in ["0::/../other\n", "0::/elsewhere\n"] {
            let mounts = V2.replace(" / /sys", " /pod /sys");
            let files = [
                ("/proc/self/cgroup", group),
                ("/proc/self/mountinfo", mounts.as_str()),
                ("/sys/fs/cgroup/cpu.max", "200000 100000"),
                ("/sys/fs/cgroup/../other/cpu.max", "100000 100000"),
            ];
            assert_eq!(quota(&files), Some(2), "{group:?}");
        }
    }

    #[test]
    fn nothing_known_is_no_limit() {
        assert_eq!(quota(&[]), None);
        assert_eq!(quota(&[("/proc/self/cgroup", "0::/\n"), ("/proc/self/mountinfo", V2)]), None);
    }

    #[test]
    fn mount_points_may_hold_blanks() {
        let line = r"31 23 0:28 / /odd\040place\134040 rw - cgroup2 none rw";
        let point = Mount::parse(line).unwrap().point;
        assert_eq!(point, Path::new(r"/odd place\040"));
    }
}
