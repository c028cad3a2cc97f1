//! The default gateways, from the kernel's tables of routes: `/proc/net/route` and `/proc/net/ipv6_route`, proc(5).
//!
//! In a container that is the bridge. Where Docker passes connections on by itself, many clients come from its address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// No machine has more.
const MOST: usize = 16;

/// Reads both tables; what cannot be read, or understood, names no gateway.
pub(super) fn read() -> Vec<IpAddr> {
    let table = |path| std::fs::read_to_string(path).unwrap_or_default();
    in_tables(&table("/proc/net/route"), &table("/proc/net/ipv6_route"))
}

fn in_tables(v4: &str, v6: &str) -> Vec<IpAddr> {
    let v4 = v4.lines().skip(1).filter_map(gateway_v4);
    let v6 = v6.lines().filter_map(gateway_v6);
    let mut all: Vec<IpAddr> = v4
        .map(IpAddr::V4)
        .chain(v6.map(IpAddr::V6))
        .take(MOST)
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Interface, destination, gateway, four numbers, mask: the addresses as the machine holds them in memory.
fn gateway_v4(line: &str) -> Option<Ipv4Addr> {
    let mut words = line.split_whitespace().skip(1);
    let (destination, gateway) = (words.next()?, words.next()?);
    let mask = words.nth(4)?;
    let number = |word| u32::from_str_radix(word, 16).ok();
    let is_default = number(destination)? == 0 && number(mask)? == 0;
    let gateway = Ipv4Addr::from(number(gateway)?.to_ne_bytes());
    (is_default && !gateway.is_unspecified()).then_some(gateway)
}

/// Destination, its length, source, its length, next hop: 32 digits, or two.
fn gateway_v6(line: &str) -> Option<Ipv6Addr> {
    let mut words = line.split_whitespace();
    let (destination, length) = (words.next()?, words.next()?);
    let next = words.nth(2)?;
    let number = |word| u128::from_str_radix(word, 16).ok();
    let is_default = number(destination)? == 0 && number(length)? == 0;
    let gateway = Ipv6Addr::from(number(next)?);
    (is_default && !gateway.is_unspecified()).then_some(gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_routes_gateways_are_found_and_no_other_routes() {
        // As in a container of Home Assistant's network, on a machine that stores the least byte first.
        let v4 = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             eth0\t00000000\t01201EAC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
             eth0\t00201EAC\t00000000\t0001\t0\t0\t0\t00FEFFFF\t0\t0\t0\n\
             eth0\t0000A8C0\t0200A8C0\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        let v6 = "\
             00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n\
             fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 eth0\n\
             00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200 lo\n";
        let mut expected: Vec<IpAddr> = vec!["fe80::1".parse().unwrap()];
        if cfg!(target_endian = "little") {
            expected.insert(0, "172.30.32.1".parse().unwrap());
        }
        let found: Vec<IpAddr> = in_tables(v4, v6);
        assert!(expected.iter().all(|one| found.contains(one)), "{found:?}");
        assert_eq!(found.len(), 2);
        assert!(in_tables("", "nonsense\n\n").is_empty());
    }
}
