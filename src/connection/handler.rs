//! What russh calls: who the client is, and what it wants. Nothing here waits for a session or a program; that is the
//! programs' own tasks' business.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use russh::server::{
    Auth, ChannelOpenHandle, ExchangeToSign, Handler, Msg, PublicKeyOffer, PublicKeyRequest,
    Response, Session, VerifiedPublicKey,
};
use russh::{ChannelId, ChannelOpenFailure, MethodSet, Pty, Sig};
use ssh_key::Signature;
use tokio::time::{Instant, sleep_until};

use super::channel::{Channel, Resized, Setting, is_runnable};
use super::ending::End;
use super::keys::{Judgement, Keys, KeysError};
use super::report::Rate;
use super::run::Shared;
use super::running::Run;
use super::session::Progress;
use super::terminal::{TerminalRequest, checked_term};
use crate::model::{Program, Signal, WindowSize, escape};
use crate::policy::ssh::Limits;
use crate::wire::limits::{CHANNELS, COMMAND_BYTES};
use crate::wire::{ConnectionToInit, Event, Fault, Outcome, Record};

/// How many refusals, variables and signals are recorded in a second; a client causes them at will.
const RECORDED_WISHES: u32 = 20;
/// How much of a peer's word a record keeps.
const WORD_BYTES: usize = 256;

/// The connection as russh's callbacks see it.
pub(super) struct Callbacks {
    shared: Arc<Shared>,
    keys: Keys,
    methods: MethodSet,
    banner: Option<String>,
    /// Whether the client has asked to be authenticated.
    asked: bool,
    standing: Standing,
    /// How long a wrong credential takes, and an offered key that does not do.
    failure_delay: Duration,
    offer_delay: Duration,
    window_bytes: u32,
    wishes: Rate,
}

/// What keys says of the publickey request that russh is about to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Refused,
    /// The key would do.
    Acceptable,
    /// The signature is good.
    Granted,
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
        banner: &str,
        limits: &Limits,
    ) -> Self {
        Self {
            shared,
            keys,
            methods,
            banner: (!banner.is_empty()).then(|| with_line_ends(banner)),
            asked: false,
            standing: Standing::Refused,
            failure_delay: Duration::from_millis(limits.failure_delay_ms),
            offer_delay: Duration::from_millis(limits.offer_delay_ms),
            window_bytes: limits.window_bytes,
            wishes: Rate::per_second(RECORDED_WISHES),
        }
    }

    /// russh would take the method off the list if it were not told otherwise.
    fn rejection(&self) -> Auth {
        Auth::Reject {
            proceed_with_methods: Some(self.methods.clone()),
            partial_success: false,
        }
    }

    /// Rejects at a fixed time after the request came, so that how long the decision took is not to be seen.
    async fn reject(&self, arrived: Instant, delay: Duration) -> Auth {
        sleep_until(arrived + delay).await;
        self.rejection()
    }

    /// What the client is answered. After the last refusal it is also disconnected.
    async fn answer(&self, judgement: Judgement, arrived: Instant, delay: Duration) -> Auth {
        match judgement {
            Judgement::Good => Auth::Accept,
            Judgement::Bad => self.reject(arrived, delay).await,
            Judgement::Last => {
                let rejection = self.reject(arrived, self.failure_delay).await;
                self.shared.ending.end(End::TooMany);
                rejection
            }
        }
    }

    /// A request to be authenticated; when it came.
    fn asked(&mut self) -> Instant {
        self.asked = true;
        self.standing = Standing::Refused;
        Instant::now()
    }

    fn attempt(&self) {
        self.shared.attempts.fetch_add(1, Ordering::Relaxed);
    }

    /// Rejects an attempt that fails whoever makes it. keys counts it and puts it on record.
    async fn fail(&mut self, user: &str, method: &str, fault: Fault) -> Result<(), TransportError> {
        let arrived = self.asked();
        self.attempt();
        let judgement = self.keys.failed(user, method, fault).await?;
        self.answer(judgement, arrived, self.failure_delay).await;
        Ok(())
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
        };
        self.report_wish(channel, event, Outcome::Bad).await;
        reply
            .reject(ChannelOpenFailure::AdministrativelyProhibited)
            .await;
        Ok(())
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
        let signature = self.keys.sign(exchange.exchange_hash).await?;
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
        // Clients begin so, to learn the methods (RFC 4252 §5.2): nothing was tried. Later it is a guess like any other.
        if self.asked {
            self.fail(user, "none", Fault::Method).await?;
        }
        self.asked();
        Ok(self.rejection())
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, TransportError> {
        let arrived = self.asked();
        self.attempt();
        let judgement = self.keys.password(user, password).await?;
        Ok(self.answer(judgement, arrived, self.failure_delay).await)
    }

    /// Every publickey request comes here first, as it was received. russh's own verdict comes after keys' good one; it
    /// ends the connection where the two are not of one mind.
    async fn auth_publickey_request(
        &mut self,
        user: &str,
        request: PublicKeyRequest<'_>,
    ) -> Result<Option<Auth>, TransportError> {
        let arrived = self.asked();
        let (session_id, bytes) = (request.session_id, request.request);
        let (judgement, good, delay) = match request.signature {
            None => {
                let judgement = self.keys.offer(user, bytes).await?;
                (judgement, Standing::Acceptable, self.offer_delay)
            }
            Some(signature) => {
                self.attempt();
                let keys = &mut self.keys;
                let judgement = keys.public_key(user, session_id, bytes, signature).await?;
                (judgement, Standing::Granted, self.failure_delay)
            }
        };
        if judgement == Judgement::Good {
            self.standing = good;
        }
        Ok(Some(self.answer(judgement, arrived, delay).await))
    }

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        _offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, TransportError> {
        Ok(match self.standing {
            Standing::Acceptable | Standing::Granted => Auth::Accept,
            Standing::Refused => self.rejection(),
        })
    }

    async fn auth_publickey(
        &mut self,
        _user: &str,
        _key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, TransportError> {
        Ok(match self.standing {
            Standing::Granted => Auth::Accept,
            Standing::Acceptable | Standing::Refused => self.rejection(),
        })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        _response: Option<Response<'a>>,
    ) -> Result<Auth, TransportError> {
        self.fail(user, "keyboard-interactive", Fault::Method)
            .await?;
        Ok(self.rejection())
    }

    async fn auth_unsupported(
        &mut self,
        user: &str,
        method: &str,
    ) -> Result<Option<MethodSet>, TransportError> {
        let fault = match method {
            "password" => Fault::PasswordChange,
            _ => Fault::Method,
        };
        self.fail(user, method, fault).await?;
        Ok(Some(self.methods.clone()))
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), TransportError> {
        self.shared.authenticated.notify_one();
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: russh::Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), TransportError> {
        let id = channel.id();
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
            self.report_wish(id, Event::ChannelRefuse { kind, reason }, Outcome::Bad)
                .await;
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
        _host: &str,
        _port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), TransportError> {
        self.refuse_channel(channel.id(), reply, "direct-tcpip")
            .await
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
        _path: &str,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), TransportError> {
        self.refuse_channel(channel.id(), reply, "direct-streamlocal@openssh.com")
            .await
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _session: &mut Session,
    ) -> Result<(), TransportError> {
        let Some(of) = self.shared.channel(channel) else {
            return Ok(());
        };
        if of.is_idle() {
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
        let outcome = if of.is_some_and(|of| of.want_terminal(wish)) {
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
