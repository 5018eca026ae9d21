//! `toolgate init`: the first files for a server.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::grant;
use crate::client::Target;
use crate::grants::new_token;
use crate::settings::check_server_name;

pub const EXAMPLES: &str = "\
Examples:
  toolgate init --upstream http://127.0.0.1:3000/mcp
  toolgate init --upstream https://mcp.example.com/mcp --server coalesce --dir gate";

/// What `toolgate init` is asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The URL of the MCP server that the gate stands before.
    #[arg(long, value_name = "URL")]
    upstream: String,
    /// What the server is called: it is part of the URL that clients use.
    #[arg(long, value_name = "NAME", default_value = "main")]
    server: String,
    /// Where the files are written.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    dir: PathBuf,
}

/// Who the first token is for.
const GRANT: &str = "first";

/// Writes `toolgate.yaml`, a policy and `grants.yaml`, and prints the token.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    let Args {
        upstream,
        server,
        dir,
    } = args;
    super::install_crypto();
    Target::new(upstream, Vec::new(), std::time::Duration::ZERO)
        .map_err(|error| anyhow!("--upstream: {error}"))?;
    check_server_name(server).map_err(|hint| anyhow!("--server: {hint}"))?;
    let token = new_token().map_err(|error| anyhow!("no random bytes for a token: {error}"))?;
    let names = [server.clone()];
    let entry = grant::entry(GRANT, &token, &names, &names, None)?;
    let files = [
        (dir.join("toolgate.yaml"), settings(server, upstream)?, 0o644),
        (
            dir.join("policies").join(format!("{server}.yaml")),
            POLICY.to_owned(),
            0o644,
        ),
        (dir.join("grants.yaml"), format!("grants:\n{entry}\n"), 0o600),
    ];
    let there: Vec<String> = files
        .iter()
        .filter(|(path, ..)| path.symlink_metadata().is_ok())
        .map(|(path, ..)| path.display().to_string())
        .collect();
    if !there.is_empty() {
        bail!(
            "nothing was written, since there is already: {}; choose another --dir",
            there.join(", ")
        );
    }
    for (path, text, mode) in &files {
        write_new(path, text, *mode)?;
    }
    writeln!(out, "{token}")?;
    let settings = dir.join("toolgate.yaml");
    let mut stderr = std::io::stderr();
    writeln!(
        stderr,
        "the first line is the token of the grant `{GRANT}`, shown this once: keep it\nwrote {}\nnext: allow tools in {}, then `toolgate serve --config {}`; clients use http://127.0.0.1:8080/mcp/{server}",
        files
            .each_ref()
            .map(|(path, ..)| path.display().to_string())
            .join(", "),
        files[1].0.display(),
        settings.display(),
    )?;
    Ok(0)
}

/// JSON strings are YAML strings.
fn settings(server: &str, upstream: &str) -> anyhow::Result<String> {
    let (name, url) = (serde_json::to_string(server)?, serde_json::to_string(upstream)?);
    Ok(format!(
        "\
listen: 127.0.0.1:8080
admin: 127.0.0.1:9090
# counters in memory hold for one process only; for several replicas:
# counters: {{ store: redis, url: redis://127.0.0.1:6379 }}
servers:
  {name}:
    upstream: {url}
policies:
  {name}: {}
grants: grants.yaml
",
        serde_json::to_string(&format!("policies/{server}.yaml"))?
    ))
}

const POLICY: &str = "\
version: \"1\"
# every tool is denied until a rule below allows it
default: deny
tools: {}
#  list_runs: { action: allow }
#  start_run:
#    limits:
#      - { counter: start_run_rate, window: minute, max: 10 }
";

fn write_new(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let shown = path.display();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{}: cannot make the folder", folder.display()))?;
    }
    let mut file = match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{shown}: is there already, and stays as it is")
        }
        Err(error) => return Err(error).with_context(|| format!("{shown}: cannot be written")),
    };
    file.write_all(text.as_bytes())
        .with_context(|| format!("{shown}: cannot be written"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{app, settings};

    fn init(dir: &Path, upstream: &str) -> anyhow::Result<String> {
        init_server(dir, upstream, "on")
    }

    fn init_server(dir: &Path, upstream: &str, server: &str) -> anyhow::Result<String> {
        let args = Args {
            upstream: upstream.to_owned(),
            server: server.to_owned(),
            dir: dir.to_owned(),
        };
        let mut out = Vec::new();
        run(&args, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("toolgate-init-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&dir));
        dir
    }

    #[test]
    fn the_files_are_sound_and_the_token_is_the_grants() {
        let dir = folder("sound");
        let token = init(&dir, "https://mcp.example/mcp?a='b").unwrap();
        let settings =
            settings::load_with(&dir.join("toolgate.yaml"), &std::collections::BTreeMap::new()).unwrap();
        assert_eq!(settings.servers["on"].upstream, "https://mcp.example/mcp?a='b");
        let loaded = app::load_files(&settings.files, ["on"].into_iter()).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let grant = loaded.grants.of_token(token.trim_end().as_bytes()).unwrap();
        assert_eq!((grant.id.as_str(), grant.policies.len()), (GRANT, 1));
        let grants = std::fs::read_to_string(dir.join("grants.yaml")).unwrap();
        assert!(!grants.contains(token.trim_end()));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_is_there_is_never_overwritten_and_nothing_is_written_beside_it() {
        for file in ["toolgate.yaml", "grants.yaml", "policies/on.yaml"] {
            let dir = folder("there");
            let path = dir.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "mine").unwrap();
            let error = init(&dir, "http://127.0.0.1:1/mcp").unwrap_err().to_string();
            assert!(error.contains(file), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
            let others = ["toolgate.yaml", "grants.yaml", "policies/on.yaml"]
                .iter()
                .filter(|name| **name != file);
            others.for_each(|other| assert!(!dir.join(other).exists(), "{file}: {other}"));
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }

    #[test]
    fn a_server_is_called_what_the_settings_take() {
        let dir = folder("name");
        for bad in ["", ".hidden", "a/b", "a b", "ä"] {
            let error = init_server(&dir, "http://127.0.0.1:1/mcp", bad).unwrap_err();
            let hint = check_server_name(bad).unwrap_err();
            assert_eq!(error.to_string(), format!("--server: {hint}"));
        }
        assert!(!dir.exists());
        init_server(&dir, "http://127.0.0.1:1/mcp", "mcp.v1").unwrap();
        let none = std::collections::BTreeMap::new();
        let settings = settings::load_with(&dir.join("toolgate.yaml"), &none).unwrap();
        assert!(settings.servers.contains_key("mcp.v1"));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_url_that_cannot_be_asked_writes_nothing() {
        let dir = folder("url");
        for url in ["127.0.0.1:1", "ftp://h/x", "http://u:p@h/x"] {
            assert!(init(&dir, url).is_err(), "{url}");
        }
        assert!(!dir.exists());
    }
}
