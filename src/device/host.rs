//! How much memory this process may still take.
//!
//! An allocation that fails ends a Rust program at once, with everything that is not saved; on Linux it may not even
//! fail, and the kernel kills somebody later. So whoever is about to take much asks here first. The answer is a moment's:
//! other programs take and give as well.

/// Bytes of the machine's memory that this process can still take: what is free or can be freed, below the limits of its
/// control groups (a container's, a batch system's) and its own (`ulimit -v`). `None` where the system does not say.
#[cfg(target_os = "linux")]
pub(crate) fn free() -> Option<u64> {
    let cgroups = read("/proc/self/cgroup").map(|own| linux::cgroups("/sys/fs/cgroup".as_ref(), &own)).unwrap_or(None);
    [machine(), cgroups, addresses()].into_iter().flatten().min()
}

/// What the machine is called.
pub(crate) fn machine_name() -> String {
    #[cfg(unix)]
    let name = nix::unistd::gethostname().ok().map(|name| name.to_string_lossy().into_owned());
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").ok();
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "another machine".to_owned())
}

/// Without one more dependency the other systems do not say.
#[cfg(not(target_os = "linux"))]
pub(crate) fn free() -> Option<u64> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn addresses() -> Option<u64> {
    None
}

/// Bytes of memory that this process holds.
#[cfg(target_os = "linux")]
pub(crate) fn held() -> Option<u64> {
    linux::kibibytes(&read("/proc/self/status")?, "VmRSS:")
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn held() -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
fn read(path: impl AsRef<std::path::Path>) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(target_os = "linux")]
fn machine() -> Option<u64> {
    linux::machine(&read("/proc/meminfo")?, read("/proc/sys/vm/overcommit_memory").is_some_and(|s| s.trim() == "2"))
}

/// Bytes of addresses that this process may still use, where it is limited: mapped files take of these too.
#[cfg(target_os = "linux")]
pub(crate) fn addresses() -> Option<u64> {
    linux::own_limits(&read("/proc/self/limits")?, &read("/proc/self/status")?)
}

/// What the kernel's files say, apart from where they are, so that tests can write their own.
#[cfg(target_os = "linux")]
mod linux {
    use super::read;
    use std::path::Path;

    /// The number behind a label, in bytes; the kernel writes kibibytes there.
    pub(crate) fn kibibytes(text: &str, label: &str) -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(label))?;
        let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(number * 1024)
    }

    /// With `strict` accounting nothing is promised that is not there, so what is promised counts and not what is used.
    pub(crate) fn machine(meminfo: &str, strict: bool) -> Option<u64> {
        let get = |label| kibibytes(meminfo, label);
        let available = get("MemAvailable:")? + get("SwapFree:").unwrap_or(0);
        let promised = get("CommitLimit:").zip(get("Committed_AS:")).filter(|_| strict);
        Some(promised.map_or(available, |(limit, used)| available.min(limit.saturating_sub(used))))
    }

    /// The tightest of the control groups that a process is in; `own` is its `/proc/self/cgroup`, `root` where the
    /// groups are mounted. A group's limit holds for the groups in it, so every parent is looked at. In a container the
    /// paths may be those outside of it: the root is looked at then, which is the container's own.
    pub(crate) fn cgroups(root: &Path, own: &str) -> Option<u64> {
        let groups = own.lines().filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
            let mounts: &[&str] = match controllers {
                "" => &["", "unified"],
                list if list.split(',').any(|name| name == "memory") => &["memory"],
                _ => return None,
            };
            Some(mounts.iter().filter_map(move |mount| {
                let mount = root.join(mount);
                let own = mount.join(path);
                own.ancestors().take_while(|group| group.starts_with(&mount)).filter_map(room_in).min()
            }))
        });
        groups.flatten().min()
    }

    /// What a control group still allows, of either version. Cached files are given back when memory is short.
    fn room_in(group: &Path) -> Option<u64> {
        let number = |name: &str| read(group.join(name))?.trim().parse::<u64>().ok();
        let files = ["memory.max", "memory.current"];
        let names =
            if group.join(files[1]).is_file() { files } else { ["memory.limit_in_bytes", "memory.usage_in_bytes"] };
        let (limit, used) = (number(names[0])?, number(names[1])?);
        let stat = read(group.join("memory.stat")).unwrap_or_default();
        let of = |label: &str| {
            let line = stat.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(' '));
            line.and_then(|number| number.parse::<u64>().ok())
        };
        // The first version counts its children under names of their own.
        let cached = |kind: &str| of(&format!("total_{kind}")).or_else(|| of(kind)).unwrap_or(0);
        let cached = cached("inactive_file") + cached("active_file");
        Some(limit.saturating_sub(used.saturating_sub(cached)))
    }

    /// What `ulimit -v` and `ulimit -d` still allow. A part of it is kept back: they count addresses, and allocators ask
    /// for more of them than they use.
    pub(crate) fn own_limits(limits: &str, status: &str) -> Option<u64> {
        let room = |label: &str, used: &str| {
            let limit: u64 =
                limits.lines().find_map(|line| line.strip_prefix(label))?.split_whitespace().next()?.parse().ok()?;
            Some(limit.saturating_sub(kibibytes(status, used)?) / 5 * 4)
        };
        [room("Max address space", "VmSize:"), room("Max data size", "VmData:")].into_iter().flatten().min()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs;

    const GIB: u64 = 1 << 30;

    #[test]
    fn memory_grows_with_what_is_kept() {
        const ALONE: &str = "KINDLING_TEST_ALONE";
        // In a process of its own: other tests take and give as well.
        if std::env::var_os(ALONE).is_none() {
            let name = format!("{}::memory_grows_with_what_is_kept", module_path!().split_once("::").unwrap().1);
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            let ran = alone.args(["--exact", &name]).env(ALONE, "1").output().unwrap();
            let said = String::from_utf8_lossy(&ran.stdout).into_owned();
            assert!(ran.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let before = held().unwrap();
        let kept = std::hint::black_box(vec![1u8; 64 << 20]);
        let grown = held().unwrap() - before;
        assert!((64 << 20..72 << 20).contains(&grown), "by {grown} bytes with {} more", kept.len());
    }

    #[test]
    fn the_machine_says_what_is_free() {
        let meminfo = "MemTotal: 16 kB\nMemAvailable: 12 kB\nSwapFree: 3 kB\nCommitLimit: 10 kB\nCommitted_AS: 4 kB\n";
        assert_eq!(linux::machine(meminfo, false), Some(15 * 1024));
        assert_eq!(linux::machine(meminfo, true), Some(6 * 1024));
        assert_eq!(linux::machine("", false), None);
        assert!(free().is_some_and(|bytes| bytes > 0));
    }

    #[test]
    fn the_tightest_control_group_counts_and_cached_files_do_not() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let group = |path: &str, max: &str, current: u64, cached: u64| {
            write(&format!("{path}/memory.max"), &format!("{max}\n"));
            write(&format!("{path}/memory.current"), &format!("{current}\n"));
            write(&format!("{path}/memory.stat"), &format!("anon 7\ninactive_file {cached}\nactive_file 1\n"));
        };
        let room = |own: &str| linux::cgroups(root.path(), own);
        group("slice", &(4 * GIB).to_string(), 3 * GIB, GIB - 1);
        group("slice/job", "max", GIB, 0);
        assert_eq!(room("0::/slice/job\n"), Some(2 * GIB));
        group("slice/job", &(2 * GIB).to_string(), GIB, 0);
        assert_eq!(room("0::/slice/job\n"), Some(GIB + 1));
        assert_eq!(room("0::/elsewhere\n1:cpu,cpuacct:/slice\n"), None);
        write("memory/docker/a/memory.limit_in_bytes", "3000\n");
        write("memory/docker/a/memory.usage_in_bytes", "2500\n");
        write("memory/docker/a/memory.stat", "inactive_file 1\ntotal_inactive_file 1000\ntotal_active_file 0\n");
        assert_eq!(room("5:cpuset:/\n4:hugetlb,memory:/docker/a\n0::/\n"), Some(1500));
        // As a container sees it: the path is the host's, the files are its own.
        group(".", "5000", 1000, 0);
        assert_eq!(room("0::/docker/7c3f\n"), Some(4001));
    }

    #[test]
    fn a_limit_of_the_shell_counts_what_is_taken_already() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\n\
                      Max data size             unlimited            unlimited            bytes\n\
                      Max address space         10240000             unlimited            bytes\n";
        assert_eq!(
            linux::own_limits(limits, "VmSize:\t 5000 kB\nVmData: 1 kB\n"),
            Some((10_240_000 - 5_120_000) / 5 * 4)
        );
        assert_eq!(linux::own_limits(&limits.replace("10240000", "unlimited"), "VmSize: 1 kB\n"), None);
    }
}
