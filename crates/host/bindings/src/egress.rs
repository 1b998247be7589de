//! Where outgoing connections may go.
//!
//! The host resolves a name, judges every address it got, and connects to a judged address, never
//! to the name again: a resolver that answers differently the second time gains nothing. Addresses
//! that are not of the public internet are refused unless an [`AllowRule`] names them. There is no
//! I/O in this file.
//!
//! Invariant: whatever form an address was written in (decimal, octal, mapped into IPv6), the
//! judgement sees the 4 or 16 bytes that the socket would be given.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(first: u16, second: u16, third: u16, bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0), bits)
}

/// What is not the public internet, from IANA's special-purpose registry, and the metadata
/// services of clouds that answer on other addresses. The first match names the rule.
const SPECIAL_V4: &[(Ipv4Net, &str)] = &[
    (v4(169, 254, 169, 254, 32), "cloud metadata"),
    (v4(169, 254, 170, 2, 32), "cloud metadata"),
    (v4(100, 100, 100, 200, 32), "cloud metadata"),
    (v4(168, 63, 129, 16, 32), "cloud metadata"),
    (v4(0, 0, 0, 0, 8), "unspecified"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "shared address space"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "protocol assignments"),
    (v4(192, 0, 2, 0, 24), "documentation"),
    (v4(192, 88, 99, 0, 24), "6to4 relay"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(198, 18, 0, 0, 15), "benchmarking"),
    (v4(198, 51, 100, 0, 24), "documentation"),
    (v4(203, 0, 113, 0, 24), "documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(255, 255, 255, 255, 32), "broadcast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];

const IPV4_MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

const SPECIAL_V6: &[(Ipv6Net, &str)] = &[
    (
        Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128),
        "unspecified",
    ),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "loopback"),
    (IPV4_MAPPED, "IPv4-mapped"),
    (v6(0, 0, 0, 96), "IPv4-compatible"),
    (v6(0x64, 0xff9b, 0, 96), "IPv4 translation"),
    (v6(0x64, 0xff9b, 1, 48), "IPv4 translation"),
    (v6(0x100, 0, 0, 64), "discard only"),
    (v6(0x2001, 0xdb8, 0, 32), "documentation"),
    (v6(0x2001, 0, 0, 23), "protocol assignments"),
    (v6(0x2002, 0, 0, 16), "6to4"),
    (v6(0x3fff, 0, 0, 20), "documentation"),
    (v6(0xfc00, 0, 0, 7), "private"),
    (v6(0xfe80, 0, 0, 10), "link-local"),
    (v6(0xfec0, 0, 0, 10), "site-local"),
    (v6(0xff00, 0, 0, 8), "multicast"),
];

/// Mail between servers: as on Cloudflare's network closed to Workers, of which some would send spam.
const SMTP: u16 = 25;

/// The only IPv6 range from which public addresses are assigned.
const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 0, 3);

/// The name of the special range that an address lies in; `None` for the public internet.
pub fn special_range(addr: IpAddr) -> Option<&'static str> {
    match addr {
        IpAddr::V4(addr) => named(SPECIAL_V4, |net| net.contains(&addr)),
        IpAddr::V6(addr) => named(SPECIAL_V6, |net| net.contains(&addr))
            .or_else(|| (!GLOBAL_UNICAST.contains(&addr)).then_some("unassigned")),
    }
}

fn named<N>(table: &[(N, &'static str)], holds: impl Fn(&N) -> bool) -> Option<&'static str> {
    table
        .iter()
        .find(|(net, _)| holds(net))
        .map(|(_, name)| *name)
}

/// An exception: `10.0.0.0/8`, `127.0.0.1`, `127.0.0.1:8080`, `[::1]:8080`, `intranet.test`,
/// `intranet.test:8080`, `*` for everything. A host name is trusted with whatever it resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowRule {
    target: Target,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Anything,
    Net(IpNet),
    Host(String),
}

/// Text that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no egress rule: expected a network (10.0.0.0/8), an address or a host name, \
     the latter two with an optional port (127.0.0.1:8080), or *"
)]
pub struct RuleError {
    /// What was given.
    pub text: String,
}

impl FromStr for AllowRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let rule = |target, port| Ok(Self { target, port });
        if text == "*" {
            return rule(Target::Anything, None);
        }
        if let Ok(net) = text.parse::<IpNet>() {
            return rule(Target::Net(net), None);
        }
        if let Ok(addr) = text.parse::<IpAddr>() {
            return rule(Target::Net(addr.into()), None);
        }
        if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
            return rule(Target::Net(socket.ip().into()), Some(socket.port()));
        }
        let invalid = || RuleError {
            text: text.to_owned(),
        };
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| invalid())?)),
            None => (text, None),
        };
        // The URL standard's own parser, so that a rule and a URL agree on what a name is.
        match url::Host::parse(host) {
            Ok(url::Host::Domain(name)) => rule(Target::Host(name), port),
            _ => Err(invalid()),
        }
    }
}

impl AllowRule {
    fn allows(&self, host: &str, addr: IpAddr, port: u16) -> bool {
        let target = match &self.target {
            Target::Anything => true,
            Target::Net(net) => net.contains(&addr.to_canonical()),
            Target::Host(name) => name.eq_ignore_ascii_case(host.trim_end_matches('.')),
        };
        target && self.port.is_none_or(|allowed| allowed == port)
    }
}

/// An address that may not be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The host as the URL had it.
    pub host: String,
    /// What it resolved to.
    pub addr: IpAddr,
    /// What is wrong with it.
    pub why: Why,
}

/// Why an address may not be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It lies in this range.
    Range(&'static str),
    /// This port is none of those that are open.
    Port(u16),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, addr, why } = self;
        write!(f, "egress to {host} is refused: ")?;
        match why {
            Why::Range(range) => write!(f, "{addr} is a {range} address"),
            Why::Port(port) => write!(f, "port {port} is not open to Workers"),
        }
    }
}

impl std::error::Error for Refused {}

/// The policy: the public internet and what rules add to it.
#[derive(Debug, Clone, Default)]
pub struct Egress {
    allow: Vec<AllowRule>,
    /// Ports of the public internet that are open; empty for all.
    ports: Vec<u16>,
}

impl Egress {
    /// The public internet and these.
    pub fn new(allow: Vec<AllowRule>) -> Self {
        Self {
            allow,
            ports: Vec::new(),
        }
    }

    /// The same with no more ports of the public internet than these; none given leaves all open.
    #[must_use]
    pub fn with_ports(mut self, ports: Vec<u16>) -> Self {
        self.ports = ports;
        self
    }

    /// Judges one address that `host` resolved to.
    pub fn judge(&self, host: &str, addr: IpAddr, port: u16) -> Result<(), Refused> {
        let why = match special_range(addr) {
            Some(range) => Why::Range(range),
            None if self.ports.contains(&port) => return Ok(()),
            None if self.ports.is_empty() && port != SMTP => return Ok(()),
            None => Why::Port(port),
        };
        if self.allow.iter().any(|rule| rule.allows(host, addr, port)) {
            return Ok(());
        }
        Err(Refused {
            host: host.to_owned(),
            addr,
            why,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn special_ranges_have_names_and_the_internet_has_none() {
        for (addr, range) in [
            ("127.0.0.1", Some("loopback")),
            ("127.255.255.254", Some("loopback")),
            ("0.0.0.0", Some("unspecified")),
            ("0.1.2.3", Some("unspecified")),
            ("10.1.2.3", Some("private")),
            ("172.15.0.1", None),
            ("172.16.0.1", Some("private")),
            ("172.31.255.255", Some("private")),
            ("172.32.0.1", None),
            ("192.168.1.1", Some("private")),
            ("169.254.169.254", Some("cloud metadata")),
            ("169.254.1.1", Some("link-local")),
            ("100.64.0.1", Some("shared address space")),
            ("100.100.100.200", Some("cloud metadata")),
            ("168.63.129.16", Some("cloud metadata")),
            ("224.0.0.1", Some("multicast")),
            ("239.255.255.255", Some("multicast")),
            ("240.0.0.1", Some("reserved")),
            ("255.255.255.255", Some("broadcast")),
            ("198.19.0.1", Some("benchmarking")),
            ("192.0.2.1", Some("documentation")),
            ("8.8.8.8", None),
            ("1.1.1.1", None),
            ("::", Some("unspecified")),
            ("::1", Some("loopback")),
            ("::ffff:127.0.0.1", Some("IPv4-mapped")),
            ("::ffff:8.8.8.8", Some("IPv4-mapped")),
            ("::127.0.0.1", Some("IPv4-compatible")),
            ("64:ff9b::7f00:1", Some("IPv4 translation")),
            ("2002:7f00:1::", Some("6to4")),
            ("2001::1", Some("protocol assignments")),
            ("2001:db8::1", Some("documentation")),
            ("fc00::1", Some("private")),
            ("fd00:ec2::254", Some("private")),
            ("fe80::1", Some("link-local")),
            ("fec0::1", Some("site-local")),
            ("ff02::1", Some("multicast")),
            ("4000::1", Some("unassigned")),
            ("2606:4700:4700::1111", None),
        ] {
            assert_eq!(special_range(ip(addr)), range, "{addr}");
        }
    }

    #[test]
    fn rules_allow_by_network_address_host_and_port() {
        for (rule, host, addr, port, expect) in [
            ("127.0.0.0/8", "x", "127.9.9.9", 1, true),
            ("127.0.0.0/8", "x", "::ffff:127.0.0.1", 1, true),
            ("127.0.0.0/8", "x", "10.0.0.1", 1, false),
            ("127.0.0.1", "x", "127.0.0.2", 1, false),
            ("127.0.0.1:80", "x", "127.0.0.1", 80, true),
            ("127.0.0.1:80", "x", "127.0.0.1", 81, false),
            ("::1", "x", "::1", 1, true),
            ("[::1]:80", "x", "::1", 81, false),
            ("db.test", "db.test", "10.0.0.1", 1, true),
            ("DB.test", "db.test.", "10.0.0.1", 1, true),
            ("db.test", "evil.db.test", "10.0.0.1", 1, false),
            ("db.test:5432", "db.test", "10.0.0.1", 80, false),
            ("*", "x", "169.254.169.254", 80, true),
        ] {
            let egress = Egress::new(vec![rule.parse().unwrap()]);
            let judged = egress.judge(host, ip(addr), port).is_ok();
            assert_eq!(judged, expect, "{rule} for {host} at {addr}:{port}");
        }
    }

    #[test]
    fn ports_of_the_internet_can_be_closed_and_a_rule_opens_one() {
        let rule = vec!["db.test:5432".parse().unwrap()];
        let egress = Egress::new(rule).with_ports(vec![80, 443]);
        for (host, addr, port, expect) in [
            ("x.test", "8.8.8.8", 443, None),
            (
                "x.test",
                "8.8.8.8",
                22,
                Some("port 22 is not open to Workers"),
            ),
            (
                "x.test",
                "2606:4700::1",
                25,
                Some("port 25 is not open to Workers"),
            ),
            ("db.test", "8.8.8.8", 5432, None),
            (
                "x.test",
                "10.0.0.1",
                443,
                Some("10.0.0.1 is a private address"),
            ),
        ] {
            let judged = egress.judge(host, ip(addr), port).err();
            let said = judged.map(|refused| refused.to_string());
            let expect = expect.map(|why| format!("egress to {host} is refused: {why}"));
            assert_eq!(said, expect, "{host} at {addr}:{port}");
        }
    }

    #[test]
    fn mail_between_servers_needs_a_rule() {
        let public = ip("8.8.8.8");
        let refused = Egress::default().judge("mx.test", public, 25).unwrap_err();
        let expect = "egress to mx.test is refused: port 25 is not open to Workers";
        assert_eq!(refused.to_string(), expect);
        assert!(Egress::default().judge("mx.test", public, 587).is_ok());
        for rule in ["mx.test", "mx.test:25", "8.8.8.8", "*"] {
            let egress = Egress::new(vec![rule.parse().unwrap()]);
            assert!(egress.judge("mx.test", public, 25).is_ok(), "{rule}");
        }
    }

    #[test]
    fn text_that_is_no_rule_is_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "host:port",
            "a b",
            "127.0.0.1:99999",
            "0x7f.1",
        ] {
            assert!(text.parse::<AllowRule>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_refusal_names_host_address_and_range() {
        let refused = Egress::default()
            .judge("db.test", ip("10.0.0.1"), 80)
            .unwrap_err();
        let expect = "egress to db.test is refused: 10.0.0.1 is a private address";
        assert_eq!(refused.to_string(), expect);
    }
}
