//! What is never a file: the modules that the guest itself provides.

/// Node.js modules, by the name without `node:`. Those that exist only with the prefix are not
/// here: they cannot be confused with a package.
const NODE: &[&str] = &[
    "_http_agent",
    "_http_client",
    "_http_common",
    "_http_incoming",
    "_http_outgoing",
    "_http_server",
    "_stream_duplex",
    "_stream_passthrough",
    "_stream_readable",
    "_stream_transform",
    "_stream_wrap",
    "_stream_writable",
    "_tls_common",
    "_tls_wrap",
    "assert",
    "assert/strict",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "dns/promises",
    "domain",
    "events",
    "fs",
    "fs/promises",
    "http",
    "http2",
    "https",
    "inspector",
    "inspector/promises",
    "module",
    "net",
    "os",
    "path",
    "path/posix",
    "path/win32",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "readline/promises",
    "repl",
    "stream",
    "stream/consumers",
    "stream/promises",
    "stream/web",
    "string_decoder",
    "sys",
    "timers",
    "timers/promises",
    "tls",
    "trace_events",
    "tty",
    "url",
    "util",
    "util/types",
    "v8",
    "vm",
    "wasi",
    "worker_threads",
    "zlib",
];

/// Whether the guest, not a file, answers to this specifier.
pub fn is_prefixed(specifier: &str) -> bool {
    ["node:", "cloudflare:", "workerd:"]
        .iter()
        .any(|prefix| specifier.starts_with(prefix))
}

/// Whether Node.js has a module of this name.
pub fn is_node(name: &str) -> bool {
    NODE.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_found() {
        assert!(NODE.is_sorted());
        assert!(is_node("fs/promises") && is_node("buffer") && !is_node("lodash"));
        assert!(is_prefixed("cloudflare:workers") && !is_prefixed("./node:x"));
    }
}
