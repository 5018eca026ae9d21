//! The proxy on the way out, as the environment names it: `HTTPS_PROXY` and `NO_PROXY`.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Uri;
use http::header::HeaderValue;
use hyper_util::client::proxy::matcher::Matcher;

use super::environment::environment;
use super::load::{Check, SettingsError};
use super::{Secret, is_loopback};

/// Read in this order, as curl reads them.
const PROXY: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const EXCEPT: [&str; 2] = ["NO_PROXY", "no_proxy"];
const UNUSABLE: &str = "no proxy that can be asked: the environment must say http://HOST:PORT, with USER:PASSWORD@ where it asks for them";

/// Which `https` servers are asked through a proxy, and through which. The default asks all directly.
#[derive(Debug, Clone, Default)]
pub struct Egress(Option<Arc<Matcher>>);

/// A proxy that opens a tunnel to a server (RFC 9110 section 9.3.6), asked in the clear: what passes is TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressProxy {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
    /// The whole value of `Proxy-Authorization`.
    pub authorization: Option<Secret<HeaderValue>>,
}

impl Egress {
    /// All servers are asked directly.
    pub const fn direct() -> Self {
        Self(None)
    }

    /// As the process environment says: for commands that ask a server without settings.
    ///
    /// # Errors
    /// A proxy that cannot be asked; the text holds nothing of its URL.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::of(&environment()).map_err(|why| SettingsError::Invalid(vec![format!("`HTTPS_PROXY`: {why}")]))
    }

    /// A proxy that cannot be used is an error: going round it could be what it is there to prevent.
    fn of(env: &BTreeMap<String, String>) -> Result<Self, &'static str> {
        let first = |names: [&str; 2]| {
            let mut values = names.into_iter().filter_map(|name| env.get(name));
            values.next().cloned().unwrap_or_default()
        };
        let (proxy, except) = (first(PROXY), first(EXCEPT));
        if proxy.trim().is_empty() {
            return Ok(Self::direct());
        }
        let usable = Matcher::builder().https(proxy.as_str()).build();
        // whether it is understood, whatever `NO_PROXY` says
        let understood = usable.intercept(&Uri::from_static("https://server.invalid"));
        if understood.is_none_or(|proxy| proxy.uri().scheme_str() != Some("http")) {
            return Err(UNUSABLE);
        }
        let matcher = Matcher::builder().https(proxy.as_str()).no(except.as_str());
        Ok(Self(Some(Arc::new(matcher.build()))))
    }

    /// The proxy before the server of this URL; `None`: it is asked directly. Loopback always is.
    pub fn towards(&self, url: &Uri) -> Option<EgressProxy> {
        let matcher = self.0.as_ref()?;
        if url.scheme_str() != Some("https") || url.host().is_none_or(is_loopback) {
            return None;
        }
        let proxy = matcher.intercept(url)?;
        let host = proxy.uri().host()?;
        Some(EgressProxy {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: proxy.uri().port_u16().unwrap_or(80),
            authorization: proxy.basic_auth().cloned().map(Secret::new),
        })
    }
}

impl Check<'_> {
    pub(super) fn read_egress(&mut self) -> Egress {
        Egress::of(self.env).unwrap_or_else(|why| {
            self.problem("HTTPS_PROXY", why);
            Egress::direct()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::{Egress, EgressProxy};
    use crate::settings::Secret;
    use crate::settings::load::Check;

    fn read(env: &[(&str, &str)]) -> Result<Egress, String> {
        let env: BTreeMap<String, String> = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut check = Check::new(Path::new("t.yaml"), Path::new(""), &env);
        let egress = check.read_egress();
        match check.settings_of(&serde_saphyr::from_str("servers: { s: { command: [x] } }").unwrap()) {
            Ok(_) => Ok(egress),
            Err(error) => Err(error.to_string()),
        }
    }

    fn towards(egress: &Egress, url: &str) -> Option<(String, u16)> {
        let proxy = egress.towards(&url.parse().unwrap());
        proxy.map(|proxy| (proxy.host, proxy.port))
    }

    #[test]
    fn https_servers_elsewhere_are_asked_through_the_proxy_but_for_those_that_are_named() {
        let egress = read(&[
            ("HTTPS_PROXY", "http://proxy.example:3128"),
            ("https_proxy", "http://other.example:1"),
            ("NO_PROXY", ".svc, example.org ,10.0.0.0/8,192.0.2.1"),
        ])
        .unwrap();
        let proxy = Some(("proxy.example".to_owned(), 3128));
        for url in [
            "https://mcp.example/mcp",
            "https://notexample.org/",
            "https://192.0.2.2/",
            "https://svc.example/",
        ] {
            assert_eq!(towards(&egress, url), proxy, "{url}");
        }
        for url in [
            "http://mcp.example/mcp",
            "https://localhost:8443/",
            "https://LocalHost/",
            "https://127.0.0.2/",
            "https://[::1]/",
            "https://coalesce.data.svc/mcp",
            "https://EXAMPLE.org/",
            "https://a.example.org:8443/",
            "https://10.1.2.3/",
            "https://192.0.2.1/",
        ] {
            assert_eq!(towards(&egress, url), None, "{url}");
        }
        let everything = read(&[("https_proxy", "proxy.example"), ("no_proxy", "*")]).unwrap();
        assert_eq!(towards(&everything, "https://mcp.example/"), None);
        assert_eq!(
            towards(&read(&[("HTTPS_PROXY", "")]).unwrap(), "https://mcp.example/"),
            None
        );
    }

    #[test]
    fn a_user_and_a_password_go_to_the_proxy_and_are_never_shown() {
        let egress = read(&[("HTTPS_PROXY", "http://user:p%40ss@[2001:db8::1]:8080")]).unwrap();
        let proxy = egress.towards(&"https://mcp.example/".parse().unwrap()).unwrap();
        let basic = http::HeaderValue::from_static("Basic dXNlcjpwQHNz");
        let wanted = EgressProxy {
            host: "2001:db8::1".to_owned(),
            port: 8080,
            authorization: Some(Secret::new(basic)),
        };
        assert_eq!(proxy, wanted);
        for shown in [format!("{egress:?}"), format!("{proxy:?}")] {
            assert!(
                !shown.contains("p@ss") && !shown.contains("p%40ss") && !shown.contains("dXNl"),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_asked_stops_the_start_and_is_not_gone_round() {
        for bad in [
            "https://proxy.example:3128",
            "socks5://proxy.example",
            "http://",
            "://",
            "a b",
        ] {
            let error = read(&[("HTTPS_PROXY", bad)]).unwrap_err();
            assert!(
                error.starts_with("t.yaml: `HTTPS_PROXY`: no proxy that can be asked"),
                "{bad}: {error}"
            );
        }
        let error = read(&[("HTTPS_PROXY", "socks5://u:s3cret@proxy.example")]).unwrap_err();
        assert!(!error.contains("s3cret"), "{error}");
    }
}
