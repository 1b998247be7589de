//! Memory of a process tree, everything counted: pages, page tables, kernel.

use std::collections::BTreeSet;

/// What a tree of processes takes, in KiB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Proportional set size: private pages, and shared ones divided by their sharers.
    pub pss_kib: u64,
    /// Page tables of all its processes.
    pub page_tables_kib: u64,
    /// What the whole machine has less available than before; includes slab and kernel stacks.
    pub available_drop_kib: u64,
}

/// `MemAvailable` of the machine, in KiB.
pub fn available_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    field(&text, "MemAvailable:")
}

/// Sums over `root` and everything below it. Processes that end meanwhile count as nothing.
pub fn of_tree(root: u32, available_before_kib: u64) -> Memory {
    let mut memory = Memory {
        available_drop_kib: available_before_kib.saturating_sub(available_kib()),
        ..Memory::default()
    };
    for pid in tree(root) {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
        memory.pss_kib += field(&rollup.unwrap_or_default(), "Pss:");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        memory.page_tables_kib += field(&status.unwrap_or_default(), "VmPTE:");
    }
    memory
}

/// `root` and all its descendants.
pub fn tree(root: u32) -> BTreeSet<u32> {
    let mut children: std::collections::BTreeMap<u32, Vec<u32>> = Default::default();
    for pid in std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<u32>().ok())
        })
    {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest)
            .unwrap_or_default();
        if let Some(parent) = after_name
            .split_whitespace()
            .nth(1)
            .and_then(|p| p.parse().ok())
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut open) = (BTreeSet::from([root]), vec![root]);
    while let Some(pid) = open.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if found.insert(*child) {
                open.push(*child);
            }
        }
    }
    found
}

fn field(text: &str, name: &str) -> u64 {
    let line = text
        .lines()
        .find(|line| line.starts_with(name))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}

/// Resident set of one process, in KiB.
pub fn rss_kib(pid: u32) -> u64 {
    status_kib(pid, "VmRSS:")
}

/// A field of `/proc/PID/status` (`proc_pid_status(5)`) that is in KiB, its colon included.
pub fn status_kib(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    field(&status.unwrap_or_default(), name)
}
