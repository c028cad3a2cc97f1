use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A block of addresses (RFC 4632 §3.1, RFC 4291 §2.3): `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`. IPv4 addresses are never
/// in their mapped form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressBlock {
    first: IpAddr,
    bits: u32,
}

/// Why a word is no block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no address and no network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32")]
pub struct AddressBlockError;

impl FromStr for AddressBlock {
    type Err = AddressBlockError;

    fn from_str(text: &str) -> Result<Self, AddressBlockError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| AddressBlockError)?;
        let first = first.to_canonical();
        let all = width(first);
        let bits = match bits {
            None => all,
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => {
                bits.parse().map_err(|_| AddressBlockError)?
            }
            Some(_) => return Err(AddressBlockError),
        };
        (bits <= all)
            .then_some(Self { first, bits })
            .ok_or(AddressBlockError)
    }
}

impl From<IpAddr> for AddressBlock {
    /// The address alone.
    fn from(address: IpAddr) -> Self {
        let first = address.to_canonical();
        Self {
            first,
            bits: width(first),
        }
    }
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.first) {
            self.first.fmt(f)
        } else {
            write!(f, "{}/{}", self.first, self.bits)
        }
    }
}

fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn leading(address: IpAddr, bits: u32) -> u128 {
    let (value, width) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    value.checked_shr(width - bits).unwrap_or(0)
}

impl AddressBlock {
    /// Whether the address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4()
            && leading(address, self.bits) == leading(self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> AddressBlock {
        text.parse().unwrap()
    }

    #[test]
    fn a_block_holds_what_begins_as_it_does() {
        let holds = |text: &str, address: &str| block(text).contains(address.parse().unwrap());
        assert!(holds("192.0.2.0/24", "192.0.2.255") && !holds("192.0.2.0/24", "192.0.3.0"));
        assert!(holds("192.0.2.7", "::ffff:192.0.2.7") && !holds("192.0.2.7", "192.0.2.8"));
        assert!(holds("::ffff:192.0.2.7", "192.0.2.7"));
        assert!(holds("192.0.2.129/25", "192.0.2.200") && !holds("192.0.2.129/25", "192.0.2.1"));
        assert!(
            holds("2001:db8::/32", "2001:db8:ffff::1") && !holds("2001:db8::/32", "2001:db9::")
        );
        assert!(holds("0.0.0.0/0", "203.0.113.1") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("::/0", "2001:db8::1") && !holds("::/0", "192.0.2.1"));
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for bad in [
            "",
            "/",
            "192.0.2",
            "192.0.2.0/33",
            "192.0.2.0/",
            "192.0.2.0/-1",
            "192.0.2.0/+8",
            "192.0.2.0/8/8",
            "2001:db8::/129",
            "example.com",
            "192.0.2.*",
            " 192.0.2.7",
            "::ffff:192.0.2.0/120",
            "fe80::1%eth0",
        ] {
            assert_eq!(
                bad.parse::<AddressBlock>(),
                Err(AddressBlockError),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_block_is_written_as_it_is_read() {
        for text in [
            "192.0.2.7",
            "192.0.2.0/24",
            "2001:db8::/32",
            "::1",
            "0.0.0.0/0",
        ] {
            assert_eq!(block(text).to_string(), text);
        }
        assert_eq!(
            AddressBlock::from("::1".parse::<IpAddr>().unwrap()),
            block("::1/128")
        );
    }
}
