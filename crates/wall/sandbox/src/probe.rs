//! Trying each layer of the sandbox for real: apply it in a child, attempt what it forbids, look at
//! how that ends.
//!
//! For `mayfly doctor`. A layer that the kernel says it set up and that refuses nothing counts as
//! missing. Attempts are harmless where they succeed: they read, or set what is set already.
//!
//! The order is that of a zygote's start, because later layers need earlier ones: a child enters the
//! namespaces, and each probe runs in a child of its own inside.

use crate::fork::{Forked, ThreadCount, exit_now, fork_alone};
use crate::namespaces::{self, Descent};
use crate::pidfd::Pidfd;
use crate::seccomp::{Filter, Jit, Profile};
use crate::{Ended, Pid, landlock, privileges, rlimits, syscall_names};
use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Bytes of all findings together; each is a line or two.
const FINDINGS_BYTES_MAX: u64 = 64 * 1024;

/// A layer, what was attempted against it, and how that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The layer's name, as in [`namespaces::Layer`] where it is one of those.
    pub layer: String,
    /// Whether it held.
    pub holds: bool,
    /// What was attempted.
    pub attempt: String,
    /// What came of it.
    pub outcome: String,
}

/// Tries every layer. The process must have one thread, and children of nobody else's.
pub fn all() -> Vec<Finding> {
    let mut findings = match in_child(inside) {
        Ok(lines) => lines.lines().filter_map(Finding::from_line).collect(),
        Err(problem) => vec![Finding::broken("namespaces", &problem)],
    };
    findings.push(limits());
    findings.extend(seccomp());
    findings
}

impl Finding {
    fn new(layer: &str, holds: bool, attempt: &str, outcome: impl Into<String>) -> Self {
        Self {
            layer: layer.to_owned(),
            holds,
            attempt: attempt.to_owned(),
            outcome: outcome.into(),
        }
    }

    fn broken(layer: &str, problem: &str) -> Self {
        Self::new(layer, false, "set it up", problem)
    }

    /// One line, its fields parted by tabs; [`Finding::from_line`] reads it.
    pub fn to_line(&self) -> String {
        let holds = if self.holds { "holds" } else { "missing" };
        let plain = |text: &str| text.replace(['\t', '\n'], " ");
        [&self.layer, holds, &self.attempt, &self.outcome]
            .map(plain)
            .join("\t")
    }

    /// Reads one line.
    pub fn from_line(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let (layer, holds) = (fields.next()?, fields.next()?);
        let (attempt, outcome) = (fields.next()?, fields.next()?);
        Some(Self::new(layer, holds == "holds", attempt, outcome))
    }
}

/// Runs `work` in a child and gives what it says.
fn in_child(work: impl FnOnce() -> String) -> Result<String, String> {
    let threads = ThreadCount::open().map_err(|error| error.to_string())?;
    let (reader, writer) = std::io::pipe().map_err(|error| error.to_string())?;
    match fork_alone(&threads).map_err(|error| error.to_string())? {
        Forked::Child => {
            drop(reader);
            say(writer, &work())
        }
        Forked::Parent(child) => {
            drop(writer);
            let said = hear(reader);
            match Pidfd::open(child).and_then(|child| child.wait()) {
                Ok(Ended::Exit(0)) => Ok(said),
                Ok(Ended::Exit(code)) => Err(format!("the child exited with code {code}")),
                Ok(Ended::Signal(signal)) => Err(format!("the child died of signal {signal}")),
                Err(error) => Err(error.to_string()),
            }
        }
    }
}

fn say(mut writer: PipeWriter, text: &str) -> ! {
    let code = i32::from(writer.write_all(text.as_bytes()).is_err());
    exit_now(code)
}

fn hear(reader: PipeReader) -> String {
    let mut text = String::new();
    // What is no text says nothing.
    let _ = reader.take(FINDINGS_BYTES_MAX).read_to_string(&mut text);
    text
}

/// As [`in_child`], for one finding.
fn probe(layer: &str, work: impl FnOnce() -> Finding) -> Finding {
    match in_child(|| work().to_line()) {
        Ok(line) => Finding::from_line(line.trim_end())
            .unwrap_or_else(|| Finding::broken(layer, "the child said nothing")),
        Err(problem) => Finding::broken(layer, &problem),
    }
}

/// Enters user and pid namespaces and probes what can be probed from there.
fn inside() -> String {
    // Reached from outside the network namespace only.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let outside = listener.as_ref().ok().and_then(|one| one.local_addr().ok());
    let links = ["ipc", "uts", "cgroup"].map(|name| (name, link_of(name)));
    let outer = Pid(i32::try_from(std::process::id()).unwrap_or(0));
    let pipes = (std::io::pipe(), std::io::pipe());
    let ((mapped, mut tell), (said, writer)) = match pipes {
        (Ok(gate), Ok(findings)) => (gate, findings),
        (Err(error), _) | (_, Err(error)) => {
            return Finding::broken("namespaces", &error.to_string()).to_line();
        }
    };
    let descent = match namespaces::descend() {
        Ok(descent) => descent,
        Err(error) => return Finding::broken("user namespace", &error.to_string()).to_line(),
    };
    match descent.side {
        Forked::Parent(child) => {
            drop((mapped, writer));
            let word = match descent.user.then(|| namespaces::map_user(child)) {
                Some(Ok(())) => 1,
                _ => 0,
            };
            let _ = tell.write_all(&[word]);
            let findings = hear(said);
            // It ends by itself, having said all.
            let _ = Pidfd::open(child).and_then(|child| child.wait());
            findings
        }
        Forked::Child => {
            drop((said, tell));
            // C libraries learn of a fork by `fork`, which `descend` is not.
            let findings = in_child(|| {
                let mut word = [0];
                let mut gate = mapped;
                let is_mapped = gate.read_exact(&mut word).is_ok() && word[0] == 1;
                let all = layers(descent, is_mapped, outer, outside, &links);
                let lines: Vec<String> = all.iter().map(Finding::to_line).collect();
                lines.join("\n")
            });
            say(
                writer,
                &findings
                    .unwrap_or_else(|problem| Finding::broken("namespaces", &problem).to_line()),
            )
        }
    }
}

fn link_of(namespace: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{namespace}"))
        .map(|target| target.display().to_string())
        .unwrap_or_default()
}

fn layers(
    descent: Descent,
    is_mapped: bool,
    outer: Pid,
    outside: Option<SocketAddr>,
    links: &[(&str, String)],
) -> Vec<Finding> {
    let mut all = vec![user(&descent), pid(&descent, outer)];
    let shared = namespaces::leave_shared();
    let given = |name: &str| {
        let layer = shared.iter().find(|layer| layer.name == name);
        layer.map_or(Err("not tried".to_owned()), |layer| match layer.active {
            true => Ok(()),
            false => Err(layer.reason.clone()),
        })
    };
    all.push(match given("network namespace") {
        Err(reason) => Finding::broken("network namespace", &reason),
        Ok(()) => network(outside),
    });
    for (name, before) in links {
        let layer = format!("{name} namespace");
        all.push(match given(&layer) {
            Err(reason) => Finding::broken(&layer, &reason),
            Ok(()) => {
                let own = link_of(name) != *before;
                let outcome = if own { "another one" } else { "the host's" };
                Finding::new(&layer, own, "look which one it is", outcome)
            }
        });
    }
    if is_mapped || (!descent.user && privileges::is_root()) {
        all.push(probe("nobody's identity", identity));
    } else {
        let reason = "the user could not be mapped, and this is not root";
        all.push(Finding::broken("nobody's identity", reason));
    }
    all.push(probe("empty root", root));
    all.push(probe("no capabilities", capabilities));
    all.push(probe("no new privileges", new_privileges));
    all.push(probe("no inspection", inspection));
    all.push(probe("landlock", files));
    all
}

fn refused(layer: &str, attempt: &str, result: std::io::Result<()>) -> Finding {
    match result {
        Ok(()) => Finding::new(layer, false, attempt, "it was allowed"),
        Err(error) => Finding::new(layer, true, attempt, format!("refused: {error}")),
    }
}

fn user(descent: &Descent) -> Finding {
    const LAYER: &str = "user namespace";
    const ATTEMPT: &str = "rename the machine";
    match descent.layers.iter().find(|layer| layer.name == LAYER) {
        Some(layer) if !layer.active => Finding::broken(LAYER, &layer.reason),
        // Its name stays what it is should this succeed; root outside could.
        _ => refused(LAYER, ATTEMPT, rename_machine()),
    }
}

fn rename_machine() -> std::io::Result<()> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let name = name.trim_end();
    // SAFETY: the call reads `name.len()` bytes of `name`.
    crate::check_io(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).map(drop)
}

fn pid(descent: &Descent, outer: Pid) -> Finding {
    const LAYER: &str = "pid namespace";
    match descent.layers.iter().find(|layer| layer.name == LAYER) {
        Some(layer) if !layer.active => Finding::broken(LAYER, &layer.reason),
        _ => refused(LAYER, "signal the process outside", signal(outer)),
    }
}

fn signal(pid: Pid) -> std::io::Result<()> {
    // SAFETY: signal 0 is sent to nobody; the call only looks.
    crate::check_io(unsafe { libc::kill(pid.0, 0) }).map(drop)
}

fn network(outside: Option<SocketAddr>) -> Finding {
    const LAYER: &str = "network namespace";
    const WAIT: Duration = Duration::from_secs(1);
    let Some(address) = outside else {
        return Finding::broken(LAYER, "nothing could listen outside");
    };
    let result = TcpStream::connect_timeout(&address, WAIT);
    refused(LAYER, "connect to a port of this machine", result.map(drop))
}

fn identity() -> Finding {
    const LAYER: &str = "nobody's identity";
    if let Err(error) = privileges::become_nobody().and_then(|()| privileges::drop_capabilities()) {
        return Finding::broken(LAYER, &format!("{error}: {}", error.source));
    }
    // SAFETY: the call takes an integer.
    let result = crate::check_io(unsafe { libc::setuid(0) });
    refused(LAYER, "become root again", result.map(drop))
}

fn root() -> Finding {
    const LAYER: &str = "empty root";
    // Mounts of its own, or the probes that follow would find nothing either.
    let layer = namespaces::empty_root(&namespaces::leave_shared());
    if !layer.active {
        return Finding::broken(LAYER, &layer.reason);
    }
    refused(
        LAYER,
        "open /etc/passwd",
        File::open("/etc/passwd").map(drop),
    )
}

fn capabilities() -> Finding {
    const LAYER: &str = "no capabilities";
    if let Err(error) = privileges::drop_capabilities() {
        return Finding::broken(LAYER, &format!("{error}: {}", error.source));
    }
    // SAFETY: the path is a C string.
    let result = crate::check_io(unsafe { libc::chroot(c"/".as_ptr()) });
    refused(LAYER, "change the root directory", result.map(drop))
}

fn new_privileges() -> Finding {
    const LAYER: &str = "no new privileges";
    if let Err(error) = privileges::forbid_new_privileges() {
        return Finding::broken(LAYER, &format!("{error}: {}", error.source));
    }
    // SAFETY: this prctl takes integers.
    let result = crate::check_io(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) });
    refused(LAYER, "allow them again", result.map(drop))
}

fn inspection() -> Finding {
    const LAYER: &str = "no inspection";
    let prepared = privileges::drop_capabilities().and_then(|()| privileges::forbid_inspection());
    if let Err(error) = prepared {
        return Finding::broken(LAYER, &format!("{error}: {}", error.source));
    }
    // Its own child, of the same user and as powerless, is the nearest that a sibling comes.
    // SAFETY: the call takes nothing and gives a number.
    let own = unsafe { libc::getpid() };
    // SAFETY: this ptrace takes a pid and ignores the pointers. The tracer ends right after.
    let attach = || unsafe {
        libc::ptrace(
            libc::PTRACE_SEIZE,
            own,
            std::ptr::null_mut::<libc::c_void>(),
            std::ptr::null_mut::<libc::c_void>(),
        )
    };
    probe(LAYER, || {
        let result = crate::check_long(attach());
        refused(
            LAYER,
            "attach a debugger to a process like this",
            result.map(drop),
        )
    })
}

fn files() -> Finding {
    const LAYER: &str = "landlock";
    if let Err(error) = privileges::forbid_new_privileges() {
        return Finding::broken(LAYER, &format!("{error}: {}", error.source));
    }
    let layer = landlock::refuse_all();
    if !layer.active {
        return Finding::broken(LAYER, &layer.reason);
    }
    let mut finding = refused(
        LAYER,
        "list the root directory",
        fs::read_dir("/").map(drop),
    );
    if !layer.reason.is_empty() {
        finding.outcome = format!("{} ({})", finding.outcome, layer.reason);
    }
    finding
}

fn limits() -> Finding {
    const LAYER: &str = "resource limits";
    probe(LAYER, || {
        if let Err(error) = rlimits::apply() {
            return Finding::broken(LAYER, &format!("{error}: {}", error.source));
        }
        let many: Result<Vec<File>, _> = (0..rlimits::DESCRIPTORS_MAX + 1)
            .map(|_| File::open("/dev/null"))
            .collect();
        refused(
            LAYER,
            "open more files than a guest may have",
            many.map(drop),
        )
    })
}

/// Calls of each family that the filter forbids; every one must kill.
const FORBIDDEN: &[(i64, &str)] = &[
    (libc::SYS_openat, "open a file"),
    (libc::SYS_socket, "make a socket"),
    (libc::SYS_execve, "execute a program"),
    (libc::SYS_ptrace, "trace a process"),
    (libc::SYS_bpf, "load a kernel program"),
];

fn seccomp() -> Vec<Finding> {
    let mut attempts: Vec<Finding> = FORBIDDEN
        .iter()
        .map(|(number, attempt)| forbidden(Jit::On, *number, [0; 6], attempt))
        .collect();
    let page = [
        0,
        4096,
        libc::PROT_EXEC as u64,
        ANONYMOUS_MEMORY,
        u64::MAX,
        0,
    ];
    let mut jitless = forbidden(Jit::Off, libc::SYS_mmap, page, "map executable memory");
    "seccomp, jitless".clone_into(&mut jitless.layer);
    // One row for a person: the first that went wrong, or all of them.
    let held = attempts.iter().all(|finding| finding.holds);
    let mut row = match attempts.iter().position(|finding| !finding.holds) {
        Some(index) => attempts.swap_remove(index),
        None => Finding::new("seccomp", held, "", "each killed the process"),
    };
    if held {
        let names = FORBIDDEN
            .iter()
            .map(|(number, _)| syscall_names::name(*number as u32));
        row.attempt = names.collect::<Vec<_>>().join(", ");
    }
    vec![row, jitless]
}

const ANONYMOUS_MEMORY: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;

/// Makes a forbidden call under the filter; the process must die of it.
fn forbidden(jit: Jit, number: i64, arguments: [u64; 6], attempt: &str) -> Finding {
    const LAYER: &str = "seccomp";
    const SURVIVED: i32 = 1;
    const UNSEALED: i32 = 2;
    let threads = ThreadCount::open();
    let forked = match &threads {
        Ok(threads) => fork_alone(threads).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let child = match forked {
        Ok(Forked::Parent(child)) => child,
        Ok(Forked::Child) => {
            let sealed = privileges::forbid_new_privileges().is_ok()
                && Filter::compile(Profile { jit, without: None })
                    .and_then(|filter| filter.seal())
                    .is_ok();
            if !sealed {
                exit_now(UNSEALED);
            }
            let [a, b, c, d, e, f] = arguments;
            // SAFETY: the filter does not let the call happen; where it does all the same, null
            // pointers make it fail, and a page that is mapped is nobody's.
            unsafe { libc::syscall(number, a, b, c, d, e, f) };
            exit_now(SURVIVED)
        }
        Err(problem) => return Finding::broken(LAYER, &problem),
    };
    match Pidfd::open(child).and_then(|child| child.wait()) {
        Ok(Ended::Signal(libc::SIGSYS)) => {
            Finding::new(LAYER, true, attempt, "it killed the process")
        }
        Ok(Ended::Exit(SURVIVED)) => Finding::new(LAYER, false, attempt, "it was allowed"),
        Ok(Ended::Exit(UNSEALED)) => Finding::broken(LAYER, "the kernel refused the filter"),
        Ok(other) => Finding::new(LAYER, false, attempt, format!("ended otherwise: {other:?}")),
        Err(error) => Finding::broken(LAYER, &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_survives_its_line() {
        let finding = Finding::new("empty root", true, "open\ta file", "refused:\nno such file");
        let read = Finding::from_line(&finding.to_line()).unwrap();
        assert_eq!(read.attempt, "open a file");
        assert_eq!(read.outcome, "refused: no such file");
        assert!(read.holds);
        assert_eq!(Finding::from_line("half a\tline"), None);
    }
}
