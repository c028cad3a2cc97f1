use super::*;
use crate::cli::tree::{Limit, delete, former, get, list, node, post, put};

const INTERFACE: Argument = argument(
    "interface",
    "INTERFACE",
    "Which one, as in end0; `default` for the main one",
)
.live(Live::Interfaces);

const METHODS: Values = Values::Words(&["auto", "static", "disabled"]);
const RESOLVING: Values = Values::Words(&["default", "off", "resolve", "announce"]);

const METRIC: Kind = Kind::Number {
    least: -1,
    most: 4_294_967_295,
};

const IPV4_ADDRESS: Opt = list(
    "ipv4-address",
    "An address with its prefix, as in 192.168.1.5/24",
)
.field("ipv4.address");
const IPV4_GATEWAY: Opt =
    text("ipv4-gateway", "Where other networks are reached").field("ipv4.gateway");
const IPV4_METHOD: Opt = text("ipv4-method", "auto, static or disabled")
    .field("ipv4.method")
    .values(METHODS);
const IPV4_NAMESERVER: Opt =
    list("ipv4-nameserver", "The address of a DNS server").field("ipv4.nameservers");
const IPV4_METRIC: Opt = number(
    "ipv4-route-metric",
    -1,
    0,
    "The lowest one is the default route",
)
.kind(METRIC)
.field("ipv4.route_metric")
.sent(Send::NotNegative);
const IPV6_ADDRESS: Opt = list("ipv6-address", "An address with its prefix").field("ipv6.address");
const IPV6_GATEWAY: Opt =
    text("ipv6-gateway", "Where other networks are reached").field("ipv6.gateway");
const IPV6_METHOD: Opt = text("ipv6-method", "auto, static or disabled")
    .field("ipv6.method")
    .values(METHODS);
const IPV6_GENERATION: Opt = text(
    "ipv6-addr-gen-mode",
    "How addresses are made: eui64, stable-privacy, default-or-eui64 or default",
)
.field("ipv6.addr_gen_mode")
.values(Values::Words(&[
    "eui64",
    "stable-privacy",
    "default-or-eui64",
    "default",
]));
const IPV6_PRIVACY: Opt = text(
    "ipv6-privacy",
    "Changing addresses: default, disabled, enabled-prefer-public or enabled",
)
.field("ipv6.ip6_privacy")
.values(Values::Words(&[
    "default",
    "disabled",
    "enabled-prefer-public",
    "enabled",
]));
const IPV6_NAMESERVER: Opt =
    list("ipv6-nameserver", "The address of a DNS server").field("ipv6.nameservers");
const IPV6_METRIC: Opt = number(
    "ipv6-route-metric",
    -1,
    0,
    "The lowest one is the default route",
)
.kind(METRIC)
.field("ipv6.route_metric")
.sent(Send::NotNegative);
const MDNS: Opt = text("mdns", "Multicast DNS: default, off, resolve or announce")
    .field("mdns")
    .values(RESOLVING);
const LLMNR: Opt = text("llmnr", "LLMNR: default, off, resolve or announce")
    .field("llmnr")
    .values(RESOLVING);

const MOUNT: Argument =
    argument("name", "NAME", "Which one; `hassio mounts info` lists them").live(Live::Mounts);

const TYPE: Opt = text("type", "cifs (a Windows or Samba share) or nfs")
    .short('t')
    .field("type")
    .sent(Send::AlwaysElse("cifs"))
    .values(Values::Words(&["cifs", "nfs"]));
const USAGE: Opt = text("usage", "What for: media, backup or share")
    .short('u')
    .field("usage")
    .sent(Send::AlwaysElse("media"))
    .values(Values::Words(&["media", "backup", "share"]));

/// What a mount is made of.
const MOUNT_OPTIONS: &[Opt] = &[
    TYPE,
    USAGE,
    text("server", "The server's name or address")
        .short('s')
        .field("server"),
    number("port", 0, 65535, "Its port")
        .kind(positive(65535))
        .short('o')
        .field("port"),
    text("share", "The share's name, for cifs")
        .short('r')
        .field("share"),
    text("username", "The account there")
        .short('n')
        .field("username"),
    text("password", "Its password")
        .short('p')
        .field("password"),
    text("version", "The version of the protocol, for cifs")
        .short('v')
        .field("version"),
    text("path", "The exported path, for nfs")
        .short('a')
        .field("path"),
    switch("read-only", "Never write to it").field("read_only"),
];

pub(super) const NODES: &[Node] = &[
    node("network", "Network interfaces").also(&["net"]),
    node("network info", "Show the interfaces and their addresses")
        .also(INFO)
        .takes(&[Argument { needed: Needed::No, help: "Only this one", ..INTERFACE }])
        .asks(&[get("/network/interface/{interface}/info"), get("/network/info")]),
    node("network reload", "Read the network's settings again")
        .also(&["re"])
        .asks(&[post("/network/reload")]),
    node("network scan", "List the wireless networks in reach")
        .also(&["accesspoints", "wifi"])
        .takes(&[INTERFACE])
        .asks(&[get("/network/interface/{interface}/accesspoints")]),
    node("network update", "Change an interface's settings")
        .more("Without --disabled, the interface is switched on, whatever else is asked.\n\
               \n\
               Example: hassio network update end0 --ipv4-method static --ipv4-address 192.168.1.5/24 --ipv4-gateway \
               192.168.1.1 --ipv4-nameserver 192.168.1.1")
        .also(&["set", "up"])
        .takes(&[INTERFACE])
        .with(&[
            IPV4_ADDRESS, IPV4_GATEWAY, IPV4_METHOD, IPV4_NAMESERVER, IPV4_METRIC, IPV6_ADDRESS, IPV6_GATEWAY,
            IPV6_METHOD, IPV6_GENERATION, IPV6_PRIVACY, IPV6_NAMESERVER, IPV6_METRIC,
            text("wifi-mode", "infrastructure, mesh, adhoc or ap").field("wifi.mode")
                .values(Values::Words(&["infrastructure", "mesh", "adhoc", "ap"])),
            text("wifi-ssid", "The wireless network's name").field("wifi.ssid"),
            text("wifi-auth", "open, wep or wpa-psk").field("wifi.auth").values(Values::Words(&["open", "wep", "wpa-psk"])),
            text("wifi-psk", "The wireless network's password").field("wifi.psk"),
            switch("disabled", "Switch the interface off").short('e').field("enabled").sent(Send::Opposite),
            MDNS,
            LLMNR,
        ])
        .asks(&[post("/network/interface/{interface}/update")]),
    node("network vlan", "Add a VLAN to an interface")
        .takes(&[INTERFACE, argument("vlan", "ID", "The VLAN's number")])
        .with(&[
            IPV4_ADDRESS, IPV4_GATEWAY, IPV4_METHOD, IPV4_NAMESERVER, IPV4_METRIC, IPV6_ADDRESS, IPV6_GATEWAY,
            IPV6_METHOD, IPV6_GENERATION, IPV6_PRIVACY, IPV6_NAMESERVER, IPV6_METRIC, MDNS, LLMNR,
        ])
        .asks(&[post("/network/interface/{interface}/vlan/{vlan}")]),
    former("network options", "host options"),
    node("mounts", "Network shares that Home Assistant uses").also(&["mount", "mnts", "mnt"]),
    node("mounts add", "Use a share")
        .more("Example: hassio mounts add nas --usage backup --server nas.local --share backups --username ha --password secret")
        .also(&["create", "new"])
        .takes(&[argument("name", "NAME", "What to call it").to(To::Body)])
        .with(MOUNT_OPTIONS)
        .asks(&[post("/mounts")]),
    node("mounts delete", "Use a share no longer")
        .also(&["del", "remove", "rm"])
        .takes(&[MOUNT])
        .asks(&[delete("/mounts/{name}")]),
    node("mounts info", "List the shares")
        .also(INFO)
        .asks(&[get("/mounts")]),
    node("mounts options", "Change settings of shares")
        .also(OPTIONS)
        .with(&[text("default-backup-mount", "Where backups go; \"\" for this machine")
            .field("default_backup_mount")
            .sent(Send::Nullable)
            .live(Live::Mounts)])
        .asks(&[post("/mounts/options")]),
    node("mounts reload", "Connect to a share again")
        .also(&["re", "refresh", "remount"])
        .takes(&[MOUNT])
        .within(Limit::Reload)
        .asks(&[post("/mounts/{name}/reload")]),
    node("mounts update", "Change how a share is used")
        .more("All of it is replaced: say everything that `mounts add` would need.")
        .also(&["change", "set", "up", "modify", "mod"])
        .takes(&[MOUNT])
        .with(MOUNT_OPTIONS)
        .asks(&[put("/mounts/{name}")]),
];
