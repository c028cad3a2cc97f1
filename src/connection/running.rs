//! A channel's program, from the request to the channel's end: one task.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use russh::server::Handle;
use tokio::time::timeout;

use super::channel::{self, Beginning, Channel};
use super::ending::End;
use super::exit::{self, Answer, KILLED};
use super::io::{self, Meter, STDERR};
use super::program::Wishes;
use super::recorder::Tape;
use super::run::Shared;
use super::session::{Ended, NoStart, Progress, Session};
use super::sftp::{Observer, Refused};
use super::terminal::{self, TerminalRequest};
use super::transfer;
use crate::model::{Exit, Program, RecordingMode, Signal, Usage, cut, escape};
use crate::sys::{Errno, descriptor, pty};
use crate::wire::limits::{RECORDED_ASKED_BYTES, RECORDED_COMMAND_BYTES};
use crate::wire::{
    Asked, ConnectionToInit, Event, ExecEnd, Outcome, Record, RecordingStart, Stream, encode,
};

/// How long a program waits for its session: the warden gives up on one after 10 s.
const SESSION: Duration = Duration::from_secs(15);
/// How long a client may take to make room for a message that explains a failure.
const MESSAGE: Duration = Duration::from_secs(2);
/// As ssh(1) ends where something fails on its own side, but one less: it is the server's failure.
const NO_SESSION: u32 = 254;
/// As shells end where a command is not found, or cannot be executed.
const NOT_FOUND: u32 = 127;
const NOT_EXECUTABLE: u32 = 126;

/// What a user sees first where more is recorded than what the terminal shows.
const NOTICE: &str = "This session is recorded, with what you type.\r\n";

/// A program that a client asked for.
pub(super) struct Run {
    pub(super) shared: Arc<Shared>,
    pub(super) handle: Handle,
    pub(super) channel: Arc<Channel>,
    pub(super) beginning: Beginning,
    pub(super) program: Program,
}

/// What is known of a run so far.
#[derive(Default)]
struct Account {
    /// When it was started, and where.
    running: Option<(Instant, Arc<Session>)>,
    /// How it will end.
    ended: Option<Ended>,
    stdin: Meter,
    stdout: Meter,
    stderr: Meter,
    /// Where it is SFTP: what it does.
    sftp: Option<Arc<Observer>>,
    /// Its recording.
    tape: Option<Tape>,
}

/// What a channel runs.
struct Plan {
    program: Program,
    /// What the client asked for, where its key runs one command whatever that is.
    asked: Option<Program>,
}

/// Why there is no program.
struct Failure {
    /// For the user, one line.
    message: String,
    status: u32,
    /// If nothing can work any more.
    end: Option<End>,
}

/// How the program's time came to an end.
enum Finish {
    Ended(Exit, Usage),
    /// session-init is gone, and the program with it.
    Lost,
    Failed(Failure),
    ClientClosed,
    ConnectionEnds(End),
}

impl Run {
    /// Runs it until the channel is closed.
    pub(super) async fn run(self) {
        let mut account = Account::default();
        let outcome = {
            let ending = &self.shared.ending;
            tokio::select! {
                biased;
                () = self.channel.closed.notified() => Finish::ClientClosed,
                outcome = self.live(&mut account) => outcome,
                end = ending.wait() => Finish::ConnectionEnds(end),
            }
        };
        // From here on our ends of its pipes or terminal are closed.
        self.channel.set_master(None);
        // The channel is closed below: there is nobody left to credit.
        let _uncredited = self.channel.input.close();
        self.channel.set_tape(None);
        if let Some(tape) = &account.tape {
            tape.end(match outcome {
                Finish::Ended(exit, _) => Some(exit),
                Finish::Lost => Some(KILLED),
                Finish::Failed(_) | Finish::ClientClosed | Finish::ConnectionEnds(_) => None,
            });
        }
        match outcome {
            Finish::Ended(exit, usage) => {
                self.report_end(&account, Some(exit), usage).await;
                self.say_exit(exit).await;
                self.close().await;
            }
            Finish::Lost => {
                self.report_end(&account, None, Usage::default()).await;
                self.say_exit(KILLED).await;
                self.close().await;
            }
            Finish::Failed(failure) => self.fail(failure).await,
            Finish::ClientClosed => {
                self.forget();
                self.report_close(&account).await;
                self.outlive(&mut account).await;
                return;
            }
            Finish::ConnectionEnds(end) => {
                self.report_end(&account, None, Usage::default()).await;
                if end == End::Session && account.running.is_some() {
                    self.say_exit(KILLED).await;
                    self.close().await;
                }
            }
        }
        self.forget();
        self.report_close(&account).await;
    }

    /// What the session lets run of what was asked for.
    fn plan(&self, session: &Session) -> Plan {
        let asked = self.program.clone();
        match &session.command {
            Some(command) => Plan {
                program: Program::Command(command.clone().into_bytes()),
                asked: Some(asked),
            },
            None => Plan {
                program: asked,
                asked: None,
            },
        }
    }

    async fn live(&self, account: &mut Account) -> Finish {
        let session = match self.session().await {
            Ok(session) => session,
            Err(failure) => return Finish::Failed(failure),
        };
        let plan = self.plan(&session);
        let is_sftp = self.shared.settings.is_sftp(&plan.program);
        if is_sftp {
            let observer = Observer::new(self.shared.reports.clone(), self.channel.number());
            account.stdout = Meter::watched(&observer);
            account.sftp = Some(observer);
        }
        // A terminal changes what passes, and echoes it: sftp-server is not given one.
        let in_terminal = self.beginning.terminal.is_some() && !is_sftp;
        let started = if in_terminal {
            self.in_terminal(&plan, session, account).await
        } else {
            self.with_pipes(&plan, session, account).await
        };
        match started {
            Ok(Some((exit, usage))) => Finish::Ended(exit, usage),
            Ok(None) => Finish::Lost,
            Err(failure) => Finish::Failed(failure),
        }
    }

    async fn session(&self) -> Result<Arc<Session>, Failure> {
        let mut progress = self.shared.progress.subscribe();
        let settled = progress.wait_for(|progress| !matches!(progress, Progress::Pending));
        let refused = |message: String| Failure {
            message,
            status: NO_SESSION,
            end: Some(End::Refused),
        };
        let settled = timeout(SESSION, settled).await;
        match settled.map(|settled| settled.map(|progress| progress.clone())) {
            Ok(Ok(Progress::Ready(session))) => Ok(session),
            Ok(Ok(Progress::Refused(reason))) => Err(refused(reason)),
            Ok(Ok(Progress::Pending) | Err(_)) | Err(_) => {
                Err(refused("the session did not start in time".to_owned()))
            }
        }
    }

    async fn with_pipes(
        &self,
        plan: &Plan,
        session: Arc<Session>,
        account: &mut Account,
    ) -> Result<Option<(Exit, Usage)>, Failure> {
        let pipes = || -> Result<_, Errno> {
            let (stdin, to) = descriptor::pipe()?;
            let (from, stdout) = descriptor::pipe()?;
            let (from_err, stderr) = descriptor::pipe()?;
            let ours = (Arc::new(io::end(to)?), io::end(from)?, io::end(from_err)?);
            Ok((vec![stdin, stdout, stderr], ours))
        };
        let (theirs, (to, from, from_err)) = pipes().map_err(|errno| own("make pipes", errno))?;
        let wishes = Wishes {
            environment: &self.beginning.environment,
            terminal: None,
            ..Wishes::default()
        };
        let mode = session.recording;
        self.start(plan, session, wishes, theirs, account).await?;
        if let Some(tape) = self.record(plan, mode, None) {
            if !self.is_transfer(plan) {
                account.stdout.record(&tape, Stream::Stdout);
            }
            account.stderr.record(&tape, Stream::Stderr);
            account.tape = Some(tape);
        }
        let Account {
            stdin,
            stdout,
            stderr,
            sftp,
            ended: Some(ended),
            ..
        } = account
        else {
            return Ok(None);
        };
        let writer = &self.beginning.writer;
        let outcome = tokio::select! {
            biased;
            ((), (), outcome) = async {
                tokio::join!(
                    io::drain(from, None, writer, stdout),
                    io::drain(from_err, Some(STDERR), writer, stderr),
                    ended,
                )
            } => outcome,
            never = self.feed(to, stdin, None, sftp.as_deref()) => match never {},
        };
        Ok(outcome.ok())
    }

    /// Whether what it writes to stdout is files.
    fn is_transfer(&self, plan: &Plan) -> bool {
        let copies = match &plan.program {
            Program::Command(command) => transfer::is_transfer(command),
            Program::Shell | Program::Sftp => false,
        };
        copies || self.shared.settings.is_sftp(&plan.program)
    }

    /// Begins a recording, where one is to be made.
    fn record(
        &self,
        plan: &Plan,
        mode: RecordingMode,
        terminal: Option<&TerminalRequest>,
    ) -> Option<Tape> {
        let terminal = terminal.map(|wish| {
            // A later size than the wish's may have come meanwhile.
            let size = self.channel.size().unwrap_or(wish.size);
            (wish.term.clone(), size.columns, size.rows)
        });
        let command = match &plan.program {
            Program::Shell | Program::Sftp => None,
            Program::Command(command) => {
                let text = String::from_utf8_lossy(command);
                Some(cut(&text, RECORDED_COMMAND_BYTES).to_owned())
            }
        };
        if mode == RecordingMode::Off {
            return None;
        }
        Some(self.shared.recorder.begin(RecordingStart {
            channel: self.channel.number(),
            terminal,
            command,
        }))
    }

    async fn in_terminal(
        &self,
        plan: &Plan,
        session: Arc<Session>,
        account: &mut Account,
    ) -> Result<Option<(Exit, Usage)>, Failure> {
        let Some(wish) = &self.beginning.terminal else {
            return Ok(None);
        };
        let open = || -> Result<_, Errno> {
            let master = pty::open_master(session.terminals.as_fd())?;
            let peer = pty::open_peer(master.as_fd())?;
            let number = pty::number(master.as_fd())?;
            let mut settings = pty::settings(peer.as_fd())?;
            terminal::apply(&wish.modes, &mut settings);
            pty::change_settings(peer.as_fd(), &settings)?;
            Ok((Arc::new(io::end(master)?), peer, number))
        };
        let (master, peer, number) = open().map_err(|errno| own("open a terminal", errno))?;
        // A later size than the wish's may have come meanwhile.
        self.channel.set_master(Some(Arc::clone(&master)));
        channel::resize(&master, self.channel.size().unwrap_or(wish.size));
        let wishes = Wishes {
            environment: &self.beginning.environment,
            terminal: Some((&wish.term, number)),
            ..Wishes::default()
        };
        let mode = session.recording;
        // Before the program: what it asks of the broker is to be marked in it.
        account.tape = self.record(plan, mode, Some(wish));
        if let Some(tape) = &account.tape {
            self.channel.set_tape(Some(tape.clone()));
            account.stdout.record(tape, Stream::Stdout);
            if mode == RecordingMode::Input && plan.program == Program::Shell {
                tape.output(Stream::Stdout, NOTICE.as_bytes());
                let said = self.beginning.writer.data_bytes(NOTICE.as_bytes());
                // A client that makes no room for it has it in the recording alone.
                timeout(MESSAGE, said).await.ok();
            }
        }
        self.start(plan, session, wishes, vec![peer], account)
            .await?;
        let typed = account
            .tape
            .clone()
            .filter(|_| mode == RecordingMode::Input);
        let Account {
            stdin,
            stdout,
            ended: Some(ended),
            ..
        } = account
        else {
            return Ok(None);
        };
        let outcome = tokio::select! {
            biased;
            outcome = io::drain_terminal(&master, &self.beginning.writer, stdout, ended) => outcome,
            // The client's EOF means nothing to a terminal, as in OpenSSH: the master stays open.
            never = self.feed(Arc::clone(&master), stdin, typed.as_ref(), None) => match never {},
        };
        Ok(outcome.ok())
    }

    async fn feed(
        &self,
        to: Arc<io::End>,
        meter: &mut Meter,
        typed: Option<&Tape>,
        gate: Option<&Observer>,
    ) -> std::convert::Infallible {
        let channel = &self.channel;
        let (input, id) = (&channel.input, channel.id);
        let fed = io::feed(input, to, &self.handle, id, meter, typed, gate).await;
        if let Some(Refused(why)) = fed {
            self.say(&format!(
                "sftp: {why}; nothing more is done in this channel"
            ))
            .await;
        }
        std::future::pending().await
    }

    async fn start(
        &self,
        plan: &Plan,
        session: Arc<Session>,
        wishes: Wishes<'_>,
        fds: Vec<OwnedFd>,
        account: &mut Account,
    ) -> Result<(), Failure> {
        let number = self.channel.number();
        let settings = &self.shared.settings;
        let wishes = Wishes {
            of_key: &session.environment,
            asked: plan.asked.as_ref(),
            ..wishes
        };
        let spawn = settings.plan(number, plan.program.clone(), wishes);
        let path = spawn.path.clone();
        let message = ConnectionToInit::Spawn(spawn);
        if encode(&message).is_err() {
            self.report_start(plan, Err(())).await;
            return Err(cannot(&path, Errno::E2BIG));
        }
        match session.start(number, message, fds).await {
            Ok((pid, ended)) => {
                account.running = Some((Instant::now(), session));
                account.ended = Some(ended);
                self.report_start(plan, Ok(pid)).await;
                Ok(())
            }
            Err(NoStart::Failed(errno)) => {
                self.report_start(plan, Err(())).await;
                Err(cannot(&path, Errno::from_raw(errno)))
            }
            Err(NoStart::Gone) => {
                self.report_start(plan, Err(())).await;
                Err(Failure {
                    message: "the session does not answer".to_owned(),
                    status: NO_SESSION,
                    end: Some(End::Session),
                })
            }
        }
    }

    /// Tells the user something, on stderr.
    async fn say(&self, message: &str) {
        let line = format!("hassio-sshd: {}\r\n", escape(message.as_bytes(), 1024));
        let sent = self.beginning.writer.extended_data_bytes(STDERR, line);
        // A client that makes no room learns it from the status.
        timeout(MESSAGE, sent).await.ok();
    }

    /// Explains a failure to the user.
    async fn fail(&self, failure: Failure) {
        self.say(&failure.message).await;
        let (handle, id) = (&self.handle, self.channel.id);
        // Err: the connection is over.
        handle.exit_status_request(id, failure.status).await.ok();
        self.close().await;
        if let Some(end) = failure.end {
            self.shared.ending.end(end);
        }
    }

    /// RFC 4254 §6.10. It cannot overtake output: all of it is in the same queue already, and within the window.
    async fn say_exit(&self, exit: Exit) {
        let (handle, id) = (&self.handle, self.channel.id);
        let said = match exit::answer(exit) {
            Answer::Status(status) => handle.exit_status_request(id, status).await,
            Answer::Signal(signal, core) => {
                let (signal, none) = (exit::signal_of(signal), String::new);
                handle
                    .exit_signal_request(id, signal, core, none(), none())
                    .await
            }
        };
        // Err: the connection is over.
        said.ok();
    }

    async fn close(&self) {
        // Err: the connection is over.
        self.handle.eof(self.channel.id).await.ok();
        self.handle.close(self.channel.id).await.ok();
    }

    /// Waits for the end of a program whose channel is gone, for its record.
    async fn outlive(&self, account: &mut Account) {
        let Account {
            running: Some((_, session)),
            ended: Some(ended),
            ..
        } = &mut *account
        else {
            return;
        };
        session.tell(ConnectionToInit::Signal {
            channel: self.channel.number(),
            signal: Signal::Hup,
        });
        let outcome = tokio::select! {
            outcome = ended => outcome.ok(),
            _ = self.shared.ending.wait() => None,
        };
        let (exit, usage) = outcome.unzip();
        self.report_end(account, exit, usage.unwrap_or_default())
            .await;
    }

    /// Makes room for another channel.
    fn forget(&self) {
        self.shared.forget(self.channel.id);
    }

    async fn report_start(&self, plan: &Plan, pid: Result<i32, ()>) {
        let event = match &plan.program {
            Program::Shell => Event::Shell {
                pid: pid.unwrap_or(0),
            },
            Program::Command(command) => Event::Exec {
                command: escape(command, RECORDED_COMMAND_BYTES),
                bytes: u64::try_from(command.len()).unwrap_or(u64::MAX),
                sha256: io::sha256(command),
                pid: pid.unwrap_or(0),
                asked: plan.asked.as_ref().map(asked),
            },
            Program::Sftp => Event::Subsystem {
                name: "sftp".to_owned(),
                pid: pid.ok(),
            },
        };
        let outcome = if pid.is_ok() {
            Outcome::Good
        } else {
            Outcome::Bad
        };
        self.report(Record::new(event).outcome(outcome)).await;
    }

    async fn report_end(&self, account: &Account, exit: Option<Exit>, usage: Usage) {
        let Some((since, _)) = &account.running else {
            return;
        };
        if let Some(sftp) = &account.sftp {
            sftp.finish().await;
        }
        let event = Event::ExecEnd(ExecEnd {
            exit,
            duration_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
            usage,
            stdin: account.stdin.facts(),
            stdout: account.stdout.facts(),
            stderr: account.stderr.facts(),
        });
        self.report(Record::new(event)).await;
    }

    async fn report_close(&self, account: &Account) {
        let event = Event::ChannelClose {
            bytes_in: self.channel.received.load(Ordering::Relaxed),
            bytes_out: account.stdout.bytes() + account.stderr.bytes(),
        };
        self.report(Record::new(event)).await;
    }

    async fn report(&self, record: Record) {
        let record = record.in_channel(self.channel.number());
        self.shared.reports.report(record).await;
    }
}

/// What a client asked for, where its key runs one command whatever that is; for the record.
fn asked(program: &Program) -> Asked {
    let (request, command) = match program {
        Program::Shell => ("shell", &b""[..]),
        Program::Command(command) => ("exec", command.as_slice()),
        Program::Sftp => ("subsystem", &b"sftp"[..]),
    };
    Asked {
        request: request.to_owned(),
        command: escape(command, RECORDED_ASKED_BYTES),
        bytes: u64::try_from(command.len()).unwrap_or(u64::MAX),
        sha256: io::sha256(command),
    }
}

fn cannot(path: &str, errno: Errno) -> Failure {
    Failure {
        message: format!("cannot start {path}: {}", errno.desc()),
        status: if errno == Errno::ENOENT {
            NOT_FOUND
        } else {
            NOT_EXECUTABLE
        },
        end: None,
    }
}

fn own(action: &str, errno: Errno) -> Failure {
    Failure {
        message: format!("cannot {action}: {}", errno.desc()),
        status: NO_SESSION,
        end: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_ends_in_127() {
        assert_eq!(cannot("/bin/x", Errno::ENOENT).status, 127);
        assert_eq!(cannot("/bin/x", Errno::EACCES).status, 126);
    }
}
