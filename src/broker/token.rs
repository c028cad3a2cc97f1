use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

use super::BrokerError;

/// The Supervisor's token, as the one header that it is sent in. The memory is zeroed when the last request that holds
/// it is gone.
pub(super) struct ApiToken(HeaderValue);

impl ApiToken {
    pub(super) fn new(token: String) -> Result<Self, BrokerError> {
        let token = Zeroizing::new(token);
        let mut header = Zeroizing::new(Vec::with_capacity("Bearer ".len() + token.len()));
        header.extend_from_slice(b"Bearer ");
        header.extend_from_slice(token.as_bytes());
        let bytes = Bytes::from_owner(Header(header));
        let mut value = HeaderValue::from_maybe_shared(bytes).map_err(|_| BrokerError::Token)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// For the `Authorization` header of a request to the Supervisor, and nothing else.
    pub(super) fn authorization(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken(..)")
    }
}

struct Header(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Header {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_not_shown() {
        let token = ApiToken::new("abc123".to_owned()).unwrap();
        assert_eq!(
            format!("{token:?} {:?}", token.authorization()),
            "ApiToken(..) Sensitive"
        );
        assert_eq!(token.authorization().as_bytes(), b"Bearer abc123");
    }

    #[test]
    fn a_token_cannot_bring_a_second_header() {
        assert!(matches!(
            ApiToken::new("a\r\nx: y".to_owned()),
            Err(BrokerError::Token)
        ));
    }
}
