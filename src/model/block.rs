use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A block of addresses (RFC 4632 §3.1, RFC 4291 §2.3): `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`. IPv4 addresses are never
/// in their mapped form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressBlock {
    /// Any in it.
    address: IpAddr,
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
        let address: IpAddr = address.parse().map_err(|_| AddressBlockError)?;
        let address = address.to_canonical();
        let all = width(address);
        let bits = match bits {
            None => all,
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => {
                bits.parse().map_err(|_| AddressBlockError)?
            }
            Some(_) => return Err(AddressBlockError),
        };
        (bits <= all)
            .then_some(Self { address, bits })
            .ok_or(AddressBlockError)
    }
}

impl From<IpAddr> for AddressBlock {
    /// The address alone.
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            bits: width(address),
        }
    }
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.address) {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.bits)
        }
    }
}

fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address with all bits after the first `bits` zero.
fn masked(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

impl AddressBlock {
    /// Whether the address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && masked(address, self.bits) == masked(self.address, self.bits)
    }

    /// The same block, named by the first address in it.
    #[must_use]
    pub fn by_its_first(&self) -> Self {
        Self {
            address: masked(self.address, self.bits),
            ..*self
        }
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
            block("192.0.2.129/25").by_its_first(),
            block("192.0.2.128/25")
        );
        assert_eq!(
            AddressBlock::from("::1".parse::<IpAddr>().unwrap()),
            block("::1/128")
        );
    }
}
