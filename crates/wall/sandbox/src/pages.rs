//! Pages of a process that forks: large where they are shared, copied at once where they are written.
//!
//! A fork shares every page of private memory with the process it was forked from; its first write to
//! each costs a page fault, and in a virtual machine the trap costs as much as the copy. A fork that
//! did the usual work tells which pages that were ([`own_pages`]), and those that come after it have
//! them all copied by one call for each run of pages ([`PageRuns::populate`]).
//!
//! What it does not write costs too: a fork copies the entry of each page that is there, and its end
//! removes it again. Of a huge page there is one entry, and where a write splits it the kernel goes
//! through its parts in batches ([`make_huge`]).
//!
//! Invariant: nothing here changes a byte. A list that fits no longer costs time or memory, nothing
//! else: pages that are not mapped for writing are left out by the kernel.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// `MADV_POPULATE_WRITE` of `madvise(2)`, Linux 5.14; missing from older bindings.
const MADV_POPULATE_WRITE: libc::c_int = 23;

/// `MADV_COLLAPSE`, Linux 6.1; missing from older bindings.
const MADV_COLLAPSE: libc::c_int = 25;

/// Size and alignment of a huge page on x86-64 and most of AArch64.
const HUGE_BYTES: usize = 2 * 1024 * 1024;

/// A stretch with fewer parts of it there is left as it is: the rest would be memory for nothing.
const HUGE_PART_MIN: usize = 8;

/// Bits of an entry of `/proc/self/pagemap` (`Documentation/admin-guide/mm/pagemap.rst`).
const PRESENT: u64 = 1 << 63;
const MAPPED_ONCE: u64 = 1 << 56;

/// Bytes of one entry.
const ENTRY_BYTES: usize = 8;

/// Entries read at once.
const ENTRIES_AT_ONCE: usize = 512;

/// Runs kept at most; a list as long as this is of no use.
const RUNS_MAX: usize = 4096;

/// Runs of whole pages, by address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRuns(Vec<(usize, usize)>);

impl PageRuns {
    /// How many pages they hold.
    pub fn pages(&self) -> usize {
        self.0.iter().map(|(_, bytes)| bytes / page_bytes()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For another process: pairs of numbers, eight bytes each.
    pub fn to_bytes(&self) -> Vec<u8> {
        let numbers = self.0.iter().flat_map(|(start, bytes)| [*start, *bytes]);
        numbers
            .flat_map(|number| (number as u64).to_le_bytes())
            .collect()
    }

    /// What [`PageRuns::to_bytes`] made; nothing of it if it was cut short.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let (pairs, rest) = bytes.as_chunks::<16>();
        if !rest.is_empty() || pairs.len() > RUNS_MAX {
            return Self::default();
        }
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .rev()
                .fold(0, |number, byte| number << 8 | usize::from(*byte))
        };
        Self(
            pairs
                .iter()
                .map(|pair| (number(&pair[..8]), number(&pair[8..])))
                .collect(),
        )
    }

    /// Gives this process its own copy of every page, as a write would. Where the kernel is too old
    /// the writes to come do it one by one.
    pub fn populate(&self) {
        for (start, bytes) in &self.0 {
            // SAFETY: the call changes no byte: it makes pages of a writable mapping present as a
            // write to them would, and fails where there is none.
            let done =
                unsafe { libc::madvise(*start as *mut libc::c_void, *bytes, MADV_POPULATE_WRITE) };
            if done == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
                return;
            }
        }
    }

    fn add(&mut self, page: usize) {
        let bytes = page_bytes();
        if let Some((start, length)) = self.0.last_mut()
            && *start + *length == page
        {
            *length += bytes;
        } else if self.0.len() < RUNS_MAX {
            self.0.push((page, bytes));
        }
    }
}

/// Pages of this process's private writable memory that no other process shares: in a fresh fork
/// those that it has written. Needs `/proc`.
pub fn own_pages() -> io::Result<PageRuns> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let pagemap = File::open("/proc/self/pagemap")?;
    let mut own = PageRuns::default();
    for (start, end) in maps.lines().filter_map(private_writable) {
        own_pages_of(&pagemap, start, end, &mut own)?;
    }
    Ok(own)
}

/// Moves private writable memory that is mostly there into huge pages; gives how many. Needs `/proc`.
/// Where the kernel is too old, or has none left, memory stays as it is.
pub fn make_huge() -> io::Result<usize> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let pagemap = File::open("/proc/self/pagemap")?;
    let mut made = 0;
    for (start, end) in maps.lines().filter_map(private_writable) {
        let mut huge = start.next_multiple_of(HUGE_BYTES);
        while huge + HUGE_BYTES <= end {
            if present_pages(&pagemap, huge, HUGE_BYTES)? * page_bytes() * HUGE_PART_MIN
                >= HUGE_BYTES
            {
                // SAFETY: the call changes no byte of the mapping and leaves it where it is.
                let done =
                    unsafe { libc::madvise(huge as *mut libc::c_void, HUGE_BYTES, MADV_COLLAPSE) };
                made += usize::from(done == 0);
            }
            huge += HUGE_BYTES;
        }
    }
    Ok(made)
}

fn present_pages(pagemap: &File, start: usize, bytes: usize) -> io::Result<usize> {
    let page_bytes = page_bytes();
    let mut entries = vec![0; bytes / page_bytes * ENTRY_BYTES];
    pagemap.read_exact_at(&mut entries, (start / page_bytes * ENTRY_BYTES) as u64)?;
    let entries = entries.as_chunks::<ENTRY_BYTES>().0.iter();
    Ok(entries
        .filter(|entry| u64::from_le_bytes(**entry) & PRESENT != 0)
        .count())
}

fn own_pages_of(pagemap: &File, start: usize, end: usize, own: &mut PageRuns) -> io::Result<()> {
    let page_bytes = page_bytes();
    let mut entries = [0; ENTRIES_AT_ONCE * ENTRY_BYTES];
    let mut page = start / page_bytes;
    while page < end / page_bytes {
        let count = (end / page_bytes - page).min(ENTRIES_AT_ONCE);
        let wanted = &mut entries[..count * ENTRY_BYTES];
        pagemap.read_exact_at(wanted, (page * ENTRY_BYTES) as u64)?;
        for (index, entry) in wanted.as_chunks::<ENTRY_BYTES>().0.iter().enumerate() {
            if u64::from_le_bytes(*entry) & (PRESENT | MAPPED_ONCE) == PRESENT | MAPPED_ONCE {
                own.add((page + index) * page_bytes);
            }
        }
        page += count;
    }
    Ok(())
}

/// A line of the list of mappings, where it is private and writable.
fn private_writable(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    if fields.next()? != "rw-p" {
        return None;
    }
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some((number(start)?, number(end)?))
}

fn page_bytes() -> usize {
    // SAFETY: the call takes a constant and gives a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_private_writable_mappings_are_looked_at() {
        assert_eq!(
            private_writable("7f00-8f00 rw-p 00000000 00:00 0 [heap]"),
            Some((0x7f00, 0x8f00))
        );
        for other in [
            "7f00-8f00 r--p 0 00:00 0",
            "7f00-8f00 rw-s 0 00:00 0",
            "nonsense",
        ] {
            assert_eq!(private_writable(other), None, "{other}");
        }
    }

    #[test]
    fn runs_survive_the_way_to_another_process() {
        let mut runs = PageRuns::default();
        for page in [1, 2, 3, 7, 9, 10] {
            runs.add(page * page_bytes());
        }
        assert_eq!((runs.0.len(), runs.pages()), (3, 6));
        let bytes = runs.to_bytes();
        assert_eq!(PageRuns::from_bytes(&bytes), runs);
        assert!(PageRuns::from_bytes(&bytes[1..]).is_empty());
    }

    #[test]
    fn making_huge_keeps_every_byte() {
        let memory: Vec<u32> = (0..4 * 1024 * 1024).collect();
        // How many there are is the machine's affair.
        make_huge().unwrap();
        assert!(memory.iter().zip(0..).all(|(is, was)| *is == was));
    }

    #[test]
    fn pages_written_here_are_found_and_populating_keeps_their_bytes() {
        let memory = vec![7_u8; 64 * page_bytes()];
        let own = own_pages().unwrap();
        assert!(own.pages() >= 60, "{}", own.pages());
        own.populate();
        assert!(memory.iter().all(|byte| *byte == 7));
    }
}
