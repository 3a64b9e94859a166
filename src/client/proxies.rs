//! Which proxy for which origin: none, the one that was set, or the environment's; and the hosts that are
//! reached without a proxy.
//!
//! The routes are made when a setting changes and shared by all requests, so that a request over a kept
//! connection compares a pointer. This file does not know how to talk to a proxy.

use std::net::IpAddr;
use std::sync::Arc;

use super::no_proxy::NoProxy;
use crate::error::Error;
use crate::manager::Origin;
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
    local: Option<IpAddr>,
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
    /// Why the environment's list of hosts without a proxy can't be used.
    fault: Option<Error>,
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
        let routes = Routes::new(&choice, None, tls);
        Self { choice, without: None, local: None, routes }
    }

    /// The route to an origin.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] if the environment names a malformed proxy, or a malformed list.
    pub(crate) fn route(&self, origin: &Origin) -> Result<&Arc<Route>, Error> {
        let route = if origin.secure { &self.routes.secure } else { &self.routes.plain };
        match route {
            Some(_) if origin.unix.is_some() => Ok(&self.routes.direct),
            Some(route) => {
                if self.without()?.covers(&origin.host, origin.port) {
                    return Ok(&self.routes.direct);
                }
                route.as_ref().map_err(Clone::clone)
            }
            None => Ok(&self.routes.direct),
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

    pub(super) fn set_local_address(&mut self, address: Option<IpAddr>, tls: &Arc<Tls>) {
        self.local = address;
        self.secured_by(tls);
    }

    /// Reads the environment again, in place of the proxy and the list of hosts that were set.
    pub(super) fn read_env(&mut self, tls: &Arc<Tls>) {
        *self = Self { local: self.local, ..Self::from_env(tls) };
        self.secured_by(tls);
    }

    /// The same choices with other TLS settings, for a https proxy.
    pub(super) fn secured_by(&mut self, tls: &Arc<Tls>) {
        self.routes = Routes::new(&self.choice, self.local, tls);
    }

    fn choose(&mut self, choice: Choice, tls: &Arc<Tls>) {
        self.choice = choice;
        self.secured_by(tls);
    }

    fn without(&self) -> Result<&NoProxy, Error> {
        match (&self.without, &self.choice) {
            (Some(own), _) => Ok(own),
            (None, Choice::Environment(Environment { fault: Some(fault), .. })) => {
                Err(fault.clone())
            }
            (None, Choice::Environment(environment)) => Ok(&environment.without),
            (None, _) => Ok(NoProxy::empty()),
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
        let (without, fault) = match value("no_proxy").or_else(|| value("NO_PROXY")) {
            None => (NoProxy::default(), None),
            Some((name, list)) => match NoProxy::parse(&list) {
                Ok(list) => (list, None),
                Err(error) => (NoProxy::default(), Some(named(name, &error))),
            },
        };
        Self { plain: plain.or_else(all), secure: secure.or_else(all), without, fault }
    }
}

impl Routes {
    fn new(choice: &Choice, local: Option<IpAddr>, tls: &Arc<Tls>) -> Self {
        let through = |url: &ProxyUrl| {
            let proxy = Some(Arc::new(Proxy::parse(url.reveal(), tls)?));
            Ok(Arc::new(Route { proxy, local, tunnels: false }))
        };
        let named_route = |variable: &Option<(&'static str, ProxyUrl)>| {
            let (name, url) = variable.as_ref()?;
            Some(through(url).map_err(|error| named(name, &error)))
        };
        let (plain, secure) = match choice {
            Choice::Direct => (None, None),
            Choice::Fixed(url) => {
                let route = through(url);
                (Some(route.clone()), Some(route))
            }
            Choice::Environment(environment) => {
                (named_route(&environment.plain), named_route(&environment.secure))
            }
        };
        let direct = match local {
            None => Route::direct(),
            Some(_) => Arc::new(Route { proxy: None, local, tunnels: false }),
        };
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

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, text)| (*text).to_owned())
        };
        let choice = Choice::Environment(Environment::read(&variable));
        let routes = Routes::new(&choice, None, &Tls::standard());
        Proxies { choice, without: None, local: None, routes }
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
        let list = proxies(&[("http_proxy", "b"), ("NO_PROXY", "10.0.0.0/99")]);
        assert!(route(&list, "http://x").contains("NO_PROXY"));
        assert_eq!(route(&list, "https://x"), "direct");
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
        proxies.local = "127.0.0.1".parse().ok();
        proxies.secured_by(&Tls::standard());
        assert_eq!(proxies.route(&origin("http://x")).unwrap().local, proxies.local);
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
