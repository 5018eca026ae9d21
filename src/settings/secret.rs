//! Secrets: never shown, and read from the environment or a file, never inline.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A value that must not reach logs, errors or `Debug` output. It has no `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, where it is used.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret comes from: `{ env: NAME }` or `{ file: PATH }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSource {
    env: Option<String>,
    file: Option<PathBuf>,
}

impl SecretSource {
    pub(super) const fn of_env(name: String) -> Self {
        Self {
            env: Some(name),
            file: None,
        }
    }

    pub(super) const fn of_file(path: PathBuf) -> Self {
        Self {
            env: None,
            file: Some(path),
        }
    }

    /// The file, if it is one.
    pub(super) fn path(&self, base: &Path) -> Option<PathBuf> {
        self.file.as_ref().map(|file| base.join(file))
    }

    /// Reads the secret. A trailing line break of a file is cut; an empty secret is an error.
    /// `base` is the folder that a relative path starts from.
    pub fn read(&self, base: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Secret<String>, String> {
        let (text, from) = match (&self.env, &self.file) {
            (Some(name), None) => {
                let text = env(name).ok_or_else(|| format!("the environment has no `{name}`: set it"))?;
                (text, format!("environment variable `{name}`"))
            }
            (None, Some(file)) => {
                let path = base.join(file);
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
                (text, format!("file `{}`", path.display()))
            }
            _ => {
                return Err(
                    "say where the secret is: `{ env: NAME }` or `{ file: PATH }`, one of them".into(),
                );
            }
        };
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(format!("the {from} is empty"));
        }
        Ok(Secret::new(text.to_owned()))
    }
}

/// The secret in a variable of the process' environment.
///
/// # Errors
/// Where there is none, or it is empty; the text names the variable alone.
#[expect(
    clippy::disallowed_methods,
    reason = "this room reads the environment for the others"
)]
pub fn secret_from_env(name: &str) -> Result<Secret<String>, String> {
    let source = SecretSource {
        env: Some(name.to_owned()),
        file: None,
    };
    source.read(Path::new(""), &|name| std::env::var(name).ok())
}
