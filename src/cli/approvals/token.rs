//! Makes an approver's token.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use crate::cli::entries::{Listing, hand_out, one_or_many, text, until};
use crate::console::{ApproversFile, Role};
use crate::grants::{TokenHash, new_token};

pub const EXAMPLES: &str = "\
Examples:
  toolgate approvals token --id ops-lead --role approver --append approvers.yaml
  toolgate approvals token --id finance --role approver --server stripe --tool 'refund_*'
  toolgate approvals token --id wall --role viewer --expires 2027-01-01T00:00:00Z";

const LISTING: Listing = Listing {
    key: "approvers",
    what: "an approver",
    ids: |path, text| {
        let file = ApproversFile::parse(path, text)?;
        Ok(file.ids().map(str::to_owned).collect())
    },
};

/// Who it is for, and what it reaches.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Who decides; unique among all approvers. It stands in the record.
    #[arg(long)]
    id: String,
    /// `viewer` sees what waits, without the values of arguments; `approver` sees all and decides.
    #[arg(long, value_enum)]
    role: RoleName,
    /// A server of the settings; may be given several times. Left out: all.
    #[arg(long)]
    server: Vec<String>,
    /// A tool's name or glob; may be given several times. Left out: all.
    #[arg(long)]
    tool: Vec<String>,
    /// When the token ends, such as 2027-01-01T00:00:00Z.
    #[arg(long)]
    expires: Option<String>,
    /// Add the entry to this file; it is made where it does not exist.
    #[arg(long, value_name = "FILE")]
    append: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum RoleName {
    Viewer,
    Approver,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    let token = new_token().map_err(|error| anyhow::anyhow!("no random bytes for a token: {error}"))?;
    let entry = entry(args, &token)?;
    hand_out(&LISTING, (&args.id, &token, &entry), args.append.as_deref(), out)?;
    Ok(0)
}

/// One line of YAML.
fn entry(args: &Args, token: &str) -> anyhow::Result<String> {
    let role = match args.role {
        RoleName::Viewer => Role::Viewer,
        RoleName::Approver => Role::Approver,
    };
    let mut line = format!(
        "  - {{ id: {}, role: {}, token_sha256: \"{}\"",
        text(&args.id)?,
        role.as_str(),
        TokenHash::of(token.as_bytes()).to_hex()
    );
    for (key, names) in [("servers", &args.server), ("tools", &args.tool)] {
        match names.as_slice() {
            [] => {}
            [one] => write!(line, ", {key}: [{}]", text(one)?)?,
            many => write!(line, ", {key}: {}", one_or_many(many)?)?,
        }
    }
    line.push_str(&until(args.expires.as_deref())?);
    line.push_str(" }");
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Args, RoleName, run};
    use crate::console::ApproversFile;
    use crate::grants::{Grants, TokenHash};

    #[test]
    fn the_entry_is_that_of_the_token_and_reaches_what_was_asked() {
        let path = std::env::temp_dir().join(format!("toolgate-approvers-{}.yaml", std::process::id()));
        drop(std::fs::remove_file(&path));
        let args = |id: &str, role| Args {
            id: id.to_owned(),
            role,
            server: vec!["stripe".to_owned()],
            tool: vec!["refund_*".to_owned(), "pay".to_owned()],
            expires: Some("2027-01-01T00:00:00Z".to_owned()),
            append: Some(path.clone()),
        };
        let mut out = Vec::new();
        run(&args("lead", RoleName::Approver), &mut out).unwrap();
        run(&args("eye", RoleName::Viewer), &mut Vec::new()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let out = String::from_utf8(out).unwrap();
        let token = out.lines().next().unwrap();
        assert!(!text.contains(token));
        let file = ApproversFile::parse(Path::new("a"), &text).unwrap();
        let approvers = file
            .resolve(Path::new("a"), &["stripe"], &Grants::default())
            .unwrap();
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let lead = approvers.find(&TokenHash::of(token.as_bytes()), now).unwrap();
        assert!(lead.id == "lead" && lead.reaches("stripe", "refund_all") && !lead.reaches("stripe", "list"));
        let twice = run(&args("lead", RoleName::Viewer), &mut Vec::new())
            .unwrap_err()
            .to_string();
        assert!(twice.contains("there is an approver `lead` already"), "{twice}");
        std::fs::remove_file(&path).unwrap();
    }
}
