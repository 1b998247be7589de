//! The system calls a guest may make, as data, and the filter made of them.
//!
//! Whatever has no row in [`RULES`] is not made and kills the process; [`crate::trap`] says which call
//! it was. The filter is compiled once in the zygote ([`Filter::compile`]) and applied by each guest
//! ([`Filter::seal`]), before its first byte of user code and before its first thread, which inherits
//! it.
//!
//! To add a row: name the call, say who makes it and why, and narrow its arguments as far as that
//! user allows. A row must never open, connect, execute, trace, or name another process.

use crate::namespaces::Layer;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};
use std::collections::BTreeMap;
use std::env::consts::ARCH;
use thiserror::Error;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes through if every test holds; else the process is killed.
    Allow(&'static [Test]),
    /// It fails with this error and does nothing.
    Refuse(i32),
}

/// A test of one argument, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// The low 32 bits are exactly this.
    Equal(u8, u32),
    /// The low 32 bits are anything but this.
    Differs(u8, u32),
    /// Of these bits, exactly those are set.
    Bits {
        /// Index of the argument.
        argument: u8,
        /// The bits looked at.
        mask: u64,
        /// Those of them that must be set; the others must not.
        set: u64,
    },
}

/// One system call that a guest may make. Several rows of one number are alternatives.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its name, for people and tests.
    pub name: &'static str,
    /// Its number on this architecture.
    pub number: i64,
    /// Whether and when it goes through.
    pub verdict: Verdict,
    /// Who makes it.
    pub user: &'static str,
    /// What for.
    pub why: &'static str,
    /// Only a Worker whose code is compiled has it; see [`Jit`].
    pub jit: bool,
}

/// Whether a guest may have executable memory of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jit {
    /// Its JavaScript and WebAssembly are compiled to machine code.
    On,
    /// No page of it that was ever writable can become executable.
    Off,
}

/// Which rows hold for the guests of a zygote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// With or without executable memory.
    pub jit: Jit,
    /// All but this one: for the test that asks of each row whether anything needs it. It can only
    /// take away.
    pub without: Option<usize>,
}

impl Profile {
    /// What a Worker gets.
    pub const WORKER: Self = Self {
        jit: Jit::On,
        without: None,
    };

    /// The word by which the host asks the guest binary for a zygote.
    pub fn word(&self) -> String {
        match (self.jit, self.without) {
            (_, Some(row)) => format!("{WORD_WITHOUT}{row}"),
            (Jit::On, None) => WORD.to_owned(),
            (Jit::Off, None) => WORD_JITLESS.to_owned(),
        }
    }

    /// Reads such a word.
    pub fn from_word(word: &str) -> Option<Self> {
        let (jit, without) = match word {
            WORD => (Jit::On, None),
            WORD_JITLESS => (Jit::Off, None),
            word => (
                Jit::On,
                Some(word.strip_prefix(WORD_WITHOUT)?.parse().ok()?),
            ),
        };
        Some(Self { jit, without })
    }
}

const WORD: &str = "zygote";
const WORD_JITLESS: &str = "zygote-jitless";
const WORD_WITHOUT: &str = "zygote-without-";

macro_rules! rule {
    ($name:ident, $verdict:expr, $user:literal, $why:literal) => {
        Rule {
            name: stringify!($name),
            number: libc::$name,
            verdict: $verdict,
            user: $user,
            why: $why,
            jit: false,
        }
    };
    (jit $name:ident, $verdict:expr, $user:literal, $why:literal) => {
        Rule {
            jit: true,
            ..rule!($name, $verdict, $user, $why)
        }
    };
}

const ANY: Verdict = Verdict::Allow(&[]);

const PROT_WRITE: u64 = libc::PROT_WRITE as u64;
const PROT_EXEC: u64 = libc::PROT_EXEC as u64;

/// Memory of no file. There is no file to map, and this keeps it so.
const ANONYMOUS: Test = Test::Bits {
    argument: 3,
    mask: libc::MAP_ANONYMOUS as u64 | libc::MAP_SHARED as u64,
    set: libc::MAP_ANONYMOUS as u64,
};
const NOT_EXECUTABLE: Test = Test::Bits {
    argument: 2,
    mask: PROT_EXEC,
    set: 0,
};
const NOT_WRITABLE: Test = Test::Bits {
    argument: 2,
    mask: PROT_WRITE,
    set: 0,
};

/// What `pthread_create` passes; above all CLONE_THREAD, so that no process can be made.
const THREAD_FLAGS: u64 = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM) as u64;
const NAMESPACE_FLAGS: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_PTRACE) as u64;

/// The allow-list, by family.
pub const RULES: &[Rule] = &[
    // The loop.
    rule!(SYS_read, ANY, "guest loop", "the socket and the waker"),
    rule!(SYS_write, ANY, "guest loop", "the socket and the waker"),
    rule!(
        SYS_ppoll,
        ANY,
        "guest loop",
        "waits for the socket, the waker, the next timer"
    ),
    // Memory.
    rule!(
        SYS_mmap,
        Verdict::Allow(&[ANONYMOUS, NOT_EXECUTABLE]),
        "malloc, GC",
        "memory"
    ),
    rule!(
        jit SYS_mmap,
        Verdict::Allow(&[ANONYMOUS, NOT_WRITABLE]),
        "JIT",
        "code, never writable as well"
    ),
    rule!(
        SYS_mprotect,
        Verdict::Allow(&[NOT_EXECUTABLE]),
        "JIT, Wasm, malloc",
        "grows memory, writes code"
    ),
    rule!(
        jit SYS_mprotect,
        Verdict::Allow(&[NOT_WRITABLE]),
        "JIT",
        "runs code, never writable as well"
    ),
    rule!(SYS_munmap, ANY, "malloc, GC", "gives memory back"),
    rule!(SYS_mremap, ANY, "malloc", "grows a large block in place"),
    rule!(
        SYS_madvise,
        ANY,
        "GC, malloc",
        "gives pages back and keeps the addresses"
    ),
    rule!(SYS_brk, ANY, "malloc", "memory"),
    rule!(
        SYS_prlimit64,
        Verdict::Allow(&[Test::Equal(0, 0), Test::Equal(1, libc::RLIMIT_DATA)]),
        "guest loop",
        "lowers its own data limit when the Worker's bounds arrive"
    ),
    // Threads: the engine's helpers.
    rule!(SYS_futex, ANY, "threads", "locks"),
    rule!(
        SYS_clone,
        Verdict::Allow(&[Test::Bits {
            argument: 0,
            mask: THREAD_FLAGS | NAMESPACE_FLAGS,
            set: THREAD_FLAGS
        },]),
        "threads",
        "starts one; a process never"
    ),
    rule!(
        SYS_clone3,
        Verdict::Refuse(libc::ENOSYS),
        "threads",
        "its flags lie in memory, out of a filter's sight; the C library then uses clone"
    ),
    rule!(
        SYS_set_robust_list,
        ANY,
        "threads",
        "the C library starts a thread"
    ),
    rule!(SYS_rseq, ANY, "threads", "the C library starts a thread"),
    rule!(SYS_gettid, ANY, "threads", "identity of a thread"),
    rule!(
        SYS_sched_getaffinity,
        ANY,
        "threads",
        "attributes of a thread"
    ),
    rule!(
        SYS_prctl,
        Verdict::Allow(&[Test::Equal(0, libc::PR_SET_NAME as u32)]),
        "threads",
        "the standard library names a thread it starts"
    ),
    rule!(
        SYS_prctl,
        Verdict::Allow(&[Test::Equal(0, libc::PR_SET_VMA as u32)]),
        "GC, malloc",
        "names anonymous memory"
    ),
    rule!(SYS_exit_group, ANY, "guest loop", "ends"),
    // Signals: Wasm traps are faults that the engine handles.
    rule!(
        SYS_rt_sigaction,
        Verdict::Allow(&[Test::Differs(0, libc::SIGSYS as u32)]),
        "abort",
        "a fatal error restores the default before it raises; what a trap does stays"
    ),
    rule!(
        SYS_rt_sigprocmask,
        ANY,
        "threads",
        "no signal while a thread starts"
    ),
    rule!(SYS_rt_sigreturn, ANY, "Wasm", "returns from a handler"),
    rule!(SYS_sigaltstack, ANY, "threads", "a stack for faults"),
    rule!(
        SYS_tgkill,
        Verdict::Refuse(libc::EPERM),
        "abort",
        "it could name another guest; abort then falls back to an illegal instruction"
    ),
    // Chance and time.
    rule!(SYS_getrandom, ANY, "ops, engine", "fresh randomness"),
    rule!(
        SYS_clock_gettime,
        ANY,
        "ops, engine",
        "time, where the vDSO has none"
    ),
    rule!(
        SYS_getrusage,
        ANY,
        "engine",
        "page faults, for its statistics"
    ),
    rule!(
        SYS_getpid,
        ANY,
        "abort",
        "whom to signal, which is then refused"
    ),
];

/// Why there is no filter.
#[derive(Debug, Error)]
pub enum SeccompError {
    /// The rules do not make a program; a mistake in [`RULES`].
    #[error("compile the seccomp filter")]
    Compile(#[source] seccompiler::BackendError),
    /// This architecture has no table.
    #[error("no seccomp filter for {ARCH}")]
    Architecture,
    /// The kernel refused it.
    #[error("apply the seccomp filter")]
    Apply(#[source] seccompiler::Error),
}

/// The compiled allow-list.
#[derive(Debug)]
pub struct Filter(BpfProgram);

impl Filter {
    /// Makes a program of [`RULES`].
    pub fn compile(profile: Profile) -> Result<Self, SeccompError> {
        let rows = RULES.iter().enumerate().filter(move |(row, rule)| {
            Some(*row) != profile.without && (profile.jit == Jit::On || !rule.jit)
        });
        Self::of(rows.map(|(_, rule)| rule))
    }

    fn of(rules: impl Iterator<Item = &'static Rule> + Clone) -> Result<Self, SeccompError> {
        let arch = TargetArch::try_from(ARCH).map_err(|_| SeccompError::Architecture)?;
        let filter = SeccompFilter::new(
            allowed(rules.clone()).map_err(SeccompError::Compile)?,
            SeccompAction::Trap,
            SeccompAction::Allow,
            arch,
        )
        .map_err(SeccompError::Compile)?;
        let rest: BpfProgram = filter.try_into().map_err(SeccompError::Compile)?;
        let mut program = refusals(rules);
        program.extend(rest);
        Ok(Self(program))
    }

    /// Applies it to this thread and all it starts, for ever.
    pub fn seal(&self) -> Result<(), SeccompError> {
        seccompiler::apply_filter(&self.0).map_err(SeccompError::Apply)
    }
}

fn allowed(
    rules: impl Iterator<Item = &'static Rule>,
) -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let mut table: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for rule in rules {
        let Verdict::Allow(tests) = rule.verdict else {
            continue;
        };
        let alternatives = table.entry(rule.number).or_default();
        if !tests.is_empty() {
            let conditions = tests.iter().map(condition).collect::<Result<_, _>>()?;
            alternatives.push(SeccompRule::new(conditions)?);
        }
    }
    Ok(table)
}

fn condition(test: &Test) -> Result<SeccompCondition, seccompiler::BackendError> {
    match *test {
        Test::Equal(argument, value) => SeccompCondition::new(
            argument,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Eq,
            u64::from(value),
        ),
        Test::Differs(argument, value) => SeccompCondition::new(
            argument,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Ne,
            u64::from(value),
        ),
        Test::Bits {
            argument,
            mask,
            set,
        } => SeccompCondition::new(
            argument,
            SeccompCmpArgLen::Qword,
            SeccompCmpOp::MaskedEq(mask),
            set,
        ),
    }
}

/// The head of the program: an error for each refused number. Written by hand because the compiler
/// knows one action for matches and one for the rest. The architecture is checked after it, which
/// is in order: a foreign call with the same number is refused too, or goes on to be killed.
fn refusals(rules: impl Iterator<Item = &'static Rule>) -> BpfProgram {
    const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let mut program = vec![sock_filter {
        code: LOAD_WORD,
        jt: 0,
        jf: 0,
        k: 0, // Offset of `nr` in `seccomp_data`.
    }];
    for rule in rules {
        let Verdict::Refuse(errno) = rule.verdict else {
            continue;
        };
        program.push(sock_filter {
            code: JUMP_IF_EQUAL,
            jt: 0,
            jf: 1,
            k: rule.number as u32,
        });
        program.push(sock_filter {
            code: RETURN,
            jt: 0,
            jf: 0,
            k: libc::SECCOMP_RET_ERRNO | (errno as u32 & libc::SECCOMP_RET_DATA),
        });
    }
    program
}

/// Whether this kernel can trap calls by filter.
pub fn layer(filter: &Result<Filter, SeccompError>) -> Layer {
    const NAME: &str = "seccomp";
    const GET_ACTION_AVAIL: libc::c_uint = 2;
    if let Err(error) = filter {
        return Layer::missing(NAME, error.to_string());
    }
    let action: u32 = libc::SECCOMP_RET_TRAP;
    // SAFETY: the call reads the one word that the pointer names.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, &raw const action) };
    let outcome = crate::check("ask for seccomp", result as libc::c_int);
    Layer::of(NAME, outcome.map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ended, Pid, pidfd::Pidfd};

    /// Runs `attempt` in a sealed fork of this test and tells how that ended. The fork is of one
    /// thread among several, so the child makes nothing but system calls.
    fn sealed(attempt: impl Fn() -> i32) -> Ended {
        sealed_by(Jit::On, attempt)
    }

    fn sealed_by(jit: Jit, attempt: impl Fn() -> i32) -> Ended {
        let filter = Filter::compile(Profile { jit, without: None }).unwrap();
        // SAFETY: the child only makes system calls and ends by `_exit`.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let code = filter.seal().map_or(99, |()| attempt());
            crate::fork::exit_now(code);
        }
        Pidfd::open(Pid(pid)).unwrap().wait().unwrap()
    }

    fn call(number: i64, arguments: [u64; 6]) -> i64 {
        let [a, b, c, d, e, f] = arguments;
        // SAFETY: the callers pass nulls, invalid numbers or sizes of zero only.
        unsafe { libc::syscall(number, a, b, c, d, e, f) }
    }

    const KILLED: Ended = Ended::Signal(libc::SIGSYS);

    #[test]
    fn every_call_without_a_row_kills() {
        // Linux 6.18 ends below 480; the x32 numbers have a bit of their own.
        let numbers = (0..500).chain([0x4000_0000, 0x4000_0000 | libc::SYS_execve]);
        // uretprobe and uprobe: the kernel's own trampolines, which it exempts from filters and
        // which do nothing for whoever else calls them.
        const TRAMPOLINES: [i64; 2] = [335, 336];
        for number in numbers {
            if RULES.iter().any(|rule| rule.number == number) || TRAMPOLINES.contains(&number) {
                continue;
            }
            let ended = sealed(|| call(number, [0; 6]) as i32);
            assert_eq!(ended, KILLED, "call {number}");
        }
    }

    #[test]
    fn a_call_with_a_row_goes_no_further_than_its_tests() {
        let both = PROT_WRITE | PROT_EXEC;
        let private = libc::MAP_PRIVATE as u64;
        let anonymous = private | libc::MAP_ANONYMOUS as u64;
        let fork = libc::SIGCHLD as u64;
        let nameless = u64::MAX;
        for (what, number, arguments) in [
            ("fork", libc::SYS_clone, [fork, 0, 0, 0, 0, 0]),
            (
                "thread in a namespace",
                libc::SYS_clone,
                [THREAD_FLAGS | libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0],
            ),
            ("map a file", libc::SYS_mmap, [0, 4096, 1, private, 3, 0]),
            (
                "map shared",
                libc::SYS_mmap,
                [
                    0,
                    4096,
                    1,
                    (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as u64,
                    nameless,
                    0,
                ],
            ),
            (
                "map writable code",
                libc::SYS_mmap,
                [0, 4096, both, anonymous, nameless, 0],
            ),
            ("write code", libc::SYS_mprotect, [0, 4096, both, 0, 0, 0]),
            (
                "become dumpable",
                libc::SYS_prctl,
                [libc::PR_SET_DUMPABLE as u64, 1, 0, 0, 0, 0],
            ),
            (
                "another's limits",
                libc::SYS_prlimit64,
                [1, libc::RLIMIT_DATA as u64, 0, 0, 0, 0],
            ),
            (
                "another end for a trap",
                libc::SYS_rt_sigaction,
                [libc::SIGSYS as u64, 0, 0, 8, 0, 0],
            ),
            (
                "other limits",
                libc::SYS_prlimit64,
                [0, libc::RLIMIT_NOFILE as u64, 0, 0, 0, 0],
            ),
        ] {
            assert_eq!(sealed(|| call(number, arguments) as i32), KILLED, "{what}");
        }
    }

    #[test]
    fn refused_calls_fail_and_the_process_lives() {
        for rule in RULES {
            let Verdict::Refuse(errno) = rule.verdict else {
                continue;
            };
            let ended = sealed(|| match call(rule.number, [0; 6]) {
                // SAFETY: the address is this thread's own errno.
                -1 => unsafe { *libc::__errno_location() },
                _ => 98,
            });
            assert_eq!(ended, Ended::Exit(errno), "{}", rule.name);
        }
    }

    #[test]
    fn allowed_calls_go_through() {
        let anonymous = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
        let ended = sealed(|| {
            let code = call(
                libc::SYS_mmap,
                [0, 4096, PROT_WRITE, anonymous, u64::MAX, 0],
            );
            let turned = call(libc::SYS_mprotect, [code as u64, 4096, PROT_EXEC, 0, 0, 0]);
            i32::from(code == -1 || turned != 0)
        });
        assert_eq!(ended, Ended::Exit(0));
    }

    /// How `attempt` ends in a sealed fork whose filter lacks this row.
    fn sealed_without(name: &str, attempt: impl Fn() -> i32) -> Ended {
        let row = RULES.iter().position(|rule| rule.name == name);
        let profile = Profile {
            jit: Jit::On,
            without: Some(row.unwrap()),
        };
        let filter = Filter::compile(profile).unwrap();
        // SAFETY: the child only makes system calls and ends by `_exit` or a signal.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let code = filter.seal().map_or(99, |()| attempt());
            crate::fork::exit_now(code);
        }
        Pidfd::open(Pid(pid)).unwrap().wait().unwrap()
    }

    #[test]
    fn an_abort_is_a_crash_and_no_violation() {
        let abort = || -> i32 {
            // SAFETY: the child ends here; no handler of ours runs.
            unsafe { libc::abort() }
        };
        let ended = sealed(abort);
        assert!(
            matches!(ended, Ended::Signal(signal) if signal != libc::SIGSYS),
            "{ended:?}"
        );
        for row in ["SYS_getpid", "SYS_tgkill", "SYS_rt_sigaction"] {
            assert_eq!(sealed_without(row, abort), KILLED, "{row}");
        }
    }

    #[test]
    fn a_clock_that_the_vdso_does_not_know_is_the_kernels() {
        let read = || {
            let mut time = libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            // SAFETY: `time` is ours for the call to fill. The C library has only the kernel to ask.
            unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }
        };
        assert_eq!(sealed(read), Ended::Exit(0));
        assert_eq!(sealed_without("SYS_clock_gettime", read), KILLED);
    }

    #[test]
    fn a_profile_survives_its_word() {
        for profile in [
            Profile::WORKER,
            Profile {
                jit: Jit::Off,
                without: None,
            },
            Profile {
                jit: Jit::On,
                without: Some(7),
            },
        ] {
            assert_eq!(Profile::from_word(&profile.word()), Some(profile));
        }
        assert_eq!(Profile::from_word("zygote-without-"), None);
        assert_eq!(Profile::from_word("--version"), None);
    }

    #[test]
    fn without_a_jit_no_memory_becomes_executable() {
        let anonymous = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
        let map = |protection| {
            move || {
                let arguments = [0, 4096, protection, anonymous, u64::MAX, 0];
                i32::from(call(libc::SYS_mmap, arguments) == -1)
            }
        };
        let turn = || {
            let page = call(
                libc::SYS_mmap,
                [0, 4096, PROT_WRITE, anonymous, u64::MAX, 0],
            );
            call(libc::SYS_mprotect, [page as u64, 4096, PROT_EXEC, 0, 0, 0]) as i32
        };
        assert_eq!(sealed_by(Jit::Off, map(PROT_WRITE)), Ended::Exit(0));
        assert_eq!(sealed_by(Jit::Off, map(PROT_EXEC)), KILLED);
        assert_eq!(sealed_by(Jit::Off, turn), KILLED);
        assert_eq!(sealed_by(Jit::On, map(PROT_EXEC)), Ended::Exit(0));
        assert_eq!(sealed_by(Jit::On, turn), Ended::Exit(0));
    }

    /// What a child that reports to a pipe at the socket's number wrote, and how it ended.
    fn reported(attempt: impl Fn() -> i32) -> (Vec<u8>, Ended) {
        use std::io::Read;
        let (mut reader, writer) = std::io::pipe().unwrap();
        let filter = Filter::compile(Profile::WORKER).unwrap();
        // SAFETY: the child only makes system calls and ends by `_exit` or a signal.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            use std::os::fd::AsRawFd;
            // SAFETY: the calls take numbers.
            unsafe { libc::dup2(writer.as_raw_fd(), crate::descriptors::SOCKET) };
            let sealed = crate::trap::report([5, 0, 0, 0, 80]).is_ok() && filter.seal().is_ok();
            crate::fork::exit_now(if sealed { attempt() } else { 99 });
        }
        drop(writer);
        let ended = Pidfd::open(Pid(pid)).unwrap().wait().unwrap();
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        (bytes, ended)
    }

    #[test]
    fn a_trap_reports_the_number_and_kills() {
        for number in [
            libc::SYS_openat,
            libc::SYS_socket,
            libc::SYS_execve,
            libc::SYS_mmap,
        ] {
            let (bytes, ended) = reported(|| call(number, [0; 6]) as i32);
            let mut expect = vec![5, 0, 0, 0, 80];
            expect.extend_from_slice(&(number as u32).to_le_bytes());
            assert_eq!((bytes, ended), (expect, KILLED), "call {number}");
        }
    }

    #[test]
    fn a_blocked_trap_kills_without_a_report() {
        let (bytes, ended) = reported(|| {
            let all = u64::MAX;
            let set = std::ptr::from_ref(&all) as u64;
            call(
                libc::SYS_rt_sigprocmask,
                [libc::SIG_SETMASK as u64, set, 0, 8, 0, 0],
            );
            call(libc::SYS_socket, [0; 6]) as i32
        });
        assert_eq!((bytes, ended), (vec![], KILLED));
    }

    #[test]
    fn a_process_between_frames_of_its_own_keeps_silent() {
        let (bytes, ended) = reported(|| {
            crate::trap::set_boundary(false);
            call(libc::SYS_socket, [0; 6]) as i32
        });
        assert_eq!((bytes, ended), (vec![], KILLED));
    }
}
