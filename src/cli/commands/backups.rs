use super::apps::APPS;
use super::*;
use crate::cli::backups;
use crate::cli::tree::{Limit, delete, former, get, list, node, post};

const BACKUP: Argument = argument("slug", "SLUG", "Which backup; `hassio backups` lists them")
    .to(To::Slug)
    .live(Live::Backups);

const PASSWORD: Opt = text("password", "The password it is encrypted with").field("password");

const FOLDERS: Opt = list(
    "folders",
    "Only this folder, and others named so: addons/local, media, share, ssl",
)
.short('f')
.field("folders")
.values(Values::Words(&["addons/local", "media", "share", "ssl"]));

const LOCATIONS: Opt = list(
    "location",
    "Where: the name of a backup mount, or .local (also if left bare)",
)
.short('l')
.kind(Kind::ListOr(".local"))
.field("location")
.live(Live::Locations);

const LOCATION: Opt = text(
    "location",
    "From where: the name of a backup mount, or .local (also if left bare)",
)
.short('l')
.kind(Kind::TextOr(".local"))
.field("location")
.live(Live::Locations);

pub(super) const NODES: &[Node] = &[
    node("backups", "List the backups, or make, restore and move them")
        .more("Without a further word, lists what there is.")
        .also(&["backup", "back", "bk"])
        .formerly(&["snapshots", "snapshot", "snap", "shot", "sn"])
        .asks(&[get("/backups/info")]),
    node("backups download", "Copy a backup out of Home Assistant")
        .more(
            "What is there of it lies in a file whose name ends in .part, which is renamed when all of it is there. Where such \
             a file was left by a run that was interrupted, the next run goes on from there if the server can, and says that it \
             is the same file, and begins again if not. With -o - it writes to standard output; into a device, a pipe or a link \
             it writes as it comes, without such a file.\n\
             \n\
             Example, from your own computer: ssh ha hassio backups download 8f3a2b1c -o - > backup.tar",
        )
        .also(&["get", "fetch"])
        .takes(&[BACKUP])
        .with(&[
            text("output-file", "Where to; SLUG.tar in this folder if left out, - for standard output")
                .short('o')
                .values(Values::Files),
            Opt { field: "", send: Send::Own, ..LOCATION },
        ])
        .within(Limit::None)
        .runs(backups::download, &[get("/backups/{slug}/download")]),
    node("backups freeze", "Prepare apps and Core for a snapshot made outside")
        .also(&["frz"])
        .with(&[number("timeout", 0, i64::MAX, "Thaw by itself after this many seconds").field("timeout")])
        .asks(&[post("/backups/freeze")]),
    node("backups info", "Describe a backup")
        .also(INFO)
        .takes(&[BACKUP])
        .asks(&[get("/backups/{slug}/info")]),
    node("backups new", "Make a backup")
        .more(
            "Of everything, unless --app or --folders name parts. It takes as long as it takes; --background gives its job's \
             id at once.\n\
             \n\
             Examples:\n\
             \x20 hassio backups new --name before-update\n\
             \x20 hassio backups new --app core_mosquitto --folders ssl --password secret",
        )
        .also(&["create", "backup"])
        .with(&[
            text("name", "What to call it").field("name"),
            text("password", "Encrypt it with this").field("password"),
            APPS,
            FOLDERS,
            LOCATIONS,
            switch("uncompressed", "Do not compress: larger, and faster").field("compressed").sent(Send::WhenOn(false)),
            switch("homeassistant-exclude-database", "Without Core's history")
                .field("homeassistant_exclude_database"),
            text("filename", "Its file's name").field("filename"),
            BACKGROUND,
        ])
        .within(Limit::None)
        .shown_by(&["backup_manager_", "_backup"])
        .runs(backups::new, &[post("/backups/new/full"), post("/backups/new/partial")]),
    node("backups options", "Change settings of backups")
        .also(OPTIONS)
        .with(&[number("days-until-stale", 1, 36_500, "After how many days a backup counts as old").field("days_until_stale")])
        .asks(&[post("/backups/options")]),
    node("backups reload", "Look for backups again")
        .also(RELOAD)
        .asks(&[post("/backups/reload")]),
    node("backups remove", "Delete a backup")
        .also(&["delete", "del", "rem", "rm"])
        .takes(&[BACKUP])
        .with(&[LOCATIONS])
        .asks(&[delete("/backups/{slug}")]),
    node("backups restore", "Put a backup back")
        .more("All of it, unless --app, --folders or --homeassistant name parts. What is there now is replaced.")
        .takes(&[BACKUP])
        .with(&[
            PASSWORD,
            switch("homeassistant", "Home Assistant Core; =false to leave it out").field("homeassistant"),
            Opt {
                help: "Only this app, and others named so",
                ..APPS
            },
            FOLDERS,
            LOCATION,
            BACKGROUND,
        ])
        .within(Limit::None)
        .shown_by(&["backup_manager_", "_restore"])
        .runs(
            backups::restore,
            &[post("/backups/{slug}/restore/full"), post("/backups/{slug}/restore/partial")],
        ),
    node("backups thaw", "End what freeze began")
        .also(&["th"])
        .asks(&[post("/backups/thaw")]),
    node("backups upload", "Bring a backup into Home Assistant")
        .more("FILE is a backup's .tar, or - for standard input.\n\
               \n\
               Example, from your own computer: ssh ha hassio backups upload - < backup.tar")
        .also(&["put"])
        .takes(&[argument("file", "FILE", "The backup, or - for standard input").to(To::Own).values(Values::Files)])
        .with(&[
            text("filename", "The name it gets"),
            Opt { field: "", send: Send::Own, ..LOCATIONS },
        ])
        .within(Limit::None)
        .runs(backups::upload, &[backups::UPLOAD]),
    former("backups list", "backups"),
];
