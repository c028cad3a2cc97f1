use http::header::{ACCEPT, CONTENT_TYPE, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue};

use super::body::Outgoing;
use crate::policy::endpoints::{Answer, Endpoint};

/// The longest `Range` and `If-Range` passed on; `entries=` with a journal cursor is below 200 bytes.
const RANGE_BYTES: usize = 512;

/// The headers that go out, beside the token: what a client sends chooses among them.
pub(super) fn outgoing(endpoint: &Endpoint, asked: &HeaderMap, body: &Outgoing) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let accept = match endpoint.answer {
        Answer::Json => "application/json",
        Answer::Text if asked.get(ACCEPT).is_some_and(|a| a == "text/x-log") => "text/x-log",
        Answer::Text => "text/plain",
        Answer::File | Answer::Core => "*/*",
    };
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    let kind = match body {
        Outgoing::Nothing => None,
        Outgoing::Json(_) => Some(HeaderValue::from_static("application/json")),
        Outgoing::Bytes(_) => Some(HeaderValue::from_static("application/octet-stream")),
        Outgoing::Upload(_, kind) => Some(kind.clone()),
    };
    if let Some(kind) = kind {
        headers.insert(CONTENT_TYPE, kind);
    }
    let range = match endpoint.answer {
        Answer::Text => asked.get(RANGE).filter(|range| short(range)),
        Answer::File => asked.get(RANGE).filter(|range| one_range(range)),
        Answer::Json | Answer::Core => None,
    };
    if let Some(range) = range {
        headers.insert(RANGE, range.clone());
        let same = asked.get(IF_RANGE).filter(|same| short(same));
        if let (Answer::File, Some(same)) = (endpoint.answer, same) {
            headers.insert(IF_RANGE, same.clone());
        }
    }
    headers
}

fn short(value: &HeaderValue) -> bool {
    value.len() <= RANGE_BYTES && value.to_str().is_ok()
}

/// `bytes=5-`, `bytes=5-9`: where a broken download goes on. Several ranges would come back as another kind of body.
fn one_range(value: &HeaderValue) -> bool {
    let digits = |text: &str| text.len() <= 19 && text.bytes().all(|b| b.is_ascii_digit());
    let range = value
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("bytes="));
    range
        .and_then(|range| range.split_once('-'))
        .is_some_and(|(first, last)| !first.is_empty() && digits(first) && digits(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_goes_on_at_one_place() {
        for good in ["bytes=0-", "bytes=5-9"] {
            assert!(one_range(&HeaderValue::from_static(good)), "{good}");
        }
        for bad in [
            "bytes=-5",
            "bytes=0-1,3-4",
            "bytes=a-",
            "lines=0-",
            "bytes=12345678901234567890-",
        ] {
            assert!(!one_range(&HeaderValue::from_static(bad)), "{bad}");
        }
    }
}
