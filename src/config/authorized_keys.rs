use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey};

use super::problem::Warning;
use super::roles::{self, RoleView};
use crate::model::{Network, escape, nearest};
use crate::wire::AuthorizedKey;
use crate::wire::limits::AUTH_BLOB_BYTES;

/// The key types that may log in; sshd(8) writes them so.
const KEY_TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Options of sshd(8), and of ours to come, that would restrict or widen a key. A line that has one is refused: taken
/// without it, the key could do more than its line says.
const NOT_YET: [&str; 24] = [
    "agent-forwarding",
    "cert-authority",
    "command",
    "environment",
    "expiry-time",
    "from",
    "no-agent-forwarding",
    "no-port-forwarding",
    "no-pty",
    "no-touch-required",
    "no-user-rc",
    "no-x11-forwarding",
    "permitlisten",
    "permitopen",
    "port-forwarding",
    "principals",
    "pty",
    "recording",
    "restrict",
    "tunnel",
    "user-rc",
    "verify-required",
    "x11-forwarding",
    "zos-key-ring-label",
];

/// The shortest RSA key that is accepted, and the shortest that is not warned about: NIST SP 800-131A, SP 800-57.
const RSA_BITS_MIN: u32 = 2048;
const RSA_BITS_GOOD: u32 = 3072;
/// The longest that the `rsa` crate verifies.
const RSA_BITS_MAX: u32 = 8192;

/// How much of a key's comment goes into records and logs.
const COMMENT_BYTES: usize = 128;

/// What is in the way of a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("authorized_keys line {line}: {reason}")]
pub struct KeyLineError {
    /// Which line, from 1: the place in the list.
    pub line: usize,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

/// What the lines give.
#[derive(Debug)]
pub struct KeyLines {
    /// The keys that may log in.
    pub keys: Vec<AuthorizedKey>,
    /// The lines that are no such key.
    pub refused: Vec<KeyLineError>,
    /// What should be known of the good ones.
    pub warnings: Vec<Warning>,
}

/// Reads all lines. Each element is one; one that holds several, as when a whole file was pasted, counts as its parts,
/// all with its number.
#[must_use]
pub fn parse(
    lines: &[String],
    default: &RoleView,
    network: Option<Network>,
    known_roles: &[RoleView],
) -> KeyLines {
    let mut result = KeyLines {
        keys: Vec::new(),
        refused: Vec::new(),
        warnings: Vec::new(),
    };
    let mut seen: Vec<usize> = Vec::new();
    let mut in_block = false;
    let numbered = lines
        .iter()
        .zip(1..)
        .flat_map(|(text, line)| text.split(['\n', '\r']).map(move |part| (line, part)));
    for (line, text) in numbered {
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        // The rest of a pasted block says nothing new.
        if in_block {
            in_block = !text.contains("-END ") && !text.starts_with("---- END");
            continue;
        }
        in_block = text.contains("-BEGIN ") || text.starts_with("---- BEGIN");
        match one(text, default, network, known_roles) {
            Err(reason) => result.refused.push(KeyLineError { line, reason }),
            Ok((key, bits)) => {
                if let Some(at) = result.keys.iter().position(|k| k.blob == key.blob) {
                    let first = seen.get(at).copied().unwrap_or_default();
                    result.warnings.push(Warning::Repeated { line, first });
                    continue;
                }
                if let Some(bits) = bits.filter(|bits| *bits < RSA_BITS_GOOD) {
                    result.warnings.push(Warning::WeakRsa { line, bits });
                }
                result.keys.push(key);
                seen.push(line);
            }
        }
    }
    result
}

/// One line: the key, and its length if it is an RSA key.
fn one(
    text: &str,
    default: &RoleView,
    network: Option<Network>,
    known_roles: &[RoleView],
) -> Result<(AuthorizedKey, Option<u32>), String> {
    pasted_by_mistake(text)?;
    let (first, rest) = split_word(text);
    let (options, kind, rest) = if is_key_type(first) {
        (Vec::new(), first, rest)
    } else {
        let (options, rest) = split_options(text)?;
        let (kind, rest) = split_word(rest);
        (options, kind, rest)
    };
    let (view, network, break_glass) = apply(&options, default, network, known_roles)?;
    if !is_key_type(kind) {
        return Err(no_key_type(kind));
    }
    refuse_type(kind)?;
    let (blob, comment) = split_word(rest);
    if blob.is_empty() {
        return Err(format!("the key itself is missing after \"{kind}\""));
    }
    let blob = decode(blob)?;
    let key = PublicKey::from_bytes(&blob)
        .ok()
        .filter(|key| key.to_bytes().is_ok_and(|again| again == blob))
        .ok_or("the base64 text after the key type is not a whole public key; it may be cut")?;
    let inside = key.algorithm();
    if inside.as_str() != kind {
        let inside = escape(inside.as_str().as_bytes(), 64);
        return Err(format!("it says {kind}, but the key is of type {inside}"));
    }
    let bits = rsa_bits(&key)?;
    let key = AuthorizedKey {
        algorithm: kind.to_owned(),
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
        blob,
        comment: escape(comment.trim().as_bytes(), COMMENT_BYTES),
        role: view.name,
        config: view.config,
        network: network.unwrap_or(view.network),
        break_glass,
    };
    Ok((key, bits))
}

fn rsa_bits(key: &PublicKey) -> Result<Option<u32>, String> {
    match key.key_data() {
        KeyData::Rsa(rsa) => match rsa.key_size() {
            bits @ ..RSA_BITS_MIN => Err(format!(
                "an RSA key of {bits} bits is too short; at least {RSA_BITS_MIN} are needed, or an ed25519 key"
            )),
            bits @ RSA_BITS_MIN..=RSA_BITS_MAX => Ok(Some(bits)),
            bits => Err(format!(
                "an RSA key of {bits} bits is longer than the {RSA_BITS_MAX} that are supported; use an ed25519 key"
            )),
        },
        _ => Ok(None),
    }
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    if text.len() > AUTH_BLOB_BYTES {
        return Err("the key is longer than any that is supported".to_owned());
    }
    GeneralPurpose::new(&STANDARD, config)
        .decode(text)
        .map_err(|_| {
            "what follows the key type is not base64; a line break or a blank may be inside it"
                .to_owned()
        })
}

fn is_key_type(word: &str) -> bool {
    // A type, not an option: those have no '=' and no ','.
    ["ssh-", "ecdsa-", "sk-", "rsa-sha2-", "webauthn-", "x509v3-"]
        .iter()
        .any(|prefix| word.starts_with(prefix))
        && !word.contains(['=', ',', '"'])
}

fn refuse_type(kind: &str) -> Result<(), String> {
    if KEY_TYPES.contains(&kind) {
        Ok(())
    } else if kind.contains("-cert-v0") {
        Err("certificates are not supported; give the plain public key".to_owned())
    } else if kind == "ssh-dss" {
        Err(
            "DSA keys are not accepted, they are always 1024 bits; make an ed25519 key with ssh-keygen -t ed25519"
                .to_owned(),
        )
    } else if kind.starts_with("rsa-sha2-") {
        Err(format!("{kind} is a way to sign; the key type is ssh-rsa"))
    } else {
        let kind = escape(kind.as_bytes(), 64);
        let right = KEY_TYPES.join(", ");
        Err(format!(
            "keys of type {kind} are not supported; the types are {right}"
        ))
    }
}

fn no_key_type(word: &str) -> String {
    if word.starts_with("AAAA") {
        return "the key type before the key is missing, such as ssh-ed25519".to_owned();
    }
    match nearest(word, &KEY_TYPES) {
        _ if word.is_empty() => "the key is missing after the options".to_owned(),
        Some(kind) => format!(
            "\"{}\" is no key type; \"{kind}\" may be meant",
            escape(word.as_bytes(), 64)
        ),
        None => format!(
            "\"{}\" is neither a key type nor an option",
            escape(word.as_bytes(), 64)
        ),
    }
}

/// Things that people paste, and that are no public key lines.
fn pasted_by_mistake(text: &str) -> Result<(), String> {
    let public_file = "give the one line of the file that ends in .pub";
    if text.contains("PRIVATE KEY") || text.starts_with("PuTTY-User-Key-File") {
        Err(format!(
            "this is a PRIVATE key; it belongs on your own computer only. Take it out of the options, consider it known to \
             others and make a new one; here {public_file}"
        ))
    } else if text.contains("-BEGIN ") || text.starts_with("---- BEGIN ") {
        Err(format!(
            "this is a key in another format; {public_file}, or convert it with ssh-keygen -i"
        ))
    } else if text
        .split_whitespace()
        .take(2)
        .any(|word| word.starts_with("SHA256:") || word.starts_with("MD5:"))
    {
        Err(format!(
            "this is a fingerprint, not the key itself; {public_file}"
        ))
    } else if text.starts_with('/')
        || text.starts_with('~')
        || text.ends_with(".pub") && !text.contains(' ')
    {
        Err("this is a file's name; give what is in the file".to_owned())
    } else {
        Ok(())
    }
}

fn apply(
    options: &[(String, Option<String>)],
    default: &RoleView,
    network: Option<Network>,
    known_roles: &[RoleView],
) -> Result<(RoleView, Option<Network>, bool), String> {
    let (mut view, mut net, mut break_glass) = (default.clone(), network, false);
    for (i, (name, value)) in options.iter().enumerate() {
        let shown = escape(value.as_deref().unwrap_or_default().as_bytes(), 64);
        if options.iter().take(i).any(|(before, _)| before == name) {
            return Err(format!("option \"{name}\" is given twice"));
        }
        match (name.as_str(), value.as_deref()) {
            ("role", value) => {
                view = value
                    .and_then(|name| roles::find(known_roles, name).cloned())
                    .ok_or_else(|| {
                        let right = roles::names(known_roles);
                        format!("role \"{shown}\" is unknown; the roles are {right}")
                    })?;
            }
            ("network", Some("shared")) => net = Some(Network::Shared),
            ("network", Some("none")) => net = Some(Network::None),
            ("network", _) => {
                return Err(format!("network \"{shown}\" is neither shared nor none"));
            }
            ("break-glass", None) => break_glass = true,
            ("break-glass", Some(_)) => {
                return Err("option \"break-glass\" takes no value".to_owned());
            }
            (name, _) if NOT_YET.contains(&name) => {
                return Err(format!(
                    "option \"{name}\" is not supported yet, and the key is not accepted without it"
                ));
            }
            (name, _) => {
                let name = escape(name.as_bytes(), 64);
                return Err(match nearest(&name, &["role", "network", "break-glass"]) {
                    Some(known) => {
                        format!("option \"{name}\" is unknown; \"{known}\" may be meant")
                    }
                    None => format!("\"{name}\" is neither a key type nor an option that is known"),
                });
            }
        }
    }
    Ok((view, net, break_glass))
}

/// The first word and what follows it.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    text.split_once([' ', '\t']).unwrap_or((text, ""))
}

/// The options before a key and what follows them: separated by commas, ended by the first blank or tab outside of
/// quotation marks; inside of these only `\"` is an escape. sshd(8), AUTHORIZED_KEYS FILE FORMAT.
type SplitOptions<'t> = (Vec<(String, Option<String>)>, &'t str);

fn split_options(text: &str) -> Result<SplitOptions<'_>, String> {
    let mut options = Vec::new();
    let mut name = String::new();
    let mut value: Option<String> = None;
    let mut quoted = false;
    let mut characters = text.char_indices().peekable();
    let mut end = text.len();
    while let Some((at, c)) = characters.next() {
        let in_name = value.is_none();
        let part = value.as_mut().unwrap_or(&mut name);
        match c {
            '\\' if quoted && characters.peek().is_some_and(|(_, next)| *next == '"') => {
                part.push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            c if quoted => part.push(c),
            ' ' | '\t' => {
                end = at;
                break;
            }
            ',' => options.push((std::mem::take(&mut name).to_ascii_lowercase(), value.take())),
            '=' if in_name => value = Some(String::new()),
            c => part.push(c),
        }
    }
    if quoted {
        return Err("a quotation mark is not closed".to_owned());
    }
    // Without anything after it this is no option, but a line of one word.
    let rest = text.get(end..).unwrap_or_default();
    if rest.is_empty() && options.is_empty() && value.is_none() {
        return Err(no_key_type(&name));
    }
    options.push((name.to_ascii_lowercase(), value));
    if let [(only, None)] = options.as_slice()
        && !NOT_YET.contains(&only.as_str())
        && (only.starts_with("aaaa") || nearest(only, &KEY_TYPES).is_some())
    {
        return Err(no_key_type(split_word(text).0));
    }
    Ok((options, rest))
}

#[cfg(test)]
mod tests;
