//! The routes of the real Supervisor, as `routes.tsv` lists them.

const ROUTES: &str = include_str!("routes.tsv");

/// What a route answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Json,
    Log,
    LogFollow,
    Text,
    Png,
    File,
    Upload,
    Stdin,
    Core,
    Websocket,
}

/// One route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) access: &'static str,
    /// Whether its handler refuses every app.
    pub(crate) never: bool,
    pub(crate) answer: Answer,
}

/// What a request asks for.
pub(crate) enum Found<'t, 'p> {
    /// This route, with what fills its parameters.
    Route(&'t Route, Vec<&'p str>),
    /// One with another method.
    Method,
    Nothing,
}

pub(crate) struct Table(Vec<Route>);

impl Table {
    /// The table, if every line of it is one.
    pub(crate) fn new() -> Option<Self> {
        let lines = ROUTES.lines().filter(|line| !line.starts_with('#')).skip(1);
        lines.map(route).collect::<Option<_>>().map(Self)
    }

    pub(crate) fn find<'p>(&self, method: &str, path: &'p str) -> Found<'_, 'p> {
        let of_path = self.0.iter().filter_map(|route| {
            let (literals, values) = fits(route.path, path)?;
            Some((literals, route, values))
        });
        let mut of_path: Vec<_> = of_path.collect();
        // As aiohttp does: a word wins over a parameter.
        let most = of_path.iter().map(|(literals, ..)| *literals).max();
        of_path.retain(|(literals, ..)| Some(*literals) == most);
        match of_path
            .iter()
            .position(|(_, route, _)| route.method == method)
        {
            Some(at) => {
                let (_, route, values) = of_path.swap_remove(at);
                Found::Route(route, values)
            }
            None if of_path.is_empty() => Found::Nothing,
            None => Found::Method,
        }
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }
}

fn route(line: &'static str) -> Option<Route> {
    let [method, path, access, apps, answer]: [&str; 5] =
        line.split('\t').collect::<Vec<_>>().try_into().ok()?;
    let answer = match answer {
        "json" => Answer::Json,
        "log" => Answer::Log,
        "log-follow" => Answer::LogFollow,
        "text" => Answer::Text,
        "png" => Answer::Png,
        "file" => Answer::File,
        "upload" => Answer::Upload,
        "stdin" => Answer::Stdin,
        "core" => Answer::Core,
        "websocket" => Answer::Websocket,
        _ => return None,
    };
    Some(Route {
        method,
        path,
        access,
        never: apps == "never",
        answer,
    })
}

/// How many segments are words, and what fills the others; `{path}` fills all that is left.
fn fits<'p>(template: &str, path: &'p str) -> Option<(usize, Vec<&'p str>)> {
    let (mut literals, mut values, mut rest) = (0, Vec::new(), Some(path.strip_prefix('/')?));
    for own in template.split('/').skip(1) {
        let left = rest?;
        if own == "{path}" {
            values.push(left);
            return Some((literals, values));
        }
        let (segment, after) = match left.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (left, None),
        };
        rest = after;
        match own.starts_with('{') {
            true if !segment.is_empty() => values.push(segment),
            false if own == segment => literals += 1,
            true | false => return None,
        }
    }
    rest.is_none().then_some((literals, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_win_over_parameters() {
        let table = Table::new().unwrap();
        let found = |method, path| match table.find(method, path) {
            Found::Route(route, values) => format!("{} {values:?}", route.path),
            Found::Method => "method".to_owned(),
            Found::Nothing => "nothing".to_owned(),
        };
        assert_eq!(
            found("GET", "/addons/a/info"),
            r#"/addons/{app}/info ["a"]"#
        );
        assert_eq!(
            found("GET", "/store/addons/a/changelog"),
            r#"/store/addons/{app}/changelog ["a"]"#
        );
        assert_eq!(
            found("GET", "/store/addons/a/1.2"),
            r#"/store/addons/{app}/{version} ["a", "1.2"]"#
        );
        assert_eq!(
            found("GET", "/core/api/states/light.a"),
            r#"/core/api/{path} ["states/light.a"]"#
        );
        assert_eq!(found("PATCH", "/info"), "method");
        assert_eq!(found("GET", "/nothing"), "nothing");
        assert_eq!(found("GET", "/addons//info"), "nothing");
    }
}
