//! What a selftest's own annotations ask for: verdict, messages, return value, flags and mode, as BTF declaration tags.
//!
//! Invariant: tags are read in the order of their counters, so that messages come in the order of the source; a message
//! must be found after the end of the one before it.

use regex::Regex;
use skep_btf::ty::Ty;
use skep_btf::{Btf, Kind};
use skep_spec::program::flags;

/// A text that the log must (or, negative, must not) hold.
#[derive(Clone, Debug)]
pub struct Message {
    pub text: String,
    pub negative: bool,
}

/// What one mode asks for.
#[derive(Clone, Debug, Default)]
pub struct Mode {
    pub messages: Vec<Message>,
    pub fails: bool,
    /// Capabilities that an unprivileged loader keeps, by their numbers.
    pub caps: u64,
}

/// All that the tags of a function say.
#[derive(Clone, Debug, Default)]
pub struct Annotations {
    pub privileged: Mode,
    pub unprivileged: Mode,
    pub log_level: u32,
    pub flags: u32,
    /// The file name of the types to relocate against instead of the kernel's.
    pub btf_path: Option<String>,
    /// Something says what verdict is right.
    pub judged: bool,
    /// Some tag is about a load without privileges.
    pub asks_unprivileged: bool,
    /// The test is for other machines than x86-64 alone.
    pub elsewhere: bool,
    pub return_expected: Option<i64>,
}

impl Annotations {
    /// The tags of the function of that name.
    pub fn of(btf: &Btf, function: &str) -> Annotations {
        let mut found = Annotations::default();
        let Some(id) = btf.find(Kind::Func, function) else {
            return found;
        };
        let mut tags: Vec<(u64, &str)> = Vec::new();
        for tag in btf.own_ids() {
            if btf.kind(tag) != Ok(Kind::DeclTag) {
                continue;
            }
            let Ok(Ty::DeclTag {
                value,
                target,
                component: -1,
                ..
            }) = btf.ty(tag)
            else {
                continue;
            };
            let Some(text) = value.strip_prefix("comment:").filter(|_| target == id) else {
                continue;
            };
            // Newer sources number their tags: `comment:12:test_…`.
            match text.split_once(':') {
                Some((number, rest)) if number.parse::<u64>().is_ok() => {
                    tags.push((number.parse().unwrap_or(0), rest));
                }
                _ => tags.push((u64::from(tag.0), text)),
            }
        }
        tags.sort_by_key(|(at, _)| *at);
        let mut unprivileged_verdict = false;
        for (_, tag) in &tags {
            found.read(tag, &mut unprivileged_verdict);
        }
        let machines: Vec<&str> = tags
            .iter()
            .filter_map(|(_, tag)| tag.strip_prefix("test_arch="))
            .collect();
        found.elsewhere = !machines.is_empty() && !machines.contains(&"X86_64");
        if !unprivileged_verdict {
            found.unprivileged.fails = found.privileged.fails;
        }
        if found.unprivileged.messages.is_empty() {
            found.unprivileged.messages = found.privileged.messages.clone();
        }
        found
    }

    fn read(&mut self, tag: &str, unprivileged_verdict: &mut bool) {
        // `test_expect_msg=7=text`, or in newer sources without the counter.
        let text = |prefix: &str| {
            let rest = tag.strip_prefix(prefix)?;
            Some(match rest.split_once('=') {
                Some((counter, text)) if counter.parse::<u64>().is_ok() => text,
                _ => rest,
            })
        };
        let message = |text: &str, negative| Message {
            text: text.to_owned(),
            negative,
        };
        self.asks_unprivileged |= tag.contains("_unpriv");
        self.judged |= tag.starts_with("test_expect_") || tag.starts_with("test_retval=");
        match tag {
            "test_expect_failure" => self.privileged.fails = true,
            "test_expect_failure_unpriv" => {
                (self.unprivileged.fails, *unprivileged_verdict) = (true, true);
            }
            "test_expect_success_unpriv" => {
                (self.unprivileged.fails, *unprivileged_verdict) = (false, true);
            }
            _ => {}
        }
        if let Some(text) = text("test_expect_msg=") {
            self.privileged.messages.push(message(text, false));
        } else if let Some(text) = text("test_expect_not_msg=") {
            self.privileged.messages.push(message(text, true));
        } else if let Some(text) = text("test_expect_msg_unpriv=") {
            self.unprivileged.messages.push(message(text, false));
        } else if let Some(text) = text("test_expect_not_msg_unpriv=") {
            self.unprivileged.messages.push(message(text, true));
        } else if let Some(level) = tag.strip_prefix("test_log_level=") {
            self.log_level = level.parse().unwrap_or(0);
        } else if let Some(value) = tag.strip_prefix("test_retval=") {
            self.return_expected = match value.strip_prefix("0x") {
                Some(hex) => i64::from_str_radix(hex, 16).ok(),
                None if value == "_INT_MIN" => Some(i64::from(i32::MIN)),
                None => value.parse().ok(),
            };
        } else if let Some(path) = tag.strip_prefix("test_btf_path=") {
            self.btf_path = Some(path.rsplit('/').next().unwrap_or(path).to_owned());
        } else if let Some(caps) = tag.strip_prefix("test_caps_unpriv=") {
            for cap in caps.split('|').filter_map(|cap| cap.parse::<u32>().ok()) {
                self.unprivileged.caps |= 1u64.checked_shl(cap).unwrap_or(0);
            }
        } else if let Some(flag) = tag.strip_prefix("test_prog_flags=") {
            let (clear, flag) = match flag.strip_prefix('!') {
                Some(flag) => (true, flag),
                None => (false, flag),
            };
            let bits = flag_bits(flag);
            if clear {
                self.flags &= !bits;
            } else {
                self.flags |= bits;
            }
        }
    }

    /// What that mode asks for.
    pub fn mode(&self, unprivileged: bool) -> &Mode {
        if unprivileged {
            &self.unprivileged
        } else {
            &self.privileged
        }
    }
}

fn flag_bits(name: &str) -> u32 {
    match name {
        "BPF_F_STRICT_ALIGNMENT" => flags::STRICT_ALIGNMENT,
        "BPF_F_ANY_ALIGNMENT" => flags::ANY_ALIGNMENT,
        "BPF_F_TEST_RND_HI32" => flags::TEST_RND_HI32,
        "BPF_F_TEST_STATE_FREQ" => flags::TEST_STATE_FREQ,
        "BPF_F_SLEEPABLE" => flags::SLEEPABLE,
        "BPF_F_XDP_HAS_FRAGS" => flags::XDP_HAS_FRAGS,
        "BPF_F_TEST_REG_INVARIANTS" => flags::TEST_REG_INVARIANTS,
        other => match other.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).unwrap_or(0),
            None => other.parse().unwrap_or(0),
        },
    }
}

/// The first message that the log does not satisfy; `None` if all hold.
pub fn missed<'m>(messages: &'m [Message], log: &str) -> Option<&'m Message> {
    let mut from = 0;
    let mut pending: Vec<&Message> = Vec::new();
    for message in messages {
        if message.negative {
            pending.push(message);
            continue;
        }
        let Some((start, end)) = find(&log[from..], &message.text) else {
            return Some(message);
        };
        for negative in pending.drain(..) {
            if find(&log[from..], &negative.text).is_some_and(|(at, _)| at < start) {
                return Some(negative);
            }
        }
        from += end;
    }
    pending
        .into_iter()
        .find(|negative| find(&log[from..], &negative.text).is_some())
}

/// Where the text is: literally, but for `{{…}}`, which hold regular expressions.
fn find(log: &str, pattern: &str) -> Option<(usize, usize)> {
    if !pattern.contains("{{") {
        return log.find(pattern).map(|at| (at, at + pattern.len()));
    }
    let mut expression = String::from("(?m)");
    let mut rest = pattern;
    while let Some((literal, after)) = rest.split_once("{{") {
        expression.push_str(&regex::escape(literal));
        let (inside, after) = after.split_once("}}").unwrap_or((after, ""));
        expression.push_str(inside);
        rest = after;
    }
    expression.push_str(&regex::escape(rest));
    let found = Regex::new(&expression).ok()?.find(log)?;
    Some((found.start(), found.end()))
}

#[cfg(test)]
mod tests {
    use super::{Message, missed};

    fn messages(texts: &[&str]) -> Vec<Message> {
        texts
            .iter()
            .map(|text| Message {
                text: text.trim_start_matches('!').to_owned(),
                negative: text.starts_with('!'),
            })
            .collect()
    }

    #[test]
    fn messages_are_found_in_their_order() {
        let log = "0: R1=ctx()\n1: (b7) r0 = 1\nR0 !read_ok\n";
        assert!(missed(&messages(&["R1=ctx", "R{{[0-9]+}} !read_ok"]), log).is_none());
        assert!(missed(&messages(&["read_ok", "R1=ctx"]), log).is_some());
        assert!(missed(&messages(&["R1=ctx", "!r0 = 1", "read_ok"]), log).is_some());
        assert!(missed(&messages(&["R1=ctx", "!r5 = 1"]), log).is_none());
    }
}
