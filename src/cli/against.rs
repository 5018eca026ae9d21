//! `--against`: the tools of a server, from the server itself or from a file.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use http::HeaderName;

use super::check::read;
use crate::client::{Target, list_tools};
use crate::mcp::tools::{Tool, recorded};
use crate::settings::{Egress, Secret, secret_from_env};

/// How long a server may take for its whole list.
const WITHIN: Duration = Duration::from_secs(20);

/// Which tools a policy is held against.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Compare with the tools of this MCP server, or with a recorded `tools/list` answer.
    #[arg(long, value_name = "URL|FILE")]
    pub against: Option<String>,
    /// A header for the server. The process list shows it: for secrets use --header-env.
    #[arg(long, value_name = "NAME: VALUE", requires = "against")]
    pub header: Vec<String>,
    /// A header whose value stands in an environment variable.
    #[arg(long, value_name = "NAME=VARIABLE", requires = "against")]
    pub header_env: Vec<String>,
}

impl Args {
    /// What stands for the server in a report: never a query or a header.
    pub fn shown(&self) -> String {
        let against = self.against.as_deref().unwrap_or_default();
        against.split(['?', '#']).next().unwrap_or_default().to_owned()
    }

    /// The tools; `None` where nothing was asked for.
    ///
    /// # Errors
    /// Where the file or the server cannot be read; the text holds no header's value.
    pub fn tools(&self) -> anyhow::Result<Option<Vec<Tool>>> {
        let Some(against) = self.against.as_deref() else {
            return Ok(None);
        };
        if against.contains("://") {
            return self.ask(against).map(Some);
        }
        let text = read(Path::new(against)).context("cannot be read")?;
        Ok(Some(recorded(&text).context("this is no list of tools")?))
    }

    fn ask(&self, url: &str) -> anyhow::Result<Vec<Tool>> {
        super::install_crypto();
        let headers = headers(&self.header, &self.header_env)?;
        let target = Target::new(url, headers, Egress::from_env()?, WITHIN)?;
        let listed = super::runtime()
            .context("the runtime cannot start")?
            .block_on(list_tools(&target, WITHIN))?;
        Ok(listed.tools)
    }
}

/// The headers of `--header` and `--header-env`.
///
/// # Errors
/// Where one is written otherwise, or its variable is not set; the text holds no value.
pub fn headers(plain: &[String], of_env: &[String]) -> anyhow::Result<Vec<(HeaderName, Secret<String>)>> {
    let mut headers = Vec::new();
    for header in plain {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| anyhow!("--header is written `NAME: VALUE`"))?;
        headers.push(secret_header(name, Secret::new(value.trim().to_owned()))?);
    }
    for header in of_env {
        let (name, variable) = header
            .split_once('=')
            .ok_or_else(|| anyhow!("--header-env is written `NAME=VARIABLE`"))?;
        let value = secret_from_env(variable).map_err(|error| anyhow!("--header-env: {error}"))?;
        headers.push(secret_header(name, value)?);
    }
    Ok(headers)
}

fn secret_header(name: &str, value: Secret<String>) -> anyhow::Result<(HeaderName, Secret<String>)> {
    let name = name.trim();
    let header: HeaderName = name
        .parse()
        .map_err(|_| anyhow!("`{name}` is no name of a header"))?;
    Ok((header, value))
}
