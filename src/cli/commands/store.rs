use super::*;
use crate::cli::tree::{Limit, delete, get, node, post};

const REPOSITORY: Argument =
    argument("slug", "REPOSITORY", "Which one; `hassio store` lists them").live(Live::Repositories);

const STORE_SLUG: Argument = Argument {
    help: "Which app; `hassio store apps` lists them",
    ..SLUG
};

pub(super) const NODES: &[Node] = &[
    node(
        "store",
        "List what can be installed, or manage where it comes from",
    )
    .more("Without a further word, lists apps and repositories.")
    .also(&["shop", "stor"])
    .asks(&[get("/store")]),
    node("store add", "Add a repository of apps")
        .more("Whoever writes a repository writes programs that run on your machine.")
        .also(&["set", "new"])
        .takes(&[
            argument("repository", "URL", "As in https://github.com/someone/apps").to(To::Body),
        ])
        .asks(&[post("/store/repositories")]),
    node("store apps", "List the apps that can be installed")
        .also(&["app", "addons", "add-on", "addon", "add-ons"])
        .asks(&[get("/store/addons")]),
    node("store apps install", "Install an app")
        .also(&["i", "inst"])
        .takes(&[STORE_SLUG.live(Live::StoreApps)])
        .with(&[BACKGROUND])
        .within(Limit::Download)
        .shown_by(&["manager_install"])
        .asks(&[post("/store/addons/{slug}/install")]),
    node("store apps update", "Update an app")
        .also(&["upgrade", "up"])
        .takes(&[STORE_SLUG.live(Live::UpdatableApps)])
        .with(&[
            switch("backup", "Make a backup of it first").field("backup"),
            BACKGROUND,
        ])
        .within(Limit::Download)
        .shown_by(&["manager_update"])
        .asks(&[post("/store/addons/{slug}/update")]),
    node("store delete", "Remove a repository")
        .also(&["del", "remove"])
        .takes(&[REPOSITORY])
        .asks(&[delete("/store/repositories/{slug}")]),
    node("store reload", "Look for new versions of apps")
        .also(RELOAD)
        .asks(&[post("/store/reload")]),
    node("store repair", "Fetch a repository anew")
        .also(&["reset"])
        .takes(&[REPOSITORY])
        .asks(&[post("/store/repositories/{slug}/repair")]),
];
