use super::*;

/// Who may make which call: `o` observer, `b` backup, `p` operator, `a` admin.
const TABLE: &[(&str, &str, &str, &str)] = &[
    ("GET", "/info", "opa", "/info"),
    ("GET", "/supervisor/info", "opa", "/supervisor/info"),
    ("GET", "/supervisor/stats", "opa", "/supervisor/stats"),
    ("GET", "/supervisor/logs", "opa", "/supervisor/logs"),
    (
        "GET",
        "/supervisor/logs/follow",
        "opa",
        "/supervisor/logs/follow",
    ),
    ("GET", "/core/info", "opa", "/core/info"),
    ("GET", "/core/stats", "opa", "/core/stats"),
    ("GET", "/core/logs", "opa", "/core/logs"),
    ("GET", "/core/logs/follow", "opa", "/core/logs/follow"),
    ("POST", "/core/check", "pa", "/core/check"),
    ("POST", "/core/restart", "pa", "/core/restart"),
    ("GET", "/homeassistant/info", "opa", "/core/info"),
    ("GET", "/homeassistant/stats", "opa", "/core/stats"),
    ("GET", "/homeassistant/logs", "opa", "/core/logs"),
    (
        "GET",
        "/homeassistant/logs/follow",
        "opa",
        "/core/logs/follow",
    ),
    ("POST", "/homeassistant/check", "pa", "/core/check"),
    ("POST", "/homeassistant/restart", "pa", "/core/restart"),
    ("GET", "/host/info", "opa", "/host/info"),
    ("GET", "/os/info", "opa", "/os/info"),
    ("GET", "/network/info", "opa", "/network/info"),
    ("GET", "/addons", "opa", "/addons"),
    ("GET", "/apps", "opa", "/addons"),
    (
        "GET",
        "/addons/core_mosquitto/info",
        "opa",
        "/addons/core_mosquitto/info",
    ),
    (
        "GET",
        "/apps/core_mosquitto/info",
        "opa",
        "/addons/core_mosquitto/info",
    ),
    ("GET", "/addons/self/info", "opa", "/addons/self/info"),
    ("DELETE", "/info", "", ""),
    ("PATCH", "/addons", "", ""),
    ("get", "/info", "", ""),
    ("GET", "/core/restart", "", ""),
    ("POST", "/core/info", "", ""),
    ("POST", "/addons/self/options", "", ""),
    ("POST", "/addons/local_hassio_sshd/security", "", ""),
    ("GET", "/core/api/hassio/addons", "", ""),
    ("GET", "/core/websocket", "", ""),
    ("GET", "/v2/info", "", ""),
    ("GET", "/auth/list", "", ""),
    ("POST", "/supervisor/options", "", ""),
    ("GET", "/", "", ""),
];

const ROLES: [(&str, char); 4] = [
    ("observer", 'o'),
    ("backup", 'b'),
    ("operator", 'p'),
    ("admin", 'a'),
];

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
fn every_role_may_what_the_table_says_and_nothing_else() {
    for (method, path, who, target) in TABLE {
        for (role, letter) in ROLES {
            let verdict = judged(role, method, path);
            let expected = who.contains(letter).then(|| (*target).to_owned());
            assert_eq!(
                verdict.clone().ok(),
                expected,
                "{role} {method} {path}: {verdict:?}"
            );
        }
    }
}

#[test]
fn every_endpoint_is_in_the_table() {
    for endpoint in Endpoints::shipped().unwrap().iter() {
        for template in endpoint.templates() {
            let path = template.fill("core_mosquitto");
            let method = endpoint.method.as_str();
            assert!(
                TABLE.iter().any(|row| (row.0, row.1) == (method, &path)),
                "{method} {path}"
            );
        }
    }
}

#[test]
fn every_endpoint_is_for_some_role_and_says_why() {
    let roles = Roles::shipped().unwrap();
    for endpoint in Endpoints::shipped().unwrap().iter() {
        assert!(
            roles.least_with(endpoint.needs).is_some(),
            "{}",
            endpoint.name
        );
        assert!(!endpoint.why.is_empty(), "{}", endpoint.name);
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
        "/addons/a.b/info",
        "/addons/.../info",
        "/addons/{slug}/info",
        "/addons//info",
        "/info#x",
        "/addons/x/info/follow",
        "/INFO",
        "/Core/info",
        "/addons/\u{202e}x/info",
        "/addons/x\u{7f}/info",
        &long,
        &longer,
    ];
    for path in nasty {
        for (role, _) in ROLES {
            assert!(judged(role, "GET", path).is_err(), "{role} {path:?}");
        }
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
        reason("nobody", "GET", "/info"),
        "the role is not in the table"
    );
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
    let good = "[a.b]\nmethod = 'GET'\npath = '/x/{slug}'\nneeds = 'read'\nwhy = 'y'\n";
    assert!(Endpoints::parse(good).is_ok());
    for (from, to) in [
        ("why", "extra = 1\nwhy"),
        ("'GET'", "'FETCH'"),
        ("'read'", "'fly'"),
        ("/x/", "/x//"),
        ("/x/", "x/"),
        ("{slug}", "{name}"),
        ("{slug}", "{slug}/{slug}"),
        ("/x/", "/x%2f/"),
        ("why", "also = ['/y']\nwhy"),
        ("why = 'y'", ""),
    ] {
        assert!(
            Endpoints::parse(&good.replace(from, to)).is_err(),
            "{from} -> {to}"
        );
    }
    let twice = format!(
        "{good}{}",
        good.replace("a.b", "a.c").replace("{slug}", "y")
    );
    assert!(matches!(
        Endpoints::parse(&twice),
        Err(EndpointsError::Ambiguous(..))
    ));
}
