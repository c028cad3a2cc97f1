//! What russh calls: who the client is, which `authentication` finds out, and what it wants. Nothing here waits for a
//! session or a program; that is the programs' own tasks' business. But for requests to listen, remote forwarding and the
//! agent: russh wants their answer here, and they wait for the session and its forwarder, with a limit.
//!
//! It is long since russh has all of it in one trait, whose implementation cannot be divided.

use std::sync::Arc;

use russh::server::{
    Auth, ChannelOpenHandle, ExchangeToSign, Handler, Msg, PublicKeyOffer, PublicKeyRequest,
    Response, Session, VerifiedPublicKey,
};
use russh::{ChannelId, ChannelOpenFailure, MethodSet, Pty, Sig};
use ssh_key::Signature;

use super::authentication::Authentication;
use super::channel::{Channel, Resized, Setting, is_runnable};
use super::extensions::{self, Extensions};
use super::forward::{self, Direct, Wish};
use super::keys::{Keys, KeysError};
use super::report::Rate;
use super::run::Shared;
use super::running::Run;
use super::session::Progress;
use super::terminal::{TerminalRequest, checked_term};
use crate::model::{Program, Signal, WindowSize, escape};
use crate::policy::ssh::Limits;
use crate::wire::limits::{CHANNELS, COMMAND_BYTES, HOST_BYTES, SOCKET_PATH_BYTES};
use crate::wire::{ConnectionToInit, Event, Outcome, Record, Target};

/// How many refusals, variables and signals are recorded in a second; a client causes them at will.
const RECORDED_WISHES: u32 = 20;
/// How much of a peer's word a record keeps.
const WORD_BYTES: usize = 256;

/// The connection as russh's callbacks see it.
pub(super) struct Callbacks {
    shared: Arc<Shared>,
    authentication: Authentication,
    extensions: Extensions,
    banner: Option<String>,
    window_bytes: u32,
    wishes: Rate,
}

/// Why the transport ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    #[error("the transport broke")]
    Ssh(#[from] russh::Error),
    #[error("keys does not answer as it should")]
    Keys(#[from] KeysError),
}

impl Callbacks {
    pub(super) fn new(
        shared: Arc<Shared>,
        keys: Keys,
        methods: MethodSet,
        host_key: Vec<u8>,
        banner: &str,
        limits: &Limits,
    ) -> Self {
        Self {
            extensions: Extensions::new(vec![host_key]),
            authentication: Authentication::new(Arc::clone(&shared), keys, methods, limits),
            shared,
            banner: (!banner.is_empty()).then(|| with_line_ends(banner)),
            window_bytes: limits.window_bytes,
            wishes: Rate::per_second(RECORDED_WISHES),
        }
    }

    async fn report(&self, channel: ChannelId, event: Event, outcome: Outcome) {
        if let Some(of) = self.shared.channel(channel) {
            self.shared.report_channel(&of).await;
        }
        let number = crate::model::ChannelNumber(channel.number());
        let record = Record::new(event).outcome(outcome).in_channel(number);
        self.shared.reports.report(record).await;
    }

    /// Reports what a client can cause at will, up to a rate.
    async fn report_wish(&mut self, channel: ChannelId, event: Event, outcome: Outcome) {
        if self.wishes.admits(std::time::Instant::now()) {
            self.shared.report_omitted().await;
            self.report(channel, event, outcome).await;
        } else {
            self.shared.omit(|omitted| omitted.requests += 1);
        }
    }

    async fn refuse_channel(
        &mut self,
        channel: ChannelId,
        reply: ChannelOpenHandle,
        kind: &str,
    ) -> Result<(), TransportError> {
        let event = Event::ChannelRefuse {
            kind: kind.to_owned(),
            reason: "forwarding is not offered".to_owned(),
            target: None,
        };
        self.report_wish(channel, event, Outcome::Bad).await;
        reply
            .reject(ChannelOpenFailure::AdministrativelyProhibited)
            .await;
        Ok(())
    }

    /// Has a channel lead into the session, in its own task.
    fn forward(
        &self,
        channel: russh::Channel<Msg>,
        kind: &'static str,
        to: Option<Target>,
        origin: Option<String>,
        reply: ChannelOpenHandle,
        session: &Session,
    ) {
        let id = channel.id();
        let (read_half, writer) = channel.split();
        // Input comes through `data`.
        drop(read_half);
        let direct = Direct {
            handle: session.handle(),
            channel: self.shared.opened(id),
            shared: Arc::clone(&self.shared),
            writer,
            reply,
            kind,
            to,
            origin,
        };
        self.shared.spawn(direct.run());
    }

    /// Starts `program` in its own task. The client is told at once: what can still go wrong it learns on stderr.
    async fn begin(
        &self,
        channel: ChannelId,
        program: Program,
        session: &mut Session,
    ) -> Result<(), TransportError> {
        let found = self.shared.channel(channel);
        let begun = found.and_then(|channel| Some((channel.begin()?, channel)));
        let Some((beginning, of)) = begun else {
            return Ok(session.channel_failure(channel)?);
        };
        self.shared.report_channel(&of).await;
        session.channel_success(channel)?;
        let run = Run {
            shared: Arc::clone(&self.shared),
            handle: session.handle(),
            channel: of,
            beginning,
            program,
        };
        self.shared.spawn(run.run());
        Ok(())
    }
}

impl Handler for Callbacks {
    type Error = TransportError;

    async fn sign_exchange(
        &mut self,
        exchange: ExchangeToSign<'_>,
    ) -> Result<Option<Signature>, TransportError> {
        let signature = self.authentication.sign(exchange.exchange_hash).await?;
        if exchange.session_id.is_none() {
            let algorithm = exchange.algorithm.to_string();
            self.shared.report_open(algorithm).await;
        }
        Ok(Some(signature))
    }

    async fn authentication_banner(&mut self) -> Result<Option<String>, TransportError> {
        Ok(self.banner.clone())
    }

    async fn auth_none(&mut self, user: &str) -> Result<Auth, TransportError> {
        Ok(self.authentication.none(user).await?)
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, TransportError> {
        Ok(self.authentication.password(user, password).await?)
    }

    async fn auth_publickey_request(
        &mut self,
        user: &str,
        request: PublicKeyRequest<'_>,
    ) -> Result<Option<Auth>, TransportError> {
        Ok(self
            .authentication
            .public_key_request(user, request)
            .await?)
    }

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        _offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, TransportError> {
        Ok(self.authentication.offered())
    }

    async fn auth_publickey(
        &mut self,
        _user: &str,
        _key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, TransportError> {
        Ok(self.authentication.verified())
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, TransportError> {
        Ok(self
            .authentication
            .keyboard_interactive(user, response)
            .await?)
    }

    async fn auth_unsupported(
        &mut self,
        user: &str,
        method: &str,
    ) -> Result<Option<MethodSet>, TransportError> {
        Ok(Some(self.authentication.unsupported(user, method).await?))
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), TransportError> {
        self.authentication.succeeded();
        let host_keys = self.extensions.announcement();
        Ok(session.global_request(extensions::HOST_KEYS, &host_keys)?)
    }

    async fn global_request(
        &mut self,
        name: &str,
        data: &[u8],
        _session: &mut Session,
    ) -> Result<Option<Vec<u8>>, TransportError> {
        match name {
            extensions::NO_MORE_SESSIONS => {
                self.extensions.end_sessions();
                Ok(Some(Vec::new()))
            }
            extensions::PROVE_HOST_KEYS => match self.extensions.asked_to_prove(data) {
                Some(host_keys) => {
                    let signatures = self.authentication.prove(host_keys).await?;
                    Ok(signatures.map(|signatures| extensions::strings(&signatures)))
                }
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }

    async fn channel_open_session(
        &mut self,
        channel: russh::Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), TransportError> {
        let id = channel.id();
        if !self.extensions.more_sessions() {
            let kind = "session".to_owned();
            let reason = "the client wanted no more sessions".to_owned();
            let event = Event::ChannelRefuse {
                kind,
                reason,
                target: None,
            };
            self.report_wish(id, event, Outcome::Bad).await;
            reply
                .reject(ChannelOpenFailure::AdministrativelyProhibited)
                .await;
            return Ok(());
        }
        let (read_half, writer) = channel.split();
        // Input comes through `data`; an unread half would stop the connection after 100 messages.
        drop(read_half);
        let of = Arc::new(Channel::new(id, writer, self.window_bytes));
        if self.shared.remember(Arc::clone(&of)) {
            // Beyond the rate, one that does nothing leaves no record; what it does puts it on record first.
            if self.wishes.admits(std::time::Instant::now()) {
                self.shared.report_omitted().await;
                self.shared.report_channel(&of).await;
            }
            reply.accept().await;
        } else {
            let kind = "session".to_owned();
            let reason = format!("more than {CHANNELS} channels");
            let event = Event::ChannelRefuse {
                kind,
                reason,
                target: None,
            };
            self.report_wish(id, event, Outcome::Bad).await;
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
        }
        Ok(())
    }

    async fn channel_open_x11(
        &mut self,
        channel: russh::Channel<Msg>,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), TransportError> {
        self.refuse_channel(channel.id(), reply, "x11").await
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: russh::Channel<Msg>,
        host: &str,
        port: u32,
        originator_address: &str,
        originator_port: u32,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), TransportError> {
        let port = u16::try_from(port).ok().filter(|port| *port > 0);
        let to = port.zip(within(host, HOST_BYTES));
        let to = to.map(|(port, host)| Target::Tcp { host, port });
        let origin = forward::endpoint(originator_address, originator_port);
        self.forward(channel, "direct-tcpip", to, Some(origin), reply, session);
        Ok(())
    }

    async fn channel_open_forwarded_tcpip(
        &mut self,
        channel: russh::Channel<Msg>,
        _host: &str,
        _port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), TransportError> {
        self.refuse_channel(channel.id(), reply, "forwarded-tcpip")
            .await
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: russh::Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), TransportError> {
        let to = within(path, SOCKET_PATH_BYTES).map(Target::Unix);
        let kind = "direct-streamlocal@openssh.com";
        self.forward(channel, kind, to, None, reply, session);
        Ok(())
    }

    async fn channel_open_confirmation(
        &mut self,
        id: ChannelId,
        _max_packet_size: u32,
        _window_size: u32,
        _session: &mut Session,
    ) -> Result<(), TransportError> {
        // What the client sends now is kept for the task that opened it.
        self.shared.opened(id);
        Ok(())
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        session: &mut Session,
    ) -> Result<bool, TransportError> {
        let Some(address) = within(address, HOST_BYTES) else {
            return Ok(false);
        };
        let wish = Wish::Tcp(address, *port);
        let bound = self.shared.listen(session.handle(), wish).await;
        if let Some(bound) = bound {
            *port = bound.into();
        }
        Ok(bound.is_some())
    }

    async fn cancel_tcpip_forward(
        &mut self,
        address: &str,
        port: u32,
        _session: &mut Session,
    ) -> Result<bool, TransportError> {
        let wish = within(address, HOST_BYTES).map(|address| Wish::Tcp(address, port));
        Ok(wish.is_some_and(|wish| self.shared.cancel(&wish)))
    }

    async fn streamlocal_forward(
        &mut self,
        socket_path: &str,
        session: &mut Session,
    ) -> Result<bool, TransportError> {
        let Some(path) = within(socket_path, SOCKET_PATH_BYTES) else {
            return Ok(false);
        };
        let bound = self.shared.listen(session.handle(), Wish::Unix(path)).await;
        Ok(bound.is_some())
    }

    async fn cancel_streamlocal_forward(
        &mut self,
        socket_path: &str,
        _session: &mut Session,
    ) -> Result<bool, TransportError> {
        let wish = within(socket_path, SOCKET_PATH_BYTES).map(Wish::Unix);
        Ok(wish.is_some_and(|wish| self.shared.cancel(&wish)))
    }

    async fn agent_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<bool, TransportError> {
        let Some(of) = self.shared.channel(channel).filter(|of| of.is_idle()) else {
            return Ok(false);
        };
        match self.shared.agent(session.handle()).await {
            Some(path) => Ok(of.set_own("SSH_AUTH_SOCK", path)),
            None => Ok(false),
        }
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _session: &mut Session,
    ) -> Result<(), TransportError> {
        let Some(of) = self.shared.channel(channel) else {
            return Ok(());
        };
        if of.is_forwarded {
            // Its number may come again at once, and what has come of it is still to be delivered.
            self.shared.forget(channel);
            of.input.finish();
            of.closed.notify_one();
        } else if of.is_idle() {
            self.shared.close_idle(&of).await;
        } else {
            of.closed.notify_one();
        }
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        _session: &mut Session,
    ) -> Result<(), TransportError> {
        if let Some(of) = self.shared.channel(channel) {
            of.input.finish();
        }
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), TransportError> {
        let of = self.shared.channel(channel);
        let credit = match of {
            Some(of) => of.push(data),
            None => u32::try_from(data.len()).unwrap_or(u32::MAX),
        };
        if credit > 0 {
            session.credit(channel, credit)?;
        }
        Ok(())
    }

    async fn extended_data(
        &mut self,
        channel: ChannelId,
        _code: u32,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), TransportError> {
        // No program has a second input.
        session.credit(channel, u32::try_from(data.len()).unwrap_or(u32::MAX))?;
        Ok(())
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), TransportError> {
        let accepted = &self.shared.settings.accepted;
        let of = self.shared.channel(channel);
        let setting = of.map_or(Setting::Refused, |of| of.set(name, value, accepted));
        let name = escape(name.as_bytes(), WORD_BYTES);
        let (value, outcome) = match setting {
            Setting::Set => {
                session.channel_success(channel)?;
                let value = escape(value.as_bytes(), WORD_BYTES);
                (Some(value), Outcome::Good)
            }
            Setting::Refused => {
                session.channel_failure(channel)?;
                (None, Outcome::Bad)
            }
        };
        self.report_wish(channel, Event::Env { name, value }, outcome)
            .await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        width_px: u32,
        height_px: u32,
        modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), TransportError> {
        let size = WindowSize::from_request(columns, rows, width_px, height_px);
        let wish = TerminalRequest {
            term: checked_term(term).to_owned(),
            size,
            modes: modes.to_vec(),
        };
        let of = self.shared.channel(channel);
        let permitted = self.shared.permits().is_some_and(|permits| permits.pty);
        let outcome = if permitted && of.is_some_and(|of| of.want_terminal(wish)) {
            session.channel_success(channel)?;
            Outcome::Good
        } else {
            session.channel_failure(channel)?;
            Outcome::Bad
        };
        let term = escape(term.as_bytes(), WORD_BYTES);
        self.report_wish(channel, Event::Pty { term, size }, outcome)
            .await;
        Ok(())
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        columns: u32,
        rows: u32,
        width_px: u32,
        height_px: u32,
        session: &mut Session,
    ) -> Result<(), TransportError> {
        let size = WindowSize::from_request(columns, rows, width_px, height_px);
        let of = self.shared.channel(channel);
        match of.map_or(Resized::NoTerminal, |of| of.resize(size)) {
            Resized::NoTerminal => session.channel_failure(channel)?,
            Resized::Unrecorded => session.channel_success(channel)?,
            Resized::Recorded => {
                session.channel_success(channel)?;
                self.report(channel, Event::Resize { size }, Outcome::Good)
                    .await;
            }
        }
        Ok(())
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), TransportError> {
        self.begin(channel, Program::Shell, session).await
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), TransportError> {
        if is_runnable(command) {
            return self
                .begin(channel, Program::Command(command.to_vec()), session)
                .await;
        }
        session.channel_failure(channel)?;
        let event = Event::LimitHit {
            resource: "command".to_owned(),
            limit: u64::try_from(COMMAND_BYTES).unwrap_or(u64::MAX),
        };
        self.report_wish(channel, event, Outcome::Bad).await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), TransportError> {
        if name == "sftp" && self.shared.settings.serves_sftp() {
            return self.begin(channel, Program::Sftp, session).await;
        }
        session.channel_failure(channel)?;
        let event = Event::Subsystem {
            name: escape(name.as_bytes(), WORD_BYTES),
            pid: None,
        };
        self.report_wish(channel, event, Outcome::Bad).await;
        Ok(())
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _single_connection: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Result<(), TransportError> {
        Ok(session.channel_failure(channel)?)
    }

    async fn break_request(
        &mut self,
        channel: ChannelId,
        _length_ms: u32,
        session: &mut Session,
    ) -> Result<(), TransportError> {
        // tcsendbreak(3), which sshd calls, does nothing on a pseudo-terminal of Linux: there is no line to break. So all that
        // is left of it is the answer.
        let of = self.shared.channel(channel);
        if of.is_some_and(|of| of.has_terminal()) {
            Ok(session.channel_success(channel)?)
        } else {
            Ok(session.channel_failure(channel)?)
        }
    }

    async fn signal(
        &mut self,
        channel: ChannelId,
        signal: Sig,
        session: &mut Session,
    ) -> Result<(), TransportError> {
        let name = name_of(&signal);
        let of = self.shared.channel(channel);
        let running = of.filter(|of| !of.is_idle() && of.admits_signal());
        let outcome = match (running, Signal::from_name(name)) {
            (Some(of), Some(signal)) => {
                session.channel_success(channel)?;
                let channel = of.number();
                if let Progress::Ready(session) = &*self.shared.progress.borrow() {
                    session.tell(ConnectionToInit::Signal { channel, signal });
                }
                Outcome::Good
            }
            _ => {
                session.channel_failure(channel)?;
                Outcome::Bad
            }
        };
        let name = escape(name.as_bytes(), WORD_BYTES);
        self.report_wish(channel, Event::Signal { name }, outcome)
            .await;
        Ok(())
    }
}

fn name_of(signal: &Sig) -> &str {
    match signal {
        Sig::ABRT => "ABRT",
        Sig::ALRM => "ALRM",
        Sig::FPE => "FPE",
        Sig::HUP => "HUP",
        Sig::ILL => "ILL",
        Sig::INT => "INT",
        Sig::KILL => "KILL",
        Sig::PIPE => "PIPE",
        Sig::QUIT => "QUIT",
        Sig::SEGV => "SEGV",
        Sig::TERM => "TERM",
        Sig::USR1 => "USR1",
        Sig::Custom(name) => name,
    }
}

/// What is longer than it can be is nothing: a part of it would be something else.
fn within(text: &str, limit: usize) -> Option<String> {
    (text.len() <= limit).then(|| text.to_owned())
}

/// RFC 4252 §5.4: lines of a banner end in CR LF; clients print it as it comes.
fn with_line_ends(banner: &str) -> String {
    banner.lines().map(|line| format!("{line}\r\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banner_has_whole_lines() {
        assert_eq!(with_line_ends("a\nb"), "a\r\nb\r\n");
    }
}
