//! `mayfly doctor`: which layers of the sandbox this machine gives, each tried for real.
//!
//! The guest binary does the trying, in children of its own: it is the one that will live behind
//! these layers. Here its findings are put into words, with what a person can do about one that is
//! missing. Nothing is changed on the machine.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::args::DoctorArgs;
use crate::exit::Exit;
use crate::guest;

/// The layer without which `mayfly serve` refuses to start.
const SECCOMP: &str = "seccomp";

/// A layer, as the guest binary found it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    layer: String,
    holds: bool,
    attempt: String,
    outcome: String,
}

/// Tries, prints, and ends with 0 where every layer holds.
pub fn doctor(arguments: &DoctorArgs) -> Result<(), Exit> {
    let binary = guest::find(arguments.guest.as_deref())?;
    let findings = ask(&binary)?;
    if arguments.json {
        println!("{}", report(&findings));
    } else {
        print!("{}", text(&findings));
    }
    verdict(&findings)
}

fn ask(binary: &Path) -> Result<Vec<Finding>, Exit> {
    let problem = |what: String| Exit::Guest(format!("{}: {what}", binary.display()));
    let output = Command::new(binary)
        .arg("probe")
        .env_clear()
        .output()
        .map_err(|error| problem(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let findings: Vec<Finding> = said.lines().filter_map(finding).collect();
    if !output.status.success() || findings.is_empty() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let first = complaint.lines().next().unwrap_or("it said nothing");
        return Err(problem(format!(
            "cannot probe this machine, perhaps it is of another version ({}): {first}",
            output.status
        )));
    }
    Ok(findings)
}

/// A line of the guest binary's: `layer`, `holds` or `missing`, `attempt`, `outcome`.
fn finding(line: &str) -> Option<Finding> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [layer, holds, attempt, outcome] = fields[..] else {
        return None;
    };
    Some(Finding {
        layer: layer.to_owned(),
        holds: holds == "holds",
        attempt: attempt.to_owned(),
        outcome: outcome.to_owned(),
    })
}

fn verdict(findings: &[Finding]) -> Result<(), Exit> {
    let missing: Vec<&str> = findings
        .iter()
        .filter(|finding| !finding.holds)
        .map(|finding| finding.layer.as_str())
        .collect();
    if missing.contains(&SECCOMP) {
        return Err(Exit::Sandbox(
            "this machine gives no seccomp; mayfly serve will refuse to start".to_owned(),
        ));
    }
    match missing[..] {
        [] => Ok(()),
        _ => Err(Exit::Degraded(format!(
            "layers are missing: {}",
            missing.join(", ")
        ))),
    }
}

fn text(findings: &[Finding]) -> String {
    let width = findings
        .iter()
        .map(|one| one.layer.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let Finding {
            layer,
            attempt,
            outcome,
            ..
        } = finding;
        let sign = if finding.holds { "holds  " } else { "MISSING" };
        text.push_str(&format!("{sign}  {layer:width$}  {attempt}: {outcome}\n"));
        if !finding.holds {
            text.push_str(&format!("         {:width$}  -> {}\n", "", remedy(layer)));
        }
    }
    text
}

fn report(findings: &[Finding]) -> serde_json::Value {
    let layers = findings.iter().map(|finding| {
        let mut layer = json!({
            "layer": finding.layer,
            "holds": finding.holds,
            "attempt": finding.attempt,
            "outcome": finding.outcome,
        });
        if !finding.holds {
            layer["remedy"] = json!(remedy(&finding.layer));
        }
        layer
    });
    let complete = findings.iter().all(|finding| finding.holds);
    let serves = findings
        .iter()
        .all(|finding| finding.holds || finding.layer != SECCOMP);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "complete": complete,
        "serves": serves,
        "layers": layers.collect::<Vec<_>>(),
    })
}

/// What a person can do about a missing layer.
fn remedy(layer: &str) -> &'static str {
    match layer {
        "seccomp" | "seccomp, jitless" => {
            "run on a kernel built with CONFIG_SECCOMP_FILTER, and where a container has a filter of \
             its own, let it allow seccomp(2)"
        }
        "user namespace" | "namespaces" => {
            "allow user namespaces: sysctl user.max_user_namespaces above 0, \
             kernel.unprivileged_userns_clone=1 (Debian), \
             kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu); in a container, a seccomp \
             profile that allows clone(CLONE_NEWUSER)"
        }
        "pid namespace" | "network namespace" | "ipc namespace" | "uts namespace"
        | "cgroup namespace" => {
            "comes with the user namespace; without one, run the host as root or with CAP_SYS_ADMIN"
        }
        "mount namespace" | "empty root" => {
            "comes with the user namespace; in a container, allow mount(2) and pivot_root(2) \
             (an unmasked /proc, no AppArmor profile that denies mounts)"
        }
        "nobody's identity" => {
            "comes with the user namespace (a /proc where uid_map can be written); without one, \
             start the host as root, which then gives its rights up"
        }
        "landlock" => {
            "boot with lsm=landlock,... on Linux 5.13 or newer (6.12 for all that is refused here)"
        }
        "no capabilities" | "no new privileges" | "no inspection" | "resource limits" => {
            "every Linux has it: look for a container's filter that forbids prctl(2) or prlimit(2)"
        }
        _ => "see SECURITY.md for what the layer is for",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(layer: &str, holds: bool) -> Finding {
        let word = if holds { "holds" } else { "missing" };
        finding(&format!("{layer}\t{word}\topen a file\trefused")).unwrap()
    }

    #[test]
    fn the_verdict_is_by_what_is_missing() {
        let all = [found("seccomp", true), found("landlock", true)];
        assert!(verdict(&all).is_ok());
        let some = [found("seccomp", true), found("landlock", false)];
        assert_eq!(verdict(&some).unwrap_err().code(), crate::exit::DEGRADED);
        let none = [found("seccomp", false), found("landlock", false)];
        assert_eq!(verdict(&none).unwrap_err().code(), crate::exit::SANDBOX);
    }

    #[test]
    fn a_missing_layer_comes_with_what_to_do() {
        let findings = [found("empty root", false), found("landlock", true)];
        let text = text(&findings);
        assert!(
            text.contains("MISSING  empty root  open a file: refused"),
            "{text}"
        );
        assert!(text.contains("-> comes with the user namespace"), "{text}");
        let report = report(&findings);
        assert_eq!(report["complete"], false);
        assert_eq!(report["serves"], true);
        assert!(report["layers"][0]["remedy"].is_string());
        assert!(report["layers"][1].get("remedy").is_none());
    }

    #[test]
    fn what_is_no_finding_is_passed_over() {
        assert_eq!(finding("mayfly-guest: something"), None);
        assert_eq!(finding("a\tb\tc\td\te"), None);
    }
}
