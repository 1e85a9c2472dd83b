//! The house rules as code: crate arrows, where `unsafe` may stand, what a file must open with, banned names, sizes.
//!
//! Invariant: a rule names the file and line that breaks it; exceptions live in `tidy.toml`, each with its reason.

use std::fs;
use std::path::{Path, PathBuf};

/// What each crate may name among the project's crates (ARCHITECTURE.md, "Crates").
const ARROWS: &[(&str, &[&str])] = &[
    ("skep-diag", &[]),
    ("skep-spec", &["skep-diag"]),
    ("skep-btf", &["skep-spec", "skep-diag"]),
    ("skep-obj", &["skep-btf", "skep-spec", "skep-diag"]),
    ("skep-verifier", &["skep-btf", "skep-spec", "skep-diag"]),
    ("skep-vm", &["skep-spec", "skep-btf"]),
    ("skep-derive", &[]),
    (
        "skep-embed",
        &[
            "skep-derive",
            "skep-diag",
            "skep-spec",
            "skep-btf",
            "skep-obj",
            "skep-verifier",
            "skep-vm",
        ],
    ),
    ("skep-host", &["skep-vm", "skep-spec", "skep-btf"]),
    ("skep-linux", &["skep-btf", "skep-spec"]),
    (
        "skep",
        &[
            "skep-diag",
            "skep-spec",
            "skep-btf",
            "skep-obj",
            "skep-verifier",
            "skep-vm",
            "skep-embed",
            "skep-host",
            "skep-linux",
        ],
    ),
    (
        "skep-cli",
        &["skep", "skep-diag", "skep-spec", "skep-btf", "skep-obj"],
    ),
];

/// Crates whose business includes `unsafe`.
const UNSAFE_ALLOWED: &[&str] = &["skep-vm", "skep-host", "skep-linux"];
/// Files elsewhere: where a verdict becomes a proof, and where a derive writes the implementations of vm's traits.
const UNSAFE_FILES: &[&str] = &[
    "crates/skep/src/engine/embedded/load",
    "crates/skep-embed/src/prove.rs",
    "crates/skep-derive/src/write.rs",
];
/// Crates that talk to a person: the rest are libraries, which never print, exit or read the environment.
const SPEAKS: &[&str] = &["skep-cli", "skep-filetests", "xtask"];
const BANNED_STEMS: &[&str] = &[
    "util", "utils", "common", "misc", "manager", "managers", "handler", "handlers", "helpers",
];
const LINES_MAX: usize = 800;
const BLOB_BYTES_MAX: u64 = 1 << 20;

/// Runs every rule; the error lists all that is broken.
pub fn run(root: &Path) -> Result<(), String> {
    let broken = check(root);
    if broken.is_empty() {
        println!("tidy: every house rule holds");
        Ok(())
    } else {
        Err(format!(
            "{}\ntidy: {} broken",
            broken.join("\n"),
            broken.len()
        ))
    }
}

/// All broken rules, a line each.
pub fn check(root: &Path) -> Vec<String> {
    let mut broken = Vec::new();
    arrows(root, &mut broken);
    let exceptions = Exceptions::read(root, &mut broken);
    for file in files(root) {
        let shown = file
            .strip_prefix(root)
            .unwrap_or(&file)
            .to_string_lossy()
            .replace('\\', "/");
        if fs::metadata(&file).is_ok_and(|meta| meta.len() > BLOB_BYTES_MAX)
            && !exceptions.allows("blob", &shown)
        {
            broken.push(format!("{shown}: larger than 1 MiB"));
        }
        if shown.ends_with(".rs")
            && let Ok(text) = fs::read_to_string(&file)
        {
            source(&shown, &text, &exceptions, &mut broken);
        }
    }
    error_pages(root, &mut broken);
    paths_named_in_docs(root, &mut broken);
    exceptions.unused(root, &mut broken);
    broken
}

fn arrows(root: &Path, broken: &mut Vec<String>) {
    for (krate, allowed) in ARROWS {
        let manifest = root.join("crates").join(krate).join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else {
            broken.push(format!("crates/{krate}: no Cargo.toml"));
            continue;
        };
        let mut section = "";
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.starts_with('[') {
                section = line;
            }
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            let is_ours = name == "skep" || name.starts_with("skep-");
            // Test-only edges are free: they never reach a user's build.
            if section == "[dependencies]" && is_ours && !allowed.contains(&name) {
                broken.push(format!(
                    "crates/{krate}/Cargo.toml:{}: {krate} may not use {name}",
                    number + 1
                ));
            }
        }
    }
}

/// The rules that one source file must keep.
fn source(shown: &str, text: &str, exceptions: &Exceptions, broken: &mut Vec<String>) {
    let first = text.lines().next().unwrap_or_default();
    if !first.starts_with("//!") {
        broken.push(format!(
            "{shown}:1: the file does not open with `//!` and its one sentence"
        ));
    }
    let stem = Path::new(shown)
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    if BANNED_STEMS.contains(&stem) || shown.split('/').any(|part| BANNED_STEMS.contains(&part)) {
        broken.push(format!(
            "{shown}: `{stem}` says nothing about what is inside"
        ));
    }
    let is_test =
        shown.contains("/tests/") || shown.ends_with("/tests.rs") || shown.contains("/benches/");
    let code = if is_test { "" } else { without_tests(text) };
    let lines = code.lines().count();
    if lines > LINES_MAX && !exceptions.allows("lines", shown) {
        broken.push(format!("{shown}: {lines} lines without tests, over {LINES_MAX}; split it, or give the reason in tidy.toml"));
    }
    let krate = shown
        .strip_prefix("crates/")
        .and_then(|rest| rest.split('/').next())
        .unwrap_or("xtask");
    let may_unsafe =
        UNSAFE_ALLOWED.contains(&krate) || UNSAFE_FILES.iter().any(|file| shown.starts_with(file));
    for (number, line) in code.lines().enumerate() {
        let bare = line.trim_start();
        if bare.starts_with("//") {
            continue;
        }
        let has = |word: &str| bare.contains(word);
        let mut say = |what: &str| broken.push(format!("{shown}:{}: {what}", number + 1));
        if !may_unsafe && krate != "xtask" && is_unsafe(bare) {
            say("`unsafe` outside vm, host, linux and where programs are proven");
        }
        if !SPEAKS.contains(&krate) {
            if has("println!(") || has("eprintln!(") || has("eprint!(") || has(" print!(") {
                say("a library prints");
            }
            if has("process::exit(") {
                say("a library exits");
            }
            if has("env::var(") || has("env::var_os(") {
                say("a library reads the environment");
            }
        }
        // A helper's function bears the helper's own name, which is the kernel's.
        let is_helper = shown.starts_with("crates/skep-vm/src/helper/");
        if !is_helper
            && krate != "xtask"
            && (bare.starts_with("fn get_") || has("pub fn get_"))
            && !has("fn get_mut(")
        {
            say("`get_` in a name: name the thing instead");
        }
        for stub in ["todo!(", "unimplemented!("] {
            if has(stub) && krate != "xtask" {
                say("a stub");
            }
        }
    }
}

fn is_unsafe(line: &str) -> bool {
    [
        "unsafe {",
        "unsafe fn",
        "unsafe impl",
        "unsafe extern",
        "unsafe trait",
    ]
    .iter()
    .any(|form| line.contains(form))
}

/// The part of a file before its inline test module.
fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod tests {")
        .map_or(text, |at| &text[..at])
}

/// Every error id that the code can print has its page, and no page has lost its id.
fn error_pages(root: &Path, broken: &mut Vec<String>) {
    let mut ids: Vec<(String, String)> = Vec::new();
    for file in files(&root.join("crates")) {
        let shown = file
            .strip_prefix(root)
            .unwrap_or(&file)
            .to_string_lossy()
            .into_owned();
        if !shown.ends_with(".rs") || shown.contains("/tests") || shown.contains("skep-diag") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap_or_default();
        if shown.ends_with("/catalogue.rs") {
            // A table of kinds: `id: "some-id",` in each row.
            for piece in text.split(" id: \"").skip(1) {
                let id = piece.split('"').next().unwrap_or_default();
                ids.push((id.to_owned(), shown.clone()));
            }
        }
        for piece in without_tests(&text).split("Diagnostic::").skip(1) {
            // `Diagnostic::error("some-id", …)` and its siblings.
            let Some((constructor, rest)) = piece.split_once('(') else {
                continue;
            };
            if !["error", "warning", "note"].contains(&constructor) {
                continue;
            }
            if let Some(id) = rest
                .trim_start()
                .strip_prefix('"')
                .and_then(|rest| rest.split('"').next())
            {
                ids.push((id.to_owned(), shown.clone()));
            }
        }
    }
    let pages = root.join("docs/errors");
    for (id, shown) in &ids {
        if !pages.join(format!("{id}.md")).exists() {
            broken.push(format!(
                "{shown}: error id `{id}` has no page docs/errors/{id}.md"
            ));
        }
    }
    for page in files(&pages) {
        let stem = page
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        if stem != "README" && !ids.iter().any(|(id, _)| id == stem) {
            broken.push(format!("docs/errors/{stem}.md: no code prints this id"));
        }
    }
}

/// Paths that ARCHITECTURE.md and CONTRIBUTING.md name must exist, so that the map cannot drift from the house.
fn paths_named_in_docs(root: &Path, broken: &mut Vec<String>) {
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            for quoted in line.split('`').skip(1).step_by(2) {
                let names_a_path = [
                    "crates/",
                    "docs/",
                    "filetests/",
                    "examples/",
                    "conformance/",
                    "xtask/",
                    "fuzz/",
                ]
                .iter()
                .any(|prefix| quoted.starts_with(prefix));
                if names_a_path
                    && !quoted.contains(['<', '*', '{', ' ', '…'])
                    && !root.join(quoted).exists()
                {
                    broken.push(format!("{page}:{}: `{quoted}` does not exist", number + 1));
                }
            }
        }
    }
}

/// Lines of `tidy.toml`: `rule "path" = "reason"`.
struct Exceptions {
    entries: Vec<(String, String)>,
}

impl Exceptions {
    fn read(root: &Path, broken: &mut Vec<String>) -> Self {
        let text = fs::read_to_string(root.join("tidy.toml")).unwrap_or_default();
        let mut entries = Vec::new();
        let mut rule = String::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                name.clone_into(&mut rule);
            } else if let Some((path, reason)) = line.split_once('=') {
                if reason.trim().trim_matches('"').len() < 10 {
                    broken.push(format!(
                        "tidy.toml:{}: an exception without a reason",
                        number + 1
                    ));
                }
                entries.push((rule.clone(), path.trim().trim_matches('"').to_owned()));
            } else {
                broken.push(format!(
                    "tidy.toml:{}: not `\"path\" = \"reason\"`",
                    number + 1
                ));
            }
        }
        Self { entries }
    }

    fn allows(&self, rule: &str, path: &str) -> bool {
        self.entries.iter().any(|(r, p)| r == rule && p == path)
    }

    fn unused(&self, root: &Path, broken: &mut Vec<String>) {
        for (rule, path) in &self.entries {
            let Ok(text) = fs::read(root.join(path)) else {
                broken.push(format!("tidy.toml: `{path}` does not exist"));
                continue;
            };
            let text = String::from_utf8_lossy(&text);
            if rule == "lines" && without_tests(&text).lines().count() <= LINES_MAX {
                broken.push(format!("tidy.toml: `{path}` needs no exception any more"));
            }
        }
    }
}

/// All files below `folder` that belong to the project, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if path.is_dir() {
                if !["target", ".git", "artifacts", "node_modules"].contains(&name.as_ref()) {
                    open.push(path);
                }
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::{Exceptions, check, source};

    #[test]
    fn the_house_rules_hold() {
        let broken = check(&crate::root());
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }

    #[test]
    fn a_bad_file_is_found_out() {
        let none = Exceptions {
            entries: Vec::new(),
        };
        let mut broken = Vec::new();
        source(
            "crates/skep-obj/src/util.rs",
            "fn get_x() { unsafe { y() }; println!(\"\") }\n",
            &none,
            &mut broken,
        );
        let all = broken.join("\n");
        for rule in [
            "//!",
            "says nothing",
            "`unsafe` outside",
            "a library prints",
            "`get_`",
        ] {
            assert!(all.contains(rule), "{rule} not in:\n{all}");
        }
    }
}
