//! The command line of `hassio-sshd audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::model::SessionId;

/// The arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// What to do with it.
    #[command(subcommand)]
    pub command: AuditCommand,
}

const READING: &str = "Exit status: 0 done; 1 something could not be read, or was not found: what could be read was shown, and \
    stderr says what could not; 2 the command line cannot be used.";

/// What can be done with the audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List sessions, records, or logins that failed
    #[command(
        long_about = "Lists the sessions that fit, the newest last: when each began, how long it was, who, from where, with \
        which key, how it ended, how many programs it ran, calls it made, refusals it met, and files it handled over SFTP.\n\n\
        All filters that are given must fit. A session fits a span of time in which it was running. With --type or \
        --text a session fits if it has a record that fits both. With --records the records themselves are listed, those \
        of the ledger as well; with --failed the connections that did not log in.\n\n\
        Times are shown in the zone of TZ or of this machine; with --json they are as recorded, in UTC.",
        after_help = READING,
        after_long_help = "Examples:\n  \
        hassio-sshd audit list --since 1d\n  \
        hassio-sshd audit list --key anna --text secrets.yaml\n  \
        hassio-sshd audit list --records --type api.,policy.deny --since yesterday\n  \
        hassio-sshd audit list --failed --source 203.0.113.0/24\n  \
        hassio-sshd audit list --json | jq -r 'select(.denials > 0) | .sid'\n\n\
        Exit status: 0 done, also if nothing fits; 1 something could not be read: the rest is listed, and stderr says what \
        could not; 2 the command line cannot be used."
    )]
    List(ListArguments),
    /// Show what happened in a session
    #[command(
        long_about = "Shows one session as a timeline: how long after its beginning each thing happened, indented by \
        channel. Programs with their ends, calls of the API with what was decided and answered, files over SFTP, refusals, \
        recordings. The login itself is shown too, from the ledger.",
        after_help = READING
    )]
    Show(ShowArguments),
    /// Print the newest records, and follow the trail as it grows
    #[command(
        long_about = "Prints the newest records that fit; with -f further ones as they are written, of the ledger and of \
        every session, until Ctrl-C. New sessions and new segments of the ledger are found.",
        after_help = READING
    )]
    Tail(TailArguments),
    /// Check that the trail is as it was written and that all of it is there
    #[command(
        long_about = "Reads every file of the audit trail and gives two verdicts. Integrity: whether each record is as it \
        was written and follows the one before it, and each checkpoint is signed with the key of its time. Completeness: \
        whether every session that the ledger knows of is there, up to the last record that was on the disk. Only reads; \
        the server may be running.\n\n\
        Who is root on this machine can take the last hours back to an older copy, keys and all. That shows against a \
        checkpoint that has left the machine: the server's log has one at the end of each session.",
        after_help = "Exit status: 0 intact; 10 a chain is broken (the file, the record's number, what was expected and \
        what was found are named); 11 something is missing; 12 a signature is not that of the key of its time; 13 only a \
        torn tail after a crash, past what was on the disk; 1 something cannot be read; 2 the command line cannot be used. \
        Of several the first of 10, 12, 11, 1, 13."
    )]
    Verify(VerifyArguments),
    /// Play what a session's terminal showed
    #[command(
        long_about = "Plays a session's recordings in this terminal, one channel after another. What reaches the terminal \
        is text, colours, the movement of the cursor and erasing, and nothing else: no titles, no clipboard, no \
        questions, no links, no modes. Ctrl-C ends it and leaves the terminal as it should be. Where standard output \
        is no terminal, nothing is waited for.\n\n\
        A recording that is damaged is played up to the damage.",
        after_help = READING
    )]
    Replay(ReplayArguments),
    /// Delete recordings: one, a session's, or those of all sessions that fit
    #[command(
        long_about = "Deletes recordings, as where a password was shown, or a user wants his to be gone: of one session, or of \
        all sessions that fit the filters. Records stay. The deletion is itself on record, with what and how much it was, so \
        the trail verifies as complete; who asked for it is root, and not known any better.\n\n\
        The server does it, within seconds, or when it runs again. Recordings of a session that is open stay: \
        end it first.",
        after_long_help = "Examples:\n  \
        hassio-sshd audit erase 01a20d03-2a16 3\n  \
        hassio-sshd audit erase --key SHA256:+Y4WkCxKUD3ujRICn --until 2026-11-24\n\n\
        Exit status: 0 all are deleted; 1 some are not, or not yet, or there are none; 2 the command line cannot be used.",
        group = clap::ArgGroup::new("what").required(true).multiple(true)
            .args(["session_id", "user", "key", "source", "since", "until", "types", "text"])
    )]
    Erase(EraseArguments),
    /// Write records or a recording in a format of other programs
    #[command(
        long_about = "Writes what is on record so that other programs read it, to standard output or to a new file.\n\n\
        --format ocsf: the records that fit, the oldest first, each as an event of the Open Cybersecurity Schema \
        Framework, version 1.8.0: JSON Lines. Filters are those of `list --records`. What the schema has no attribute \
        for is in `unmapped`, with the record's number and hash; no type of records is left out, but those by which the \
        trail vouches for itself only come where --type asks for them.\n\n\
        --format asciicast-v2 SESSION [CHANNEL]: one recording, for players that do not know version 3 of asciicast, in \
        which it is kept. How its program ended becomes a marker; the exact bytes of what is no UTF-8 are left out.\n\n\
        What is written drives no terminal. Only reads the trail; the server may be running.",
        after_help = READING,
        after_long_help = "Examples:\n  \
        hassio-sshd audit export --format ocsf --since yesterday --until yesterday --out yesterday.jsonl\n  \
        hassio-sshd audit export --format ocsf --type api.,policy.deny | jq -c 'select(.action_id == 2)'\n  \
        hassio-sshd audit export --format asciicast-v2 last 0 --out session.cast\n\n\
        Exit status: 0 done, also if nothing fits; 1 something could not be read, or the file is there already: what could \
        be read was written, and stderr says what could not; 2 the command line cannot be used."
    )]
    Export(ExportArguments),
}

/// Where the trail is.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct TrailArguments {
    /// The server's data directory; the trail is in its folder `audit`
    #[arg(long, value_name = "PATH", default_value = "/data")]
    pub data_dir: PathBuf,
}

/// What to look for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Filters")]
pub struct FilterArguments {
    /// The SSH user
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A part of the key's fingerprint or comment
    #[arg(long, value_name = "TEXT")]
    pub key: Option<String>,
    /// The client's address, or a network it is in
    #[arg(long, value_name = "ADDRESS[/BITS]")]
    pub source: Option<String>,
    /// Not before: RFC 3339, 2026-11-24, '2026-11-24 08:30', today, yesterday, or how long ago: 90m, 2h, 3d, 1w
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Not after; a day is meant with all of it
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
    /// A record's type, such as `exec`, or how it begins: `sftp.`; several with commas
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub types: Vec<String>,
    /// A part of some text of a record: a command, a path, a reason
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// Upper and lower case are the same in --text (of A to Z)
    #[arg(short, long, requires = "text")]
    pub ignore_case: bool,
    /// This session: its id, the beginning of it, or `last`
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
}

/// The arguments of `audit list`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ListArguments {
    /// Where the trail is.
    #[command(flatten)]
    pub trail: TrailArguments,
    /// What to look for.
    #[command(flatten)]
    pub filter: FilterArguments,
    /// The newest N alone
    #[arg(short, value_name = "N")]
    pub number: Option<usize>,
    /// List records in place of sessions
    #[arg(long, conflicts_with = "failed")]
    pub records: bool,
    /// List the connections that did not log in
    #[arg(long, conflicts_with = "session")]
    pub failed: bool,
    /// Print JSON Lines
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `audit erase`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct EraseArguments {
    /// Where the trail is.
    #[command(flatten)]
    pub trail: TrailArguments,
    /// The session's id, the beginning of it, or `last`
    #[arg(id = "session_id", value_name = "SESSION", conflicts_with_all = ["user", "key", "source", "since", "until", "types", "text"])]
    pub session: Option<String>,
    /// The channel's number, or NUMBER.N for a further recording of it [default: all]
    #[arg(requires = "session_id")]
    pub channel: Option<String>,
    /// What sessions are meant.
    #[command(flatten)]
    pub filter: FilterArguments,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// The arguments of `audit show`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ShowArguments {
    /// Where the trail is.
    #[command(flatten)]
    pub trail: TrailArguments,
    /// The session's id, the beginning of it, or `last`
    pub session: String,
    /// Print JSON Lines: the session in short, then its records as they are
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `audit tail`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct TailArguments {
    /// Where the trail is.
    #[command(flatten)]
    pub trail: TrailArguments,
    /// What to look for.
    #[command(flatten)]
    pub filter: FilterArguments,
    /// How many of the newest records to begin with
    #[arg(short, value_name = "N", default_value_t = 10)]
    pub number: usize,
    /// Go on with what is written from now on
    #[arg(short, long)]
    pub follow: bool,
    /// Print the records' JSON
    #[arg(long)]
    pub json: bool,
}

/// In which format something is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Records, as events of the Open Cybersecurity Schema Framework
    Ocsf,
    /// A recording, as asciicast of version 2
    AsciicastV2,
}

/// The arguments of `audit export`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ExportArguments {
    /// Where the trail is.
    #[command(flatten)]
    pub trail: TrailArguments,
    /// What to write
    #[arg(long, value_name = "FORMAT")]
    pub format: ExportFormat,
    /// Of a recording: the session's id, the beginning of it, or `last`
    #[arg(value_name = "SESSION", required_if_eq("format", "asciicast-v2"))]
    pub recorded: Option<String>,
    /// Of a recording: the channel's number, or NUMBER.N for a further recording of it [default: the only one]
    pub channel: Option<String>,
    /// Write to this file, which must not be there yet; only its owner can read it
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Which records.
    #[command(flatten)]
    pub filter: FilterArguments,
}

/// The arguments of `audit verify`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct VerifyArguments {
    /// The server's data directory; the trail is in its folder `audit`
    #[arg(long, value_name = "PATH", default_value = "/data")]
    pub data_dir: PathBuf,
    /// Check this session alone, and the ledger
    #[arg(long, value_name = "ID")]
    pub session: Option<SessionId>,
    /// Check that the ledger holds what this checkpoint vouches for: a file with the note, or with the server's log line
    /// that holds it; `-` reads standard input
    #[arg(long, value_name = "NOTE")]
    pub against: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `audit replay`.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct ReplayArguments {
    /// Where the trail is.
    #[command(flatten)]
    pub trail: TrailArguments,
    /// The session's id, the beginning of it, or `last`
    pub session: String,
    /// The channel's number, or NUMBER.N for a further recording of it [default: all, one after another]
    pub channel: Option<String>,
    /// How many times as fast
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = speed)]
    pub speed: f64,
    /// Wait no longer than so many seconds for what comes next
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    pub idle_limit: f64,
    /// End after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub max: Option<f64>,
}

fn speed(text: &str) -> Result<f64, String> {
    let factor: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    if (0.01..=1000.0).contains(&factor) {
        Ok(factor)
    } else {
        Err("must be from 0.01 to 1000".to_owned())
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    if (0.0..=1_000_000.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("must be from 0 to 1000000".to_owned())
    }
}
