//! Commands in one shell and one folder, empty but for `examples`.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;

/// The ports that the documents show, and what listens there.
const PORTS: [(u16, &str); 3] = [(3000, "example-server"), (9090, "serve"), (8080, "serve")];
const MARK: char = '\u{1e}';
const PATIENCE: Duration = Duration::from_secs(60);

/// What each command prints to stdout and stderr, with the documents' ports and without what differs each time.
pub fn run(name: &str, commands: &[&str]) -> Vec<String> {
    let folder = std::env::temp_dir().join(format!(
        "toolgate-{}-{}",
        name.replace(['/', '.'], "-"),
        std::process::id()
    ));
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    symlink(examples, folder.join("examples")).unwrap();
    let ports: Vec<(u16, u16)> = PORTS.iter().map(|(port, _)| (*port, free_port())).collect();
    let script = script(commands, &ports);
    let printed = folder.with_extension("printed");
    let bin = Path::new(env!("CARGO_BIN_EXE_toolgate")).parent().unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display());
    let out = File::create(&printed).unwrap();
    let shell = Command::new("bash")
        .args(["--norc", "-c", &script])
        .current_dir(&folder)
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stderr(out.try_clone().unwrap())
        .stdout(out)
        .process_group(0)
        .spawn()
        .expect("bash is needed to run the documents' commands");
    let ended = wait(shell);
    let text = fs::read_to_string(&printed).unwrap();
    assert!(ended, "{name}: the commands did not end:\n{text}");
    fs::remove_dir_all(&folder).unwrap();
    fs::remove_file(&printed).unwrap();
    let text = ports.iter().fold(text, |text, (shown, real)| {
        text.replace(&format!(":{real}"), &format!(":{shown}"))
    });
    let outputs: Vec<String> = text.split(MARK).skip(1).map(without_what_differs).collect();
    assert_eq!(outputs.len(), commands.len(), "{name}:\n{text}");
    outputs
}

/// Each command after a mark. What was started in the background is waited for, and ended at last.
fn script(commands: &[&str], ports: &[(u16, u16)]) -> String {
    let mut script = "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n".to_owned();
    for command in commands {
        let mut command = (*command).to_owned();
        for (shown, real) in ports {
            command = command.replace(&format!(":{shown}"), &format!(":{real}"));
        }
        script.push_str(&format!("printf '{MARK}'\n{command}\n"));
        if !command.trim_end().ends_with('&') {
            continue;
        }
        for ((_, program), (_, real)) in PORTS.iter().zip(ports) {
            if command.contains(&format!("toolgate {program}")) {
                script.push_str(&format!(
                    "for _ in $(seq 200); do (: </dev/tcp/127.0.0.1/{real}) 2>/dev/null && break; sleep 0.05; done\n"
                ));
            }
        }
    }
    script
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Whether the shell ended in time; its whole group is ended where it did not.
fn wait(mut shell: Child) -> bool {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if shell.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let group = format!("-{}", shell.id());
    drop(Command::new("kill").args(["-KILL", "--", &group]).status());
    drop(shell.wait());
    false
}

/// Tokens, digests, ids, times and durations as an ellipsis.
fn without_what_differs(output: &str) -> String {
    let patterns = [
        (r"tg_[A-Za-z0-9_-]{20,}", "tg_…"),
        (r"\b[0-9a-f]{64}\b", "…"),
        (r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", "…"),
        (r#""(id|replica|boot)":"[^"]*""#, r#""$1":"…""#),
        (r#""([a-z_]*ms)":[0-9.]+"#, r#""$1":…"#),
    ];
    let mut output = output.to_owned();
    for (pattern, shown) in patterns {
        output = Regex::new(pattern)
            .unwrap()
            .replace_all(&output, shown)
            .into_owned();
    }
    if !output.is_empty() && !output.ends_with('\n') {
        output.push('\n');
    }
    output
}
