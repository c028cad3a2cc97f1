use super::*;
use crate::policy::roles::Roles;

const ROLES: [&str; 4] = ["observer", "backup", "operator", "admin"];

fn judged(role: &str, method: &str, target: &str) -> Result<String, String> {
    let (endpoints, roles) = (Endpoints::shipped().unwrap(), Roles::shipped().unwrap());
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let request = Request {
        method,
        path,
        query,
    };
    match endpoints.judge(&roles, &role.parse().unwrap(), request) {
        Verdict::Allow(call) => Ok(call.target().to_owned()),
        Verdict::Deny(reason) => Err(reason.to_string()),
    }
}

#[test]
fn every_endpoint_says_why_and_what_is_let_through_is_for_some_role() {
    let roles = Roles::shipped().unwrap();
    for endpoint in Endpoints::shipped().unwrap().iter() {
        assert!(!endpoint.why.is_empty(), "{}", endpoint.name);
        let offered = matches!(endpoint.access, Access::Needs(_));
        assert_eq!(
            roles.least_for(endpoint).is_some(),
            offered,
            "{}",
            endpoint.name
        );
    }
}

#[test]
fn reads_are_gets_and_only_named_posts() {
    // A POST that changes nothing is one that was looked at.
    let known = ["core.check", "addons.validate", "security.integrity"];
    for endpoint in Endpoints::shipped().unwrap().iter() {
        let offered = matches!(endpoint.access, Access::Needs(_));
        let reads = endpoint.effect == Effect::Reads;
        let expected = endpoint.method == Method::Get || known.contains(&endpoint.name.as_str());
        assert!(!offered || reads == expected, "{}", endpoint.name);
    }
}

#[test]
fn what_goes_out_is_the_endpoints_own_spelling() {
    for (asked, out) in [
        ("/homeassistant/info", "/core/info"),
        (
            "/homeassistant/logs/boots/-1/follow",
            "/core/logs/boots/-1/follow",
        ),
        (
            "/homeassistant/api/states/light.a",
            "/core/api/states/light.a",
        ),
        ("/apps", "/addons"),
        ("/apps/core_ssh/info", "/addons/core_ssh/info"),
        ("/store/apps/core_ssh/1.2.3", "/store/addons/core_ssh/1.2.3"),
        (
            "/core/api/history/period/2026-08-24T00:00:00+02:00?end_time=2026-08-25",
            "/core/api/history/period/2026-08-24T00:00:00+02:00?end_time=2026-08-25",
        ),
        (
            "/host/logs/boots/-1/identifiers/kernel",
            "/host/logs/boots/-1/identifiers/kernel",
        ),
    ] {
        assert_eq!(judged("admin", "GET", asked).as_deref(), Ok(out));
    }
}

#[test]
fn a_path_that_could_be_read_in_two_ways_is_refused() {
    let long = format!("/addons/{}/info", "a".repeat(65));
    let longer = format!("/{}", "a".repeat(600));
    let nasty = [
        "",
        "info",
        "*",
        "/",
        "//info",
        "/info/",
        "/core//info",
        "/core/./info",
        "/core/../info",
        "/addons/../supervisor/info",
        "/addons/../info",
        "/addons/./info",
        "/addons/x/../../core/restart",
        "/addons/%2e%2e/info",
        "/addons/..%2f/info",
        "/addons/x%2finfo",
        "/addons/x%00/info",
        "/%69nfo",
        "/addons/x\\..\\y/info",
        "/addons/a b/info",
        "/addons/a\n/info",
        "/addons/a\0/info",
        "/addons/ä/info",
        "/addons/a;b/info",
        "/addons/a:b/info",
        "/addons/a@b/info",
        "/addons/a+b/info",
        "/addons/a.b/info",
        "/addons/.../info",
        "/addons/{slug}/info",
        "/addons//info",
        "/info#x",
        "/addons/x/info/follow",
        "/INFO",
        "/Core/info",
        "/HomeAssistant/info",
        "/Apps/x/info",
        "/addons/\u{202e}x/info",
        "/addons/x\u{7f}/info",
        "/v2/info",
        "/v2/apps",
        "/core/api",
        "/core/api/",
        "/core/api/hassio/addons",
        "/core/api/hassio_ingress/x",
        "/homeassistant/api/hassio/addons",
        "/core/websocket",
        "/homeassistant/websocket",
        "/core/api/websocket",
        "/core/api/stream",
        "/core/api/template",
        "/ingress/token/x",
        "/app/index.js",
        "/snapshots",
        &long,
        &longer,
    ];
    for path in nasty {
        for role in ROLES {
            assert!(judged(role, "GET", path).is_err(), "{role} {path:?}");
        }
    }
}

#[test]
fn services_of_hassio_are_for_nobody_under_any_spelling() {
    for path in [
        "/core/api/services/hassio/addon_stdin",
        "/core/api/services/HASSIO/addon_stdin",
        "/core/api/services/hassio%20/addon_stdin",
        "/core/api/services/light/hassio.addon_stdin",
        "/homeassistant/api/services/hassio/addon_stdin",
    ] {
        assert!(judged("admin", "POST", path).is_err(), "{path}");
    }
    let reason = judged("admin", "POST", "/core/api/services/hassio/addon_stdin");
    let never = "endpoint core-api.hassio-service is for nobody";
    assert_eq!(reason.unwrap_err(), never);
    let light = "/core/api/services/light/turn_on";
    assert_eq!(judged("admin", "POST", light).as_deref(), Ok(light));
    assert!(judged("operator", "POST", light).is_err());
}

#[test]
fn a_service_that_updates_apps_past_the_rules_is_for_nobody() {
    for path in [
        "/core/api/services/update/install",
        "/homeassistant/api/services/update/install",
        "/core/api/services/update/install?return_response",
    ] {
        let reason = judged("admin", "POST", path).unwrap_err();
        let never = "endpoint core-api.update-service is for nobody";
        assert_eq!(reason, never, "{path}");
    }
    for other in ["update/skip", "backup/create", "homeassistant/restart"] {
        let path = format!("/core/api/services/{other}");
        assert_eq!(judged("admin", "POST", &path), Ok(path));
    }
}

#[test]
fn the_reason_names_what_is_wrong() {
    let reason = |role, method, target| judged(role, method, target).unwrap_err();
    assert_eq!(
        reason("observer", "POST", "/core/restart"),
        "endpoint core.restart needs operate"
    );
    assert_eq!(
        reason("admin", "GET", "/core/restart"),
        "the endpoint takes POST"
    );
    assert_eq!(
        reason("admin", "POST", "/mounts/nas"),
        "the endpoint takes DELETE and PUT"
    );
    assert_eq!(reason("admin", "get", "/info"), "the endpoint takes GET");
    assert_eq!(
        reason("admin", "GET", "/a%2fb"),
        "the path has the byte 0x25"
    );
    assert_eq!(
        reason("admin", "GET", "/a/../b"),
        "the path has a dot segment"
    );
    assert_eq!(
        reason("admin", "GET", "/nothing"),
        "no endpoint has this path"
    );
    assert_eq!(
        reason("admin", "POST", "/os/datadisk/wipe"),
        "endpoint os.datadisk-wipe is for nobody"
    );
    assert_eq!(
        reason("nobody", "GET", "/info"),
        "the role is not in the table"
    );
}

#[test]
fn a_parameter_outside_its_grammar_is_named() {
    let reason = |role, method, target| judged(role, method, target).unwrap_err();
    assert_eq!(
        reason("admin", "POST", "/addons/a.b/restart"),
        "the parameter slug has to be letters, digits, - and _, at most 64"
    );
    for (target, name) in [
        ("/apps/a@b/info", "slug"),
        ("/host/logs/boots/yesterday", "boot"),
        ("/host/logs/boots/yesterday/identifiers/a", "boot"),
        ("/host/logs/identifiers/%5B%5D", "identifier"),
        ("/store/addons/core_ssh/newest", "version"),
        ("/jobs/1", "uuid"),
        ("/core/api/states/kitchen", "entity"),
        ("/core/logs?lines=many", "lines"),
        ("/core/logs?lines=5&lines=6", "lines"),
        ("/core/logs?verbose=%31", "verbose"),
        ("/core/logs?limit=5", "not known here: limit"),
        ("/info?x=%0A", "not known here: x"),
    ] {
        let reason = reason("operator", "GET", target);
        assert!(reason.contains(name), "{target}: {reason}");
    }
    // Who may not make the call at all hears that.
    let restart = reason("observer", "POST", "/addons/a.b/restart");
    assert_eq!(restart, "endpoint addons.restart needs operate");
    let service = reason("admin", "GET", "/services/MQTT");
    assert_eq!(service, "endpoint services.get is for nobody");
}

#[test]
fn an_identifier_goes_out_as_the_journal_has_it() {
    for (asked, out) in [
        ("NetworkManager%5B123%5D", "NetworkManager%5B123%5D"),
        ("my%20own%20script", "my%20own%20script"),
        ("(systemd)", "%28systemd%29"),
        ("%28systemd%29", "%28systemd%29"),
        ("user%401000.service", "user@1000.service"),
    ] {
        for end in ["", "/follow"] {
            let path = |name| format!("/host/logs/boots/0/identifiers/{name}{end}");
            let answer = judged("observer", "GET", &path(asked));
            assert_eq!(answer, Ok(path(out)), "{asked}");
        }
    }
    for bad in [
        "a%2fb", "%2e%2e", "%2E", "a%5cb", "a%25b", "a%00", "a%0a", "a%3fb", "a%23b", "a%3bb",
        "a%7bb", "a%c3%a4", "a%", "a%5", "a[b]", "%6bernel", "%20", "a%22b", "a%253cb",
    ] {
        let path = format!("/host/logs/identifiers/{bad}");
        assert!(judged("admin", "GET", &path).is_err(), "{bad}");
    }
    // Nothing else is encoded.
    for path in ["/addons/a%20b/info", "/host%20/info", "/addons/a(b)/info"] {
        assert!(judged("admin", "GET", path).is_err(), "{path}");
    }
}

#[test]
fn a_query_holds_listed_names_only() {
    let ask = |target| judged("operator", "GET", target);
    assert_eq!(ask("/core/logs?lines=20").unwrap(), "/core/logs?lines=20");
    assert_eq!(ask("/core/logs?").unwrap(), "/core/logs");
    for bad in [
        "/info?x=1",
        "/info?lines=5",
        "/core/logs?lines=",
        "/core/logs?lines",
        "/core/logs?lines=-1",
        "/core/logs?lines=5&lines=6",
        "/core/logs?lines=1234567",
        "/core/logs?lines=5&x=1",
        "/core/logs?&",
        "/core/logs?lines=%35",
        "/core/logs?lines=../../x",
    ] {
        assert!(ask(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_bad_table_is_refused() {
    let good = "[spellings]\n'/z' = '/x'\n[a.b]\nmethod = 'GET'\npath = '/x/{slug}'\nneeds = 'read'\nwhy = 'y'\n";
    assert!(Endpoints::parse(good).is_ok());
    for (from, to) in [
        ("why", "extra = 1\nwhy"),
        ("'GET'", "'FETCH'"),
        ("'read'", "'fly'"),
        ("needs = 'read'", ""),
        ("needs", "never = 'z'\nneeds"),
        ("/x/", "/x//"),
        ("/x/", "x/"),
        ("{slug}", "{name}"),
        ("{slug}", "{slug"),
        ("{slug}", "{slug}/{slug}"),
        ("/x/", "/x%2f/"),
        ("why = 'y'", ""),
        ("'/x'", "'/y'"),
        ("'/z'", "'/x'"),
        ("'/z'", "'z'"),
        ("[a.b]", "[b]"),
    ] {
        assert!(
            Endpoints::parse(&good.replace(from, to)).is_err(),
            "{from} -> {to}"
        );
    }
    let more = "[a.c]\nmethod = 'GET'\npath = '/x/y'\nneeds = 'read'\nwhy = 'y'\n";
    assert!(matches!(
        Endpoints::parse(&format!("{good}{more}")),
        Err(EndpointsError::Ambiguous(..))
    ));
    // An exception for nobody is none.
    let never = more.replace("needs = 'read'", "never = 'z'");
    assert!(Endpoints::parse(&format!("{good}{never}")).is_ok());
    let both = format!("{}{never}", good.replace("needs = 'read'", "never = 'z'"));
    let wider = format!("{}{more}", good.replace("needs = 'read'", "never = 'z'"));
    for bad in [both, wider] {
        let parsed = Endpoints::parse(&bad);
        assert!(
            matches!(parsed, Err(EndpointsError::Ambiguous(..))),
            "{bad}"
        );
    }
}

/// A generator of numbers that is the same at each run; Marsaglia's xorshift.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    fn one_of<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len())]
    }
}

/// Whatever comes in, what goes out is a template with parameters of their grammar and a query of listed names.
#[test]
fn whatever_is_asked_what_goes_out_is_a_template_with_fitting_parameters() {
    let (endpoints, roles) = (Endpoints::shipped().unwrap(), Roles::shipped().unwrap());
    let admin: crate::model::Role = "admin".parse().unwrap();
    let list: Vec<_> = endpoints.iter().collect();
    let values = [
        "core_ssh",
        "self",
        "1.2.3",
        "-1",
        "0",
        "end0",
        "100",
        "default",
        "light.a",
        "light",
        "turn_on",
        "input",
        "83fee99ca0c3466db5fc120d52ca7dd8",
        "2026-08-24T00:00:00+02:00",
        "ghcr.io",
        "kernel",
        "(sd-pam)",
        "a%20b",
        "NetworkManager%5B1%5D",
        "hassio",
        "..",
        ".",
        "",
        "%2e%2e",
        "%2f",
        "a%2fb",
        "..%2f..",
        "x/../y",
        "\\",
        "{slug}",
        "info",
        "ä",
        "a b",
        "a?b=c",
        "a#b",
        "\0",
        "\r\n",
    ];
    let pieces = [
        "/",
        "//",
        "..",
        "%",
        "%2",
        "%2f",
        "%252f",
        "?",
        "#",
        "&",
        "=",
        ";",
        "\\",
        "\n",
        "\u{202e}",
        "A",
        "a",
        ".",
        "+",
        "@",
        ":",
        "lines=5",
        "location=.local",
        "/v2",
        "/core/api/hassio",
    ];
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut allowed = 0;
    for _ in 0..30_000 {
        let endpoint = numbers.one_of(&list);
        let mut path = endpoint.path.to_string();
        while let Some(at) = path.find('{') {
            let end = path[at..].find('}').unwrap() + at;
            path.replace_range(at..=end, &numbers.one_of(&values).replace(['{', '}'], "_"));
        }
        for _ in 0..numbers.below(3) {
            let mut at = numbers.below(path.len() + 1);
            while !path.is_char_boundary(at) {
                at -= 1;
            }
            path.insert_str(at, numbers.one_of::<&str>(&pieces));
        }
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
            None => (path, None),
        };
        let request = Request {
            method: endpoint.method.as_str(),
            path: &path,
            query: query.as_deref(),
        };
        let Verdict::Allow(call) = endpoints.judge(&roles, &admin, request) else {
            continue;
        };
        allowed += 1;
        let (out, query) = call.target().split_once('?').unwrap_or((call.target(), ""));
        let segments: Vec<_> = out.split('/').skip(1).collect();
        let template = call.endpoint().path.to_string();
        let expected: Vec<_> = template.split('/').skip(1).collect();
        assert_eq!(segments.len(), expected.len(), "{path:?} -> {out}");
        for (given, own) in segments.iter().zip(&expected) {
            match own.strip_prefix('{').and_then(|own| own.strip_suffix('}')) {
                Some(name) => {
                    let parameter = Parameter::ALL.into_iter().find(|p| p.name() == name);
                    let parameter = parameter.unwrap();
                    let fits = |c| parameter == Parameter::Identifier && " []()!*,='~".contains(c);
                    let value = percent::decoded(given, fits).unwrap();
                    assert!(parameter.takes(&value), "{path:?} -> {out}");
                    assert!(![".", ".."].contains(given), "{out}");
                    let safe = |b: u8| b.is_ascii_alphanumeric() || b"-_.:+@%".contains(&b);
                    assert!(given.bytes().all(safe), "{out}");
                }
                None => assert_eq!(given, own, "{path:?} -> {out}"),
            }
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap();
            let listed = call.endpoint().query.iter().any(|q| q.name() == name);
            assert!(listed, "{query}");
        }
        assert!(matches!(call.endpoint().access, Access::Needs(_)));
    }
    assert!(allowed > 3_000, "only {allowed} were let through");
}

#[test]
fn bytes_without_sense_never_get_through_and_never_panic() {
    let (endpoints, roles) = (Endpoints::shipped().unwrap(), Roles::shipped().unwrap());
    let admin: crate::model::Role = "admin".parse().unwrap();
    let mut numbers = Numbers(42);
    for _ in 0..30_000 {
        let length = numbers.below(40);
        let text: String = (0..length)
            .map(|_| char::from(u8::try_from(numbers.below(256)).unwrap()))
            .collect();
        let path = format!("/{text}");
        let request = Request {
            method: "GET",
            path: &path,
            query: Some(&text),
        };
        let verdict = endpoints.judge(&roles, &admin, request);
        assert!(matches!(verdict, Verdict::Deny(_)), "{path:?}");
    }
}
