//! The address of the client, also behind a proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The header in which proxies list the addresses that a request came from, the nearest one last.
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address, an extension of every request: the other end of the connection or, where that is a
/// trusted proxy, who the proxy says it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// What counts as one client where clients are counted: an IPv4 address, or the 64 bits of an IPv6 address that
    /// one connection to the internet has to itself.
    #[must_use]
    pub fn counted(self) -> IpAddr {
        match self.0 {
            IpAddr::V6(address) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
            }
            address @ IpAddr::V4(_) => address,
        }
    }
}

/// Proxies whose word on a client's address counts.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// From addresses and networks as text, such as `10.0.0.0/8` or `::1`.
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn parse(list: &[String]) -> Result<Self, String> {
        let network = |text: &String| {
            let address = text.parse::<IpAddr>().map(IpNet::from);
            address.or_else(|_| text.parse::<IpNet>()).map_err(|_| text.clone())
        };
        list.iter().map(network).collect::<Result<Arc<_>, _>>().map(Self)
    }

    /// The loopback, where our own processes come from.
    #[must_use]
    pub fn loopback() -> Self {
        let networks = [
            IpNet::new_assert(Ipv4Addr::LOCALHOST.into(), 8),
            IpNet::new_assert(Ipv6Addr::LOCALHOST.into(), 128),
        ];
        Self(Arc::new(networks))
    }

    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client of a request that came from `peer`. Each proxy adds the address that it had the request from. So the
    /// addresses before the first one that is not trusted may be invented.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut client = peer.to_canonical();
        if !self.contains(client) {
            return ClientAddress(client);
        }
        let hops: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
        let hops = hops.into_iter().rev().flat_map(|value| value.as_bytes().rsplit(|b| *b == b','));
        for hop in hops {
            let Some(address) = address(hop) else { break };
            client = address;
            if !self.contains(client) {
                break;
            }
        }
        ClientAddress(client)
    }
}

/// An address of the header, which some proxies write with a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&'static str]) -> String {
        let trusted: Vec<_> = trusted.iter().map(|text| (*text).to_owned()).collect();
        let proxies = TrustedProxies::parse(&trusted).expect("addresses");
        let headers = forwarded
            .iter()
            .map(|value| (FORWARDED_FOR, http::HeaderValue::from_static(value)))
            .collect();
        proxies.client(peer.parse().expect("an address"), &headers).0.to_string()
    }

    #[test]
    fn what_a_stranger_writes_into_the_header_is_not_believed() {
        assert_eq!(client(&[], "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(client(&["10.0.0.0/8"], "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(client(&[], "::ffff:192.0.2.1", &[]), "192.0.2.1", "one address, two spellings");
    }

    #[test]
    fn a_trusted_proxy_names_the_client() {
        let trusted = ["10.0.0.0/8", "::1"];
        assert_eq!(client(&trusted, "10.1.2.3", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client(&trusted, "::1", &["6.6.6.6, 198.51.100.7,10.9.9.9"]), "198.51.100.7");
        assert_eq!(client(&trusted, "::1", &["6.6.6.6", "198.51.100.7"]), "198.51.100.7");
        assert_eq!(client(&trusted, "::1", &["[2001:db8::7]:4711"]), "2001:db8::7");
        assert_eq!(client(&trusted, "::1", &["192.0.2.9:80"]), "192.0.2.9");
        assert_eq!(client(&trusted, "::ffff:10.1.2.3", &["198.51.100.7"]), "198.51.100.7");
    }

    #[test]
    fn without_the_header_the_last_known_address_is_the_client() {
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &[]), "10.1.2.3");
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &["nonsense"]), "10.1.2.3");
        assert_eq!(
            client(&["10.0.0.0/8"], "10.1.2.3", &["6.6.6.6, nonsense, 10.4.4.4"]),
            "10.4.4.4"
        );
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &["10.5.5.5"]), "10.5.5.5");
    }

    #[test]
    fn what_is_no_address_is_named() {
        let refused = TrustedProxies::parse(&["10.0.0.0/8".to_owned(), "proxy.example".to_owned()]);
        assert_eq!(refused.err().as_deref(), Some("proxy.example"));
    }

    #[test]
    fn a_customer_of_one_provider_is_one_client() {
        let counted = |text: &str| ClientAddress(text.parse().expect("an address")).counted();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), counted("2001:db8:1:2::9"));
        assert_ne!(counted("2001:db8:1:2::9"), counted("2001:db8:1:3::9"));
        assert_ne!(counted("192.0.2.1"), counted("192.0.2.2"));
    }
}
