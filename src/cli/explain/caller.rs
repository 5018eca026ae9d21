//! Who asks, and under which policies: from flags, or from the settings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{anyhow, bail};

use super::sources::Sources;
use super::{Options, ask};
use crate::app;
use crate::grants::Grant;
use crate::policy::{Caller, Claims};
use crate::settings;

/// The grant, server and session of the call.
pub(super) struct Asker {
    pub(super) grant: String,
    pub(super) server: String,
    pub(super) session: Option<String>,
    claims: Option<Arc<Claims>>,
    pub(super) notes: Vec<String>,
}

impl Asker {
    pub(super) fn caller(&self) -> Caller<'_> {
        Caller {
            grant: &self.grant,
            server: &self.server,
            session: self.session.as_deref(),
            claims: self.claims.as_deref(),
        }
    }
}

/// Policies that cannot be used: what to print, and the exit code.
#[derive(Default)]
pub(super) struct Unfit {
    pub(super) report: String,
    pub(super) code: u8,
}

impl Unfit {
    pub(super) fn add(&mut self, problem: &str, code: u8) {
        self.report.push_str(problem);
        self.code = self.code.max(code);
    }
}

/// Who calls, under which policies. The inner error is what is wrong with the policies.
///
/// # Errors
/// Where flags or settings do not fit.
pub(super) fn load(options: &Options) -> anyhow::Result<Result<(Asker, Sources), Unfit>> {
    match &options.config {
        Some(config) => of_settings(options, config),
        None => of_flags(options),
    }
}

fn of_flags(options: &Options) -> anyhow::Result<Result<(Asker, Sources), Unfit>> {
    let or_local = |name: &Option<String>| name.clone().unwrap_or_else(|| "local".to_owned());
    let asker = Asker {
        grant: or_local(&options.grant),
        server: or_local(&options.server),
        session: options.session.clone(),
        claims: claims(options)?.map(Arc::new),
        notes: Vec::new(),
    };
    let sources = Sources::read(named(&options.policies).into_iter());
    Ok(sources.map(|sources| (asker, sources)))
}

/// Files go by their stems, or by their whole paths where two stems are the same.
fn named(paths: &[PathBuf]) -> Vec<(String, &Path)> {
    let stem = |path: &Path| {
        path.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let name = |path: &Path| {
        let own = stem(path);
        let alike = paths.iter().filter(|other| stem(other) == own).count();
        if alike > 1 {
            path.display().to_string()
        } else {
            own
        }
    };
    paths.iter().map(|path| (name(path), path.as_path())).collect()
}

fn of_settings(options: &Options, config: &Path) -> anyhow::Result<Result<(Asker, Sources), Unfit>> {
    let settings = settings::load(config)?;
    let loaded = app::load_files(&settings.files, settings.server_names())?;
    let id = options.grant.as_deref().unwrap_or_default();
    let found = loaded.grants.iter().find(|grant| grant.id == id);
    let Some(grant) = found else {
        bail!("{}: no grant has the id `{id}`", config.display());
    };
    let server = server(options, grant)?;
    let asker = Asker {
        grant: grant.id.clone(),
        notes: expired(grant, &server),
        server,
        session: options.session.clone(),
        claims: claims(options)?.map(Arc::new).or_else(|| grant.claims.clone()),
    };
    if !options.policies.is_empty() {
        let sources = Sources::read(named(&options.policies).into_iter());
        return Ok(sources.map(|sources| (asker, sources)));
    }
    let carried = grant.policies.iter().filter_map(|policy| {
        let path = settings.files.policies.get(policy.name())?;
        Some((policy.name().to_owned(), path.as_path()))
    });
    Ok(Sources::read(carried).map(|sources| (asker, sources)))
}

fn server(options: &Options, grant: &Grant) -> anyhow::Result<String> {
    let id = &grant.id;
    let known = grant.servers.join(", ");
    match (&options.server, grant.servers.as_slice()) {
        (Some(server), servers) if servers.contains(server) => Ok(server.clone()),
        (Some(server), _) => bail!(
            "the grant `{id}` does not reach the server `{server}`, so every request of it gets 401; it reaches: {known}"
        ),
        (None, [only]) => Ok(only.clone()),
        (None, _) => bail!("the grant `{id}` reaches several servers: choose one with --server: {known}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "grants expire by the wall clock")]
fn expired(grant: &Grant, server: &str) -> Vec<String> {
    match grant.expires {
        Some(expires) if !grant.reaches(server, jiff::Timestamp::now()) => vec![format!(
            "the grant expired at {expires}: every request of it gets 401, whatever its policies say"
        )],
        _ => Vec::new(),
    }
}

fn claims(options: &Options) -> anyhow::Result<Option<Claims>> {
    let text = match &options.claims {
        Some(text) => text.clone(),
        None if options.claim.is_empty() => return Ok(None),
        None => ask::object("--claim", &options.claim)?,
    };
    if options.claim.iter().any(|pair| is_nested(pair)) {
        bail!("`/` separates the levels of a claim: write nested ones with --claims JSON");
    }
    let fault = "the claims are not one JSON object without keys that stand twice";
    Claims::read(&text).map(Some).ok_or_else(|| anyhow!(fault))
}

fn is_nested(pair: &str) -> bool {
    pair.split_once('=').is_some_and(|(name, _)| name.contains('/'))
}
