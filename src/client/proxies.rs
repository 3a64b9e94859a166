//! Which route to which origin: through no proxy, the one that was set, or the environment's; the hosts that are
//! reached without a proxy; and where else than to its own host an origin is connected.
//!
//! The routes are made when a setting changes and shared by all requests, so that a request over a kept
//! connection compares a pointer. This file does not know how to talk to a proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::connect_rule::ConnectRule;
use super::no_proxy::NoProxy;
use crate::error::Error;
use crate::manager::Origin;
use crate::net::connect_to::Place;
use crate::net::proxy::Proxy;
use crate::net::route::Route;
use crate::net::tls::Tls;
use crate::secret::Secret;
use crate::vocabulary::Kind;

/// The proxies of a client. Threads: immutable.
#[derive(Clone, Debug)]
pub(crate) struct Proxies {
    choice: Choice,
    /// The hosts without a proxy that the caller set; `None`: the environment's.
    without: Option<NoProxy>,
    /// What all routes have in common. It has no proxy.
    base: Route,
    /// The rules for origins that are connected elsewhere, in their order, each with its routes.
    rules: Vec<(ConnectRule, Routes)>,
    /// The credentials of a HTTP proxy answer its challenges.
    digest: bool,
    routes: Routes,
}

/// Where the proxy comes from.
#[derive(Clone, Debug)]
enum Choice {
    Direct,
    Environment(Environment),
    /// As text: it is parsed again when the TLS settings change.
    Fixed(ProxyUrl),
}

/// It may hold a password.
type ProxyUrl = Secret<String>;

/// The proxies of the environment, with the names of their variables.
#[derive(Clone, Debug, Default)]
struct Environment {
    plain: Option<(&'static str, ProxyUrl)>,
    secure: Option<(&'static str, ProxyUrl)>,
    without: NoProxy,
    /// The entries of its list of hosts without a proxy that are not understood.
    ignored: Option<Arc<Ignored>>,
}

/// Entries that are passed over.
#[derive(Debug)]
struct Ignored {
    entries: Vec<String>,
    is_reported: AtomicBool,
}

/// The routes that result from the choice.
#[derive(Clone, Debug)]
struct Routes {
    direct: Arc<Route>,
    plain: Option<Result<Arc<Route>, Error>>,
    secure: Option<Result<Arc<Route>, Error>>,
}

impl Proxies {
    /// The proxies that the environment names now.
    pub(super) fn from_env(tls: &Arc<Tls>) -> Self {
        let variable = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
        let choice = Choice::Environment(Environment::read(&variable));
        let base = Route::default();
        let routes = Routes::new(&choice, &base, false, tls);
        Self { choice, without: None, base, rules: Vec::new(), digest: false, routes }
    }

    /// The route to an origin.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] if the environment names a malformed proxy.
    pub(crate) fn route(&self, origin: &Origin) -> Result<&Arc<Route>, Error> {
        if origin.unix.is_some() {
            return Ok(&self.routes.direct);
        }
        let rule = self.rules.iter().find(|(rule, _)| rule.is_for(origin));
        let routes = rule.map_or(&self.routes, |(_, routes)| routes);
        match if origin.secure { &routes.secure } else { &routes.plain } {
            Some(route) if !self.without().covers(&origin.host, origin.port) => {
                route.as_ref().map_err(Clone::clone)
            }
            _ => Ok(&routes.direct),
        }
    }

    /// The entries of the environment's list of hosts without a proxy that are passed over.
    pub(super) fn ignored(&self) -> &[String] {
        match &self.choice {
            Choice::Environment(Environment { ignored: Some(ignored), .. }) => &ignored.entries,
            _ => &[],
        }
    }

    /// Whether there are [`ignored`](Self::ignored) entries that were not reported before. They count as reported
    /// then.
    pub(super) fn must_report_ignored(&self) -> bool {
        match &self.choice {
            Choice::Environment(Environment { ignored: Some(ignored), .. }) => {
                !ignored.is_reported.swap(true, Ordering::Relaxed)
            }
            _ => false,
        }
    }

    /// Chooses this proxy, which was checked before, or none.
    pub(super) fn set_proxy(&mut self, proxy: Option<&str>, tls: &Arc<Tls>) {
        let choice = proxy.map_or(Choice::Direct, |url| Choice::Fixed(Secret::new(url.to_owned())));
        self.choose(choice, tls);
    }

    pub(super) fn set_no_proxy(&mut self, hosts: NoProxy) {
        self.without = Some(hosts);
    }

    /// Changes what all routes have in common.
    pub(super) fn change_base(&mut self, tls: &Arc<Tls>, change: impl FnOnce(&mut Route)) {
        change(&mut self.base);
        self.secured_by(tls);
    }

    /// Adds a rule behind those that there are; the first one that is for an origin counts.
    pub(super) fn add_rule(&mut self, rule: ConnectRule, tls: &Arc<Tls>) {
        let routes = self.routes_by(&rule, tls);
        self.rules.push((rule, routes));
    }

    pub(super) fn clear_rules(&mut self) {
        self.rules.clear();
    }

    pub(super) fn set_digest(&mut self, on: bool, tls: &Arc<Tls>) {
        self.digest = on;
        self.secured_by(tls);
    }

    /// Reads the environment again, in place of the proxy and the list of hosts that were set.
    pub(super) fn read_env(&mut self, tls: &Arc<Tls>) {
        let Self { choice, without, .. } = Self::from_env(tls);
        (self.choice, self.without) = (choice, without);
        self.secured_by(tls);
    }

    /// The same choices with other TLS settings, for a https proxy.
    pub(super) fn secured_by(&mut self, tls: &Arc<Tls>) {
        self.routes = Routes::new(&self.choice, &self.base, self.digest, tls);
        let rules = std::mem::take(&mut self.rules);
        let with_routes = |(rule, _)| {
            let routes = self.routes_by(&rule, tls);
            (rule, routes)
        };
        self.rules = rules.into_iter().map(with_routes).collect();
    }

    fn routes_by(&self, rule: &ConnectRule, tls: &Arc<Tls>) -> Routes {
        let base = Route { connect_to: Some(Arc::clone(&rule.to)), ..self.base.clone() };
        Routes::new(&self.choice, &base, self.digest, tls)
    }

    fn choose(&mut self, choice: Choice, tls: &Arc<Tls>) {
        self.choice = choice;
        self.secured_by(tls);
    }

    fn without(&self) -> &NoProxy {
        match (&self.without, &self.choice) {
            (Some(own), _) => own,
            (None, Choice::Environment(environment)) => &environment.without,
            (None, _) => NoProxy::empty(),
        }
    }
}

impl Environment {
    fn read(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let value = |name: &'static str| {
            let text = variable(name).map(|text| text.trim().to_owned());
            text.filter(|text| !text.is_empty()).map(|text| (name, text))
        };
        let proxy = |name: &'static str| value(name).map(|(name, text)| (name, Secret::new(text)));
        let all = || proxy("all_proxy").or_else(|| proxy("ALL_PROXY"));
        // In a CGI program HTTP_PROXY is the request's header "Proxy" (httpoxy, CVE-2016-5385).
        let plain = proxy("http_proxy").or_else(|| {
            if variable("REQUEST_METHOD").is_some() { None } else { proxy("HTTP_PROXY") }
        });
        let secure = proxy("https_proxy").or_else(|| proxy("HTTPS_PROXY"));
        let list = value("no_proxy").or_else(|| value("NO_PROXY"));
        let (without, entries) = NoProxy::parse_known(list.as_ref().map_or("", |(_, list)| list));
        let is_reported = AtomicBool::new(false);
        let ignored = (!entries.is_empty()).then(|| Arc::new(Ignored { entries, is_reported }));
        Self { plain: plain.or_else(all), secure: secure.or_else(all), without, ignored }
    }
}

impl Routes {
    fn new(choice: &Choice, base: &Route, digest: bool, tls: &Arc<Tls>) -> Self {
        let through = |url: &ProxyUrl| {
            let proxy = Proxy::parse(url.reveal(), tls)?;
            let proxy = if digest { proxy.with_digest() } else { proxy };
            let proxy = Some(Arc::new(proxy));
            Ok(Arc::new(Route { proxy, ..base.clone() }))
        };
        // A Unix-domain socket is on this machine.
        let is_local =
            matches!(base.connect_to.as_deref(), Some(to) if matches!(to.place, Place::Unix(_)));
        let named_route = |variable: &Option<(&'static str, ProxyUrl)>| {
            let (name, url) = variable.as_ref()?;
            Some(through(url).map_err(|error| named(name, &error)))
        };
        let (plain, secure) = match choice {
            _ if is_local => (None, None),
            // A proxy of the environment is not meant for connections that the program makes itself.
            Choice::Environment(_) if base.connector.is_some() => (None, None),
            Choice::Direct => (None, None),
            Choice::Fixed(url) => {
                let route = through(url);
                (Some(route.clone()), Some(route))
            }
            Choice::Environment(environment) => {
                (named_route(&environment.plain), named_route(&environment.secure))
            }
        };
        let is_plain = *base == Route::default();
        let direct = if is_plain { Route::direct() } else { Arc::new(base.clone()) };
        Self { direct, plain, secure }
    }
}

fn named(variable: &str, error: &Error) -> Error {
    let what = format!("the environment variable {variable}: {}", error.message());
    Error::new(Kind::InvalidArgument, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::connector::Connector;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, text)| (*text).to_owned())
        };
        let choice = Choice::Environment(Environment::read(&variable));
        let base = Route::default();
        let routes = Routes::new(&choice, &base, false, &Tls::standard());
        Proxies { choice, without: None, base, rules: Vec::new(), digest: false, routes }
    }

    fn route(proxies: &Proxies, origin: &str) -> String {
        let route = proxies.route(&Origin::parse(origin).unwrap());
        route.map_or_else(|error| error.to_string(), |route| route.to_string())
    }

    #[test]
    fn the_environment_names_a_proxy_for_each_scheme() {
        let both =
            proxies(&[("http_proxy", "a"), ("HTTPS_PROXY", "https://b"), ("ALL_PROXY", "c")]);
        assert_eq!(route(&both, "http://x"), "proxy http://a:80");
        assert_eq!(route(&both, "https://x"), "proxy https://b:443");
        let all = proxies(&[("HTTP_PROXY", " "), ("all_proxy", "socks5h://c"), ("ALL_PROXY", "d")]);
        assert_eq!(route(&all, "http://x"), "proxy socks5h://c:1080");
        assert_eq!(route(&all, "https://x"), "proxy socks5h://c:1080");
        let lower = proxies(&[("http_proxy", "a"), ("HTTP_PROXY", "b")]);
        assert_eq!(route(&lower, "http://x"), "proxy http://a:80");
        assert_eq!(route(&lower, "https://x"), "direct");
        assert_eq!(route(&proxies(&[]), "http://x"), "direct");
    }

    #[test]
    fn a_header_of_a_cgi_request_names_no_proxy() {
        let cgi = [("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "evil")];
        assert_eq!(route(&proxies(&cgi), "http://x"), "direct");
        let cgi = [("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "evil"), ("http_proxy", "a")];
        assert_eq!(route(&proxies(&cgi), "http://x"), "proxy http://a:80");
    }

    #[test]
    fn a_malformed_variable_is_named_when_it_would_be_used() {
        let broken = proxies(&[("HTTPS_PROXY", "ftp://u:secret@a"), ("http_proxy", "b")]);
        assert_eq!(route(&broken, "http://x"), "proxy http://b:80");
        let error = broken.route(&Origin::parse("https://x").unwrap()).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
        assert!(error.message().contains("HTTPS_PROXY") && !error.message().contains("secret"));
    }

    #[test]
    fn an_unknown_entry_of_the_environments_list_is_passed_over_and_reported_once() {
        let list = proxies(&[("http_proxy", "b"), ("NO_PROXY", "10.0.0.0/99, y")]);
        assert_eq!(route(&list, "http://x"), "proxy http://b:80");
        assert_eq!(route(&list, "http://y"), "direct");
        assert_eq!(list.ignored(), ["10.0.0.0/99"]);
        let copy = list.clone();
        assert!(list.must_report_ignored() && !list.must_report_ignored());
        assert!(!copy.must_report_ignored());
        let known = proxies(&[("http_proxy", "b"), ("NO_PROXY", "y")]);
        assert!(known.ignored().is_empty() && !known.must_report_ignored());
    }

    #[test]
    fn the_first_rule_for_an_origin_says_where_it_is_connected() {
        let mut proxies = proxies(&[("http_proxy", "p"), ("no_proxy", "near.test")]);
        let rule = |from, to| ConnectRule::parse(from, to, None).unwrap();
        for (from, to) in [("a:80", "b:1"), ("a", "c:2"), ("s", "unix:/s"), ("near.test", "d:3")] {
            proxies.add_rule(rule(from, to), &Tls::standard());
        }
        let place = |origin: &str| {
            let route = proxies.route(&Origin::parse(origin).unwrap()).unwrap();
            let to = route.connect_to.as_ref().map(|to| to.place.clone());
            (to, route.proxy.is_some())
        };
        let at = |to| Some(Place::parse(to).unwrap());
        assert_eq!(place("http://a"), (at("b:1"), true));
        assert_eq!(place("http://a:81"), (at("c:2"), true));
        assert_eq!(place("http://s"), (at("unix:/s"), false));
        assert_eq!(place("http://near.test"), (at("d:3"), false));
        assert_eq!(place("http://other"), (None, true));
        let one = Arc::clone(proxies.route(&Origin::parse("http://a").unwrap()).unwrap());
        assert!(Arc::ptr_eq(&one, proxies.route(&Origin::parse("http://a").unwrap()).unwrap()));
        proxies.clear_rules();
        assert_eq!(route(&proxies, "http://s"), "proxy http://p:80");
    }

    #[test]
    fn a_connector_goes_through_a_proxy_that_was_set_and_through_none_of_the_environment() {
        let mut proxies = proxies(&[("http_proxy", "p")]);
        let connector = Connector::new(Arc::new(|_| Err(std::io::ErrorKind::Other.into())));
        proxies.change_base(&Tls::standard(), |base| base.connector = Some(connector));
        assert_eq!(route(&proxies, "http://x"), "direct");
        proxies.set_proxy(Some("q"), &Tls::standard());
        assert_eq!(route(&proxies, "http://x"), "proxy http://q:80");
    }

    #[test]
    fn what_is_shown_of_proxies_has_no_password() {
        let url = "http://u:secret@a";
        let environment = proxies(&[("http_proxy", url), ("HTTPS_PROXY", url)]);
        let mut fixed = proxies(&[]);
        fixed.choose(Choice::Fixed(Secret::new(url.into())), &Tls::standard());
        let broken = proxies(&[("all_proxy", "http://u:secret")]);
        for proxies in [environment, fixed, broken] {
            let shown = format!("{proxies:?} {}", route(&proxies, "http://x"));
            assert!(!shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn a_route_is_the_same_for_every_request() {
        let mut proxies = proxies(&[("http_proxy", "a"), ("no_proxy", "b.test")]);
        let origin = |text| Origin::parse(text).unwrap();
        let one = Arc::clone(proxies.route(&origin("http://x")).unwrap());
        assert!(Arc::ptr_eq(&one, proxies.route(&origin("http://y")).unwrap()));
        let direct = Arc::clone(proxies.route(&origin("http://b.test")).unwrap());
        assert!(Arc::ptr_eq(&direct, proxies.route(&origin("https://x")).unwrap()));
        // Whatever the settings, a Unix-domain socket is on this machine.
        assert!(Arc::ptr_eq(&direct, proxies.route(&origin("http+unix://%2Fa")).unwrap()));
        let local = "127.0.0.1".parse().ok();
        proxies.change_base(&Tls::standard(), |base| base.local = local);
        assert_eq!(proxies.route(&origin("http://x")).unwrap().local, local);
    }

    #[test]
    fn a_named_proxy_leaves_the_environment_aside() {
        let mut proxies = proxies(&[("http_proxy", "a"), ("no_proxy", "*")]);
        proxies.choose(Choice::Fixed(Secret::new("b".into())), &Tls::standard());
        assert_eq!(route(&proxies, "http://x"), "proxy http://b:80");
        assert_eq!(route(&proxies, "https://x"), "proxy http://b:80");
        proxies.without = Some(NoProxy::parse("x").unwrap());
        assert_eq!(route(&proxies, "http://x"), "direct");
        proxies.choose(Choice::Direct, &Tls::standard());
        assert_eq!(route(&proxies, "http://y"), "direct");
    }
}
