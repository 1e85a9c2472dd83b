//! Format strings of `bpf_snprintf` and its like: which conversions exist and how many arguments they take.

/// Arguments at most (`MAX_BPRINTF_VARARGS`).
const ARGUMENTS_MAX: usize = skep_spec::limits::MAX_BPRINTF_ARGS;

/// Whether the format (without its zero) is one that the kernel prints with that many arguments.
pub fn is_valid(format: &[u8], arguments: usize) -> bool {
    if arguments > ARGUMENTS_MAX {
        return false;
    }
    let at = |place: usize| format.get(place).copied().unwrap_or(0);
    let mut used = 0;
    let mut place = 0;
    while place < format.len() {
        let byte = at(place);
        if !(byte.is_ascii_graphic() || is_space(byte)) {
            return false;
        }
        if byte != b'%' {
            place += 1;
            continue;
        }
        if at(place + 1) == b'%' {
            place += 2;
            continue;
        }
        if used >= arguments {
            return false;
        }
        place += 1;
        while matches!(at(place), b'0' | b'+' | b'#' | b'-' | b' ') {
            place += 1;
        }
        if matches!(at(place), b'1'..=b'9') {
            while at(place).is_ascii_digit() {
                place += 1;
            }
        }
        match conversion(&at, place) {
            Some(last) => place = last + 1,
            None => return false,
        }
        used += 1;
    }
    true
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// Where the conversion that starts at `place` ends.
fn conversion(at: &impl Fn(usize) -> u8, mut place: usize) -> Option<usize> {
    let ends = |place: usize| {
        let byte = at(place);
        byte == 0 || is_space(byte) || byte.is_ascii_punctuation()
    };
    match at(place) {
        b'p' => {
            let (first, second) = (at(place + 1), at(place + 2));
            if matches!(first, b'k' | b'u') && second == b's' {
                return ends(place + 3).then_some(place + 2);
            }
            if ends(place + 1) {
                return Some(place);
            }
            if matches!(first, b'K' | b'x' | b's' | b'S' | b'B') {
                return Some(place + 1);
            }
            (matches!(first, b'i' | b'I') && matches!(second, b'4' | b'6')).then_some(place + 2)
        }
        b's' => ends(place + 1).then_some(place),
        b'c' => Some(place),
        _ => {
            for _ in 0..2 {
                if at(place) == b'l' {
                    place += 1;
                }
            }
            matches!(at(place), b'i' | b'd' | b'u' | b'x' | b'X').then_some(place)
        }
    }
}
