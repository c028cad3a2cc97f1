//! Moments as people give them, and times and durations as they are shown.

use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, ZonedDateTime};

/// Which end of a span of time a moment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// From here on: a day begins with its first moment.
    Since,
    /// Up to here: a day is meant with all of it.
    Until,
}

/// Reads a moment: RFC 3339, `YYYY-MM-DD`, `YYYY-MM-DD HH:MM[:SS]`, `today` or `yesterday` in the zone of `now`, or how
/// long ago, such as `90m`, `2h`, `3d`, `1w` or `1d12h`. None for anything else.
#[must_use]
pub fn moment(text: &str, bound: Bound, now: &ZonedDateTime) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let day = match text {
        "today" => Some(now.date()),
        "yesterday" => now.date().yesterday().ok(),
        text if text.len() == 10 => text.parse::<Date>().ok(),
        _ => None,
    };
    if let Some(day) = day {
        let day = match bound {
            Bound::Since => day,
            Bound::Until => day.tomorrow().ok()?,
        };
        let start = day
            .to_zoned_datetime(now.time_zone().clone())
            .ok()?
            .timestamp();
        return match bound {
            Bound::Since => Some(start),
            // What is recorded has microseconds.
            Bound::Until => start.checked_sub(1.microsecond()).ok(),
        };
    }
    if text.starts_with(|c: char| c.is_ascii_digit())
        && text.contains(['-', ':'])
        && let Ok(local) = text.parse::<DateTime>()
    {
        return Some(
            local
                .to_zoned_datetime(now.time_zone().clone())
                .ok()?
                .timestamp(),
        );
    }
    let ago = i64::try_from(duration(text)?.as_secs()).ok()?;
    now.timestamp().checked_sub(ago.seconds()).ok()
}

/// Reads a length of time: `30s`, `90m`, `2h`, `3d`, `1w`, or several of these one after another.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut seconds: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits)?;
        let unit = match after.chars().next()? {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 24 * 3600,
            'w' => 7 * 24 * 3600,
            _ => return None,
        };
        let number: u64 = number.parse().ok()?;
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        rest = after.get(1..)?;
    }
    (!text.trim().is_empty()).then_some(Duration::from_secs(seconds))
}

/// `2026-11-24 09:37:20`, in the zone.
pub(super) fn shown(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned_datetime(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// `2026-11-24 09:37:20 +01:00`
pub(super) fn shown_with_zone(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned_datetime(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S %:z")
        .to_string()
}

/// `0.4s`, `12s`, `2m05s`, `1h02m`, `3d04h`
pub(super) fn length(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..10 => format!("{seconds}.{}s", milliseconds % 1000 / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// `412 B`, `1.2 KiB`
pub(super) fn bytes(count: u64) -> String {
    let mut unit = "B";
    let (mut whole, mut tenths) = (count, 0);
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if whole < 1024 {
            break;
        }
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit = next;
    }
    match unit {
        "B" => format!("{whole} B"),
        unit => format!("{whole}.{tenths} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_the_readers_zone() {
        let now: ZonedDateTime = "2026-11-24T09:37:20+01:00[+01:00]".parse().unwrap();
        let read = |text, bound| moment(text, bound, &now).map(|at| at.to_string());
        for (text, since, until) in [
            (
                "2026-11-24T01:02:03Z",
                "2026-11-24T01:02:03Z",
                "2026-11-24T01:02:03Z",
            ),
            (
                "2026-11-20",
                "2026-11-19T23:00:00Z",
                "2026-11-20T22:59:59.999999Z",
            ),
            (
                "today",
                "2026-11-23T23:00:00Z",
                "2026-11-24T22:59:59.999999Z",
            ),
            (
                "yesterday",
                "2026-11-22T23:00:00Z",
                "2026-11-23T22:59:59.999999Z",
            ),
            (
                "2026-11-24 07:30",
                "2026-11-24T06:30:00Z",
                "2026-11-24T06:30:00Z",
            ),
            ("2h", "2026-11-24T06:37:20Z", "2026-11-24T06:37:20Z"),
            ("1d12h", "2026-11-22T20:37:20Z", "2026-11-22T20:37:20Z"),
        ] {
            assert_eq!(read(text, Bound::Since).as_deref(), Some(since), "{text}");
            assert_eq!(read(text, Bound::Until).as_deref(), Some(until), "{text}");
        }
        for bad in [
            "",
            "h",
            "2",
            "2x",
            "2026-13-01",
            "99999999999999w",
            "\u{1b}[2J",
            "-2h",
        ] {
            assert_eq!(read(bad, Bound::Since), None, "{bad}");
        }
    }

    #[test]
    fn lengths_and_bytes_are_short() {
        let lengths = [400, 12_000, 125_000, 3_725_000, 273_600_000].map(length);
        assert_eq!(lengths, ["0.4s", "12s", "2m05s", "1h02m", "3d04h"]);
        let sizes = [0, 1023, 1024, 1_300_000, u64::MAX].map(bytes);
        assert_eq!(
            sizes,
            ["0 B", "1023 B", "1.0 KiB", "1.2 MiB", "16777215.9 TiB"]
        );
    }
}
