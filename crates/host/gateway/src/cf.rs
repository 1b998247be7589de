//! `request.cf` and the headers that Cloudflare's network adds.
//!
//! There is no such network in front of a gateway of one's own, so what it would know (where the
//! client is, its TLS session) is filled with the fixed values that `wrangler dev` shows when it
//! is offline; programs that read a field find it. `httpProtocol` is true, and the header
//! `cf-connecting-ip` is always the peer's address: a client's own claim is overwritten.

use http::Version;

/// `cf-connecting-ip`: the address of the client.
pub const CONNECTING_IP: &str = "cf-connecting-ip";

macro_rules! cf_json {
    ($protocol:literal) => {
        concat!(
            r#"{"asOrganization":"","asn":395747,"colo":"DFW","city":"Austin","region":"Texas","#,
            r#""regionCode":"TX","metroCode":"635","postalCode":"78701","country":"US","#,
            r#""continent":"NA","timezone":"America/Chicago","latitude":"30.27130","#,
            r#""longitude":"-97.74260","clientTcpRtt":0,"httpProtocol":""#,
            $protocol,
            r#"","requestPriority":"","tlsCipher":"AEAD-AES128-GCM-SHA256","#,
            r#""tlsVersion":"TLSv1.3","edgeRequestKeepAliveStatus":0,"clientTrustScore":99,"#,
            r#""tlsClientAuth":{"certPresented":"0","certVerified":"NONE"}}"#
        )
    };
}

/// The value of `request.cf` as JSON.
pub fn cf_json(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => cf_json!("HTTP/2"),
        Version::HTTP_10 => cf_json!("HTTP/1.0"),
        _ => cf_json!("HTTP/1.1"),
    }
}
