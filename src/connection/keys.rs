use ssh_key::Signature;
use tokio::time::timeout;

use super::links::{AsyncLink, Slot};
use crate::model::{Permits, cut};
use crate::wire::limits::{AUTH_BLOB_BYTES, METHOD_BYTES, PASSWORD_BYTES, REPLY, USER_BYTES};
use crate::wire::{ConnectionToKeys, Fault, KeysToConnection, Link, LinkError, PasswordMethod};

/// keys' links as the warden renews them.
pub(super) type KeysLink = Link<ConnectionToKeys, KeysToConnection>;

/// The process that holds the secrets of authentication, asked one thing at a time.
#[derive(Debug)]
pub(super) struct Keys {
    link: AsyncLink<ConnectionToKeys, KeysToConnection>,
    renewed: Slot<KeysLink>,
}

/// Why there is no answer. It ends the connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error("no answer in time")]
    Late,
    #[error("cannot use the link to keys")]
    Link(#[from] LinkError),
    #[error("the answer does not fit the question")]
    Answer,
    #[error("the signature is none")]
    Signature(#[source] ssh_key::Error),
}

/// keys' judgement of what a client showed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Judgement {
    /// The key would do.
    Good,
    /// The login is good, and may do this.
    Granted(Permits),
    /// It does not do.
    Bad,
    /// Nor may the client try anything else.
    Last,
}

impl Keys {
    pub(super) fn new(link: KeysLink, renewed: Slot<KeysLink>) -> Result<Self, LinkError> {
        Ok(Self {
            link: AsyncLink::new(link)?,
            renewed,
        })
    }

    /// Has an exchange hash signed. Where keys is being restarted, waits for the new one.
    pub(super) async fn sign(&mut self, exchange_hash: &[u8]) -> Result<Signature, KeysError> {
        let request = ConnectionToKeys::Sign {
            exchange_hash: exchange_hash.to_vec(),
        };
        let answer = match self.ask(&request).await {
            Err(KeysError::Link(_)) => {
                let link = timeout(REPLY, self.renewed.wait()).await;
                self.link = AsyncLink::new(link.map_err(|_| KeysError::Late)?)?;
                self.ask(&request).await?
            }
            answer => answer?,
        };
        match answer {
            KeysToConnection::Signed(bytes) => {
                Signature::try_from(bytes.as_slice()).map_err(KeysError::Signature)
            }
            _ => Err(KeysError::Answer),
        }
    }

    /// Asks whether a key would do.
    pub(super) async fn offer(
        &mut self,
        user: &str,
        request: &[u8],
    ) -> Result<Judgement, KeysError> {
        if request.len() > AUTH_BLOB_BYTES {
            return self.failed(user, "publickey", Fault::Length).await;
        }
        let request = request.to_vec();
        match self.ask(&ConnectionToKeys::Offer { request }).await? {
            KeysToConnection::Acceptable => Ok(Judgement::Good),
            answer => refusal(&answer),
        }
    }

    /// Passes on a signed request.
    pub(super) async fn public_key(
        &mut self,
        user: &str,
        session_id: &[u8],
        request: &[u8],
        signature: &[u8],
    ) -> Result<Judgement, KeysError> {
        if request.len() > AUTH_BLOB_BYTES || signature.len() > AUTH_BLOB_BYTES {
            return self.failed(user, "publickey", Fault::Length).await;
        }
        let request = ConnectionToKeys::PublicKey {
            session_id: session_id.to_vec(),
            request: request.to_vec(),
            signature: signature.to_vec(),
        };
        granted(self.ask(&request).await?)
    }

    /// Passes on a password.
    pub(super) async fn password(
        &mut self,
        user: &str,
        password: &str,
        by: PasswordMethod,
    ) -> Result<Judgement, KeysError> {
        if user.len() > USER_BYTES || password.len() > PASSWORD_BYTES {
            return self.failed(user, by.name(), Fault::Length).await;
        }
        let request = ConnectionToKeys::Password {
            user: user.to_owned(),
            password: password.to_owned(),
            by,
        };
        granted(self.ask(&request).await?)
    }

    /// Has an attempt counted of which nothing is to be verified.
    pub(super) async fn failed(
        &mut self,
        user: &str,
        method: &str,
        fault: Fault,
    ) -> Result<Judgement, KeysError> {
        let request = ConnectionToKeys::Failed {
            user: cut(user, USER_BYTES).to_owned(),
            method: cut(method, METHOD_BYTES).to_owned(),
            fault,
        };
        refusal(&self.ask(&request).await?)
    }

    /// Has it proven that host keys are this server's: the signatures, or none where that cannot be.
    pub(super) async fn prove(
        &mut self,
        host_keys: Vec<Vec<u8>>,
    ) -> Result<Option<Vec<Vec<u8>>>, KeysError> {
        let count = host_keys.len();
        match self.ask(&ConnectionToKeys::Prove { host_keys }).await {
            Ok(KeysToConnection::Proven(signatures)) if signatures.len() == count => {
                Ok(Some(signatures))
            }
            // A keys that is being restarted will not know the session identifier.
            Ok(KeysToConnection::Unproven) | Err(KeysError::Link(_)) => Ok(None),
            Ok(_) => Err(KeysError::Answer),
            Err(error) => Err(error),
        }
    }

    async fn ask(&mut self, request: &ConnectionToKeys) -> Result<KeysToConnection, KeysError> {
        if let Some(link) = self.renewed.take() {
            self.link = AsyncLink::new(link)?;
        }
        let link = &self.link;
        let answer = timeout(REPLY, async {
            link.send(request, &[]).await?;
            link.recv().await
        });
        match answer.await {
            Ok(Ok((answer, fds))) if fds.is_empty() => Ok(answer),
            Ok(Ok((_, fds))) => Err(LinkError::Descriptors(fds.len()).into()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(KeysError::Late),
        }
    }
}

fn granted(answer: KeysToConnection) -> Result<Judgement, KeysError> {
    match answer {
        KeysToConnection::Granted(permits) => Ok(Judgement::Granted(permits)),
        answer => refusal(&answer),
    }
}

fn refusal(answer: &KeysToConnection) -> Result<Judgement, KeysError> {
    match answer {
        KeysToConnection::Refused => Ok(Judgement::Bad),
        KeysToConnection::TooMany => Ok(Judgement::Last),
        KeysToConnection::Signed(_)
        | KeysToConnection::Acceptable
        | KeysToConnection::Granted(_)
        | KeysToConnection::Proven(_)
        | KeysToConnection::Unproven => Err(KeysError::Answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Keys, Link<KeysToConnection, ConnectionToKeys>) {
        let (link, far) = Link::pair().unwrap();
        (Keys::new(link, Slot::new()).unwrap(), far)
    }

    #[tokio::test]
    async fn an_answer_of_another_kind_is_an_error() {
        let (mut keys, far) = pair();
        far.send(&KeysToConnection::Acceptable).unwrap();
        let answer = keys.password("root", "x", PasswordMethod::Password).await;
        assert!(matches!(answer, Err(KeysError::Answer)), "{answer:?}");
        far.send(&KeysToConnection::TooMany).unwrap();
        assert_eq!(
            keys.public_key("root", b"id", b"request", b"signature")
                .await
                .unwrap(),
            Judgement::Last
        );
    }

    #[tokio::test]
    async fn what_is_too_long_counts_and_is_not_passed_on() {
        let (mut keys, far) = pair();
        let long = vec![b'x'; AUTH_BLOB_BYTES + 1];
        let text = "x".repeat(PASSWORD_BYTES + 1);
        for _ in 0..5 {
            far.send(&KeysToConnection::Refused).unwrap();
        }
        for judgement in [
            keys.password("root", &text, PasswordMethod::Password).await,
            keys.password(&text, "x", PasswordMethod::KeyboardInteractive)
                .await,
            keys.offer("root", &long).await,
            keys.public_key("root", b"id", &long, b"").await,
            keys.public_key("root", b"id", b"", &long).await,
        ] {
            assert_eq!(judgement.unwrap(), Judgement::Bad);
        }
        for (name, method) in [
            (4, "password"),
            (USER_BYTES, "keyboard-interactive"),
            (4, "publickey"),
            (4, "publickey"),
            (4, "publickey"),
        ] {
            match far.recv().unwrap() {
                ConnectionToKeys::Failed {
                    user,
                    method: said,
                    fault: Fault::Length,
                } => assert_eq!((user.len(), said.as_str()), (name, method)),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn nothing_makes_a_login_of_an_attempt_that_failed() {
        let (mut keys, far) = pair();
        let granted = KeysToConnection::Granted(Permits::all());
        for answer in [granted, KeysToConnection::Acceptable] {
            far.send(&answer).unwrap();
            let judgement = keys.failed("root", "hostbased", Fault::Method).await;
            assert!(matches!(judgement, Err(KeysError::Answer)), "{judgement:?}");
        }
    }

    #[tokio::test]
    async fn signing_goes_on_with_a_restarted_keys() {
        let (link, far) = Link::pair().unwrap();
        let renewed = Slot::new();
        let mut keys = Keys::new(link, renewed.clone()).unwrap();
        drop(far);
        let (link, far) = Link::<KeysToConnection, ConnectionToKeys>::pair().unwrap();
        let blob = [
            [0, 0, 0, 11].as_slice(),
            b"ssh-ed25519",
            &[0, 0, 0, 64],
            &[1; 64],
        ]
        .concat();
        link.send(&KeysToConnection::Signed(blob)).unwrap();
        renewed.put(far);
        assert_eq!(keys.sign(&[0; 32]).await.unwrap().as_bytes(), [1; 64]);
    }
}
