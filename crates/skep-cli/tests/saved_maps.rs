//! `--save-maps` and `skep maps`: what a run showed is what its file shows, and what is no such file is refused.

use std::path::PathBuf;
use std::process::{Command, Output};

const OBJECT: &str = r#"
.license "GPL"
struct pair { u32 a; u32 b; };

.map seen {
    type hash
    key u32
    value struct pair
    max_entries 8
}
.map each {
    type percpu_array
    key u32
    value u64
    max_entries 4
}
.map slots {
    type array
    key u32
    value u32
    max_entries 16
}

.section "xdp"
.function main
    *(u32 *)(r10 - 4) = 7
    *(u32 *)(r10 - 16) = 1
    *(u32 *)(r10 - 12) = 2
    r1 = map seen ll
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -16
    r4 = 0
    call bpf_map_update_elem
    *(u32 *)(r10 - 4) = 2
    *(u64 *)(r10 - 16) = 5
    r1 = map each ll
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -16
    r4 = 0
    call bpf_map_update_elem
    r0 = 2
    exit
"#;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("skep-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file for the test");
        path.to_str().expect("a path that is text").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn skep(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_skep"))
        .args(args)
        .output()
        .expect("skep runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_file_shows_what_the_run_showed() {
    let folder = Folder::new("saved-maps");
    let (object, saved) = (folder.write("o.s", OBJECT), folder.write("m.json", ""));
    let run = skep(&["test-run", &object, "--save-maps", &saved]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let shown = skep(&["maps", &saved]);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let (run, shown) = (text(&run.stdout), text(&shown.stdout));
    assert!(
        shown.contains("\nseen (hash, 1 entry)\n") && run.ends_with(&shown),
        "{run}\n---\n{shown}"
    );

    let json = text(&skep(&["--json", "maps", &saved, "seen"]).stdout);
    assert_eq!(
        json.trim_end(),
        r#"{"map":"seen","type":"hash","entries":[{"key":7,"value":{"a":1,"b":2}}]}"#
    );
    let empty = text(&skep(&["maps", &saved, "slots"]).stdout);
    assert_eq!(empty, "\nslots (array): empty\n");
}

#[test]
fn a_file_holds_raw_and_decoded_bytes() {
    let folder = Folder::new("saved-maps-raw");
    let (object, saved) = (folder.write("o.s", OBJECT), folder.write("m.json", ""));
    let run = skep(&["test-run", &object, "--no-maps", "--save-maps", &saved]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let file = std::fs::read_to_string(&saved).expect("the file is there");
    let file: serde_json::Value = serde_json::from_str(&file).expect("JSON");
    let seen = &file["maps"][0];
    assert_eq!(seen["name"], "seen");
    assert_eq!(seen["entries"][0]["key_hex"], "07000000");
    assert_eq!(seen["entries"][0]["value_hex"], "0100000002000000");
    assert_eq!(seen["entries"][0]["value"]["b"], 2);
    let each = &file["maps"][1];
    assert_eq!(each["zero_elements"], 3);
    let values = each["entries"][0]["values"].as_array().expect("values");
    assert_eq!(values.iter().filter(|value| **value == 5).count(), 1);
}

#[test]
fn what_is_no_such_file_is_refused() {
    let folder = Folder::new("saved-maps-bad");
    let head = r#"{"format":"skep-maps","version":1,"btf":null,"maps":[{"name":"m","type":"hash","kind":"map","#;
    let rest = r#""key_size":4,"value_size":4,"max_entries":1,"flags":0,"map_extra":0,"zero_elements":0,"lost":0,"entries":[{"key_hex":"0","value_hex":""}]}]}"#;
    let wrong = [
        ("{", "is not a file of saved maps"),
        ("{}", "--save-maps"),
        (
            r#"{"format":"skep-maps","version":9}"#,
            "this skep reads version 1",
        ),
        (
            r#"{"format":"skep-maps","version":1,"btf":"zz","maps":[]}"#,
            "`btf` is not hexadecimal",
        ),
        (
            r#"{"format":"skep-maps","version":1,"btf":"00","maps":[]}"#,
            "BTF",
        ),
        (&format!("{head}{rest}"), "maps[0].entries[0].key_hex"),
    ];
    for (content, part) in wrong {
        let path = folder.write("bad.json", content);
        let output = skep(&["maps", &path]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{content}: {said}");
        assert!(said.contains(part), "{content}: {said}");
    }
    let path = folder.write(
        "good.json",
        r#"{"format":"skep-maps","version":1,"btf":null,"maps":[]}"#,
    );
    let output = skep(&["maps", &path, "m"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}
