//! `toolgate check --config`: settings, grants, and all policies that they name.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::check::{self, FAULTY, UNREADABLE};
use crate::app;
use crate::settings::{self, SettingsError};

/// Checks the policies given and, with `config`, everything that the settings name. Returns the exit code,
/// the highest that applies.
pub fn run(
    policies: &[PathBuf],
    config: Option<&Path>,
    strict: bool,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let Some(config) = config else {
        return Ok(check::run(policies, strict, out)?);
    };
    let settings = match settings::load(config) {
        Ok(settings) => settings,
        Err(error) => {
            let unreadable = matches!(error, SettingsError::Unreadable { .. });
            let code = check::run(policies, strict, out)?;
            writeln!(out, "{error}")?;
            return Ok(code.max(if unreadable { UNREADABLE } else { FAULTY }));
        }
    };
    writeln!(out, "{}: ok", config.display())?;
    let mut paths = policies.to_vec();
    paths.extend(settings.files.policies.values().cloned());
    let code = check::run(&paths, strict, out)?;
    if code != check::CLEAN {
        writeln!(out, "grants: not checked, since they carry these policies")?;
        return Ok(code);
    }
    grants(&settings, out).map_err(Into::into)
}

fn grants(settings: &settings::Settings, out: &mut dyn Write) -> io::Result<u8> {
    let servers = settings.servers.keys().map(String::as_str);
    match app::load_files(&settings.files, servers) {
        Ok(_) => {
            let path = settings.files.grants.as_ref();
            let shown = path.map_or_else(|| "grants".to_owned(), |path| path.display().to_string());
            writeln!(
                out,
                "{shown}: {}",
                if path.is_some() {
                    "ok"
                } else {
                    "none named in the settings"
                }
            )?;
            Ok(check::CLEAN)
        }
        Err(error) => {
            writeln!(out, "{error:#}")?;
            Ok(FAULTY)
        }
    }
}
