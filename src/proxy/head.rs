//! What a request says before its body: whose it is, and in which session.

use std::sync::Arc;

use http::header::HeaderMap;
use http::{Method, Response, request};

use super::asking::Brought;
use super::body::GateBody;
use super::headers::SESSION_ID;
use super::known::Known;
use super::legacy::Endpoint;
use super::respond::Refusal;
use super::turned_away::turn_away;
use super::who::{Identified, who};
use super::{Gate, Server, Snapshot};
use crate::counters::CallId;
use crate::grants::{ClientCertificate, Grant};

type Answer = Response<GateBody>;

/// One request to a server, without its body.
pub(super) struct Head {
    pub(super) gate: Arc<Gate>,
    id: CallId,
    server: String,
    pub(super) headers: HeaderMap,
    path: String,
    query: Option<String>,
    certificate: Option<Arc<ClientCertificate>>,
    /// The answer to a question of the gate's own that came with the message.
    pub(super) brought: Option<Brought>,
}

/// Who sends it, to what; as it was found at one moment.
pub(super) struct Identity {
    pub(super) whose: Identified,
    upstream: Server,
    /// The upstream's session id, verified.
    session: Option<String>,
    /// Where the message goes, if it came by the transport of 2024-11-05.
    pub(super) endpoint: Option<Endpoint>,
}

impl Head {
    pub(super) fn new(
        gate: &Arc<Gate>,
        id: CallId,
        server: &str,
        parts: request::Parts,
        certificate: Option<Arc<ClientCertificate>>,
    ) -> (Self, Method) {
        let head = Self {
            gate: Arc::clone(gate),
            id,
            server: server.to_owned(),
            headers: parts.headers,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            certificate,
            brought: None,
        };
        (head, parts.method)
    }

    /// Finds out whose it is, by what is in force now.
    ///
    /// # Errors
    /// The answer to one that is nobody's, or in nobody's session; it is recorded.
    pub(super) async fn identify(
        &self,
        snapshot: &Arc<Snapshot>,
        upstream: &Server,
    ) -> Result<Identity, Box<Answer>> {
        let (gate, server) = (&self.gate, upstream.name());
        let certificate = self.certificate.clone();
        let whose = who(gate, snapshot, upstream, &self.headers, certificate).await;
        let whose = whose.map_err(|stranger| turn_away(gate, self.id, server, &self.path, stranger))?;
        let mut identity = Identity {
            whose,
            upstream: upstream.clone(),
            session: None,
            endpoint: None,
        };
        let grant = Arc::clone(&identity.whose.grant);
        let Ok(session) = session(gate, &grant, server, &self.headers) else {
            return Err(Box::new(self.known(&identity).without_session()));
        };
        identity.session = session;
        let endpoint = Endpoint::of(gate, server, grant.identity(), self.query.as_deref());
        let Ok(endpoint) = endpoint else {
            identity.session = None;
            let message = "an endpoint that this grant was not given";
            let answer = self.known(&identity).invalid(&Refusal::NoStream, message);
            return Err(Box::new(answer));
        };
        identity.endpoint = endpoint;
        Ok(identity)
    }

    /// The same by what is in force now.
    ///
    /// # Errors
    /// As [`Head::identify`].
    pub(super) async fn identify_again(&self) -> Result<Identity, Box<Answer>> {
        let snapshot = self.gate.snapshot.load_full();
        let Some(upstream) = self.gate.server(&snapshot, &self.server) else {
            let refusal = Refusal::NotFound("no such server".to_owned());
            return Err(Box::new(super::respond::refuse(&refusal)));
        };
        self.identify(&snapshot, &upstream).await
    }

    pub(super) fn known<'r>(&'r self, identity: &'r Identity) -> Known<'r> {
        Known {
            id: self.id,
            gate: &self.gate,
            grant: &identity.whose.grant,
            whose: &identity.whose,
            upstream: &identity.upstream,
            session: identity.session.as_deref(),
            endpoint: identity.endpoint.as_ref(),
            headers: &self.headers,
            brought: self.brought.as_ref(),
        }
    }
}

/// The upstream's session id: none sent, or one whose signature verifies.
fn session(gate: &Gate, grant: &Grant, server: &str, headers: &HeaderMap) -> Result<Option<String>, ()> {
    let Some(id) = headers.get(SESSION_ID) else {
        return Ok(None);
    };
    let id = id.to_str().map_err(|_| ())?;
    let verified = gate.session_key.verify(server, grant.identity(), id);
    verified.map(|id| Some(id.to_owned())).ok_or(())
}
