//! Mistakes that verifiers made before: each known shape that is a program stands under `filetests/verify/soundness`, and
//! is refused (the text tests run them). Here only that none is missing.

use std::path::Path;

/// CVE numbers of false acceptances by Linux's verifier whose shape is a program.
const SHAPES: &[&str] = &[
    "2017-16995",
    "2018-18445",
    "2019-7308",
    "2020-8835",
    "2020-27170",
    "2020-27194",
    "2021-3444",
    "2021-3490",
    "2021-4204",
    "2021-31440",
    "2021-33200",
    "2022-0500",
    "2022-23222",
    "2023-2163",
    "2023-39191",
    "2023-52452",
    "2023-52676",
    "2023-52920",
    "2024-26589",
    "2024-41003",
    "2024-43910",
    "2024-45020",
    "2024-47702",
    "2024-49861",
    "2024-50164",
    "2024-58098",
    "2024-58100",
    "2024-58237",
    "2026-43009",
];

#[test]
fn each_known_shape_is_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filetests/verify/soundness");
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("the fixtures").flatten() {
        texts.push(std::fs::read_to_string(entry.path()).expect("a text file"));
    }
    let missing: Vec<&&str> = SHAPES
        .iter()
        .filter(|shape| {
            !texts
                .iter()
                .any(|text| text.contains(&format!("CVE-{shape}")) && text.contains("refused="))
        })
        .collect();
    assert!(missing.is_empty(), "no fixture for {missing:?}");
}
