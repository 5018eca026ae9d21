//! `under`: whether a path lies in one of some folders, judged by its text alone. A regex such as
//! `^/work/out/` admits `/work/out/../../etc/passwd`; here such a path cannot be evaluated.

/// The folders of one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folders(Vec<Vec<String>>);

impl Folders {
    /// `None` where one of them is not a plain absolute path, or where there is none.
    pub(super) fn new<'t>(folders: impl IntoIterator<Item = &'t str>) -> Option<Self> {
        let owned = |folder| Some(segments(folder)?.into_iter().map(str::to_owned).collect());
        let folders: Option<Vec<Vec<String>>> = folders.into_iter().map(owned).collect();
        folders.filter(|folders| !folders.is_empty()).map(Self)
    }

    /// The folders as names, in one order however they are written.
    pub(super) fn sorted(&self) -> std::collections::BTreeSet<&[String]> {
        self.0.iter().map(Vec::as_slice).collect()
    }

    /// Whether `path` is one of the folders or lies below one; `None` where its text does not say.
    pub(super) fn hold(&self, path: &str) -> Option<bool> {
        let path = segments(path)?;
        let within = |folder: &Vec<String>| {
            folder.len() <= path.len() && folder.iter().zip(&path).all(|(own, given)| own == given)
        };
        Some(self.0.iter().any(within))
    }
}

/// The names in an absolute path. `None` for what a server could read as leading elsewhere: a
/// relative path, `..`, `\`, NUL, `%` (an escape that somebody decodes later), `~`, a leading `//`.
fn segments(path: &str) -> Option<Vec<&str>> {
    let rest = path.strip_prefix('/')?;
    if rest.starts_with('/') || path.contains(['\\', '\0', '%']) {
        return None;
    }
    let names: Vec<&str> = rest
        .split('/')
        .filter(|name| !matches!(*name, "" | "."))
        .collect();
    (!names.contains(&"..")).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_itself_and_what_lies_below() {
        let folders = Folders::new(["/work/out", "/tmp/"]).unwrap();
        for path in [
            "/work/out",
            "/work/out/",
            "/work/out/a",
            "/work/./out//a/b",
            "/tmp/x",
            "/work/out/...",
            "/work/out/~x",
        ] {
            assert_eq!(folders.hold(path), Some(true), "{path}");
        }
        for path in [
            "/",
            "/work",
            "/work/outside/a",
            "/work/ou",
            "/etc/passwd",
            "/Work/out/a",
        ] {
            assert_eq!(folders.hold(path), Some(false), "{path}");
        }
    }

    #[test]
    fn a_path_that_may_lead_elsewhere_is_not_judged() {
        let folders = Folders::new(["/work/out"]).unwrap();
        for path in [
            "",
            "a",
            "work/out/a",
            "./a",
            "~/a",
            "~root/a",
            "/work/out/../../etc/passwd",
            "/work/out/..",
            "/..",
            "/work/out/%2e%2e/a",
            "/work/out\\..\\a",
            "C:\\a",
            "/work/out/a\0b",
            "//work/out/a",
            "file:///work/out/a",
        ] {
            assert_eq!(folders.hold(path), None, "{path:?}");
        }
        assert_eq!(Folders::new(["relative"]), None);
        assert_eq!(Folders::new([]), None);
    }

    #[test]
    fn the_root_holds_every_absolute_path() {
        assert_eq!(Folders::new(["/"]).unwrap().hold("/etc/passwd"), Some(true));
    }
}
