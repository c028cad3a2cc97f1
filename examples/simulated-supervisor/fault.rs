//! What can be wrong with an answer: for every route by `--fault`, for one by a parameter such as the slug `fault_html`.

use std::time::Duration;

use http::StatusCode;
use tokio::time::sleep;

use crate::reply::{self, Reply};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum Fault {
    /// 502 and a web page
    Html,
    /// A part of the answer, and then the connection's end
    Cut,
    /// 500 in the envelope
    Broken,
    /// 500 in text, as aiohttp answers an exception that nobody caught
    Crash,
    /// Something that is no JSON, and says that it is
    Nonsense,
    /// To another place
    Redirect,
    /// An answer after two seconds
    Slow,
    /// None, ever
    Hang,
}

impl Fault {
    pub(crate) fn of(value: &str) -> Option<Self> {
        let name = value.strip_prefix("fault_")?;
        <Self as clap::ValueEnum>::from_str(name, false).ok()
    }

    /// The wrong answer; `None` if the right one follows.
    pub(crate) async fn reply(self) -> Option<Reply> {
        match self {
            Self::Html => {
                let page = "<html><body><h1>502 Bad Gateway</h1></body></html>";
                Some(reply::bytes(StatusCode::BAD_GATEWAY, "text/html", page))
            }
            Self::Cut => Some(reply::cut()),
            Self::Broken => {
                let message = "An unknown error occurred with addon fault_broken. Check supervisor logs for details";
                Some(reply::error(StatusCode::INTERNAL_SERVER_ERROR, message))
            }
            Self::Crash => {
                let text = "500 Internal Server Error\n\nServer got itself in trouble";
                Some(reply::text(StatusCode::INTERNAL_SERVER_ERROR, text))
            }
            Self::Nonsense => Some(reply::bytes(
                StatusCode::OK,
                "application/json",
                "{nonsense",
            )),
            Self::Redirect => {
                let mut reply = reply::plain(StatusCode::FOUND);
                let elsewhere = http::HeaderValue::from_static("/auth/list");
                reply
                    .headers_mut()
                    .insert(http::header::LOCATION, elsewhere);
                Some(reply)
            }
            Self::Slow => {
                sleep(Duration::from_secs(2)).await;
                None
            }
            Self::Hang => std::future::pending().await,
        }
    }
}
