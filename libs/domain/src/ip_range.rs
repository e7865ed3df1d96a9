//! The addresses of the internet that a key may be used from.

// Of the network, `core` has the addresses alone, and nothing that calls.
use core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Bits of an IPv6 address before the IPv4 address that is written as it.
const MAPPED_PREFIX: u8 = 96;

/// An address such as `192.0.2.7`, or a network such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "10.0.0.0/8")]
pub struct IpRange(IpNet);

/// A text that is no address and no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an address such as 192.0.2.7 or a network such as 10.0.0.0/8")]
pub struct BadIpRange;

impl IpRange {
    /// Whether `address` is one of them. An IPv4 address that is written as an IPv6 one counts as what it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl IpRange {
    /// Whether every address of `other` is one of them.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }
}

impl FromStr for IpRange {
    type Err = BadIpRange;

    fn from_str(text: &str) -> Result<Self, BadIpRange> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_canonical().into()));
        }
        let network = text.parse::<IpNet>().map_err(|_| BadIpRange)?;
        Ok(Self(canonical(network).trunc()))
    }
}

/// An IPv4 network that is written as an IPv6 one, as what it is.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(long) = network else { return network };
    let prefix = long.prefix_len().checked_sub(MAPPED_PREFIX);
    let (Some(address), Some(prefix)) = (long.addr().to_ipv4_mapped(), prefix) else {
        return network;
    };
    Ipv4Net::new(address, prefix).map_or(network, IpNet::V4)
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.prefix_len() == self.0.max_prefix_len() {
            true => self.0.addr().fmt(f),
            false => self.0.fmt(f),
        }
    }
}

impl From<IpRange> for String {
    fn from(range: IpRange) -> Self {
        range.to_string()
    }
}

impl TryFrom<String> for IpRange {
    type Error = BadIpRange;

    fn try_from(text: String) -> Result<Self, BadIpRange> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_shown_as_a_network_and_a_single_address_as_one() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::/0", "::/0"),
        ] {
            let range: IpRange = text.parse().expect(text);
            assert_eq!(range.to_string(), shown);
        }
        for text in ["", "10.0.0.0/33", "10.0.0", "everywhere", "10.0.0.0/8 "] {
            assert_eq!(text.parse::<IpRange>(), Err(BadIpRange), "{text:?}");
        }
    }

    #[test]
    fn addresses_are_in_their_networks_however_they_are_written() {
        let range: IpRange = "10.0.0.0/8".parse().expect("a network");
        for (address, inside) in
            [("10.9.8.7", true), ("11.0.0.1", false), ("::ffff:10.0.0.1", true), ("::1", false)]
        {
            assert_eq!(range.contains(address.parse().expect("an address")), inside, "{address}");
        }
    }
}
