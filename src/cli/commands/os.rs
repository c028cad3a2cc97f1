use super::*;
use crate::cli::own as code;
use crate::cli::tree::{Limit, delete, former, get, node, post};

const ACTIVITY_LED: Opt = switch("activity-led", "The light of the disk").field("activity_led");
const DISK_LED: Opt = switch("disk-led", "The light of the disk").field("disk_led");
const HEARTBEAT_LED: Opt = switch("heartbeat-led", "The light that blinks").field("heartbeat_led");
const HEALTH_LED: Opt =
    switch("system-health-led", "The light that blinks").field("system_health_led");
const POWER_LED: Opt = switch("power-led", "The light of the power").field("power_led");

pub(super) const NODES: &[Node] = &[
    node("os", "Home Assistant Operating System").formerly(&["hassos"]),
    node("os boards", "Settings of certain boards"),
    node("os boards green", "Show the settings of a Home Assistant Green")
        .also(&["grn"])
        .asks(&[get("/os/boards/green")]),
    node("os boards green options", "Change them")
        .also(OPTIONS)
        .with(&[ACTIVITY_LED, POWER_LED, HEALTH_LED])
        .asks(&[post("/os/boards/green")]),
    node("os boards raspberrypi", "Raspberry Pi").also(&["rpi"]),
    node("os boards raspberrypi firmware", "Show the firmware's version and whether there is a newer one")
        .also(&["fw"])
        .runs(code::firmware, &[get("/os/boards/raspberrypi/firmware")]),
    node("os boards raspberrypi firmware update", "Update the firmware")
        .more("The update happens at the machine's next start. A power cut at that moment can leave the board unusable.")
        .also(&["up", "upgrade"])
        .with(&[code::YES])
        .runs(
            code::update_firmware,
            &[
                get("/os/boards/raspberrypi/firmware"),
                post("/os/boards/raspberrypi/firmware/update"),
            ],
        ),
    node("os boards yellow", "Show the settings of a Home Assistant Yellow")
        .also(&["yell"])
        .asks(&[get("/os/boards/yellow")]),
    node("os boards yellow options", "Change them")
        .also(OPTIONS)
        .with(&[DISK_LED, HEARTBEAT_LED, POWER_LED])
        .asks(&[post("/os/boards/yellow")]),
    node("os boot-slot", "Start from the other copy of the system")
        .more("Restarts the machine. SLOT is A, B, or other: the one that is not running.")
        .also(&["boot"])
        .takes(&[argument("slot", "SLOT", "A, B or other").to(To::Own).values(Values::Words(&["A", "B", "other"]))])
        .within(Limit::Reboot)
        .runs(code::boot_slot, &[get("/os/info"), post("/os/boot-slot")]),
    node("os config", "Settings of the operating system").also(&["conf", "cfg"]),
    node("os config swap", "Swap").also(&["sw"]),
    node("os config swap info", "Show the settings of swap")
        .also(&["in"])
        .asks(&[get("/os/config/swap")]),
    node("os config swap options", "Change them")
        .also(OPTIONS)
        .with(&[
            text("swap-size", "As in 2G, 512M or 40%").field("swap_size"),
            number("swappiness", 0, 200, "How readily memory is swapped").field("swappiness").sent(Send::Given),
        ])
        .asks(&[post("/os/config/swap")]),
    node("os datadisk", "The disk that the data is on").also(&["data"]),
    node("os datadisk list", "List the disks that the data could be on")
        .also(&["in", "inf", "info", "show"])
        .asks(&[get("/os/datadisk/list")]),
    node("os datadisk move", "Move the data to another disk")
        .more("Restarts the machine, and takes a while. Everything on the other disk is lost.")
        .also(&["migrate", "mov"])
        .takes(&[argument("device", "DISK", "Which one; `hassio os datadisk list` names them").to(To::Body).live(Live::DataDisks)])
        .asks(&[post("/os/datadisk/move")]),
    node("os datadisk wipe", "Delete all data and begin anew")
        .more("Works on the host's console only: the Supervisor keeps it from apps.")
        .also(&["reset", "erase"])
        .with(&[code::YES])
        .confirms("This deletes all settings, backups, apps and data on the data disk.")
        .asks(&[post("/os/datadisk/wipe")]),
    node("os import", "Read settings from a USB stick named CONFIG")
        .also(&["im", "sync", "load"])
        .asks(&[post("/os/config/sync")]),
    node("os info", "Show version, board and boot slots")
        .also(INFO)
        .asks(&[get("/os/info")]),
    node("os update", "Update the operating system")
        .also(UPDATE)
        .with(VERSIONS)
        .within(Limit::Download)
        .shown_by(&["os_manager_update"])
        .notes("the new version is in use after the machine's next restart (`hassio host reboot`)")
        .asks(&[post("/os/update")]),
    former("os update-cli", "cli update").also(&["up-cli", "upcli", "cli-update", "cli-up", "cliup"]),
    node("docker", "Docker, in which everything runs").also(&["do"]),
    node("docker info", "Show Docker's version and settings")
        .also(INFO)
        .asks(&[get("/docker/info")]),
    node("docker migrate-storage-driver", "Have Docker store images in another way")
        .more("Happens at the next start of the machine, and takes a while.")
        .takes(&[argument("storage_driver", "DRIVER", "overlayfs if left out")
            .to(To::Body)
            .needed(Needed::Else("overlayfs"))
            .values(Values::Words(&["overlayfs", "overlay2"]))])
        .with(&[code::YES])
        .confirms("This changes how Docker stores images at the next start of the machine. Without a backup, data can be lost.")
        .asks(&[post("/docker/migrate-storage-driver")]),
    node("docker options", "Change Docker's settings")
        .also(OPTIONS)
        .with(&[
            switch("enable-ipv6", "IPv6 in Docker's networks").field("enable_ipv6"),
            number("mtu", 0, 65535, "The largest packet in Docker's networks, 68 to 65535; 0 for the usual one")
                .kind(Kind::NumberOrZero { least: 68, most: 65535 })
                .field("mtu")
                .sent(Send::Nullable),
        ])
        .notes("the machine must be restarted for this to take effect")
        .asks(&[post("/docker/options")]),
    node("docker registries", "List the registries that images come from")
        .also(&["reg", "re"])
        .asks(&[get("/docker/registries")]),
    node("docker registries add", "Log in to a registry")
        .also(&["set", "new"])
        .takes(&[argument("hostname", "HOST", "As in ghcr.io").to(To::Own)])
        .with(&[
            text("username", "The account there").short('u').required(),
            text("password", "Its password").short('p').required(),
        ])
        .runs(code::add_registry, &[post("/docker/registries")]),
    node("docker registries delete", "Log out of a registry")
        .also(&["del", "remove"])
        .takes(&[argument("hostname", "HOST", "Which one").live(Live::Registries)])
        .asks(&[delete("/docker/registries/{hostname}")]),
];
