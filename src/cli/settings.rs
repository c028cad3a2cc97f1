//! Where the Supervisor is asked, with which token, and how answers are shown: from options, environment and a file, in
//! this order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::CliError;
use super::client::Place;
use super::given::Given;
use crate::wire::HASSIO_SOCKET;

/// Where the Supervisor is, seen from an app.
const SUPERVISOR: &str = "http://supervisor";

/// The largest configuration file that is read.
const FILE_BYTES: u64 = 64 * 1024;

/// What holds for a whole run.
pub(super) struct Settings {
    pub(super) place: Place,
    pub(super) token: Option<String>,
    pub(super) level: Level,
    pub(super) raw_json: bool,
    pub(super) progress: bool,
    pub(super) colour: bool,
}

/// How much is said on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

/// The variables that count.
pub(super) struct Environment(BTreeMap<String, String>);

impl Environment {
    #[expect(
        clippy::disallowed_methods,
        reason = "hassio has no other configuration, and this is where its environment is read"
    )]
    pub(super) fn read() -> Self {
        const NAMES: [&str; 13] = [
            "COLUMNS",
            "HASSIO_SOCKET",
            "HASSIO_TOKEN",
            "HOME",
            "NO_COLOR",
            "SUPERVISOR_API_TOKEN",
            "SUPERVISOR_CONFIG",
            "SUPERVISOR_ENDPOINT",
            "SUPERVISOR_LOG_LEVEL",
            "SUPERVISOR_NO_PROGRESS",
            "SUPERVISOR_RAW_JSON",
            "SUPERVISOR_TOKEN",
            "TERM",
        ];
        let pairs = NAMES
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
        Self(pairs.filter(|(_, value)| !value.is_empty()).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// The file of `ha`: `$HOME/.homeassistant.yaml`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    endpoint: Option<String>,
    api_token: Option<String>,
    log_level: Option<String>,
    raw_json: Option<bool>,
    no_progress: Option<bool>,
}

impl Settings {
    /// # Errors
    /// What cannot be understood.
    pub(super) fn new(given: &Given<'_>, environment: &Environment) -> Result<Self, CliError> {
        let file = file(given, environment)?;
        let text = |option: &str, variable: &str| {
            let given = given.text(option).or_else(|| environment.get(variable));
            given.map(str::to_owned)
        };
        let endpoint = text("endpoint", "SUPERVISOR_ENDPOINT");
        let token = text("api-token", "SUPERVISOR_API_TOKEN")
            .or_else(|| environment.get("SUPERVISOR_TOKEN").map(str::to_owned))
            .or_else(|| environment.get("HASSIO_TOKEN").map(str::to_owned))
            .or(file.api_token);
        let place = match (endpoint, environment.get("HASSIO_SOCKET"), file.endpoint) {
            (Some(endpoint), _, _) => address(&endpoint)?,
            (None, Some(socket), _) => Place::Socket(PathBuf::from(socket)),
            (None, None, Some(endpoint)) => address(&endpoint)?,
            (None, None, None) if token.is_some() && !Path::new(HASSIO_SOCKET).exists() => {
                Place::Address(SUPERVISOR.to_owned())
            }
            (None, None, None) => Place::Socket(PathBuf::from(HASSIO_SOCKET)),
        };
        if token.as_deref().is_some_and(|token| !is_token(token)) {
            return Err(CliError::usage(
                "the token has a character that no token has",
                "it is what SUPERVISOR_TOKEN holds in an app",
            ));
        }
        let level = text("log-level", "SUPERVISOR_LOG_LEVEL").or(file.log_level);
        let flag = |option, name: &str, file: Option<bool>| {
            let variable = environment.get(name).map(|text| {
                truth(text).ok_or_else(|| {
                    CliError::usage(
                        format!("'{text}' in {name} is neither true nor false"),
                        "it is true or false, 1 or 0, yes or no, on or off",
                    )
                })
            });
            let variable = variable.transpose()?;
            let given: Option<bool> = given.switch(option);
            Ok(given.or(variable).or(file).unwrap_or(false))
        };
        Ok(Self {
            place,
            token,
            level: level.map_or(Ok(Level::Warn), |level| parse_level(&level))?,
            raw_json: flag("raw-json", "SUPERVISOR_RAW_JSON", file.raw_json)?,
            progress: !flag("no-progress", "SUPERVISOR_NO_PROGRESS", file.no_progress)?,
            colour: environment.get("NO_COLOR").is_none()
                && environment.get("TERM") != Some("dumb"),
        })
    }
}

/// What Go's and most people's flags take.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "on" => Some(true),
        "false" | "f" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())
}

/// `host[:port]`, a URL, or the path of a socket.
fn address(endpoint: &str) -> Result<Place, CliError> {
    if let Some(path) = endpoint
        .strip_prefix("unix://")
        .or_else(|| endpoint.starts_with('/').then_some(endpoint))
    {
        return Ok(Place::Socket(PathBuf::from(path)));
    }
    let url = if endpoint.contains("://") {
        endpoint.to_owned()
    } else {
        format!("http://{endpoint}")
    };
    let parsed = reqwest::Url::parse(&url);
    let fine = parsed.as_ref().is_ok_and(|url| {
        url.scheme() == "http"
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    });
    if fine {
        Ok(Place::Address(url.trim_end_matches('/').to_owned()))
    } else {
        let https = parsed.as_ref().is_ok_and(|url| url.scheme() == "https");
        let what = match &parsed {
            Err(error) => format!("'{endpoint}' is no endpoint: {error}"),
            Ok(_) => format!("'{endpoint}' is no endpoint"),
        };
        let hint = match https {
            true => "it is http://host:port: there is no https on the Supervisor's network",
            false => "it is host, host:port or http://host:port",
        };
        Err(CliError::usage(what, hint))
    }
}

fn parse_level(text: &str) -> Result<Level, CliError> {
    match text.to_ascii_lowercase().as_str() {
        "error" => Ok(Level::Error),
        "warn" | "warning" => Ok(Level::Warn),
        "info" => Ok(Level::Info),
        "debug" => Ok(Level::Debug),
        _ => Err(CliError::usage(
            format!("'{text}' is no log level"),
            "it is debug, info, warn or error",
        )),
    }
}

fn file(given: &Given<'_>, environment: &Environment) -> Result<File, CliError> {
    let named = given
        .text("config")
        .or_else(|| environment.get("SUPERVISOR_CONFIG"))
        .map(PathBuf::from);
    let usual = || {
        let home = Path::new(environment.get("HOME")?);
        ["yaml", "yml", "json"]
            .into_iter()
            .map(|ending| home.join(format!(".homeassistant.{ending}")))
            .find(|path| path.exists())
    };
    let Some(path) = named.or_else(usual) else {
        return Ok(File::default());
    };
    let unusable = |why: String| {
        CliError::usage(
            format!("cannot use {}: {why}", path.display()),
            "it may hold endpoint, api-token, log-level and raw-json",
        )
    };
    let text = super::read_file(&path, FILE_BYTES).map_err(|error| unusable(error.to_string()))?;
    let text = String::from_utf8(text).map_err(|_| unusable("it is no text".to_owned()))?;
    // The message of a parser quotes the line, and the line may hold the token.
    serde_saphyr::from_str::<Option<File>>(&text)
        .map(Option::unwrap_or_default)
        .map_err(|_| unusable("it is no YAML of this kind".to_owned()))
}
