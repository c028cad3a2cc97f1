//! What sources owe for connections that did not log in, and who is refused for it. Pure.
//!
//! As the PerSourcePenalties of sshd_config(5): each such connection costs its source some points, and these wear off, one in each
//! second. Who reaches the limit is refused for a while, each time for twice as long, which wears off as well. And each source may
//! make so many connections that do not log in at once, and so many more in a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::source::Source;
use crate::model::Allowance;
use crate::policy::ssh::Penalties as Policy;

/// What a connection did, in the end, instead of logging in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offence {
    /// Something that it tried was refused.
    Refused,
    /// It was still there at the grace limit.
    Lingered,
    /// It went away.
    Nothing,
}

/// What became of a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It may come in.
    Granted,
    /// Its source makes too many.
    TooFast,
    /// Its source is refused.
    Penalised,
}

/// A source that is refused from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ban {
    /// For how long.
    pub(super) lasts: Duration,
}

/// All sources that owe something.
pub(super) struct Penalties<'a> {
    policy: &'a Policy,
    accounts: BTreeMap<Source, Account>,
}

struct Account {
    /// In milliseconds: a point wears off in a second.
    points_ms: u64,
    counted: Instant,
    /// How often it was refused lately.
    bans: u32,
    banned_until: Option<Instant>,
    /// Since when one of those bans wears off.
    good_since: Instant,
    connections: Allowance,
}

impl Account {
    fn new(policy: &Policy, now: Instant) -> Self {
        Self {
            points_ms: 0,
            counted: now,
            bans: 0,
            banned_until: None,
            good_since: now,
            connections: Allowance::new(policy.connections_per_s, policy.connections_at_once, now),
        }
    }

    fn is_banned(&self, now: Instant) -> bool {
        self.banned_until.is_some_and(|until| until > now)
    }

    fn wear_off(&mut self, policy: &Policy, now: Instant) {
        let passed = now.saturating_duration_since(self.counted).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.points_ms = self.points_ms.saturating_sub(passed);
        self.counted = now;
        if !self.is_banned(now) {
            self.banned_until = None;
        }
        let good_s = now.saturating_duration_since(self.good_since).as_secs();
        let times = good_s.checked_div(policy.ban_forgotten_s).unwrap_or(0);
        if times > 0 {
            self.good_since += Duration::from_secs(times.saturating_mul(policy.ban_forgotten_s));
            self.bans = self
                .bans
                .saturating_sub(u32::try_from(times).unwrap_or(u32::MAX));
        }
    }

    fn owes(&self, now: Instant) -> bool {
        self.points_ms > 0
            || self.bans > 0
            || self.banned_until.is_some()
            || !self.connections.is_whole(now)
    }
}

impl<'a> Penalties<'a> {
    pub(super) fn new(policy: &'a Policy) -> Self {
        Self {
            policy,
            accounts: BTreeMap::new(),
        }
    }

    /// Whether a connection from `source` may come in now; it is counted if so.
    pub(super) fn admit(&mut self, source: Source, now: Instant) -> Admission {
        let account = self.account(source, now);
        if account.is_banned(now) {
            Admission::Penalised
        } else if account.connections.take(1, now) {
            Admission::Granted
        } else {
            Admission::TooFast
        }
    }

    /// A connection of it has logged in, and does not count.
    pub(super) fn logged_in(&mut self, source: Source) {
        if let Some(account) = self.accounts.get_mut(&source) {
            account.connections.give_back(1);
        }
    }

    /// Charges what a connection did; a refusal, where one begins.
    pub(super) fn charge(&mut self, source: Source, offence: Offence, now: Instant) -> Option<Ban> {
        let policy = self.policy;
        let cost_s = match offence {
            Offence::Refused => policy.refused_s,
            Offence::Lingered => policy.lingered_s,
            Offence::Nothing => policy.nothing_s,
        };
        let account = self.account(source, now);
        if account.is_banned(now) {
            return None;
        }
        account.points_ms = account
            .points_ms
            .saturating_add(cost_s.saturating_mul(1000));
        if account.points_ms < policy.limit_s.saturating_mul(1000) {
            return None;
        }
        let doubled = 1u64.checked_shl(account.bans).unwrap_or(u64::MAX);
        let lasts = policy
            .ban_s
            .saturating_mul(doubled)
            .min(policy.longest_ban_s);
        let lasts = Duration::from_secs(lasts);
        account.points_ms = 0;
        account.bans = account.bans.saturating_add(1);
        account.banned_until = Some(now + lasts);
        account.good_since = now + lasts;
        Some(Ban { lasts })
    }

    /// The source's, as it is now. Who owes least is forgotten where there are too many.
    fn account(&mut self, source: Source, now: Instant) -> &mut Account {
        if !self.accounts.contains_key(&source) && self.accounts.len() >= self.policy.sources {
            self.forget(now);
        }
        let policy = self.policy;
        let account = self.accounts.entry(source);
        let account = account.or_insert_with(|| Account::new(policy, now));
        account.wear_off(policy, now);
        account
    }

    /// Makes room: those that owe nothing any more, or else one, and who is refused last of all.
    fn forget(&mut self, now: Instant) {
        let policy = self.policy;
        self.accounts.retain(|_, account| {
            account.wear_off(policy, now);
            account.owes(now)
        });
        if self.accounts.len() < policy.sources {
            return;
        }
        let least = self
            .accounts
            .iter()
            .min_by_key(|(_, account)| (account.banned_until, account.bans, account.points_ms))
            .map(|(source, _)| *source);
        if let Some(least) = least {
            self.accounts.remove(&least);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const POLICY: Policy = Policy {
        refused_s: 5,
        lingered_s: 10,
        nothing_s: 1,
        limit_s: 15,
        ban_s: 15,
        longest_ban_s: 600,
        ban_forgotten_s: 600,
        connections_at_once: 4,
        connections_per_s: 2,
        sources: 8,
    };

    fn source(address: &str) -> Source {
        address.parse::<IpAddr>().unwrap().into()
    }

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    /// Charges until a ban begins, and says how long it lasts.
    fn banned(penalties: &mut Penalties<'_>, source: Source, now: Instant) -> u64 {
        for _ in 0..20 {
            if let Some(ban) = penalties.charge(source, Offence::Refused, now) {
                return ban.lasts.as_secs();
            }
        }
        panic!("it is never refused");
    }

    #[test]
    fn the_third_refused_login_in_a_row_begins_a_ban_and_slow_ones_never_do() {
        let (mut penalties, now) = (Penalties::new(&POLICY), Instant::now());
        let (hasty, slow) = (source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(penalties.charge(hasty, Offence::Refused, now), None);
        assert_eq!(penalties.charge(hasty, Offence::Refused, now), None);
        let ban = Ban { lasts: seconds(15) };
        assert_eq!(penalties.charge(hasty, Offence::Refused, now), Some(ban));
        assert_eq!(penalties.admit(hasty, now), Admission::Penalised);
        assert_eq!(
            penalties.admit(source("192.0.2.3"), now),
            Admission::Granted
        );
        assert_eq!(
            penalties.admit(hasty, now + seconds(14)),
            Admission::Penalised
        );
        assert_eq!(
            penalties.admit(hasty, now + seconds(15)),
            Admission::Granted
        );
        for n in 0..100 {
            let at = now + seconds(5 * n);
            assert_eq!(penalties.charge(slow, Offence::Refused, at), None, "{n}");
        }
    }

    #[test]
    fn bans_double_up_to_the_longest_and_are_forgotten_one_by_one() {
        let (mut penalties, mut now) = (Penalties::new(&POLICY), Instant::now());
        let it = source("2001:db8::1");
        for lasts in [15, 30, 60, 120, 240, 480, 600, 600] {
            assert_eq!(banned(&mut penalties, it, now), lasts);
            // What comes during a ban makes it no longer.
            assert_eq!(penalties.charge(it, Offence::Lingered, now), None);
            now += seconds(lasts);
            assert_eq!(penalties.admit(it, now), Admission::Granted);
        }
        // Eight bans; seven are forgotten.
        now += seconds(7 * 600);
        assert_eq!(banned(&mut penalties, it, now), 30);
        now += seconds(30 + 599);
        assert_eq!(banned(&mut penalties, it, now), 60);
        now += seconds(60 + 3 * 600);
        assert_eq!(banned(&mut penalties, it, now), 15);
    }

    #[test]
    fn connections_that_log_in_do_not_use_up_the_rate() {
        let (mut penalties, now) = (Penalties::new(&POLICY), Instant::now());
        let it = source("192.0.2.1");
        for _ in 0..100 {
            assert_eq!(penalties.admit(it, now), Admission::Granted);
            penalties.logged_in(it);
        }
        for _ in 0..4 {
            assert_eq!(penalties.admit(it, now), Admission::Granted);
        }
        assert_eq!(penalties.admit(it, now), Admission::TooFast);
        assert_eq!(
            penalties.admit(source("192.0.2.2"), now),
            Admission::Granted
        );
        assert_eq!(penalties.admit(it, now + seconds(1)), Admission::Granted);
    }

    #[test]
    fn the_table_is_bounded_and_who_is_refused_stays_in_it_longest() {
        let (mut penalties, now) = (Penalties::new(&POLICY), Instant::now());
        let banned_one = source("192.0.2.255");
        banned(&mut penalties, banned_one, now);
        for n in 0..1000u32 {
            let other = source(&format!("198.51.{}.{}", n / 250, n % 250));
            penalties.charge(other, Offence::Nothing, now);
            assert!(penalties.accounts.len() <= POLICY.sources);
        }
        assert_eq!(penalties.admit(banned_one, now), Admission::Penalised);
        // Those that owe nothing any more go first, all of them.
        penalties.admit(source("203.0.113.1"), now + seconds(5000));
        assert_eq!(penalties.accounts.len(), 1);
    }
}
