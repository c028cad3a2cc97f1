//! What one session may ask in a second and at a time.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use hassio_sshd::policy::roles::Roles;
use hassio_sshd::wire::Event;

use crate::harness::{Response, both, until};

fn too_many(response: &Response) -> bool {
    if response.status != 429 {
        return false;
    }
    assert_eq!(response.json()["error_key"], "sshd_too_many");
    let retry = response
        .raw
        .lines()
        .find_map(|line| line.strip_prefix("retry-after: "));
    assert_eq!(retry, Some("1"), "{}", response.raw);
    true
}

#[test]
fn a_loop_gone_wild_is_told_to_wait_and_others_are_not() {
    let (supervisor, broker) = both(&[]);
    let limits = Roles::shipped().unwrap().limits();
    let (session, other) = (broker.open("operator"), broker.open("operator"));
    let began = Instant::now();
    let mut good = 0;
    // Refusals count as well.
    let refused = (0..100_000).find(|n| {
        let path = if n % 2 == 0 { "/info" } else { "/nothing" };
        let response = session.get(path);
        good += usize::from(response.status == 200);
        too_many(&response)
    });
    let made = u64::try_from(refused.unwrap()).unwrap();
    let most = f64::from(limits.calls_in_a_burst)
        + f64::from(limits.calls_a_second) * (began.elapsed().as_secs_f64() + 0.1);
    assert!(made >= u64::from(limits.calls_in_a_burst), "{made}");
    assert!(
        f64::from(u32::try_from(made).unwrap()) <= most,
        "{made} > {most}"
    );
    assert_eq!(other.get("/info").status, 200);
    assert_eq!(supervisor.requests().len(), good + 1);
    let hit = |event: &Event| matches!(event, Event::PolicyDeny { object, .. } if object == "calls a second");
    until("the record", || broker.audit.has(hit));
    for _ in 0..20 {
        session.get("/info");
    }
    let records = broker
        .audit
        .events()
        .iter()
        .filter(|event| hit(event))
        .count();
    assert!(records <= 3, "a flood is on record {records} times");
    until("it may go on", || session.get("/info").status == 200);
}

#[test]
fn a_session_has_16_calls_at_a_time() {
    let (_supervisor, broker) = both(&[]);
    let session = broker.open("operator");
    let limit = usize::from(Roles::shipped().unwrap().limits().calls_at_once);
    let mut held: Vec<_> = (0..limit)
        .map(|_| {
            let mut stream = session.connect();
            stream
                .write_all(b"GET /core/logs/follow HTTP/1.1\r\nHost: x\r\n\r\n")
                .unwrap();
            stream.read_exact(&mut [0; 12]).unwrap();
            stream
        })
        .collect();
    assert!(too_many(&session.get("/info")));
    let hit = |event: &Event| matches!(event, Event::PolicyDeny { object, rule, .. } if object == "calls at once" && rule == "a session may have 16");
    until("the record", || broker.audit.has(hit));
    assert_eq!(broker.open("operator").get("/info").status, 200);
    held.pop();
    std::thread::sleep(Duration::from_millis(100));
    until("one is over", || session.get("/info").status == 200);
}
