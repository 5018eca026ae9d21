//! The check is checked: bad sources are planted, and each must be found. What is right must pass.

use crate::check::{House, Source, dependency_names};

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.into(),
        text: text.into(),
    }
}

/// The real tables over a small, right crate, in which `extra` replaces or adds files.
fn problems(extra: &[(&str, &str)]) -> Vec<String> {
    let mut sources = vec![
        source("lib.rs", "pub mod counters;\npub mod mcp;\npub mod policy;\n"),
        source("main.rs", "fn main() { toolgate::cli::run() }"),
        source("cli/mod.rs", "use crate::{app, policy::{Policy, file}};"),
        source("app.rs", "use crate::proxy::serve; use crate::counters::Memory;"),
        source("counters/mod.rs", "use crate::policy::Charge;"),
        source("mcp/mod.rs", "pub(crate) struct Envelope;"),
        source(
            "policy/mod.rs",
            "mod file;\nuse crate::mcp::Envelope;\nuse self::file::Policy;",
        ),
        source(
            "policy/file.rs",
            "use super::Envelope;\nuse super::super::mcp::Reply;",
        ),
        source("proxy/mod.rs", "use crate::{counters, mcp, policy};"),
    ];
    for (path, text) in extra {
        sources.retain(|s| s.path != *path);
        sources.push(source(path, text));
    }
    house().check(&sources)
}

fn house() -> House {
    crate::house(
        ["tokio", "hyper", "redis", "tracing", "serde", "memchr"]
            .map(str::to_owned)
            .to_vec(),
    )
}

#[track_caller]
fn accepts(path: &str, text: &str) {
    let found = problems(&[(path, text)]);
    assert!(found.is_empty(), "{found:#?}");
}

/// Exactly one problem, in that file, that says `what`.
#[track_caller]
fn finds(path: &str, text: &str, what: &str) {
    let found = problems(&[(path, text)]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with(&format!("src/{path}")) && found[0].contains(what),
        "{found:#?}"
    );
}

#[test]
fn a_right_crate_passes() {
    assert_eq!(problems(&[]), Vec::<String>::new());
}

#[test]
fn an_empty_set_of_files_fails() {
    assert_eq!(house().check(&[]).len(), crate::MUST_EXIST.len());
}

#[test]
fn a_missing_known_room_fails() {
    let sources = [
        source("lib.rs", ""),
        source("mcp/mod.rs", ""),
        source("policy.rs", ""),
    ];
    assert_eq!(house().check(&sources), ["src/counters: the room is missing"]);
}

#[test]
fn a_room_that_the_table_does_not_know_fails() {
    for path in ["attic/mod.rs", "attic.rs", "bin/other.rs"] {
        let found = problems(&[(path, "")]);
        assert!(
            found.len() == 1 && found[0].contains("not in the table `ROOMS`"),
            "{found:#?}"
        );
    }
}

#[test]
fn an_arrow_that_points_the_wrong_way_is_found_however_it_is_written() {
    for text in [
        "use crate::policy::Charge;",
        "use crate::{\n\tpolicy::{Charge}};",
        "use super::policy::Charge;",
        "pub(crate) use toolgate::policy::Charge;",
        "fn f() -> crate::policy::Charge { todo() }",
        "type T = Vec<Option<crate::policy::Charge>>;",
        "fn f() { println!(\"{}\", crate::policy::NAME) }",
        "macro_rules! m { () => { $crate::policy::plan() } }",
        "#[derive(crate::policy::Derive)] struct S;",
        "impl<T: crate::policy::Plan> S<T> {}",
        "mod deep { mod deeper { use super::super::super::policy::Charge; } }",
        "#[cfg(test)] mod tests { use crate::policy::Charge; }",
    ] {
        let found = problems(&[("mcp/mod.rs", text)]);
        assert!(
            found.iter().any(|p| p.contains("`mcp` must not import `policy`")),
            "{text}: {found:#?}"
        );
    }
}

#[test]
fn each_problem_names_file_line_and_remedy() {
    let found = problems(&[("mcp/mod.rs", "//! a\n\nuse crate::policy::Charge;")]);
    assert_eq!(
        found,
        ["src/mcp/mod.rs:3: `mcp` must not import `policy`; it may import nothing"]
    );
}

#[test]
fn counters_do_not_read_mcp_and_admin_never_sees_the_proxy() {
    finds(
        "counters/mod.rs",
        "use crate::mcp::Envelope;",
        "must not import `mcp`",
    );
    finds(
        "admin/mod.rs",
        "use crate::proxy::serve;",
        "must not import `proxy`",
    );
    finds("main.rs", "use toolgate::app::App;", "must not import `app`");
}

#[test]
fn an_arrow_cannot_hide_behind_the_root_a_rename_or_a_reexport() {
    finds("mcp/mod.rs", "use crate as house;", "is the crate root");
    finds("mcp/mod.rs", "use crate::Charge;", "not in a room");
    finds(
        "lib.rs",
        "pub mod policy;\npub use policy::Charge;",
        "`lib` must not import `policy`",
    );
    finds(
        "policy/file.rs",
        "pub use crate::mcp::Envelope;",
        "hides an arrow to `mcp`",
    );
    let renamed = "use super as up;\nfn f() { up::super_less() }\nmod m { use super::super as root; fn g() { root::policy::plan() } }";
    let found = problems(&[("mcp/mod.rs", renamed)]);
    assert!(
        found.iter().any(|p| p.contains("`mcp` must not import `policy`")),
        "{found:#?}"
    );
}

#[test]
fn comments_and_strings_are_not_code() {
    accepts(
        "mcp/mod.rs",
        "//! like crate::policy::Charge, tokio::spawn\n/* use redis::Client; */\n/// `use crate::proxy::*;`\n\
         const A: &str = \"use crate::policy::*; std::env::var\"; const B: &str = r#\"tokio::spawn \"quoted\" \"#;\n\
         const C: char = '\"'; // use hyper::body;\nfn f<'a>(_: &'a str) {}",
    );
}

#[test]
fn a_pure_room_names_no_io_and_no_clock() {
    for (text, named) in [
        ("use tokio::sync::Mutex;", "`tokio`"),
        ("fn f() { ::tokio::spawn(g()) }", "`tokio`"),
        ("fn f() { return ::redis::cmd() }", "`redis`"),
        ("fn f() { tracing::info!(\"x\") }", "`tracing`"),
        ("extern crate hyper as h;", "`hyper`"),
        ("use r#tokio::spawn;", "`tokio`"),
        ("use std::time::Instant;", "`std::time::Instant`"),
        (
            "use std::{fmt, time::{Duration, SystemTime}};",
            "`std::time::SystemTime`",
        ),
        (
            "use std::time;\nfn f() { time::Instant::now(); }",
            "`std::time::Instant::now`",
        ),
        (
            "use std as s;\nuse s::time as t;\nfn f() { t::Instant::now(); }",
            "`std::time::Instant::now`",
        ),
        ("use std::fs::{self, File};", "`std::fs`"),
        (
            "fn f() { let _ = <std::net::TcpStream>::connect(a); }",
            "`std::net::TcpStream`",
        ),
        (
            "fn f() -> std::process::ExitCode { g() }",
            "`std::process::ExitCode`",
        ),
        ("fn f() { m! { std::thread::sleep(d) } }", "`std::thread::sleep`"),
    ] {
        let found = problems(&[("policy/x.rs", text)]);
        assert!(
            found
                .iter()
                .any(|p| p.contains(named) && p.contains("pure room `policy`")),
            "{text}: {found:#?}"
        );
        let elsewhere = problems(&[("proxy/x.rs", text)]);
        assert!(
            elsewhere.is_empty(),
            "only the pure rooms are pure: {text}: {elsewhere:#?}"
        );
    }
}

#[test]
fn a_dependency_is_impure_until_it_is_listed_as_pure() {
    accepts(
        "policy/x.rs",
        "use serde::Deserialize; use memchr::memmem; use std::time::Duration; use std::io::Write;",
    );
    assert!(!crate::PURE_CRATES.iter().any(|c| {
        [
            "tokio",
            "hyper",
            "http",
            "redis",
            "getrandom",
            "tracing",
            "prometheus",
        ]
        .contains(c)
    }));
}

#[test]
fn the_tests_of_a_pure_room_may_read_samples() {
    accepts(
        "policy/x.rs",
        "#[cfg(test)]\nmod tests { use super::*; fn f() { std::fs::read(p); std::env::var(v); } }",
    );
    accepts(
        "policy/x.rs",
        "#[cfg(all(test, unix))]\n#[allow(dead_code, reason = \"x\")]\npub(super) fn f() { std::fs::read(p); }",
    );
    let declared = problems(&[
        ("policy/x.rs", "#[cfg(test)]\nmod tests;"),
        ("policy/x/tests.rs", "use super::*;\nuse std::fs;"),
    ]);
    assert!(declared.is_empty(), "{declared:#?}");
}

#[test]
fn test_code_ends_where_its_item_ends() {
    for text in [
        "#[cfg(test)]\nmod tests {}\nuse std::fs::File;",
        "#[cfg(test)]\nmod tests;\nuse std::fs::File;",
        "#[cfg(test)]\nuse std::collections::{BTreeMap, BTreeSet};\nuse std::fs::File;",
        "#[cfg(test)]\nuse std::{\n\tfmt};use std::fs::File;",
        "struct S { #[cfg(test)] a: u8, b: std::fs::File }",
        "#[cfg(any(test, unix))]\nuse std::fs::File;",
        "#[cfg(not(test))]\nuse std::fs::File;",
        "#[test]\nfn f() {}\nuse std::fs::File;",
    ] {
        let found = problems(&[("policy/x.rs", text)]);
        assert!(
            found.iter().any(|p| p.contains("`std::fs::File`")),
            "{text}: {found:#?}"
        );
    }
}

#[test]
fn a_file_called_tests_is_test_code_only_where_it_is_declared_so() {
    let found = problems(&[
        ("policy/x.rs", "mod tests;"),
        ("policy/x/tests.rs", "use std::fs;"),
    ]);
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn only_settings_main_and_the_command_line_read_the_environment() {
    finds(
        "proxy/x.rs",
        "fn f() { std::env::var(\"A\") }",
        "may read the environment",
    );
    finds("grants/mod.rs", "use std::{env};", "may read the environment");
    finds("proxy/settings.rs", "use std::env;", "may read the environment");
    accepts("settings/file.rs", "use std::env; fn f() { env::vars() }");
    accepts("settings.rs", "use std::env;");
    accepts(
        "proxy/x.rs",
        "const V: &str = env!(\"CARGO_PKG_VERSION\"); const W: &str = std::env!(\"X\");",
    );
}

#[test]
fn a_status_code_is_chosen_in_one_place() {
    finds("proxy/handle.rs", "use http::StatusCode;", "a status code");
    finds(
        "proxy/handle.rs",
        "use hyper::{StatusCode as S};",
        "a status code",
    );
    finds("proxy/handle.rs", "fn f() { x.status(404) }", "a status code");
    accepts("proxy/handle.rs", "fn f() { answer.status(); }");
    accepts(
        "proxy/respond.rs",
        "use http::StatusCode; fn f() { x.status(404) }",
    );
    accepts("proxy/respond/codes.rs", "use http::StatusCode;");
    finds("proxy/respond_too.rs", "use http::StatusCode;", "a status code");
}

#[test]
fn globs_stand_in_tests_only() {
    finds("proxy/x.rs", "use crate::policy::*;", "name what is used");
    finds(
        "proxy/x.rs",
        "use std::{fmt, collections::*};",
        "name what is used",
    );
    finds(
        "proxy/x.rs",
        "fn f(k: Kind) { use Kind::*; }",
        "name what is used",
    );
    accepts(
        "proxy/x.rs",
        "fn f(a: *const u8, b: u8) -> u8 { b * *g(a) }\n#[cfg(test)] mod tests { use super::*; }",
    );
}

#[test]
fn what_would_hide_source_text_is_found() {
    finds(
        "proxy/x.rs",
        "#[path = \"../odd.rs\"] mod odd;",
        "hides in which room",
    );
    finds("proxy/x.rs", "include!(\"odd.rs\");", "hides source text");
    accepts("proxy/x.rs", "const LUA: &str = include_str!(\"odd.lua\");");
    finds("proxy/x.rs", "fn f( {", "is not Rust");
}

#[test]
fn a_file_may_have_400_lines_and_no_more() {
    accepts("proxy/x.rs", &"\n".repeat(400));
    finds("proxy/x.rs", &"\n".repeat(401), "401 lines");
}

#[test]
fn dependencies_are_read_as_code_names_them() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\n# no = 1\ntokio = \"1\"\nserde-saphyr = { version = \"2\" }\nhttp.workspace = true\n\
                    [dependencies.hyper-util]\nversion = \"1\"\n[target.'cfg(unix)'.dependencies]\nrustix = \"1\"\n[dev-dependencies]\ninsta = \"1\"\n";
    assert_eq!(
        dependency_names(manifest),
        ["tokio", "serde_saphyr", "http", "hyper_util", "rustix"]
    );
}
