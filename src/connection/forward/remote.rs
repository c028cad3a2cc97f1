//! What the client wants to be reached at from the session: `tcpip-forward` (RFC 4254 §7.1),
//! `streamlocal-forward@openssh.com`, and the agent.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use russh::server::{Handle, Msg};
use tokio::sync::Notify;

use super::forwarder::{Forwarder, Held};
use super::{Carried, Refusal, carry, endpoint, pipes, report_refusal, session};
use crate::connection::hold;
use crate::connection::run::Shared;
use crate::model::{Forwarding, Permits, escape};
use crate::sys::random;
use crate::wire::{Event, Outcome, Place, Record};

/// What the client asked for; a listener's name, too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::connection) enum Wish {
    /// The address as the client wrote it, and a port, 0 for any.
    Tcp(String, u32),
    /// A Unix socket's path.
    Unix(String),
    /// The client's agent.
    Agent,
}

/// The connection's listeners.
pub(super) struct Listeners {
    /// How many there may be.
    limit: usize,
    /// What ends each.
    all: Mutex<BTreeMap<Wish, Arc<Notify>>>,
    /// Where the agent's socket is.
    agent: Mutex<Option<String>>,
}

impl Listeners {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            all: Mutex::default(),
            agent: Mutex::default(),
        }
    }
}

impl Wish {
    fn kind(&self) -> &'static str {
        match self {
            Self::Tcp(..) => "tcpip-forward",
            Self::Unix(_) => "streamlocal-forward@openssh.com",
            Self::Agent => "auth-agent-req@openssh.com",
        }
    }

    /// Of the channels that come of it.
    fn channel_kind(&self) -> &'static str {
        match self {
            Self::Tcp(..) => "forwarded-tcpip",
            Self::Unix(_) => "forwarded-streamlocal@openssh.com",
            Self::Agent => "auth-agent@openssh.com",
        }
    }

    fn shown(&self) -> Option<String> {
        match self {
            Self::Tcp(address, port) => Some(endpoint(address, *port)),
            Self::Unix(path) => Some(escape(path.as_bytes(), super::WORD_BYTES)),
            Self::Agent => None,
        }
    }
}

impl Shared {
    /// Listens in the session for what the client wishes. The port, 0 where there is none; none where it is refused.
    pub(in crate::connection) async fn listen(
        self: &Arc<Self>,
        handle: Handle,
        wish: Wish,
    ) -> Option<u16> {
        match self.begin_listening(handle, &wish).await {
            Ok(port) => Some(port),
            Err(Refusal { reason, .. }) => {
                report_refusal(self, None, wish.kind(), wish.shown(), reason).await;
                None
            }
        }
    }

    /// The path of the socket behind which the client's agent is; none where it is refused.
    pub(in crate::connection) async fn agent(self: &Arc<Self>, handle: Handle) -> Option<String> {
        let known = hold(&self.forwards.listeners.agent).clone();
        if known.is_some() {
            return known;
        }
        self.listen(handle, Wish::Agent).await?;
        hold(&self.forwards.listeners.agent).clone()
    }

    /// Ends a listener; false where there is none.
    pub(in crate::connection) fn cancel(&self, wish: &Wish) -> bool {
        let stop = hold(&self.forwards.listeners.all).remove(wish);
        let found = stop.is_some();
        if let Some(stop) = stop {
            stop.notify_one();
        }
        found
    }

    async fn begin_listening(
        self: &Arc<Self>,
        handle: Handle,
        wish: &Wish,
    ) -> Result<u16, Refusal> {
        let session = session(self).await?;
        let place = place(wish, session.forwarding)?;
        let asked = match wish {
            Wish::Tcp(address, port) => Some((address.as_str(), u16::try_from(*port).unwrap_or(0))),
            Wish::Unix(_) | Wish::Agent => None,
        };
        let permitted = |permits: &Permits| *wish == Wish::Agent || permits.may_listen(asked);
        if !self.permits().is_some_and(permitted) {
            return Err(Refusal::prohibited("not among the key's permitlisten"));
        }
        let listeners = &self.forwards.listeners;
        if hold(&listeners.all).len() >= listeners.limit {
            let reason = format!("more than {} listeners", listeners.limit);
            return Err(Refusal::short(reason));
        }
        let forwarder = self.forwards.forwarder(self, &session).await?;
        let path = match &place {
            Place::Unix(path) => Some(path.clone()),
            Place::Tcp { .. } => None,
        };
        let (held, port) = forwarder.listen(place).await?;
        let (stop, name) = (Arc::new(Notify::new()), bound(wish, port));
        match wish {
            Wish::Agent => *hold(&listeners.agent) = path.clone(),
            Wish::Tcp(..) | Wish::Unix(_) => {}
        }
        hold(&listeners.all).insert(name.clone(), Arc::clone(&stop));
        let event = Event::ForwardOpen {
            kind: wish.kind().to_owned(),
            at: path.or_else(|| name.shown()),
        };
        let record = Record::new(event).outcome(Outcome::Good);
        self.reports.report(record).await;
        let listening = Listening {
            shared: Arc::clone(self),
            handle,
            forwarder: Arc::clone(forwarder),
            held,
            wish: name,
            stop,
        };
        self.spawn(listening.run());
        Ok(port)
    }
}

/// The wish with the port that it was given.
fn bound(wish: &Wish, port: u16) -> Wish {
    match wish {
        Wish::Tcp(address, _) => Wish::Tcp(address.clone(), port.into()),
        other => other.clone(),
    }
}

/// Where to listen, if that may be.
fn place(wish: &Wish, granted: Forwarding) -> Result<Place, Refusal> {
    let (may, what) = match wish {
        Wish::Tcp(..) | Wish::Unix(_) => (granted.remote, "remote"),
        Wish::Agent => (granted.agent, "agent"),
    };
    if !may {
        let reason = format!("{what} forwarding is not offered");
        return Err(Refusal::prohibited(&reason));
    }
    match wish {
        Wish::Tcp(address, port) => {
            let port = u16::try_from(*port).map_err(|_| Refusal::prohibited("not a port"))?;
            let addresses = addresses(address, granted.gateway_ports)
                .ok_or_else(|| Refusal::prohibited("not an address"))?;
            Ok(Place::Tcp { addresses, port })
        }
        Wish::Unix(path) => Ok(Place::Unix(path.clone())),
        // In the session's own /tmp, under a name that nothing else has.
        Wish::Agent => {
            let mut name = [0; 8];
            random::fill(&mut name).map_err(|_| Refusal::short("no random name".to_owned()))?;
            let name = u64::from_ne_bytes(name);
            Ok(Place::Unix(format!("/tmp/ssh-agent-{name:016x}")))
        }
    }
}

/// RFC 4254 §7.1, and as sshd_config(5) has GatewayPorts: without it, on the loopback interface, whatever the client asks for.
fn addresses(asked: &str, gateway_ports: bool) -> Option<Vec<IpAddr>> {
    let loopback = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    if !gateway_ports {
        return Some(loopback);
    }
    match asked {
        "localhost" => Some(loopback),
        "" | "*" => Some(vec![
            Ipv4Addr::UNSPECIFIED.into(),
            Ipv6Addr::UNSPECIFIED.into(),
        ]),
        address => address.parse().ok().map(|address| vec![address]),
    }
}

/// A listener's task.
struct Listening {
    shared: Arc<Shared>,
    handle: Handle,
    forwarder: Arc<Forwarder>,
    held: Held,
    /// Its name, with its port.
    wish: Wish,
    stop: Arc<Notify>,
}

impl Listening {
    async fn run(self) {
        let mut accepted = 0;
        let accepting = async {
            // Room first: whoever finds none waits in the kernel's queue.
            while let Ok(place) = Arc::clone(&self.shared.forwards.places)
                .acquire_owned()
                .await
            {
                let Ok((stream, from)) = self.forwarder.accept(&self.held).await else {
                    return;
                };
                accepted += 1;
                let incoming = Incoming {
                    shared: Arc::clone(&self.shared),
                    handle: self.handle.clone(),
                    forwarder: Arc::clone(&self.forwarder),
                    stream,
                    wish: self.wish.clone(),
                    from,
                };
                self.shared.spawn(async move {
                    incoming.run().await;
                    drop(place);
                });
            }
        };
        tokio::select! {
            biased;
            () = self.stop.notified() => {}
            _ = self.shared.ending.wait() => {}
            () = accepting => {}
        }
        hold(&self.shared.forwards.listeners.all).remove(&self.wish);
        let event = Event::ForwardClose {
            kind: self.wish.kind().to_owned(),
            at: self.wish.shown(),
            accepted,
        };
        self.shared.reports.report(Record::new(event)).await;
    }
}

/// Somebody in the session, or whom it lets in, connected to a listener.
struct Incoming {
    shared: Arc<Shared>,
    handle: Handle,
    forwarder: Arc<Forwarder>,
    stream: Held,
    wish: Wish,
    from: Option<SocketAddr>,
}

impl Incoming {
    async fn run(self) {
        let ending = self.shared.ending.clone();
        // A client that never answers holds a place among the channels, and nothing else.
        let opened = tokio::select! {
            biased;
            _ = ending.wait() => return,
            opened = open(&self.handle, &self.wish, self.from) => opened,
        };
        let kind = self.wish.channel_kind();
        let target = self.wish.shown();
        let channel = match opened {
            Ok(channel) => channel,
            Err(_) => {
                let reason = "the client does not take it".to_owned();
                report_refusal(&self.shared, None, kind, target, reason).await;
                return;
            }
        };
        let id = channel.id();
        let (read_half, writer) = channel.split();
        // Input comes through `Callbacks::data`.
        drop(read_half);
        let of = self.shared.opened(id);
        let taken = async {
            let (ends, theirs) = pipes()?;
            self.forwarder.take(self.stream, theirs).await?;
            Ok::<_, Refusal>(ends)
        };
        match taken.await {
            Ok(ends) => {
                let carried = Carried {
                    kind,
                    target,
                    origin: self.from.map(|from| from.to_string()),
                };
                let recorded = carried.report(&self.shared, of.number()).await;
                carry(&self.shared, &self.handle, &of, &writer, ends, recorded).await;
            }
            Err(Refusal { reason, .. }) => {
                self.handle.close(id).await.ok();
                self.shared.forget(id);
                report_refusal(&self.shared, Some(of.number()), kind, target, reason).await;
            }
        }
    }
}

async fn open(
    handle: &Handle,
    wish: &Wish,
    from: Option<SocketAddr>,
) -> Result<russh::Channel<Msg>, russh::Error> {
    match wish {
        Wish::Tcp(address, port) => {
            let (ip, origin) = from.map_or_else(
                || (String::new(), 0),
                |from| (from.ip().to_string(), from.port().into()),
            );
            handle
                .channel_open_forwarded_tcpip(address.clone(), *port, ip, origin)
                .await
        }
        Wish::Unix(path) => {
            handle
                .channel_open_forwarded_streamlocal(path.clone())
                .await
        }
        Wish::Agent => handle.channel_open_agent().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Forwarding = Forwarding {
        local: true,
        remote: true,
        agent: true,
        gateway_ports: false,
    };

    #[test]
    fn without_gateway_ports_all_is_on_loopback() {
        let loopback: Vec<IpAddr> = ["127.0.0.1", "::1"].map(|a| a.parse().unwrap()).into();
        for asked in ["", "*", "localhost", "0.0.0.0", "::", "192.0.2.1", "x y"] {
            assert_eq!(addresses(asked, false).unwrap(), loopback, "{asked}");
        }
        let all: Vec<IpAddr> = ["0.0.0.0", "::"].map(|a| a.parse().unwrap()).into();
        assert_eq!(addresses("", true).unwrap(), all);
        assert_eq!(addresses("*", true).unwrap(), all);
        assert_eq!(addresses("localhost", true).unwrap(), loopback);
        let one: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap()];
        assert_eq!(addresses("192.0.2.1", true).unwrap(), one);
        assert_eq!(addresses("x y", true), None);
    }

    #[test]
    fn what_is_not_granted_has_no_place() {
        let tcp = Wish::Tcp(String::new(), 0);
        let unix = Wish::Unix("/tmp/x".to_owned());
        for wish in [&tcp, &unix] {
            assert!(place(wish, ALL).is_ok());
            let without = Forwarding {
                remote: false,
                ..ALL
            };
            assert!(place(wish, without).is_err(), "{wish:?}");
        }
        assert!(place(&Wish::Agent, ALL).is_ok());
        let without = Forwarding {
            agent: false,
            ..ALL
        };
        assert!(place(&Wish::Agent, without).is_err());
        assert!(place(&Wish::Tcp(String::new(), 65_536), ALL).is_err());
    }

    #[test]
    fn each_agent_has_a_name_of_its_own() {
        let [a, b] = [Wish::Agent, Wish::Agent].map(|wish| place(&wish, ALL).unwrap());
        assert_ne!(a, b);
    }
}
