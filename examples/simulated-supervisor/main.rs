//! A Supervisor for tests and the demo: real HTTP over TCP, with the token check, role patterns, envelopes and plain text
//! errors of the real one, and data that looks like a small installation's. Nothing of it is in the product.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

mod access;
mod apps;
mod backups;
mod bodies;
mod core;
mod data;
mod fault;
mod record;
mod reply;
mod routes;
mod table;

use access::Role;
use fault::Fault;
use routes::Supervisor;

/// Connections at a time; more wait in the backlog.
const CONNECTIONS: usize = 64;

/// A simulated Home Assistant Supervisor.
#[derive(Debug, Parser)]
struct Options {
    /// Where to listen: an address of this machine, with port 0 for any.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The token of the app that calls.
    #[arg(long)]
    token: String,
    /// The app's `hassio_role`.
    #[arg(long, value_enum, default_value = "manager")]
    role: Role,
    /// The Supervisor's state; only startup, running and freeze answer.
    #[arg(long, default_value = "running")]
    state: String,
    /// Does not say which app calls.
    #[arg(long)]
    anonymous: bool,
    /// What is wrong with every answer.
    #[arg(long, value_enum)]
    fault: Option<Fault>,
    /// Appends a JSON line for every request.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Where Home Assistant's configuration.yaml is; a check fails when the word INVALID is in it.
    #[arg(long)]
    config_dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error),
    };
    match runtime.block_on(serve(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error),
    }
}

fn complain(error: &io::Error) -> ExitCode {
    // Nobody is left to tell if this fails.
    writeln!(io::stderr(), "simulated-supervisor: {error}").unwrap_or_default();
    ExitCode::FAILURE
}

async fn serve(options: Options) -> io::Result<()> {
    let listener = TcpListener::bind(options.listen).await?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {}", listener.local_addr()?)?;
    stdout.flush()?;
    let table = table::Table::new().ok_or(io::ErrorKind::InvalidData)?;
    let supervisor = Arc::new(Supervisor {
        token: options.token,
        role: options.role,
        state: options.state,
        anonymous: options.anonymous,
        fault: options.fault,
        recorder: record::Recorder(options.record),
        config_dir: options.config_dir,
        table,
        apps: Mutex::default(),
        backups: Mutex::new(backups::Backups::new()),
        sent: Arc::default(),
    });
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        let (stream, _) = listener.accept().await?;
        let supervisor = supervisor.clone();
        connections.spawn(async move {
            let service = service_fn(|request| {
                let supervisor = supervisor.clone();
                async move { Ok::<_, Infallible>(supervisor.respond(request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(75))
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is no matter of ours.
            connection.await.unwrap_or_default();
        });
        while connections.try_join_next().is_some() {}
    }
}
