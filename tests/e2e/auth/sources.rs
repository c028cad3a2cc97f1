//! Where clients come from: who may, who made too many connections, who failed too often. All of 127.0.0.0/8 is this machine,
//! so clients here come from several addresses.

use super::*;

/// ssh from this address, with this key.
fn from(server: &Server, address: &str, key: &str) -> Done {
    with_key(server, "root", key, &["-b", address])
}

fn with(options: serde_json::Value) -> Server {
    let server = Server::with(Setup {
        options,
        ..Setup::default()
    });
    make_key(&server.dir.join("client/wrong"), "ed25519", &[]);
    server
}

/// The count and the address of what was refused for this reason.
fn refused(server: &Server, reason: &str) -> Option<(u64, String)> {
    let records = server.records_of("conn.refuse");
    let record = records
        .iter()
        .find(|record| record["d"]["reason"] == reason)?;
    let ip = record["d"]["ip"].as_str()?.to_owned();
    Some((record["d"]["count"].as_u64()?, ip))
}

/// Connections from this address.
fn hold(server: &Server, address: &str, count: usize) -> Vec<TcpStream> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
    let to = SockaddrIn::new(127, 0, 0, 1, server.port);
    let from: std::net::SocketAddrV4 = format!("{address}:0").parse().unwrap();
    let one = || {
        let flags = SockFlag::SOCK_CLOEXEC;
        let stream = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&stream);
        bind(fd, &SockaddrIn::from(from)).unwrap();
        connect(fd, &to).unwrap();
        TcpStream::from(stream)
    };
    (0..count).map(|_| one()).collect()
}

/// What a client from there reads before the server's first line, until it is closed.
fn told(server: &Server, address: &str) -> String {
    let mut stream = hold(server, address, 1).remove(0);
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn who_fails_again_and_again_is_refused_for_a_while_and_nobody_else() {
    let server = with(json!({}));
    for n in 0..3 {
        let done = from(&server, "127.0.0.2", "wrong");
        assert!(done.stderr.contains("Permission denied"), "{n}: {done:?}");
    }
    eventually("the log says that it is refused", || {
        let log = server.log();
        let line = log
            .lines()
            .find(|line| line.contains("nobody from 127.0.0.2 is let in for 15 s"))?;
        line.contains("\"penalty_exempt\"").then_some(())
    });
    let since = Instant::now();
    let done = from(&server, "127.0.0.2", "key");
    assert_eq!(done.code(), 255, "{done:?}");
    assert_eq!(
        told(&server, "127.0.0.2"),
        "Too many failed logins from this address: try again in some minutes\r\n"
    );
    from(&server, "127.0.0.3", "key").good();
    from(&server, "127.0.0.1", "key").good();
    eventually("it is on record", || {
        let (count, ip) = refused(&server, "penalised")?;
        assert_eq!((count, ip.as_str()), (1, "127.0.0.2"), "the first at once");
        Some(())
    });
    // What is refused makes it no longer.
    within(Duration::from_secs(20), "it is let in again", || {
        from(&server, "127.0.0.2", "key").code() == 0
    });
    assert!(
        since.elapsed() > Duration::from_secs(10),
        "{:?}",
        since.elapsed()
    );
}

#[test]
fn an_exempt_address_is_never_refused_for_what_it_did() {
    let server = with(json!({ "penalty_exempt": ["127.0.0.1", "127.0.2.0/24"] }));
    for _ in 0..8 {
        assert_eq!(from(&server, "127.0.2.9", "wrong").code(), 255);
    }
    from(&server, "127.0.2.9", "key").good();
    assert_eq!(refused(&server, "penalised"), None);
}

#[test]
fn a_login_that_works_costs_nothing() {
    let server = with(json!({}));
    for _ in 0..20 {
        from(&server, "127.0.0.2", "key").good();
    }
}

#[test]
fn nobody_comes_in_from_where_nobody_may() {
    let server = with(json!({ "allow_from": ["127.0.0.2", "127.0.3.0/24", "2001:db8::/32"] }));
    from(&server, "127.0.0.2", "key").good();
    from(&server, "127.0.3.77", "key").good();
    for address in ["127.0.0.1", "127.0.4.1"] {
        let done = from(&server, address, "key");
        assert_eq!(done.code(), 255, "{done:?}");
        assert_eq!(told(&server, address), "Not allowed from this address\r\n");
    }
    eventually("it is on record", || refused(&server, "not-allowed"));
    assert!(server.log().contains("\"allow_from\""), "{}", server.log());
    // Not one of them was a connection.
    assert_eq!(server.records_of("conn.open").len(), 2);
}

#[test]
fn one_address_holds_half_of_what_has_not_logged_in_at_the_most() {
    let server = with(json!({}));
    let held = hold(&server, "127.0.0.2", 60);
    let waiting = || {
        let all = server.processes();
        let fronts = all.iter().filter(|process| process.line.ends_with("front"));
        fronts.count().saturating_sub(1)
    };
    within(
        Duration::from_secs(5),
        "they make room for themselves",
        || waiting() == 16,
    );
    from(&server, "127.0.0.3", "key").good();
    let (_, ip) = eventually("it is on record", || refused(&server, "made-room"));
    assert_eq!(ip, "127.0.0.2");
    drop(held);
}

#[test]
fn one_address_makes_so_many_connections_in_a_time_and_no_more() {
    let server = with(json!({}));
    // Two more come in with each second, so which ones do not is not known; the last of so many cannot all be among them.
    let mut held = hold(&server, "127.0.0.2", 200);
    eventually("it is on record", || refused(&server, "too-fast"));
    let told = held.iter_mut().rev().any(|stream| {
        let limit = Some(Duration::from_millis(200));
        stream.set_read_timeout(limit).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).ok();
        text == "Too many connections from this address: try again in a few seconds\r\n"
    });
    assert!(told, "nobody was told");
    from(&server, "127.0.0.3", "key").good();
    drop(held);
}
