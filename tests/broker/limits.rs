//! What one session may ask in a second and at a time.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use hassio_sshd::policy::roles::Roles;
use hassio_sshd::wire::Event;
use hassio_sshd::wire::limits::API_CONNECTIONS;

use crate::harness::{Response, Scratch, Supervisor, both, until};
use crate::process::Process;

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
fn a_flood_of_refused_connections_does_not_fill_the_trail_and_is_counted() {
    let (_supervisor, broker) = both(&[]);
    let session = broker.open("observer");
    let held: Vec<_> = (0..API_CONNECTIONS).map(|_| session.connect()).collect();
    std::thread::sleep(Duration::from_millis(200));
    let end = Instant::now() + Duration::from_secs(2);
    let mut made = 0;
    while Instant::now() < end {
        let mut stream = session.connect();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
        made += 1;
    }
    broker.close(&session);
    drop(held);
    let rules = || -> Vec<String> {
        let events = broker.audit.events().into_iter();
        let rules = events.filter_map(|event| match event {
            Event::PolicyDeny { object, rule, .. } if object == "connections to the broker" => {
                Some(rule)
            }
            _ => None,
        });
        rules.collect()
    };
    let counted = || -> u64 {
        let number = |word: &str| word.parse::<u64>().ok();
        let told = |rule: &String| {
            let own = u64::from(rule.starts_with("a session may have 32"));
            let left_out = rule.split("; ").last()?.split(' ').next().and_then(number);
            Some(own + left_out.unwrap_or(0))
        };
        rules().iter().filter_map(told).sum()
    };
    until("each is counted", || counted() == made);
    assert!(made > 20 && rules().len() <= 5, "{made}: {:?}", rules());
}

#[test]
fn a_flood_of_malformed_heads_keeps_the_pace_of_calls() {
    let (_supervisor, broker) = both(&[]);
    let session = broker.open("observer");
    let limits = Roles::shipped().unwrap().limits();
    let began = Instant::now();
    let mut made = 0;
    while began.elapsed() < Duration::from_secs(6) {
        let mut stream = session.connect();
        // It may be closed before it is read.
        stream
            .write_all(b"GET\t/info HTTP/1.1\r\n\r\n")
            .unwrap_or_default();
        stream
            .read_to_end(&mut Vec::new())
            .map(drop)
            .unwrap_or_default();
        made += 1;
    }
    let most = f64::from(limits.calls_in_a_burst)
        + f64::from(limits.calls_a_second) * began.elapsed().as_secs_f64();
    let requests = |event: &&Event| matches!(event, Event::ApiRequest { .. });
    let records = broker.audit.events().iter().filter(requests).count();
    assert!(made > 1000, "{made}: no flood");
    assert!(
        f64::from(u32::try_from(records).unwrap()) <= most + 20.0,
        "{records} of {made}"
    );
}

/// How long a call of another session takes meanwhile, and how much more memory the broker has than before.
#[test]
fn bodies_of_many_values_cost_neither_memory_nor_others_time() {
    let scratch = Scratch::new();
    let supervisor = Supervisor::start(&scratch, &[]);
    let process = Process::start(scratch, &supervisor.address);
    let other = process.broker.open("observer");
    assert_eq!(other.get("/info").status, 200);
    let before = process.peak_kib();
    let values = format!("{{\"a\":[{}0]}}", "0,".repeat((1024 * 1024 - 12) / 2));
    let text = format!("{{\"name\":\"{}\"}}", "x".repeat(1024 * 1024 - 100));
    let mut slowest = Duration::ZERO;
    for body in [values, text] {
        let sessions: Vec<_> = (0..3).map(|_| process.broker.open("backup")).collect();
        std::thread::scope(|scope| {
            for session in &sessions {
                for _ in 0..16 {
                    scope.spawn(|| {
                        let length = body.len();
                        let mut stream = session.connect();
                        let head = format!("POST /backups/new/full HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
                        stream.write_all(head.as_bytes()).unwrap();
                        stream.write_all(body.as_bytes()).unwrap_or_default();
                        stream.read_to_end(&mut Vec::new()).map(drop).unwrap_or_default();
                    });
                }
            }
            for _ in 0..10 {
                let began = Instant::now();
                assert_eq!(other.get("/info").status, 200);
                slowest = slowest.max(began.elapsed());
                std::thread::sleep(Duration::from_millis(20));
            }
        });
    }
    let growth = process.peak_kib() - before;
    assert!(growth < 32 * 1024, "it grew by {growth} KiB");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
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
