//! The trail as it grows.

use super::*;

/// A program that goes on, and what it has said.
struct Going {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Going {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines() {
                if send.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    fn await_line(&self, part: &str) -> String {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self
                .lines
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("no {part}"));
            if line.contains(part) {
                return line;
            }
        }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn the_trail_is_followed_across_sessions_segments_and_starts() {
    let (directory, first) = trail();
    let reader = Reader::of(&directory);
    let server = Server::start(&directory);
    // One that runs already.
    let running = facts();
    let connection = server.connect(running.cid, None);
    opened(server.open(&running), running.sid);
    let tail = Going::start(reader.command(&["tail", "-f", "-n", "3"]));
    // The newest before, and none of them twice.
    tail.await_line(&running.sid.to_string()[..13]);
    tell_durably(&connection, shell());
    let line = tail.await_line("shell");
    assert!(line.contains(&running.sid.to_string()[..13]), "{line}");
    // One that begins now, and ends.
    let new = facts();
    let other = server.connect(new.cid, None);
    opened(server.open(&new), new.sid);
    tell_durably(&other, shell());
    closed(server.close(new.sid), new.sid);
    let sid = new.sid.to_string();
    for part in ["session.open", "session.close"] {
        assert!(tail.await_line(part).contains(&sid[..13]));
    }
    closed(server.close(running.sid), running.sid);
    tail.await_line("session.close");
    drop((connection, other));
    server.stop();
    // Another start begins another segment.
    let server = Server::start(&directory);
    server.server_start();
    tail.await_line("server.start");
    let last = facts();
    let connection = server.connect(last.cid, None);
    opened(server.open(&last), last.sid);
    tell_durably(&connection, shell());
    let line = tail.await_line("shell");
    assert!(line.contains(&last.sid.to_string()[..13]), "{line}");
    closed(server.close(last.sid), last.sid);
    tail.await_line("session.close");
    server.stop();
    let rest: Vec<String> = tail.lines.try_iter().collect();
    let old = first.sid.to_string();
    assert!(
        !rest.iter().any(|line| line.contains(&old[..18])),
        "{rest:?}"
    );
}

#[test]
fn each_record_is_followed_once() {
    let directory = Directory::new();
    let server = Server::start(&directory);
    let facts = facts();
    let connection = server.connect(facts.cid, None);
    opened(server.open(&facts), facts.sid);
    let reader = Reader::of(&directory);
    let session = facts.sid.to_string();
    let words = [
        "tail",
        "-f",
        "-n",
        "1000",
        "--json",
        "--type",
        "shell",
        "--session",
        &session,
    ];
    // Written before, while it starts, and after.
    for _ in 0..50 {
        tell(&connection, shell());
    }
    let tail = Going::start(reader.command(&words));
    for _ in 0..200 {
        tell(&connection, shell());
        std::thread::sleep(Duration::from_millis(2));
    }
    tell_durably(&connection, shell());
    let mut seen = Vec::new();
    while seen.len() < 251 {
        let line = tail.await_line("shell");
        let record: Value = serde_json::from_str(&line).unwrap();
        seen.push(record["seq"].as_u64().unwrap());
    }
    assert_eq!(seen, (1..=251).collect::<Vec<u64>>());
    drop(connection);
    server.stop();
}
