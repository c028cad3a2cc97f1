//! A small HTTP server: records each request, answers by a rule.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// One request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Recorded {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// What is done with the connection, in this order.
#[derive(Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Wait(Duration),
    /// Nothing more, until the client goes.
    Hold,
    Close,
}

pub(crate) type Reply = Vec<Step>;

fn response(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut bytes = format!("{head}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    vec![Step::Send(bytes)]
}

pub(crate) fn ok(data: &Value) -> Reply {
    json_reply(200, &json!({ "result": "ok", "data": data }))
}

pub(crate) fn error(status: u16, message: &str) -> Reply {
    json_reply(status, &json!({ "result": "error", "message": message }))
}

pub(crate) fn json_reply(status: u16, value: &Value) -> Reply {
    reply(
        status,
        "application/json; charset=utf-8",
        value.to_string().as_bytes(),
    )
}

pub(crate) fn reply(status: u16, kind: &str, body: &[u8]) -> Reply {
    response(status, &[("Content-Type", kind)], body)
}

pub(crate) fn with_headers(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    response(status, headers, body)
}

/// The beginning of an answer without a length.
pub(crate) fn stream(kind: &str, headers: &[(&str, &str)]) -> Step {
    let mut head =
        format!("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\nContent-Type: {kind}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    Step::Send(format!("{head}\r\n").into_bytes())
}

pub(crate) fn chunk(bytes: &[u8]) -> Step {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    Step::Send(chunk)
}

pub(crate) fn last_chunk() -> Step {
    Step::Send(b"0\r\n\r\n".to_vec())
}

type Rule = dyn Fn(&Recorded) -> Reply + Send + Sync;

/// What was asked so far.
#[derive(Clone, Default)]
pub(crate) struct Requests(Arc<(Mutex<Vec<Recorded>>, Condvar)>);

impl Requests {
    pub(crate) fn all(&self) -> Vec<Recorded> {
        self.0.0.lock().unwrap().clone()
    }

    pub(crate) fn clear(&self) {
        self.0.0.lock().unwrap().clear();
    }

    /// All, as soon as there are so many.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Recorded> {
        let end = Instant::now() + Duration::from_secs(10);
        let mut requests = self.0.0.lock().unwrap();
        while requests.len() < count {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "only {requests:?}");
            requests = self.0.1.wait_timeout(requests, left).unwrap().0;
        }
        requests.clone()
    }

    fn push(&self, request: Recorded) {
        self.0.0.lock().unwrap().push(request);
        self.0.1.notify_all();
    }
}

/// Serves on a Unix socket until the test ends.
pub(crate) fn on_socket(
    path: &Path,
    rule: impl Fn(&Recorded) -> Reply + Send + Sync + 'static,
) -> Requests {
    let listener = UnixListener::bind(path).unwrap();
    let (requests, rule): (Requests, Arc<Rule>) = (Requests::default(), Arc::new(rule));
    let kept = requests.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (kept, rule) = (kept.clone(), rule.clone());
            let writer = stream.try_clone().unwrap();
            thread::spawn(move || serve(stream, writer, &kept, &*rule));
        }
    });
    requests
}

/// Serves on TCP; the address is `127.0.0.1:PORT`.
pub(crate) fn on_tcp(
    rule: impl Fn(&Recorded) -> Reply + Send + Sync + 'static,
) -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (requests, rule): (Requests, Arc<Rule>) = (Requests::default(), Arc::new(rule));
    let kept = requests.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (kept, rule) = (kept.clone(), rule.clone());
            let writer = stream.try_clone().unwrap();
            thread::spawn(move || serve(stream, writer, &kept, &*rule));
        }
    });
    (address, requests)
}

fn serve(reader: impl Read, mut writer: impl Write, requests: &Requests, rule: &Rule) {
    let mut reader = BufReader::new(reader);
    while let Ok(Some(request)) = read(&mut reader) {
        requests.push(request.clone());
        for step in rule(&request) {
            let done = match step {
                Step::Send(bytes) => writer.write_all(&bytes).and_then(|()| writer.flush()),
                Step::Wait(time) => {
                    thread::sleep(time);
                    Ok(())
                }
                Step::Hold => {
                    drop(io::copy(&mut reader, &mut io::sink()));
                    return;
                }
                Step::Close => return,
            };
            if done.is_err() {
                return;
            }
        }
    }
}

fn read(reader: &mut impl BufRead) -> io::Result<Option<Recorded>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut request = Recorded {
        method,
        target,
        headers,
        body: Vec::new(),
    };
    if let Some(length) = request.header("content-length") {
        request.body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut request.body)?;
    } else if request.header("transfer-encoding") == Some("chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk)?;
            request.body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                break;
            }
        }
    }
    Ok(Some(request))
}
