//! The gate's own names: resource identifiers (RFC 8707) of its servers, the metadata that leads OAuth clients to
//! their issuers (RFC 9728), and the challenge of a 401 (RFC 6750 section 3).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::json;

use super::route;
use crate::settings::{Front, Server};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The names of all servers. The default knows none.
#[derive(Debug, Default)]
pub struct Resources {
    /// Scheme, host and port as clients write them.
    origin: String,
    /// The path before `/mcp`, without a slash at its end.
    prefix: String,
    servers: BTreeMap<String, Resource>,
    /// Where clients get tokens.
    issuers: Vec<String>,
}

#[derive(Debug)]
struct Resource {
    /// The identifiers that a token may be issued for.
    identifiers: Vec<String>,
    /// What the settings call it.
    written: Option<String>,
    /// Scopes, with blanks between.
    scopes: String,
}

/// What a client is told that is not let in.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// It showed nothing.
    SendToken,
    InvalidToken(&'a str),
    InsufficientScope(&'a str),
}

impl Resources {
    /// `proxy`: where the gate listens, which is its name where the settings give no other.
    pub fn new<'i>(
        front: &Front,
        proxy: SocketAddr,
        servers: &BTreeMap<String, Server>,
        commands: impl Iterator<Item = &'i str> + Clone,
        issuers: impl Iterator<Item = &'i str>,
    ) -> Self {
        let url = front.public_url.as_ref();
        let origin = url.and_then(|url| Some(format!("{}://{}", url.scheme_str()?, url.authority()?)));
        let scheme = if front.tls.is_some() { "https" } else { "http" };
        let origin = origin.unwrap_or_else(|| format!("{scheme}://{proxy}"));
        let prefix = url.map_or("", |url| url.path()).trim_end_matches('/').to_owned();
        let only = servers.len().saturating_add(commands.clone().count()) == 1;
        let identifiers = |name: &str| {
            let plain = only.then(|| format!("{origin}{prefix}/mcp"));
            let own = std::iter::once(format!("{origin}{prefix}/mcp/{name}"));
            own.chain(plain).collect()
        };
        let at_urls = servers.iter().map(|(name, server)| {
            let written = server.resource.clone();
            let resource = Resource {
                identifiers: written
                    .clone()
                    .map_or_else(|| identifiers(name), |written| vec![written]),
                written,
                scopes: server.scopes.join(" "),
            };
            (name.clone(), resource)
        });
        let commands = commands.map(|name| {
            let resource = Resource {
                identifiers: identifiers(name),
                written: None,
                scopes: String::new(),
            };
            (name.to_owned(), resource)
        });
        let named = at_urls.chain(commands);
        Self {
            servers: named.collect(),
            issuers: issuers.map(str::to_owned).collect(),
            origin,
            prefix,
        }
    }

    /// What a token for this server names as its audience.
    pub fn of(&self, server: &str) -> &[String] {
        self.servers
            .get(server)
            .map_or(&[], |resource| &resource.identifiers)
    }

    /// The metadata that a path leads to, as JSON.
    pub fn metadata(&self, path: &str) -> Option<Vec<u8>> {
        let path = path.strip_prefix(WELL_KNOWN)?;
        // with and without the prefix: what stands before the gate may have cut it
        let path = path.strip_prefix(self.prefix.as_str()).unwrap_or(path);
        let server = route::server(path, self.servers.keys().map(String::as_str))?;
        let resource = self.servers.get(server)?;
        let written = resource.written.clone();
        let mut metadata = json!({
            "resource": written.unwrap_or_else(|| format!("{}{}{path}", self.origin, self.prefix)),
            "resource_name": server,
            "bearer_methods_supported": ["header"],
        });
        if let Some(members) = metadata.as_object_mut() {
            if !self.issuers.is_empty() {
                members.insert("authorization_servers".to_owned(), json!(self.issuers));
            }
            if !resource.scopes.is_empty() {
                let scopes: Vec<&str> = resource.scopes.split(' ').collect();
                members.insert("scopes_supported".to_owned(), json!(scopes));
            }
        }
        serde_json::to_vec(&metadata).ok()
    }

    /// The value of `WWW-Authenticate` for a request to a server at this path.
    pub fn challenge(&self, server: &str, path: &str, told: Told<'_>) -> String {
        let (origin, prefix) = (&self.origin, &self.prefix);
        let mut challenge =
            format!("Bearer realm=\"toolgate\", resource_metadata=\"{origin}{WELL_KNOWN}{prefix}{path}\"");
        if let Some(resource) = self
            .servers
            .get(server)
            .filter(|resource| !resource.scopes.is_empty())
        {
            challenge.push_str(&format!(", scope=\"{}\"", resource.scopes));
        }
        let error = match told {
            Told::SendToken => return challenge,
            Told::InvalidToken(why) => ("invalid_token", why),
            Told::InsufficientScope(why) => ("insufficient_scope", why),
        };
        // the text is one of ours; a quote or a backslash would end it early
        let why = error.1.replace(['"', '\\', '`'], "'");
        challenge.push_str(&format!(", error=\"{}\", error_description=\"{why}\"", error.0));
        challenge
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::settings::Egress;

    fn resources(public: Option<&str>, names: &[&str]) -> Resources {
        let front = Front {
            public_url: public.map(|url| url.parse().unwrap()),
            ..Front::at("127.0.0.1:0".parse().unwrap())
        };
        let server = Server {
            scopes: vec!["mcp:run".to_owned(), "mcp:read".to_owned()],
            ..Server::at(
                "http://127.0.0.1:1/mcp".parse().unwrap(),
                Egress::direct(),
                Duration::ZERO,
            )
        };
        let servers = names.iter().map(|name| ((*name).to_owned(), server.clone()));
        let issuers = ["https://auth.example"];
        Resources::new(
            &front,
            "127.0.0.1:8080".parse().unwrap(),
            &servers.collect(),
            std::iter::empty(),
            issuers.into_iter(),
        )
    }

    fn metadata(resources: &Resources, path: &str) -> Value {
        let path = format!("{WELL_KNOWN}{path}");
        resources
            .metadata(&path)
            .map_or(Value::Null, |json| serde_json::from_slice(&json).unwrap())
    }

    #[test]
    fn a_server_is_known_by_the_url_that_clients_use() {
        let two = resources(None, &["a", "b"]);
        assert_eq!(two.of("a"), ["http://127.0.0.1:8080/mcp/a"]);
        assert!(two.of("c").is_empty());
        let one = resources(Some("https://gate.example/tools/"), &["a"]);
        assert_eq!(
            one.of("a"),
            [
                "https://gate.example/tools/mcp/a",
                "https://gate.example/tools/mcp"
            ]
        );
    }

    #[test]
    fn metadata_names_the_resource_that_its_path_is_about() {
        let one = resources(Some("https://gate.example/tools"), &["a"]);
        for path in ["/mcp/a", "/tools/mcp/a"] {
            let found = metadata(&one, path);
            assert_eq!(found["resource"], "https://gate.example/tools/mcp/a");
            assert_eq!(found["authorization_servers"][0], "https://auth.example");
            assert_eq!(found["scopes_supported"][1], "mcp:read");
        }
        assert_eq!(
            metadata(&one, "/mcp")["resource"],
            "https://gate.example/tools/mcp"
        );
        for path in ["", "/", "/mcp/b", "/mcp/a/", "/mcp/a/x", "/MCP/a"] {
            assert_eq!(metadata(&one, path), Value::Null, "{path}");
        }
        assert_eq!(metadata(&resources(None, &["a", "b"]), "/mcp"), Value::Null);
    }

    #[test]
    fn a_challenge_leads_to_the_metadata_and_says_what_is_wrong() {
        let one = resources(Some("https://gate.example/tools"), &["a"]);
        let start = "Bearer realm=\"toolgate\", resource_metadata=\"https://gate.example/.well-known/oauth-protected-resource/tools/mcp/a\", scope=\"mcp:run mcp:read\"";
        assert_eq!(one.challenge("a", "/mcp/a", Told::SendToken), start);
        assert_eq!(
            one.challenge("a", "/mcp/a", Told::InvalidToken("it has `x\"")),
            format!("{start}, error=\"invalid_token\", error_description=\"it has 'x'\"")
        );
    }
}
