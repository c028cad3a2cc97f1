//! Who the client is: each attempt to log in is keys' to judge; what the client is told of it, and when, is decided here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use russh::server::{Auth, PublicKeyRequest};
use russh::{MethodKind, MethodSet};
use ssh_key::Signature;
use tokio::time::{Instant, sleep_until};
use zeroize::Zeroizing;

use super::ending::End;
use super::keys::{Judgement, Keys, KeysError};
use super::run::Shared;
use crate::policy::ssh::Limits;
use crate::wire::{Fault, PasswordMethod};

/// The client's way to a login.
pub(super) struct Authentication {
    shared: Arc<Shared>,
    keys: Keys,
    methods: MethodSet,
    /// Whether the client has asked to be authenticated.
    asked: bool,
    standing: Standing,
    /// How long a wrong credential takes, and an offered key that does not do.
    failure_delay: Duration,
    offer_delay: Duration,
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

impl Authentication {
    pub(super) fn new(
        shared: Arc<Shared>,
        keys: Keys,
        methods: MethodSet,
        limits: &Limits,
    ) -> Self {
        Self {
            shared,
            keys,
            methods,
            asked: false,
            standing: Standing::Refused,
            failure_delay: Duration::from_millis(limits.failure_delay_ms),
            offer_delay: Duration::from_millis(limits.offer_delay_ms),
        }
    }

    /// keys signs the exchange hash.
    pub(super) async fn sign(&mut self, exchange_hash: &[u8]) -> Result<Signature, KeysError> {
        self.keys.sign(exchange_hash).await
    }

    /// keys proves that host keys are this server's, if they are.
    pub(super) async fn prove(
        &mut self,
        host_keys: Vec<Vec<u8>>,
    ) -> Result<Option<Vec<Vec<u8>>>, KeysError> {
        self.keys.prove(host_keys).await
    }

    pub(super) async fn none(&mut self, user: &str) -> Result<Auth, KeysError> {
        // Clients begin so, to learn the methods (RFC 4252 §5.2): nothing was tried. Later it is a guess like any other.
        if self.asked {
            self.fail(user, "none", Fault::Method).await?;
        }
        self.asked();
        Ok(self.rejection())
    }

    pub(super) async fn password(&mut self, user: &str, password: &str) -> Result<Auth, KeysError> {
        let arrived = self.asked();
        self.attempt();
        let by = PasswordMethod::Password;
        let judgement = self.keys.password(user, password, by).await?;
        Ok(self.answer(judgement, arrived, self.failure_delay).await)
    }

    /// Every publickey request comes here first, as it was received. russh's own verdict comes after keys' good one; it
    /// ends the connection where the two are not of one mind.
    pub(super) async fn public_key_request(
        &mut self,
        user: &str,
        request: PublicKeyRequest<'_>,
    ) -> Result<Option<Auth>, KeysError> {
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
        if matches!(judgement, Judgement::Good | Judgement::Granted(_)) {
            self.standing = good;
        }
        Ok(Some(self.answer(judgement, arrived, delay).await))
    }

    /// Whether a key that is offered would do.
    pub(super) fn offered(&self) -> Auth {
        match self.standing {
            Standing::Acceptable | Standing::Granted => Auth::Accept,
            Standing::Refused => self.rejection(),
        }
    }

    /// Whether the signature that russh found good is good.
    pub(super) fn verified(&self) -> Auth {
        match self.standing {
            Standing::Granted => Auth::Accept,
            Standing::Acceptable | Standing::Refused => self.rejection(),
        }
    }

    /// A method that is not offered.
    pub(super) async fn unsupported(
        &mut self,
        user: &str,
        method: &str,
    ) -> Result<MethodSet, KeysError> {
        let fault = match method {
            "password" => Fault::PasswordChange,
            _ => Fault::Method,
        };
        self.fail(user, method, fault).await?;
        Ok(self.methods.clone())
    }

    /// RFC 4256: a request is answered with the one question, whoever asks; the answer is judged as a password.
    pub(super) async fn keyboard_interactive(
        &mut self,
        user: &str,
        response: Option<impl Iterator<Item = Bytes>>,
    ) -> Result<Auth, KeysError> {
        let by = PasswordMethod::KeyboardInteractive;
        if !self.methods.contains(&MethodKind::KeyboardInteractive) {
            self.fail(user, by.name(), Fault::Method).await?;
            return Ok(self.rejection());
        }
        let Some(mut answers) = response else {
            self.asked();
            return Ok(question());
        };
        let answer = match (answers.next(), answers.next()) {
            (Some(answer), None) => String::from_utf8(answer.to_vec()).ok(),
            (_, _) => None,
        };
        let Some(answer) = answer.map(Zeroizing::new) else {
            self.fail(user, by.name(), Fault::Answers).await?;
            return Ok(self.rejection());
        };
        let arrived = self.asked();
        self.attempt();
        let judgement = self.keys.password(user, &answer, by).await?;
        Ok(self.answer(judgement, arrived, self.failure_delay).await)
    }

    pub(super) fn succeeded(&self) {
        self.shared.authenticated.notify_one();
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
            Judgement::Granted(permits) => {
                self.shared.permit(permits);
                Auth::Accept
            }
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
    async fn fail(&mut self, user: &str, method: &str, fault: Fault) -> Result<(), KeysError> {
        let arrived = self.asked();
        self.attempt();
        let judgement = self.keys.failed(user, method, fault).await?;
        self.answer(judgement, arrived, self.failure_delay).await;
        Ok(())
    }
}

/// What sshd asks for a password. What is typed is not to be shown.
fn question() -> Auth {
    Auth::Partial {
        name: "".into(),
        instructions: "".into(),
        prompts: vec![("Password: ".into(), false)].into(),
    }
}
