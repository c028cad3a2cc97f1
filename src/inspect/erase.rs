use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use hassio_sshd::audit::erasure::Order;
use hassio_sshd::audit::read::replay::{Recording, recordings};
use hassio_sshd::audit::read::{SessionFile, Trail, sessions};
use hassio_sshd::config::EraseArguments;

use super::{Failure, filter, look, open, problems, say};
use crate::{FAILURE, USAGE};

/// How long a server that runs may take: it looks for orders every two seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// `audit erase`.
pub(super) fn erase(arguments: &EraseArguments) -> Result<u8, Failure> {
    let trail = open(&arguments.trail)?;
    let files = chosen(&trail, arguments)?;
    let mut found: Vec<Recording> = files
        .iter()
        .flat_map(|file| recordings(&trail, *file))
        .collect();
    if let Some(channel) = &arguments.channel {
        found.retain(|recording| recording.name() == *channel);
    }
    let status = problems(&trail);
    if found.is_empty() {
        say("there is no such recording: nothing was deleted");
        return Ok(FAILURE);
    }
    let names: Vec<String> = found.iter().map(Recording::as_recorded).collect();
    let question = format!(
        "{} of {} will be deleted, for good. Their records stay, and say that they are gone.",
        count(names.len(), "recording"),
        count(files.len(), "session")
    );
    match agreed(arguments, &question)? {
        Agreed::Yes => {}
        Agreed::No => {
            say("nothing was deleted");
            return Ok(FAILURE);
        }
        Agreed::Unasked => {
            say(&format!(
                "{question} Say so with --yes: nobody can be asked here"
            ));
            return Ok(USAGE);
        }
    }
    let audit = arguments.trail.data_dir.join("audit");
    let order = Order::lay(&audit, &names)?;
    let until = Instant::now() + PATIENCE;
    while !order.is_done() {
        if Instant::now() > until {
            say(
                "ordered, and not done yet: the server does not run, or its disk is full. It does this when it runs again",
            );
            return Ok(FAILURE);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let left: Vec<String> = files
        .iter()
        .flat_map(|file| recordings(&trail, *file))
        .map(|recording| recording.as_recorded())
        .filter(|name| names.contains(name))
        .collect();
    let gone = names.len() - left.len();
    writeln!(io::stdout(), "{} deleted", count(gone, "recording"))?;
    for name in &left {
        say(&format!("{name}: stays, its session is open"));
    }
    Ok(if left.is_empty() { status } else { FAILURE })
}

/// The sessions that are meant.
fn chosen(trail: &Trail, arguments: &EraseArguments) -> Result<Vec<SessionFile>, Failure> {
    if let Some(session) = &arguments.session {
        return Ok(vec![trail.find(session)?]);
    }
    let filter = filter(&arguments.filter, &look())?;
    let found = sessions(trail, &filter);
    Ok(found
        .iter()
        .map(|one| SessionFile { sid: one.sid })
        .collect())
}

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

enum Agreed {
    Yes,
    No,
    Unasked,
}

fn agreed(arguments: &EraseArguments, question: &str) -> io::Result<Agreed> {
    if arguments.yes {
        return Ok(Agreed::Yes);
    }
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Ok(Agreed::Unasked);
    }
    write!(io::stderr(), "{question}\nType YES to go on: ")?;
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    Ok(match line.trim().eq_ignore_ascii_case("yes") {
        true => Agreed::Yes,
        false => Agreed::No,
    })
}
