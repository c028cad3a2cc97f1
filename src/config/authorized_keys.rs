use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey};

use self::options::{KeyOptions, NOT_YET, Written};
use super::problem::Warning;
use super::roles::RoleView;
use crate::model::{Network, escape, nearest};
use crate::policy::sandbox::AcceptedEnvironment;
use crate::wire::AuthorizedKey;
use crate::wire::limits::AUTH_BLOB_BYTES;

mod options;
mod summary;

pub use summary::summary;

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

/// What lines are read by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'r> {
    /// The role of a line that names none.
    pub role: &'r RoleView,
    /// The network of a line that names none, where the options say so for all roles.
    pub network: Option<Network>,
    /// The roles that there are.
    pub roles: &'r [RoleView],
    /// What a line may set.
    pub environment: &'r AcceptedEnvironment,
    /// Where `expiry-time` is at home unless it says otherwise.
    pub zone: &'r TimeZone,
    /// For the warning of a key that has expired.
    pub now: Timestamp,
}

/// Reads all lines. Each element is one; one that holds several, as when a whole file was pasted, counts as its parts,
/// all with its number.
#[must_use]
pub fn parse(lines: &[String], rules: &Rules<'_>) -> KeyLines {
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
        match one(text, rules) {
            Err(reason) => result.refused.push(KeyLineError { line, reason }),
            Ok((key, remarks)) => {
                if let Some(at) = result.keys.iter().position(|k| k.blob == key.blob) {
                    let first = seen.get(at).copied().unwrap_or_default();
                    result.warnings.push(Warning::Repeated { line, first });
                    continue;
                }
                result.warnings.extend(remarks.about(line, rules.now));
                result.keys.push(key);
                seen.push(line);
            }
        }
    }
    result
}

/// What should be known of a good line.
struct Remarks {
    /// Of an RSA key.
    bits: Option<u32>,
    expires: Option<Timestamp>,
    /// An option for security keys, at a key that is none.
    pointless: Option<&'static str>,
}

impl Remarks {
    fn about(self, line: usize, now: Timestamp) -> impl Iterator<Item = Warning> {
        let bits = self.bits.filter(|bits| *bits < RSA_BITS_GOOD);
        let weak = bits.map(|bits| Warning::WeakRsa { line, bits });
        let at = self.expires.filter(|at| *at < now);
        let expired = at.map(|at| Warning::Expired {
            line,
            at: at.to_string(),
        });
        let pointless = self
            .pointless
            .map(|option| Warning::Pointless { line, option });
        [weak, expired, pointless].into_iter().flatten()
    }
}

/// One line.
fn one(text: &str, rules: &Rules<'_>) -> Result<(AuthorizedKey, Remarks), String> {
    pasted_by_mistake(text)?;
    let (first, rest) = split_word(text);
    let (options, kind, rest) = if is_key_type(first) {
        (KeyOptions::none(rules), first, rest)
    } else {
        let (options, rest) = split_options(text)?;
        let (kind, rest) = split_word(rest);
        (KeyOptions::read(&options, rules)?, kind, rest)
    };
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
    let is_security_key = kind.starts_with("sk-");
    let pointless = match (options.touch, options.verify) {
        _ if is_security_key => None,
        // Taken without it, the key would do what its line forbids.
        (_, Some(true)) => return Err(only_for_security_keys("verify-required", kind)),
        (Some(true), _) => return Err(only_for_security_keys("touch-required", kind)),
        (Some(false), _) => Some("no-touch-required"),
        (None, Some(false)) => Some("no-verify-required"),
        (None, None) => None,
    };
    let remarks = Remarks {
        bits: rsa_bits(&key)?,
        expires: options.expires,
        pointless,
    };
    let key = AuthorizedKey {
        algorithm: kind.to_owned(),
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
        blob,
        comment: escape(comment.trim().as_bytes(), COMMENT_BYTES),
        network: options.network.unwrap_or(options.view.network),
        role: options.view.name,
        config: options.view.config,
        recording: options.recording,
        break_glass: options.break_glass,
        from: options.from,
        expires: options.expires.map(Timestamp::as_second),
        command: options.command,
        environment: options.environment,
        permits: options.permits,
        touch: options.touch.unwrap_or(true),
        verify: options.verify.unwrap_or(false),
    };
    Ok((key, remarks))
}

fn only_for_security_keys(option: &str, kind: &str) -> String {
    format!(
        "option \"{option}\" is for security keys (FIDO), and a key of type {kind} cannot do what it asks for"
    )
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

/// The first word and what follows it.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    text.split_once([' ', '\t']).unwrap_or((text, ""))
}

/// The options, unless what looks like them is a line of another kind.
fn split_options(text: &str) -> Result<(Vec<Written>, &str), String> {
    let (word, _) = split_word(text);
    let (options, rest) = options::split(text)?;
    if let [
        Written {
            name: only,
            value: None,
        },
    ] = options.as_slice()
    {
        let no_option = !NOT_YET.contains(&only.as_str())
            && (only.starts_with("aaaa") || nearest(only, &KEY_TYPES).is_some());
        if rest.is_empty() || no_option {
            return Err(no_key_type(word));
        }
    }
    Ok((options, rest))
}

#[cfg(test)]
mod tests;
