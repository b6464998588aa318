//! Where a request comes from and where its sender believes to be: the client's address and the base of absolute links.
//! Forwarding headers count only as far as they were written by trusted proxies.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::HOST;
use http::request::Parts;

use crate::dialect::Dialect;

/// A range of network addresses, `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    base: IpAddr,
    bits: u8,
}

impl Cidr {
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.base, ip.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                (base.to_bits() ^ ip.to_bits()).checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => {
                (base.to_bits() ^ ip.to_bits()).checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an address or a range such as 10.0.0.0/8");
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        match bits.unwrap_or(most) {
            bits if bits <= most => Ok(Self { base, bits }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

/// The client behind a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    pub ip: IpAddr,
    /// The connection is a trusted proxy's, so its `X-Forwarded-Host` and `-Proto` count.
    pub proxied: bool,
    /// The client used TLS, as far as such a proxy says.
    pub https: bool,
}

impl Client {
    pub const UNKNOWN: Self = Self { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), proxied: false, https: false };

    /// Walks `X-Forwarded-For` from its end as long as the hops are trusted; the first other one is the client.
    pub fn of(peer: SocketAddr, headers: &HeaderMap, trusted: &[Cidr]) -> Self {
        let trusts = |ip: IpAddr| trusted.iter().any(|range| range.contains(ip));
        let mut ip = peer.ip().to_canonical();
        let proxied = trusts(ip);
        if proxied {
            let lines = headers.get_all("x-forwarded-for").into_iter().filter_map(|v| v.to_str().ok());
            let hops: Vec<_> = lines.flat_map(|line| line.split(',')).collect();
            for hop in hops.into_iter().rev() {
                let Ok(hop) = hop.trim().parse::<IpAddr>() else { break };
                ip = hop.to_canonical();
                if !trusts(ip) {
                    break;
                }
            }
        }
        let https = proxied && first(headers, "x-forwarded-proto") == Some("https");
        Self { ip, proxied, https }
    }
}

/// The scheme and host the client used, `https://api.example.com`, as the front of absolute links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base(Arc<str>);

impl Base {
    /// `/uploads/a.jpg` → `https://api.example.com/uploads/a.jpg`.
    pub fn absolute(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    #[cfg(test)]
    pub fn fixed(base: &str) -> Self {
        Self(base.into())
    }

    fn of(parts: &Parts, public: Option<&str>) -> Self {
        if let Some(public) = public {
            return Self(public.trim_end_matches('/').into());
        }
        let client = parts.extensions.get().copied().unwrap_or(Client::UNKNOWN);
        let scheme = if client.https { "https" } else { "http" };
        let forwarded = if client.proxied { first(&parts.headers, "x-forwarded-host") } else { None };
        // HTTP/2 has no Host header but an authority.
        let asked = || first(&parts.headers, HOST.as_str()).or_else(|| parts.uri.authority().map(|a| a.as_str()));
        let host = forwarded.or_else(asked).filter(|host| sane(host)).unwrap_or("localhost");
        Self(format!("{scheme}://{host}").into())
    }
}

/// The first word of a header that may be a list.
fn first<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let word = headers.get(name)?.to_str().ok()?.split(',').next()?.trim();
    (!word.is_empty()).then_some(word)
}

/// A host name and port and nothing that could end up as something else in a link.
fn sane(host: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !host.is_empty() && host.len() <= 255 && host.bytes().all(allowed)
}

impl<D: Dialect> FromRequestParts<D> for Base {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, edge: &D) -> Result<Self, Infallible> {
        Ok(Self::of(parts, edge.config.public_url.as_deref()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Self::UNKNOWN))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn client(peer: &str, forwarded: &str, trusted: &[&str]) -> String {
        let trusted: Vec<Cidr> = trusted.iter().map(|t| t.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", forwarded.parse().unwrap());
        Client::of(format!("{peer}:1").parse().unwrap(), &headers, &trusted).ip.to_string()
    }

    #[test]
    fn forwarded_addresses_count_only_behind_trusted_proxies() {
        assert_eq!(client("9.9.9.9", "1.1.1.1", &["10.0.0.0/8"]), "9.9.9.9");
        assert_eq!(client("10.1.1.1", "1.1.1.1", &["10.0.0.0/8"]), "1.1.1.1");
        // The left part may be anybody's invention.
        assert_eq!(client("10.1.1.1", "6.6.6.6, 1.1.1.1, 10.2.2.2", &["10.0.0.0/8"]), "1.1.1.1");
        assert_eq!(client("10.1.1.1", "rubbish", &["10.0.0.0/8"]), "10.1.1.1");
        assert_eq!(client("[::ffff:10.1.1.1]", "1.1.1.1", &["10.0.0.0/8"]), "1.1.1.1");
    }

    #[test]
    fn ranges_know_their_borders() {
        let range: Cidr = "10.1.2.0/23".parse().unwrap();
        assert!(range.contains("10.1.3.255".parse().unwrap()) && !range.contains("10.1.4.0".parse().unwrap()));
        assert!("0.0.0.0/0".parse::<Cidr>().unwrap().contains("8.8.8.8".parse().unwrap()));
        assert!("::1".parse::<Cidr>().unwrap().contains("::1".parse().unwrap()));
        assert!("10.0.0.0/33".parse::<Cidr>().is_err() && "ten".parse::<Cidr>().is_err());
    }

    #[test]
    fn links_use_the_host_of_the_request_and_no_tricks() {
        let base = |host: &str, proxied: bool| {
            let request = Request::get("/").header(HOST, host).header("x-forwarded-host", "api.example.com");
            let mut parts = request.header("x-forwarded-proto", "https").body(()).unwrap().into_parts().0;
            parts.extensions.insert(Client { proxied, https: proxied, ..Client::UNKNOWN });
            Base::of(&parts, None).absolute("/x")
        };
        assert_eq!(base("127.0.0.1:8002", false), "http://127.0.0.1:8002/x");
        assert_eq!(base("127.0.0.1:8002", true), "https://api.example.com/x");
        assert_eq!(base("evil/path?", false), "http://localhost/x");
    }
}
