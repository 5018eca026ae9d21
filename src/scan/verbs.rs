//! Verbs, each with the class of what it does.

use super::Class;

/// What a verb does, in its base form and lower case. `None`: it is no verb that is known.
pub(super) fn class_of(word: &str) -> Option<Class> {
    let is = |list: &[&str]| list.binary_search(&word).is_ok();
    if is(FINANCIAL) {
        Some(Class::Financial)
    } else if is(DESTRUCTIVE) {
        Some(Class::Destructive)
    } else if is(EXECUTE) {
        Some(Class::Execute)
    } else if is(WRITE) {
        Some(Class::Write)
    } else if is(READ) {
        Some(Class::Read)
    } else {
        None
    }
}

/// The destructive verb that a word is or has grown together with (`deletefile`, `filedelete`), wherever it stands in
/// a name. Verbs that are nouns too (`clean`, `reset`) are not looked for.
pub(super) fn hidden_destruction(word: &str) -> Option<&'static str> {
    if OTHERWISE.iter().any(|other| word.starts_with(other)) {
        return None;
    }
    let bare = LONG.iter().chain(SHORT).find(|verb| **verb == word);
    let grown = || {
        LONG.iter().find(|verb| {
            word.ends_with(*verb) || word.strip_prefix(**verb).is_some_and(|rest| rest.len() > 2)
        })
    };
    bare.or_else(grown).copied()
}

/// Whether a name that ends with this word and holds no verb tells something (`db-stats`, `git_log`).
pub(super) fn is_told(word: &str) -> bool {
    TOLD.binary_search(&word).is_ok()
}

/// Whether a verb of writing is a noun just as often (`git_branch`): the description tells.
pub(super) fn is_noun_too(word: &str) -> bool {
    NOUNS_TOO.binary_search(&word).is_ok()
}

/// Whether a verb of reading is often the noun before another verb (`query_update`).
pub(super) fn is_subject(word: &str) -> bool {
    SUBJECTS.binary_search(&word).is_ok()
}

/// Whether a verb of writing is said of reading too (`generates a link`, `connects to the service and …`).
pub(super) fn is_loose(word: &str) -> bool {
    is_noun_too(word) || LOOSE.binary_search(&word).is_ok()
}

/// Whether a name that ends with this word and holds no verb stands for something that acts by itself.
pub(super) fn is_actor(word: &str) -> bool {
    ACTORS.binary_search(&word).is_ok()
}

/// Destructive verbs that nothing else begins or ends with.
const LONG: &[&str] = &[
    "delete",
    "destroy",
    "drop",
    "erase",
    "flush",
    "kill",
    "purge",
    "remove",
    "terminate",
    "truncate",
    "uninstall",
    "wipe",
];

/// Destructive words that are hardly ever nouns.
const SHORT: &[&str] = &["del", "expunge", "nuke", "overwrite", "rm", "rmdir", "shred"];

/// What begins like a destructive verb and is none.
const OTHERWISE: &[&str] = &[
    "backdrop", "dropbox", "dropdown", "droplet", "dropout", "dropped", "dropzone", "skill", "undelete",
];

const FINANCIAL: &[&str] = &[
    "buy",
    "charge",
    "donate",
    "pay",
    "payout",
    "purchase",
    "refund",
    "reimburse",
    "remit",
    "sell",
    "withdraw",
];

const DESTRUCTIVE: &[&str] = &[
    "cancel",
    "clean",
    "cleanup",
    "clear",
    "decommission",
    "del",
    "delete",
    "destroy",
    "discard",
    "drain",
    "drop",
    "empty",
    "erase",
    "evict",
    "expire",
    "expunge",
    "flush",
    "force",
    "kill",
    "nuke",
    "overwrite",
    "pop",
    "prune",
    "purge",
    "remove",
    "reset",
    "revoke",
    "rm",
    "rmdir",
    "shred",
    "terminate",
    "trash",
    "truncate",
    "uninstall",
    "unlink",
    "wipe",
];

const EXECUTE: &[&str] = &[
    "build", "click", "deploy", "dispatch", "drag", "eval", "evaluate", "exec", "execute", "install",
    "interact", "invoke", "launch", "perform", "press", "rerun", "run", "shell", "spawn", "sudo", "tap",
    "trigger", "type",
];

const WRITE: &[&str] = &[
    "accept",
    "acknowledge",
    "activate",
    "add",
    "adjust",
    "amend",
    "append",
    "apply",
    "approve",
    "archive",
    "assign",
    "attach",
    "authenticate",
    "authorize",
    "backup",
    "block",
    "bookmark",
    "branch",
    "change",
    "checkout",
    "clone",
    "close",
    "comment",
    "commit",
    "complete",
    "configure",
    "connect",
    "convert",
    "convey",
    "copy",
    "create",
    "deactivate",
    "detach",
    "disable",
    "disconnect",
    "dismiss",
    "draft",
    "duplicate",
    "edit",
    "emit",
    "enable",
    "enqueue",
    "fill",
    "fork",
    "forward",
    "generate",
    "give",
    "grant",
    "highlight",
    "hover",
    "import",
    "increment",
    "init",
    "initialize",
    "insert",
    "invite",
    "join",
    "label",
    "leave",
    "link",
    "lock",
    "login",
    "logout",
    "make",
    "manage",
    "mark",
    "merge",
    "migrate",
    "modify",
    "move",
    "mutate",
    "navigate",
    "notify",
    "pause",
    "pin",
    "post",
    "promote",
    "propose",
    "publish",
    "push",
    "put",
    "react",
    "reassign",
    "rebase",
    "reboot",
    "record",
    "register",
    "reject",
    "release",
    "rename",
    "reopen",
    "replace",
    "reply",
    "report",
    "resize",
    "resolve",
    "restart",
    "restore",
    "resume",
    "revert",
    "review",
    "rollback",
    "rotate",
    "save",
    "scale",
    "schedule",
    "scroll",
    "send",
    "set",
    "setup",
    "share",
    "shutdown",
    "stage",
    "star",
    "start",
    "stop",
    "store",
    "submit",
    "subscribe",
    "suspend",
    "sync",
    "tag",
    "toggle",
    "transfer",
    "transition",
    "unarchive",
    "unassign",
    "unblock",
    "undelete",
    "unlock",
    "unpin",
    "unsubscribe",
    "update",
    "upgrade",
    "upload",
    "upsert",
    "vote",
    "write",
];

const READ: &[&str] = &[
    "aggregate",
    "analyse",
    "analyze",
    "browse",
    "calculate",
    "cat",
    "check",
    "compare",
    "compute",
    "count",
    "crawl",
    "describe",
    "detect",
    "diagnose",
    "diff",
    "discover",
    "download",
    "enumerate",
    "estimate",
    "examine",
    "exists",
    "explain",
    "export",
    "extract",
    "fetch",
    "find",
    "geocode",
    "get",
    "grep",
    "has",
    "head",
    "identify",
    "inspect",
    "is",
    "list",
    "lookup",
    "ls",
    "measure",
    "obtain",
    "parse",
    "peek",
    "ping",
    "preview",
    "query",
    "read",
    "research",
    "retrieve",
    "scan",
    "scrape",
    "screenshot",
    "search",
    "show",
    "summarise",
    "summarize",
    "tail",
    "tell",
    "trace",
    "validate",
    "verify",
    "view",
    "wait",
    "watch",
    "whoami",
];

const NOUNS_TOO: &[&str] = &[
    "backup", "block", "bookmark", "branch", "comment", "draft", "label", "link", "lock", "pin", "post",
    "record", "report", "schedule", "share", "stage", "star", "store", "tag", "type", "vote",
];

const SUBJECTS: &[&str] = &[
    "check",
    "diff",
    "download",
    "export",
    "preview",
    "query",
    "research",
    "scan",
    "screenshot",
    "search",
    "trace",
    "view",
    "watch",
];

const LOOSE: &[&str] = &[
    "authenticate",
    "authorize",
    "connect",
    "generate",
    "give",
    "make",
    "manage",
    "start",
];

const ACTORS: &[&str] = &["agent", "bash", "powershell", "python", "repl", "terminal"];

const TOLD: &[&str] = &[
    "details",
    "diff",
    "elevation",
    "health",
    "help",
    "history",
    "indexes",
    "info",
    "log",
    "logs",
    "matrix",
    "metadata",
    "metrics",
    "ping",
    "schema",
    "size",
    "snapshot",
    "stat",
    "stats",
    "status",
    "summary",
    "tree",
    "usage",
    "version",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_and_no_word_stands_in_two() {
        let lists = [FINANCIAL, DESTRUCTIVE, EXECUTE, WRITE, READ];
        for list in lists
            .into_iter()
            .chain([TOLD, NOUNS_TOO, LOOSE, ACTORS, SUBJECTS])
        {
            let first = list.windows(2).find(|pair| pair[0] >= pair[1]);
            assert_eq!(first, None);
        }
        let mut all = lists.concat();
        all.sort_unstable();
        let twice = all.windows(2).find(|pair| pair[0] == pair[1]);
        assert_eq!(twice, None);
    }

    #[test]
    fn destruction_is_seen_where_words_have_grown_together() {
        for word in [
            "delete",
            "deletefile",
            "filedelete",
            "rm",
            "killall",
            "flushdb",
            "bulkdelete",
        ] {
            assert!(hidden_destruction(word).is_some(), "{word}");
        }
        for word in [
            "droplet", "droplets", "dropbox", "dropdown", "deleted", "deletes", "undelete", "skills", "form",
        ] {
            assert_eq!(hidden_destruction(word), None, "{word}");
        }
    }
}
