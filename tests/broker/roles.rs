//! Roles that the options add or widen, as the broker holds them.

use hassio_sshd::broker::BrokerError;
use hassio_sshd::model::{ConfigAccess, Network};
use hassio_sshd::wire::OwnRole;

use crate::harness::{Broker, Scratch, Supervisor, TOKEN, config};

fn own(name: &str, may: &[&str]) -> OwnRole {
    OwnRole {
        name: name.parse().unwrap(),
        may: may.iter().map(|word| (*word).to_owned()).collect(),
        config: ConfigAccess::Absent,
        network: Network::None,
    }
}

fn with(roles: Vec<OwnRole>, backup_download: bool) -> (Supervisor, Broker) {
    let scratch = Scratch::new();
    let supervisor = Supervisor::start(&scratch, &[]);
    let mut config = config(&supervisor.address, Some(TOKEN));
    (config.own_roles, config.backup_download) = (roles, backup_download);
    let broker = Broker::start_with(scratch, config);
    (supervisor, broker)
}

#[test]
fn a_role_of_the_options_may_what_it_lists_and_no_more() {
    let roles = vec![
        own("monitor", &["logs", "addons.info", "core.restart"]),
        own("settings", &["read", "addons.options"]),
    ];
    let (supervisor, broker) = with(roles, false);
    let monitor = broker.open("monitor");
    assert_eq!(monitor.get("/core/logs").status, 200);
    assert_eq!(monitor.request("POST", "/core/restart", "").status, 200);
    let info = monitor.get("/addons/core_mosquitto/info");
    assert!(
        info.status == 200 && !info.raw.contains("options-secret"),
        "{}",
        info.raw
    );
    let refused = monitor.get("/core/info");
    assert_eq!(refused.status, 403);
    let message = "GET /core/info is not allowed for the role monitor; the role settings would do";
    assert_eq!(refused.json()["message"], message);
    // Naming the call that sets them is enough to see them, our own excepted.
    let settings = broker.open("settings");
    assert!(
        settings
            .get("/addons/core_mosquitto/info")
            .raw
            .contains("options-secret")
    );
    assert!(
        !settings
            .get("/addons/self/info")
            .raw
            .contains("options-secret")
    );
    let session = settings.get("/sshd/session").json();
    let calls = session["data"]["calls"].as_array().unwrap();
    assert!(calls.contains(&"addons.options".into()) && !calls.contains(&"core.logs".into()));
    assert!(!supervisor.paths().contains(&"/core/info".to_owned()));
}

#[test]
fn a_role_of_the_options_cannot_change_this_app_either() {
    let (_supervisor, broker) = with(vec![own("apps", &["addons.*", "backups.*"])], false);
    let session = broker.open("apps");
    for path in [
        "/addons/self/options",
        "/addons/self/security",
        "/backups/1a2b3c4d/restore/full",
    ] {
        assert_eq!(session.request("POST", path, "").status, 403, "{path}");
    }
    assert_eq!(
        session
            .request("POST", "/addons/core_mosquitto/start", "")
            .status,
        200
    );
}

#[test]
fn only_with_the_option_the_role_backup_fetches_backups() {
    for (option, status) in [(false, 403), (true, 200)] {
        let (_supervisor, broker) = with(Vec::new(), option);
        let fetched = broker.open("backup").get("/backups/1a2b3c4d/download");
        assert_eq!(fetched.status, status);
        assert_eq!(
            broker
                .open("operator")
                .get("/backups/1a2b3c4d/download")
                .status,
            403
        );
    }
}

#[test]
fn a_broker_with_a_role_that_makes_no_sense_does_not_start() {
    for role in [
        own("observer", &[]),
        own("x", &["fly"]),
        own("x", &["auth.list"]),
    ] {
        let mut config = config("http://supervisor", None);
        config.own_roles = vec![role];
        let ended = Broker::start_with(Scratch::new(), config).end();
        assert!(matches!(ended, Err(BrokerError::Roles(_))), "{ended:?}");
    }
}
