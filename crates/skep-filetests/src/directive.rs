//! Directives in a test file's comments: the verb, the targets, and the cases with their expectations.
//!
//! Invariant: a directive that is not understood is an error, never passed over.

/// One test file's directives.
#[derive(Debug, Default)]
pub struct File {
    /// `asm`, `error` or `run`.
    pub verb: String,
    /// What it runs on; empty for verbs that run nothing.
    pub targets: Vec<String>,
    /// The `; run:` lines.
    pub cases: Vec<Case>,
}

/// One `; run: INPUT => OUTCOME` line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// Line number in the file, from 1.
    pub line: usize,
    /// The packet.
    pub data: Option<Vec<u8>>,
    /// The context.
    pub ctx: Option<Vec<u8>>,
    /// Only this program of the file.
    pub program: Option<String>,
    /// What must come out.
    pub expected: Outcome,
}

/// What a case gives. Absent parts are not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// r0, 64 bits; the kernel gives the lower 32, and is compared so.
    pub r0: Option<u64>,
    /// A part of the trap's text.
    pub trap: Option<String>,
    /// A part of the refusal's text at load.
    pub refused: Option<String>,
    /// The packet after the run.
    pub data: Option<Vec<u8>>,
    /// Map entries: name, key, value (`None`: absent).
    pub maps: Vec<(String, Vec<u8>, Option<Vec<u8>>)>,
}

impl File {
    /// Reads the directives of a test file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut file = Self::default();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let Some(comment) = line.trim().strip_prefix("; ") else {
                continue;
            };
            if let Some(rest) = comment.strip_prefix("test ") {
                let (verb, targets) = rest.split_once(" on ").unwrap_or((rest, ""));
                verb.trim().clone_into(&mut file.verb);
                file.targets = targets
                    .split(',')
                    .map(|t| t.trim().to_owned())
                    .filter(|t| !t.is_empty())
                    .collect();
            } else if let Some(rest) = comment.strip_prefix("run:") {
                file.cases
                    .push(Case::parse(number, rest).map_err(|why| format!("{number}: {why}"))?);
            }
        }
        if file.verb.is_empty() {
            return Err("no `; test VERB` line".to_owned());
        }
        if file.verb == "run" && (file.cases.is_empty() || file.targets.is_empty()) {
            return Err(
                "`test run` takes targets (`on interp, kernel`) and at least one `; run:` line"
                    .to_owned(),
            );
        }
        Ok(file)
    }
}

impl Case {
    fn parse(line: usize, text: &str) -> Result<Self, String> {
        let (input, outcome) = text
            .split_once("=>")
            .ok_or("a case is `; run: INPUT => OUTCOME`")?;
        let mut case = Self {
            line,
            ..Self::default()
        };
        for item in items(input) {
            match item.split_once('=') {
                Some(("data", value)) => case.data = Some(bytes(value)?),
                Some(("ctx", value)) => case.ctx = Some(bytes(value)?),
                Some(("program", value)) => case.program = Some(value.to_owned()),
                _ => return Err(format!("unknown input `{item}`")),
            }
        }
        let expected = &mut case.expected;
        for item in items(outcome) {
            match item.split_once('=') {
                Some(("r0", value)) => expected.r0 = Some(number(value)?),
                Some(("trap", value)) => expected.trap = Some(value.trim_matches('"').to_owned()),
                Some(("refused", value)) => {
                    expected.refused = Some(value.trim_matches('"').to_owned())
                }
                Some(("data", value)) => expected.data = Some(bytes(value)?),
                Some((map, value)) if map.ends_with(']') => {
                    let (name, key) = map
                        .trim_end_matches(']')
                        .split_once('[')
                        .ok_or("a map entry is NAME[KEY]=VALUE")?;
                    let value = if value == "absent" {
                        None
                    } else {
                        Some(bytes(value)?)
                    };
                    expected.maps.push((name.to_owned(), bytes(key)?, value));
                }
                _ => return Err(format!("unknown outcome `{item}`")),
            }
        }
        if *expected == Outcome::default() {
            return Err("a case expects nothing".to_owned());
        }
        Ok(case)
    }
}

impl Outcome {
    /// The outcome as a case writes it.
    pub fn print(&self) -> String {
        let mut items = Vec::new();
        items.extend(self.r0.map(|r0| format!("r0={r0:#x}")));
        items.extend(self.trap.as_ref().map(|text| format!("trap=\"{text}\"")));
        items.extend(
            self.refused
                .as_ref()
                .map(|text| format!("refused=\"{text}\"")),
        );
        items.extend(self.data.as_ref().map(|data| format!("data={}", hex(data))));
        for (name, key, value) in &self.maps {
            let value = value
                .as_ref()
                .map_or_else(|| "absent".to_owned(), |value| hex(value));
            items.push(format!("{name}[{}]={value}", hex(key)));
        }
        items.join(" ")
    }
}

/// Words, where a quoted text is one word.
pub(crate) fn items(text: &str) -> Vec<&str> {
    let (mut found, mut start, mut quoted) = (Vec::new(), None, false);
    for (at, c) in text.char_indices() {
        quoted ^= c == '"';
        match (c.is_whitespace() && !quoted, start) {
            (false, None) => start = Some(at),
            (true, Some(from)) => {
                found.push(&text[from..at]);
                start = None;
            }
            _ => {}
        }
    }
    found.extend(start.map(|from| &text[from..]));
    found
}

fn number(text: &str) -> Result<u64, String> {
    let (negative, digits) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    }
    .map_err(|_| format!("not a number: `{text}`"))?;
    Ok(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// `zeros(N)` or hexadecimal digits; `_` separates for the eye.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    if let Some(count) = text
        .strip_prefix("zeros(")
        .and_then(|rest| rest.strip_suffix(')'))
    {
        let count: usize = count
            .parse()
            .map_err(|_| format!("not a count: `{text}`"))?;
        return if count <= 1 << 20 {
            Ok(vec![0; count])
        } else {
            Err(format!("{count} bytes are too many"))
        };
    }
    let digits: Vec<char> = text.chars().filter(|c| *c != '_').collect();
    if !digits.len().is_multiple_of(2) {
        return Err(format!("an odd number of hexadecimal digits: `{text}`"));
    }
    digits
        .chunks(2)
        .map(|pair| {
            let pair: String = pair.iter().collect();
            u8::from_str_radix(&pair, 16).map_err(|_| format!("not hexadecimal: `{text}`"))
        })
        .collect()
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{Case, File, Outcome};

    #[test]
    fn a_case_reads_back_as_it_is_printed() {
        let text = "; test run on interp, kernel\n; run: data=zeros(2) => r0=-1 data=00_ff counts[01000000]=absent\n";
        let file = File::parse(text).expect("parses");
        assert_eq!(file.targets, ["interp", "kernel"]);
        let case = &file.cases[0];
        assert_eq!(case.expected.r0, Some(u64::MAX));
        let again =
            Case::parse(2, &format!("data=0000 => {}", case.expected.print())).expect("parses");
        assert_eq!(again.expected, case.expected);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        assert!(File::parse("; run: => r0=1").is_err(), "no verb");
        assert!(
            File::parse("; test run on interp\n; run: speed=3 => r0=1").is_err(),
            "unknown input"
        );
        assert!(
            File::parse("; test run on interp\n; run: =>").is_err(),
            "nothing expected"
        );
        assert_eq!(
            File::parse("; test run on interp\n; run: => trap=\"a b\"")
                .map(|f| f.cases[0].expected.clone()),
            Ok(Outcome {
                trap: Some("a b".to_owned()),
                ..Outcome::default()
            })
        );
    }
}
