//! Which commands carry files instead of something to look at. Their streams are counted and digested like all others,
//! and what they write to stdout is never recorded. What they write to stderr is.

/// Whether `command` does nothing but run one of the programs that copy files for a client. What a shell could make more of
/// is none, and neither is a program that runs what the other side's files tell it to, with an output for the client:
/// `git-receive-pack` has hooks, `git-upload-archive` filters, and rsync's daemon commands of its own.
pub(super) fn is_transfer(command: &[u8]) -> bool {
    let Some(words) = words(command) else {
        return false;
    };
    let mut words = words.iter().map(Vec::as_slice);
    let Some(path) = words.next() else {
        return false;
    };
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    // By path only where images have them: any other file may be called so.
    if path != name && !DIRECTORIES.iter().any(|at| path.starts_with(at)) {
        return false;
    }
    let mut options = words.clone().take_while(|word| word.starts_with(b"-"));
    match name {
        // Its modes as the other side: from there, and to there (scp.c).
        b"scp" => options.any(|word| word == b"-f" || word == b"-t"),
        b"rsync" => {
            words.next() == Some(b"--server") && !words.any(|word| word.starts_with(b"--daemon"))
        }
        b"git" => words.next() == Some(b"upload-pack"),
        b"git-upload-pack" => true,
        _ => false,
    }
}

/// Whether `command` does nothing but run the sftp-server that lies at `path`, with no option that makes anything else of it.
/// By its whole path: any other file may be called so.
pub(super) fn is_sftp_server(command: &[u8], path: &str) -> bool {
    let Some(words) = words(command) else {
        return false;
    };
    let mut words = words.iter().map(Vec::as_slice);
    // To log to stderr, and to change nothing (sftp-server(8)).
    words.next() == Some(path.as_bytes()) && words.all(|word| word == b"-e" || word == b"-R")
}

const DIRECTORIES: [&[u8]; 4] = [b"/usr/bin/", b"/bin/", b"/usr/lib/", b"/usr/libexec/"];

/// The words of a command line in which a shell finds nothing to do but to run a program: quotation marks and backslashes as
/// clients write them, and no substitution, list or redirection.
fn words(command: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = command.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' => words.extend(word.take()),
            b'\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next()? {
                        b'\'' => break,
                        byte => word.push(byte),
                    }
                }
            }
            b'"' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next()? {
                        b'"' => break,
                        b'\\' | b'$' | b'`' => return None,
                        byte => word.push(byte),
                    }
                }
            }
            b'\\' => match bytes.next()? {
                b'\n' => return None,
                byte => word.get_or_insert_default().push(byte),
            },
            b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')' | b'$' | b'`' | b'\n' | b'\r' | b'#'
            | b'!' | b'=' => return None,
            byte => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_ask_for_is_a_transfer() {
        for command in [
            "scp -t /config/a",
            "scp -r -p -f -- '/config/a b'",
            "scp -v -f a\\ b\\;c",
            "rsync --server -vlogDtpre.iLsfxCIvu . /config/a",
            "rsync --server --sender -e.LsfxCIvu . '/config/*.yaml'",
            "git-upload-pack '/config/repo.git'",
            "git upload-pack \"/config/it's.git\"",
        ] {
            assert!(is_transfer(command.as_bytes()), "{command}");
        }
    }

    #[test]
    fn nothing_hides_behind_a_transfer() {
        for command in [
            "",
            "scp",
            "scp a b",
            "scp a -f b",
            "rsync -a --server . x",
            "git log",
            "git receive-pack x",
            "git-receive-pack 'x'",
            "git-upload-archive 'x'",
            "rsync --server --daemon --config=/config/x .",
            "/usr/lib/openssh/sftp-server -e",
            "cat /config/secrets.yaml",
            "scp -f x; cat y",
            "scp -f x && y",
            "scp -f x\ncat y",
            "scp -f $(cat y)",
            "scp -f `cat y`",
            "scp -f \"$(cat y)\"",
            "rsync --server . x | cat",
            "rsync --server . x > y",
            "git-upload-pack 'x'\ncat y",
            "git-upload-pack 'x",
            "git-upload-pack x\\",
            "PATH=/config scp -f x",
            "/config/scp -f x",
            "./scp -f x",
            "{ scp -f x",
        ] {
            assert!(!is_transfer(command.as_bytes()), "{command}");
        }
    }

    #[test]
    fn sftp_server_is_known_by_its_path() {
        let path = "/usr/lib/openssh/sftp-server";
        for command in [
            path,
            "/usr/lib/openssh/sftp-server -e -R",
            "'/usr/lib/openssh/sftp-server' ",
        ] {
            assert!(is_sftp_server(command.as_bytes(), path), "{command}");
        }
        for command in [
            "",
            "sftp-server",
            "exec /usr/lib/openssh/sftp-server",
            "/usr/lib/openssh/sftp-server -Q requests",
            "/usr/lib/openssh/sftp-server -e; cat x",
            "/usr/lib/openssh/sftp-server < x",
            "/usr/lib/openssh/../openssh/sftp-server",
        ] {
            assert!(!is_sftp_server(command.as_bytes(), path), "{command}");
        }
    }
}
