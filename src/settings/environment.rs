//! The process environment, and what of it a wrapped server gets.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// What a wrapped server's environment holds without being asked, where it is set.
const PASSED: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];
/// Settings may hold secrets: these never pass.
const OURS: &str = "TOOLGATE__";

/// The process environment, without what is not text: that is not ours, and must not stop us.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
pub(super) fn environment() -> BTreeMap<String, String> {
    let text = |value: OsString| value.into_string().ok();
    std::env::vars_os()
        .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
        .collect()
}

/// The environment of a wrapped server: little, and what is named.
///
/// # Errors
/// A name that is not set, or one of toolgate's own.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
pub fn child_environment(names: &[String]) -> Result<Vec<(OsString, OsString)>, String> {
    environment_of(names, &|name| std::env::var_os(name))
}

fn environment_of(
    names: &[String],
    of: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Vec<(OsString, OsString)>, String> {
    let mut environment: Vec<(OsString, OsString)> = PASSED
        .iter()
        .filter_map(|name| Some(((*name).into(), of(name)?)))
        .collect();
    for name in names {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!(
                "`{name}` is no name of an environment variable: write the name alone, its value comes from the environment"
            ));
        }
        if name.starts_with(OURS) {
            return Err(format!("`{name}` is toolgate's own: a server never gets it"));
        }
        let value = of(name).ok_or_else(|| format!("the environment has no `{name}`: set it"))?;
        environment.push((name.into(), value));
    }
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::environment_of;

    #[test]
    fn a_child_gets_little_and_what_is_named_but_nothing_of_toolgates() {
        let of = |name: &str| match name {
            "PATH" | "HOME" | "TOKEN" | "SECRET" | "TOOLGATE__COUNTERS__URL" => {
                Some(name.to_lowercase().into())
            }
            _ => None,
        };
        let named = environment_of(&["TOKEN".to_owned()], &of).unwrap();
        let names: Vec<_> = named.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names, ["PATH", "HOME", "TOKEN"]);
        for bad in ["TOOLGATE__COUNTERS__URL", "UNSET", "A=B", ""] {
            assert!(environment_of(&[bad.to_owned()], &of).is_err(), "{bad}");
        }
    }
}
