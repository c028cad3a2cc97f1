//! Bounds on what a peer can make a process hold or wait for.

use std::time::Duration;

/// The longest message between two of our processes. An SSH request of 256 KiB never crosses as a whole: commands and
/// environment are cut or refused before.
pub const MESSAGE_BYTES: usize = 160 * 1024;

/// The most descriptors that any message carries: a connection's three links and its pidfd.
pub const MESSAGE_FDS: usize = 4;

/// The longest command line of an `exec` request. Linux refuses a single argument of 128 KiB (execve(2),
/// MAX_ARG_STRLEN).
pub const COMMAND_BYTES: usize = 128 * 1024 - 1;

/// The most environment variables that a channel may set, and the length of each name and value.
pub const ENV_COUNT: usize = 64;
/// See [`ENV_COUNT`].
pub const ENV_BYTES: usize = 1024;
/// How long all of them may be together, so that they fit into a message beside the longest command.
pub const ENV_TOTAL_BYTES: usize = 16 * 1024;

/// How much is told of a list of algorithms that has none of ours: those of OpenSSH's client are half as long.
pub const ALGORITHMS_BYTES: usize = 512;

/// The longest user name looked at; longer ones fail like any other wrong name.
pub const USER_BYTES: usize = 256;

/// How much of a method's name is told: those of RFC 4252 and its extensions are shorter.
pub const METHOD_BYTES: usize = 64;

/// The longest password looked at.
pub const PASSWORD_BYTES: usize = 1024;

/// The longest key blob, signed request or signature: an RSA key of 16384 bits and its certificate fit.
pub const AUTH_BLOB_BYTES: usize = 16 * 1024;

/// How many host keys are proven at once, and how often on one connection: OpenSSH's client asks once, for those that are
/// new to it.
pub const HOST_KEYS: usize = 4;
/// See [`HOST_KEYS`].
pub const PROOFS: u32 = 4;

/// Open channels on one connection; sshd_config(5) MaxSessions is 10.
pub const CHANNELS: usize = 16;

/// How long an answer of another of our processes is waited for.
pub const REPLY: Duration = Duration::from_secs(10);

/// How many readers of the audit trail run at a time; further questions are answered with "try again".
pub const READERS: usize = 4;

/// The largest record, with its newline.
pub const RECORD_BYTES: usize = 16 * 1024;

/// How much of a command a record keeps.
pub const RECORDED_COMMAND_BYTES: usize = 4 * 1024;

/// How much of what a client asked for, beside the command that its key runs: both fit a record.
pub const RECORDED_ASKED_BYTES: usize = 1024;

/// How much of a stream one part of a recording carries, and how much is gathered before it is passed on.
pub const RECORDING_PART_BYTES: usize = 16 * 1024;

/// How much of a terminal's output and input is recorded in a second, over a longer time: much more than anybody reads,
/// and less than half of what a slow disk takes. docs/audit.md.
pub const RECORDING_RATE_BYTES: u64 = 1024 * 1024;
/// How much at once: the whole of a long log, or a `find` over all of `/config`.
pub const RECORDING_BURST_BYTES: u64 = 8 * 1024 * 1024;
/// What each event counts beside its bytes.
pub const RECORDING_EVENT_BYTES: u64 = 64;

/// How long all recordings of a session may be as files that are not compressed yet.
pub const RECORDING_SESSION_BYTES: u64 = 64 * 1024 * 1024;
/// How many recordings a session may have: each is a file, and inodes run out too.
pub const RECORDINGS: u32 = 4096;

/// How much of a command's output is recorded from its beginning on, and how much of its end.
pub const RECORDING_HEAD_BYTES: usize = 256 * 1024;
/// See [`RECORDING_HEAD_BYTES`].
pub const RECORDING_TAIL_BYTES: usize = 64 * 1024;

/// Connections of one session to the broker.
pub const API_CONNECTIONS: usize = 32;

/// The head of a request to the broker, and each read of its body.
pub const API_HEAD_BYTES: usize = 64 * 1024;

/// The lines of its head behind the first; hyper takes no more.
pub const API_HEAD_LINES: usize = 100;

/// How long a head may take.
pub const API_HEAD: Duration = Duration::from_secs(30);

/// The longest JSON body of a request.
pub const API_BODY_BYTES: usize = 1024 * 1024;

/// How many values it may have: the options of an app have dozens, and each takes some hundred bytes, or several, once it is
/// read. Sixteen calls of each of 64 sessions fit into the broker's memory.
pub const API_BODY_NODES: usize = 2_000;

/// A longer body is a large one, of which a session may have one at a time.
pub const API_SMALL_BODY_BYTES: usize = 64 * 1024;

/// The longest answer of the Supervisor that is read as a whole; it takes no more in a request.
pub const API_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// The longest text of the Supervisor that is shown as an error.
pub const API_ERROR_BYTES: usize = 1024;

/// What may wait in the warden for one of the server's processes that does not read: more than all connections and
/// sessions at once need when that process is new. Each message may hold a descriptor, so their number is bounded too.
pub const OUTBOX_BYTES: usize = 1024 * 1024;
/// See [`OUTBOX_BYTES`].
pub const OUTBOX_MESSAGES: usize = 1024;
/// How long it may wait; then that process is ended and started again.
pub const OUTBOX_AGE: Duration = Duration::from_secs(10);
/// From this many messages on for keys or for audit no connection is accepted until all are taken: clients wait in the
/// kernel's backlog.
pub const OUTBOX_PAUSE: usize = 32;

/// How many messages of one link the warden hears before the others have their turn.
pub const TURN: usize = 64;

/// The longest host name that is looked up for a client, RFC 1035 §2.3.4.
pub const HOST_BYTES: usize = 255;
/// The longest path of a Unix socket, without its NUL; unix(7).
pub const SOCKET_PATH_BYTES: usize = 107;
/// How long a forwarded connection may take to be made, its name's look-up included.
pub const DIAL: Duration = Duration::from_secs(20);
/// Forwarded connections, under way or open, that a forwarder holds; the connection's own limit in policy/ssh.toml is lower.
pub const FORWARDED: usize = 256;
/// Listeners that a forwarder holds; as above.
pub const FORWARD_LISTENERS: usize = 64;
