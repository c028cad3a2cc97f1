use serde::Serialize;
use serde::de::DeserializeOwned;

use super::limits::MESSAGE_BYTES;

/// Why bytes are no message, or a message does not fit.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The sender's own fault: it should have cut the message.
    #[error("a message of {0} bytes is longer than a link carries")]
    TooLong(usize),
    /// The peer sent something else.
    #[error("the bytes are not a message of this link")]
    Malformed(#[source] postcard::Error),
    /// The peer sent a message and more.
    #[error("{0} bytes follow the message")]
    Trailing(usize),
}

/// Writes `message` as postcard.
///
/// # Errors
/// `TooLong` above [`MESSAGE_BYTES`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
    let bytes = postcard::to_stdvec(message).map_err(CodecError::Malformed)?;
    if bytes.len() > MESSAGE_BYTES {
        Err(CodecError::TooLong(bytes.len()))
    } else {
        Ok(bytes)
    }
}

/// Writes a configuration, which may be longer than a message.
///
/// # Errors
/// `Malformed` for a type that postcard cannot write; not seen.
pub fn encode_config<T: Serialize>(config: &T) -> Result<Vec<u8>, CodecError> {
    postcard::to_stdvec(config).map_err(CodecError::Malformed)
}

/// Reads one message, or configuration, and nothing else.
///
/// # Errors
/// `Malformed`, or `Trailing` where bytes are left over.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (message, rest) = postcard::take_from_bytes(bytes).map_err(CodecError::Malformed)?;
    if rest.is_empty() {
        Ok(message)
    } else {
        Err(CodecError::Trailing(rest.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let bytes = encode(&(7u32, "seven".to_owned())).unwrap();
        assert_eq!(
            decode::<(u32, String)>(&bytes).unwrap(),
            (7, "seven".to_owned())
        );
    }

    #[test]
    fn leftovers_and_fragments_are_refused() {
        let mut bytes = encode(&(7u32, "seven".to_owned())).unwrap();
        assert!(matches!(
            decode::<(u32, String)>(&bytes[..3]),
            Err(CodecError::Malformed(_))
        ));
        bytes.push(0);
        assert!(matches!(
            decode::<(u32, String)>(&bytes),
            Err(CodecError::Trailing(1))
        ));
        // A claimed length of 4 GiB allocates nothing.
        assert!(matches!(
            decode::<(u32, Vec<u8>)>(&[7, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            Err(CodecError::Malformed(_))
        ));
    }

    #[test]
    fn an_oversized_message_is_not_sent() {
        assert!(matches!(
            encode(&vec![0u8; MESSAGE_BYTES]),
            Err(CodecError::TooLong(_))
        ));
    }
}
