//! Verbs, each with the class of what it does.

use super::Class;

/// What a verb does, in its base form and lower case. `None`: it is no verb that is known.
pub(super) fn class_of(word: &str) -> Option<Class> {
    let is = |list: &str| holds(list, word);
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

/// Whether a word stands in a list, whose words are separated by blanks.
fn holds(list: &str, word: &str) -> bool {
    list.split(' ').any(|known| known == word)
}

/// The destructive verb that a word is or has grown together with (`deletefile`, `filedelete`), wherever it stands in
/// a name. Verbs that are nouns too (`clean`, `reset`) are not looked for.
pub(super) fn hidden_destruction(word: &str) -> Option<&'static str> {
    if OTHERWISE.split(' ').any(|other| word.starts_with(other)) {
        return None;
    }
    let bare = LONG.split(' ').chain(SHORT.split(' ')).find(|verb| *verb == word);
    let behind = |verb: &str| word.strip_prefix(verb).is_some_and(|rest| rest.len() > 1);
    let grown = || LONG.split(' ').find(|verb| word.ends_with(verb) || behind(verb));
    bare.or_else(grown)
}

/// Whether a name that ends with this word and holds no verb tells something (`db-stats`, `git_log`).
pub(super) fn is_told(word: &str) -> bool {
    holds(TOLD, word)
}

/// Whether a verb of writing is a noun just as often (`git_branch`): the description tells.
pub(super) fn is_noun_too(word: &str) -> bool {
    holds(NOUNS_TOO, word)
}

/// Whether a verb of reading is often the noun before another verb (`query_update`).
pub(super) fn is_subject(word: &str) -> bool {
    holds(SUBJECTS, word)
}

/// Whether a verb of writing is said of reading too (`generates a link`, `connects to the service and …`).
pub(super) fn is_loose(word: &str) -> bool {
    is_noun_too(word) || holds(LOOSE, word)
}

/// Whether a name that ends with this word and holds no verb stands for something that acts by itself.
pub(super) fn is_actor(word: &str) -> bool {
    holds(ACTORS, word)
}

/// Destructive verbs that nothing else begins or ends with.
const LONG: &str = "\
    delete destroy drop erase flush kill purge remove terminate truncate uninstall wipe";

/// Destructive words that are hardly ever nouns.
const SHORT: &str = "\
    del expunge nuke overwrite rm rmdir shred";

/// What begins like a destructive verb and is none.
const OTHERWISE: &str = "\
    backdrop dropbox dropdown droplet dropout dropped dropzone skill undelete";

const FINANCIAL: &str = "\
    buy charge donate pay payout purchase refund reimburse remit sell withdraw";

const DESTRUCTIVE: &str = "\
    cancel clean cleanup clear decommission del delete destroy discard drain drop empty erase evict \
    expire expunge flush force kill nuke overwrite pop prune purge remove reset revoke rm rmdir shred \
    terminate trash truncate uninstall unlink wipe";

const EXECUTE: &str = "\
    build click deploy dispatch drag eval evaluate exec execute install interact invoke launch perform \
    press rerun run shell spawn sudo tap trigger type";

const WRITE: &str = "\
    accept acknowledge activate add adjust amend append apply approve archive assign attach authenticate \
    authorize backup block bookmark branch change checkout clone close comment commit complete configure \
    connect convert convey copy create deactivate detach disable disconnect dismiss draft duplicate edit \
    emit enable enqueue fill fork forward generate give grant highlight hover import increment init \
    initialize insert invite join label leave link lock login logout make manage mark merge migrate \
    modify move mutate navigate notify pause pin post promote propose publish push put react reassign \
    rebase reboot record register reject release rename reopen replace reply report resize resolve \
    restart restore resume revert review rollback rotate save scale schedule scroll send set setup share \
    shutdown stage star start stop store submit subscribe suspend sync tag toggle transfer transition \
    unarchive unassign unblock undelete unlock unpin unsubscribe update upgrade upload upsert vote write";

const READ: &str = "\
    aggregate analyse analyze browse calculate cat check compare compute count crawl describe detect \
    diagnose diff discover download enumerate estimate examine exists explain export extract fetch find \
    geocode get grep has head identify inspect is list lookup ls measure obtain parse peek ping preview \
    query read research retrieve scan scrape screenshot search show summarise summarize tail tell trace \
    validate verify view wait watch whoami";

const NOUNS_TOO: &str = "\
    backup block bookmark branch comment draft label link lock pin post record report schedule share \
    stage star store tag type vote";

const SUBJECTS: &str = "\
    check diff download export preview query research scan screenshot search trace view watch";

const LOOSE: &str = "\
    authenticate authorize connect generate give make manage start";

const ACTORS: &str = "\
    agent bash powershell python repl terminal";

const TOLD: &str = "\
    details diff elevation health help history indexes info log logs matrix metadata metrics ping schema \
    size snapshot stat stats status summary tree usage version";

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
            let words: Vec<&str> = list.split(' ').collect();
            let first = words.windows(2).find(|pair| pair[0] >= pair[1]);
            assert_eq!(first, None);
        }
        let mut all: Vec<&str> = lists.iter().flat_map(|list| list.split(' ')).collect();
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
