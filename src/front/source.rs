//! Where connections come from, and which source gives one up where there are as many as may be. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What one party can be supposed to have: an address, or the least that is given to a site (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// The first 64 bits of an IPv6 address.
    V6(u64),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(network(address)),
        }
    }
}

fn network(address: Ipv6Addr) -> u64 {
    u64::try_from(address.to_bits() >> 64).unwrap_or(0)
}

/// Which of `held`, where each stands for a connection, makes room for a connection from `newcomer`: one of the newcomer's
/// own if no source holds more, else one of the source that holds most. None if `held` is empty.
///
/// Which of that source's is left to chance, since many clients may stand behind one address. If the oldest went, a flood
/// would end everybody who needs longer to log in than the flood to come round; if the newcomer did, whoever holds
/// connections open would keep the others of the address out.
pub(super) fn makes_room(held: &[Source], newcomer: Source, chance: u64) -> Option<usize> {
    let number = |source: Source| held.iter().filter(|other| **other == source).count();
    let fullest = held.iter().copied().max_by_key(|source| number(*source))?;
    let gives = if number(newcomer) >= number(fullest) {
        newcomer
    } else {
        fullest
    };
    let its: Vec<usize> = (0..held.len())
        .filter(|at| held.get(*at) == Some(&gives))
        .collect();
    let drawn = chance.checked_rem(u64::try_from(its.len()).ok()?)?;
    its.get(usize::try_from(drawn).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        address.parse::<IpAddr>().unwrap().into()
    }

    fn held(addresses: &[(&str, usize)]) -> Vec<Source> {
        addresses
            .iter()
            .flat_map(|(address, number)| vec![source(address); *number])
            .collect()
    }

    /// The sources that can be hit, whatever chance says.
    fn hit(held: &[Source], newcomer: &str) -> Vec<usize> {
        let mut hit: Vec<usize> = (0..1000)
            .map(|chance| makes_room(held, source(newcomer), chance).unwrap())
            .collect();
        hit.sort_unstable();
        hit.dedup();
        hit
    }

    #[test]
    fn a_network_of_ipv6_is_one_source_and_each_address_of_ipv4_is() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_ne!(source("::ffff:192.0.2.1"), source("::ffff:192.0.2.2"));
    }

    #[test]
    fn who_holds_most_makes_room_for_others() {
        let held = held(&[("192.0.2.1", 1), ("192.0.2.2", 30), ("192.0.2.3", 1)]);
        let flood: Vec<usize> = (1..31).collect();
        assert_eq!(hit(&held, "192.0.2.1"), flood);
        assert_eq!(hit(&held, "192.0.2.9"), flood);
    }

    #[test]
    fn who_holds_most_makes_room_for_itself() {
        let held = held(&[("192.0.2.1", 1), ("192.0.2.2", 30), ("192.0.2.3", 1)]);
        assert_eq!(hit(&held, "192.0.2.2"), (1..31).collect::<Vec<_>>());
    }

    #[test]
    fn of_two_that_hold_most_the_newcomer_makes_room() {
        let held = held(&[("192.0.2.1", 16), ("192.0.2.2", 16)]);
        assert_eq!(hit(&held, "192.0.2.1"), (0..16).collect::<Vec<_>>());
        assert_eq!(hit(&held, "192.0.2.2"), (16..32).collect::<Vec<_>>());
    }

    #[test]
    fn one_network_that_uses_all_its_addresses_ends_its_own_alone() {
        let mut all = held(&[("192.0.2.1", 1)]);
        all.extend((0..31).map(|n| source(&format!("2001:db8::{n:x}"))));
        assert_eq!(hit(&all, "2001:db8::ffff"), (1..32).collect::<Vec<_>>());
    }

    #[test]
    fn where_nobody_is_nobody_makes_room() {
        assert_eq!(makes_room(&[], source("192.0.2.1"), 1), None);
    }
}
