/// What rsync's client asks its other side to run begins so (rsync.c of 2.6 to 3.5: `server_options`).
const SERVER: &[u8] = b"rsync --server ";
const SENDER: &[u8] = b"--sender";
const NO_SUPER: &[u8] = b"--no-super ";

/// `command`, where it is rsync's receiving side, told that it is not root: uid 0 of a session may not give files away,
/// and `rsync -a` of another user's files would end in error 23. Anything else is returned as it is.
pub(super) fn as_mere_mortal(command: Vec<u8>) -> Vec<u8> {
    match command.strip_prefix(SERVER) {
        Some(rest) if !is_sender(rest) => [SERVER, NO_SUPER, rest].concat(),
        _ => command,
    }
}

fn is_sender(options: &[u8]) -> bool {
    options
        .split(|byte| *byte == b' ')
        .any(|word| word == SENDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(command: &str) -> String {
        String::from_utf8(as_mere_mortal(command.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn the_receiver_is_not_super() {
        assert_eq!(
            rewritten("rsync --server -logDtpre.iLsfxCIvu . /config/a"),
            "rsync --server --no-super -logDtpre.iLsfxCIvu . /config/a"
        );
    }

    #[test]
    fn all_else_stays() {
        for command in [
            "",
            "rsync --server --sender -logDtpre.iLsfxCIvu . /config",
            "rsync -a /config /tmp",
            "/usr/bin/rsync --server . x",
            "echo rsync --server -a . x",
            "rsync --server",
        ] {
            assert_eq!(rewritten(command), command);
        }
    }
}
