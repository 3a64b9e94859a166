//! The cookies that are kept: which one a new one replaces, which are sent, and which one is evicted when there
//! are too many (RFC 6265 sections 5.3 and 5.4). The number is bounded, and every change costs at most its
//! logarithm, so that a server that sets cookies without end delays no other request.
//!
//! A site is a registrable domain (`example.co.uk`) with all names below it, as in browsers: a site
//! must not evict the cookies of all others by using many host names. This file does not parse fields or
//! URLs, and the time is passed in.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::SystemTime;

use slab::Slab;

/// Threads: one at a time.
#[derive(Default)]
pub(super) struct Store {
    cookies: Slab<Kept>,
    sites: HashMap<Arc<str>, Site>,
    /// The site that loses a cookie when there are too many is the last one.
    ranks: BTreeSet<(Rank, Arc<str>)>,
    ends: BTreeSet<(SystemTime, usize)>,
    /// Counts the changes and uses of cookies, in place of a time.
    clock: u64,
}

/// Two cookies with the same identity are one: the later one replaces the earlier (rfc6265bis section 5.7).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    /// The first field, so that cookies of one name lie side by side.
    pub(super) name: Box<[u8]>,
    pub(super) domain: Box<str>,
    /// Sent to that host only, and to none below it.
    pub(super) host_only: bool,
    pub(super) path: Box<[u8]>,
}

/// A cookie as it is to be kept.
pub(super) struct Cookie {
    pub(super) identity: Identity,
    pub(super) value: Box<[u8]>,
    pub(super) secure: bool,
    pub(super) http_only: bool,
    pub(super) end: Option<SystemTime>,
}

/// Where a request goes, or a response came from.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) site: &'a str,
    pub(super) host: &'a str,
    pub(super) path: &'a [u8],
    /// By https.
    pub(super) secure: bool,
}

/// A cookie that is kept.
struct Kept {
    identity: Arc<Identity>,
    site: Arc<str>,
    value: Box<[u8]>,
    secure: bool,
    http_only: bool,
    end: Option<SystemTime>,
    created: u64,
    used: u64,
}

/// The cookies of a site.
#[derive(Default)]
struct Site {
    cookies: BTreeMap<Arc<Identity>, usize>,
    /// The first one goes when the site has too many: a Secure one only if all are (rfc6265bis
    /// section 5.7), and the least recently used.
    uses: BTreeSet<(bool, u64, usize)>,
    rank: Rank,
}

/// How many cookies a site has, and how long the one that would go was not used.
type Rank = (usize, Reverse<u64>);

impl Store {
    /// Keeps a cookie, or removes the one that it replaces if it has expired.
    pub(super) fn set(
        &mut self,
        from: Place<'_>,
        cookie: Cookie,
        now: SystemTime,
    ) -> Result<(), &'static str> {
        self.drop_ended(now);
        if !cookie.secure && !from.secure && self.hides_a_secure_one(from.site, &cookie.identity) {
            return Err("a Secure cookie has its name, and the URL is not https");
        }
        let site = self.sites.get(from.site);
        let replaced = site.and_then(|site| site.cookies.get(&cookie.identity)).copied();
        let created = replaced.map(|id| self.remove(id));
        if cookie.end.is_some_and(|end| end <= now) {
            return Ok(());
        }
        self.make_room(from.site);
        self.clock += 1;
        // A cookie that is changed keeps its place in the order of sending.
        self.insert(from.site, cookie, created.unwrap_or(self.clock));
        Ok(())
    }

    /// The Cookie field of a request that is sent now, empty if there is none.
    pub(super) fn send(&mut self, to: Place<'_>, now: SystemTime) -> Vec<u8> {
        let found = self.matching(to, now);
        if found.is_empty() {
            return Vec::new();
        }
        self.mark_used(to.site, &found);
        self.field(found)
    }

    /// The Cookie field that a request would have.
    pub(super) fn peek(&self, to: Place<'_>, now: SystemTime) -> Vec<u8> {
        self.field(self.matching(to, now))
    }

    /// Longer paths first, then as they came (RFC 6265 section 5.4).
    fn field(&self, mut found: Vec<usize>) -> Vec<u8> {
        let key = |id: &usize| {
            let cookie = &self.cookies[*id];
            (Reverse(cookie.identity.path.len()), cookie.created)
        };
        found.sort_unstable_by_key(key);
        let mut field = Vec::new();
        for id in found {
            let Kept { identity, value, .. } = &self.cookies[id];
            let separator: &[u8] = if field.is_empty() { b"" } else { b"; " };
            for part in [separator, &identity.name, b"=", value] {
                field.extend_from_slice(part);
            }
        }
        field
    }

    fn mark_used(&mut self, site: &str, found: &[usize]) {
        let Some(uses) = self.sites.get_mut(site).map(|site| &mut site.uses) else { return };
        self.clock += 1;
        for id in found {
            let cookie = &mut self.cookies[*id];
            uses.remove(&(cookie.secure, cookie.used, *id));
            cookie.used = self.clock;
            uses.insert((cookie.secure, cookie.used, *id));
        }
        self.rank(site);
    }

    /// Copies of those that have not expired.
    pub(super) fn all(&self, now: SystemTime) -> Vec<Cookie> {
        let current = |kept: &&Kept| kept.end.is_none_or(|end| end > now);
        let copy = |kept: &Kept| Cookie {
            identity: Identity::clone(&kept.identity),
            value: kept.value.clone(),
            secure: kept.secure,
            http_only: kept.http_only,
            end: kept.end,
        };
        self.cookies.iter().map(|(_, kept)| kept).filter(current).map(copy).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.cookies.len()
    }

    fn matching(&self, to: Place<'_>, now: SystemTime) -> Vec<usize> {
        let Some(site) = self.sites.get(to.site) else { return Vec::new() };
        let matches = |id: &usize| {
            let Kept { identity, secure, end, .. } = &self.cookies[*id];
            let for_host = match identity.host_only {
                true => *identity.domain == *to.host,
                false => is_within(to.host, &identity.domain),
            };
            for_host
                && is_below(to.path, &identity.path)
                && (to.secure || !secure)
                && end.is_none_or(|end| end > now)
        };
        site.cookies.values().copied().filter(matches).collect()
    }

    /// Whether the cookie would be sent beside, or instead of, a Secure one with the same
    /// name ("leave Secure cookies alone", rfc6265bis section 5.7).
    fn hides_a_secure_one(&self, site: &str, new: &Identity) -> bool {
        let Some(site) = self.sites.get(site) else { return false };
        let first = Identity {
            name: new.name.clone(),
            domain: "".into(),
            host_only: false,
            path: [].into(),
        };
        let same_name = site
            .cookies
            .range::<Identity, _>((Bound::Included(first.borrow()), Bound::Unbounded))
            .take_while(|(known, _)| known.name == new.name);
        same_name.into_iter().any(|(known, id)| {
            self.cookies[*id].secure
                && (is_within(&known.domain, &new.domain) || is_within(&new.domain, &known.domain))
                && is_below(&new.path, &known.path)
        })
    }

    fn drop_ended(&mut self, now: SystemTime) {
        while let Some(&(end, id)) = self.ends.first()
            && end <= now
        {
            self.remove(id);
        }
    }

    /// Evicts one cookie if there are too many; expired ones were removed before. It is one of this site if the
    /// site has too many, else one of the site with the most; of a site's cookies, the least recently used.
    fn make_room(&mut self, site: &str) {
        let own = self.sites.get(site).filter(|site| site.cookies.len() >= MAX_PER_SITE);
        let next = own.and_then(|site| site.uses.first()).or_else(|| {
            let full = self.cookies.len() >= MAX_COOKIES;
            let (_, largest) = self.ranks.last().filter(|_| full)?;
            self.sites.get(largest)?.uses.first()
        });
        if let Some(&(_, _, id)) = next {
            self.remove(id);
        }
    }

    fn insert(&mut self, site: &str, cookie: Cookie, created: u64) {
        let name = match self.sites.get_key_value(site) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(site),
        };
        let Cookie { identity, value, secure, http_only, end } = cookie;
        let (identity, used) = (Arc::new(identity), self.clock);
        let id = self.cookies.insert(Kept {
            identity: Arc::clone(&identity),
            site: Arc::clone(&name),
            value,
            secure,
            http_only,
            end,
            created,
            used,
        });
        let site = self.sites.entry(Arc::clone(&name)).or_default();
        site.cookies.insert(identity, id);
        site.uses.insert((secure, used, id));
        if let Some(end) = end {
            self.ends.insert((end, id));
        }
        self.rank(&name);
    }

    /// Returns when the cookie was created.
    fn remove(&mut self, id: usize) -> u64 {
        let Kept { identity, site: name, secure, end, created, used, .. } = self.cookies.remove(id);
        if let Some(end) = end {
            self.ends.remove(&(end, id));
        }
        if let Some(site) = self.sites.get_mut(&name) {
            site.cookies.remove(&identity);
            site.uses.remove(&(secure, used, id));
        }
        self.rank(&name);
        created
    }

    /// Updates the site's rank after a change of its cookies.
    fn rank(&mut self, name: &str) {
        let Some((name, site)) = self.sites.get_key_value(name) else { return };
        let name = Arc::clone(name);
        let rank = (site.cookies.len(), Reverse(site.uses.first().map_or(0, |(_, used, _)| *used)));
        self.ranks.remove(&(site.rank, Arc::clone(&name)));
        if site.cookies.is_empty() {
            self.sites.remove(&name);
        } else if let Some(site) = self.sites.get_mut(&name) {
            site.rank = rank;
            self.ranks.insert((rank, name));
        }
    }
}

/// RFC 6265 section 5.1.3. An address has no labels, and no cookie of an address is for others.
pub(super) fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|below| below.is_empty() || below.ends_with('.'))
}

/// RFC 6265 section 5.1.4.
fn is_below(path: &[u8], of_cookie: &[u8]) -> bool {
    path.strip_prefix(of_cookie)
        .is_some_and(|rest| rest.is_empty() || of_cookie.ends_with(b"/") || rest.starts_with(b"/"))
}

/// RFC 6265 section 6.1.
pub(super) const MAX_COOKIES: usize = 3000;
/// As many as Chromium and Firefox keep of a registrable domain. With at most 4096 bytes each, all
/// of them together fit into the head of a request.
pub(super) const MAX_PER_SITE: usize = 180;

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn place<'a>(scheme: &str, host: &'a str, path: &'a str) -> Place<'a> {
        let site = host.rsplit_once("www.").map_or(host, |(_, site)| site);
        Place { site, host, path: path.as_bytes(), secure: scheme == "https" }
    }

    fn cookie(domain: &str, name: &str, value: &str) -> Cookie {
        let identity = Identity {
            name: name.as_bytes().into(),
            domain: domain.into(),
            host_only: false,
            path: b"/"[..].into(),
        };
        Cookie {
            identity,
            value: value.as_bytes().into(),
            secure: false,
            http_only: false,
            end: None,
        }
    }

    fn set(store: &mut Store, domain: &str, name: &str) {
        store.set(place("http", domain, "/"), cookie(domain, name, "1"), UNIX_EPOCH).unwrap();
    }

    fn has(store: &Store, host: &str, name: &str) -> bool {
        let field = store.peek(place("https", host, "/"), UNIX_EPOCH);
        String::from_utf8(field).unwrap().split("; ").any(|pair| pair == format!("{name}=1"))
    }

    /// Every index has every cookie once, and no more.
    fn check(store: &Store) {
        let sum = |count: fn(&Site) -> usize| store.sites.values().map(count).sum::<usize>();
        assert_eq!(sum(|site| site.cookies.len()), store.len());
        assert_eq!(sum(|site| site.uses.len()), store.len());
        assert_eq!(store.ranks.len(), store.sites.len());
        let ending = store.cookies.iter().filter(|(_, cookie)| cookie.end.is_some()).count();
        assert_eq!(store.ends.len(), ending);
        for (id, cookie) in &store.cookies {
            let site = &store.sites[&cookie.site];
            assert_eq!(site.cookies[&cookie.identity], id);
            assert!(site.uses.contains(&(cookie.secure, cookie.used, id)));
            assert!(site.cookies.len() <= MAX_PER_SITE);
            let oldest = Reverse(site.uses.first().unwrap().1);
            assert!(
                store.ranks.contains(&((site.cookies.len(), oldest), Arc::clone(&cookie.site)))
            );
        }
        assert!(store.len() <= MAX_COOKIES);
    }

    #[test]
    fn a_site_loses_its_own_least_recently_used_one_when_it_has_too_many() {
        let mut store = Store::default();
        set(&mut store, "other", "kept");
        for number in 0..MAX_PER_SITE {
            set(&mut store, "a", &format!("c{number}"));
        }
        // All are sent, and then the first one is set again: the second one is the oldest.
        store.send(place("http", "a", "/"), UNIX_EPOCH);
        set(&mut store, "a", "c0");
        set(&mut store, "a", "new");
        check(&store);
        assert_eq!(store.len(), MAX_PER_SITE + 1);
        assert!(has(&store, "other", "kept") && has(&store, "a", "new"));
        assert!(has(&store, "a", "c0"));
        let gone = (1..MAX_PER_SITE).filter(|n| !has(&store, "a", &format!("c{n}"))).count();
        assert_eq!(gone, 1);
    }

    #[test]
    fn those_that_say_secure_go_last() {
        let mut store = Store::default();
        for number in 0..MAX_PER_SITE {
            let secure = number < 3;
            let new = Cookie { secure, ..cookie("a", &format!("c{number}"), "1") };
            store.set(place("https", "a", "/"), new, UNIX_EPOCH).unwrap();
        }
        for number in 0..MAX_PER_SITE {
            set(&mut store, "a", &format!("flood{number}"));
        }
        check(&store);
        for number in 0..6 {
            assert_eq!(has(&store, "a", &format!("c{number}")), number < 3, "{number}");
        }
    }

    #[test]
    fn a_full_store_takes_from_the_site_with_most_and_then_from_the_least_recently_used() {
        let mut store = Store::default();
        for number in 0..MAX_COOKIES {
            set(&mut store, &format!("site{number}"), "a");
        }
        store.send(place("http", "site0", "/"), UNIX_EPOCH);
        set(&mut store, "new", "a");
        assert!(has(&store, "site0", "a") && !has(&store, "site1", "a"));
        set(&mut store, "site9", "b"); // site2 goes
        set(&mut store, "new", "b"); // site9 has most
        assert!(!has(&store, "site2", "a") && has(&store, "site3", "a"));
        assert!(!has(&store, "site9", "a") && has(&store, "site9", "b"));
        check(&store);
        assert_eq!(store.len(), MAX_COOKIES);
    }

    #[test]
    fn those_whose_end_has_come_go_first() {
        let mut store = Store::default();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        set(&mut store, "a", "oldest");
        for number in 1..MAX_PER_SITE {
            let end = Some(at(number as u64));
            let new = Cookie { end, ..cookie("a", &format!("c{number}"), "1") };
            store.set(place("http", "a", "/"), new, UNIX_EPOCH).unwrap();
        }
        assert_eq!(store.peek(place("http", "a", "/"), at(178)), b"oldest=1; c179=1");
        store.set(place("http", "a", "/"), cookie("a", "new", "1"), at(2)).unwrap();
        check(&store);
        assert_eq!(store.len(), MAX_PER_SITE - 1);
        assert!(has(&store, "a", "oldest") && !has(&store, "a", "c2"));
    }

    #[test]
    fn a_full_store_changes_and_deletes_what_it_holds() {
        let mut store = Store::default();
        for number in 0..MAX_PER_SITE {
            set(&mut store, "a", &format!("c{number}"));
        }
        store.set(place("http", "a", "/"), cookie("a", "c7", "2"), UNIX_EPOCH).unwrap();
        assert_eq!(store.len(), MAX_PER_SITE);
        let sent = String::from_utf8(store.peek(place("http", "a", "/"), UNIX_EPOCH)).unwrap();
        assert!(sent.starts_with("c0=1; ") && sent.contains("; c6=1; c7=2; c8=1; "), "{sent}");
        let deleted = Cookie { end: Some(UNIX_EPOCH), ..cookie("a", "c7", "") };
        store.set(place("http", "a", "/"), deleted, UNIX_EPOCH).unwrap();
        assert_eq!(store.len(), MAX_PER_SITE - 1);
        check(&store);
    }

    #[test]
    fn every_order_of_changes_leaves_the_indexes_whole() {
        let mut store = Store::default();
        let mut random = 1_u32;
        let mut below = |limit: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) % limit
        };
        for turn in 0..20_000_u64 {
            let now = UNIX_EPOCH + Duration::from_secs(turn / 100);
            let domain = format!("site{}", below(40));
            let name = format!("c{}", below(250));
            let from = place(if below(2) == 0 { "http" } else { "https" }, &domain, "/");
            let end = (below(3) == 0).then(|| now + Duration::from_secs(u64::from(below(50))));
            let secure = from.secure && below(2) == 0;
            let new = Cookie { end, secure, ..cookie(&domain, &name, "1") };
            let _ = store.set(from, new, now);
            if below(4) == 0 {
                store.send(from, now);
            }
            if turn % 997 == 0 {
                check(&store);
            }
        }
        check(&store);
    }

    #[test]
    fn hosts_and_paths_match_as_rfc_6265_says() {
        for (host, domain) in [("a.b", "a.b"), ("x.a.b", "a.b"), ("x.y.a.b", "a.b")] {
            assert!(is_within(host, domain), "{host} {domain}");
        }
        for (host, domain) in [("xa.b", "a.b"), ("b", "a.b"), ("a.b.", "a.b"), ("a.b", "x.a.b")] {
            assert!(!is_within(host, domain), "{host} {domain}");
        }
        for (path, cookie) in
            [("/", "/"), ("/a", "/"), ("/a", "/a"), ("/a/b", "/a"), ("/a/", "/a/")]
        {
            assert!(is_below(path.as_bytes(), cookie.as_bytes()), "{path} {cookie}");
        }
        for (path, cookie) in [("/ab", "/a"), ("/", "/a"), ("/a", "/a/"), ("/A", "/a")] {
            assert!(!is_below(path.as_bytes(), cookie.as_bytes()), "{path} {cookie}");
        }
    }
}
