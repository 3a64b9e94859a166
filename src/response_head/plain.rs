//! Reads a head of the form that nearly all have, in one pass: each line ends with CR LF, and no value is folded (RFC 9112
//! sections 2.2 and 5.2). It costs half of what finding the end of the head and then parsing it costs.
//!
//! What has another form is no head here, well-formed or not: the parser decides about it. A head that is read here, the
//! parser reads as well and finds the same in it; a test compares both. Knows the meaning of no field.

/// A whole head, whose fields were handed over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PlainHead {
    /// In bytes, its empty line included.
    pub(super) size: usize,
    /// 0 or 1, the minor version.
    pub(super) version: u8,
    pub(super) status: u16,
}

/// Reads the head that the bytes begin with. `field` is given each name, and each value with the white space around it,
/// also before it is known whether the head is whole. `None` for another form, for more fields than that, and if the
/// head is not whole.
#[inline]
pub(super) fn read<'a>(
    bytes: &'a [u8],
    most_fields: usize,
    mut field: impl FnMut(&'a [u8], &'a [u8]),
) -> Option<PlainHead> {
    let start: &[u8; STATUS_LINE] = bytes.first_chunk()?;
    let (version, status) = match *start {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            version @ (b'0' | b'1'),
            b' ',
            a,
            b,
            c,
            b' ',
        ] => (version - b'0', status_of([a, b, c])?),
        _ => return None,
    };
    let mut rest = behind_line(&bytes[STATUS_LINE..])?.1;
    for _ in 0..=most_fields {
        if let [b'\r', b'\n', behind @ ..] = rest {
            return Some(PlainHead { size: bytes.len() - behind.len(), version, status });
        }
        let (name, value) = behind_name(rest)?;
        let (value, next) = behind_line(value)?;
        field(name, value);
        rest = next;
    }
    None
}

/// Whether a name of a field is this one, which is in lower case and of letters and hyphens. The name consists of
/// characters of a token, of which no other becomes one of these in lower case.
#[inline]
pub(super) fn is<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    name.len() == N
        && name.iter().zip(lower).fold(0, |other, (byte, low)| other | ((byte | 0x20) ^ low)) == 0
}

/// Three digits, of which the first is not 0.
#[inline]
fn status_of(code: [u8; 3]) -> Option<u16> {
    let [a, b, c] = code.map(|digit| u16::from(digit.wrapping_sub(b'0')));
    (a != 0 && a < 10 && b < 10 && c < 10).then_some(100 * a + 10 * b + c)
}

/// The name that a line begins with, which is a token, and what is behind its colon.
#[inline(always)] // One place reads names.
fn behind_name(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    // Nearly all names are letters and hyphens, and short.
    for word in line.as_chunks().0 {
        let others = no_letters_or_hyphens(u64::from_le_bytes(*word));
        if others != 0 {
            at += others.trailing_zeros() as usize / 8;
            break;
        }
        at += size_of::<u64>();
    }
    loop {
        match line.get(at)? {
            b':' if at > 0 => return Some((&line[..at], &line[at + 1..])),
            byte if TOKEN[usize::from(*byte)] => at += 1,
            _ => return None,
        }
    }
}

/// A line without its CR LF, and what is behind that. The line has what a value or a reason phrase may hold.
#[inline]
fn behind_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = next_control(bytes)?;
    loop {
        match bytes.get(at..)? {
            [b'\r', b'\n', behind @ ..] => return Some((&bytes[..at], behind)),
            [b'\t', rest @ ..] => at += 1 + next_control(rest)?,
            _ => return None,
        }
    }
}

/// Where the first control character is (RFC 5234 appendix B.1), eight bytes at a time.
#[inline]
fn next_control(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks();
    let mut at = 0;
    for word in words {
        let found = controls(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += size_of::<u64>();
    }
    rest.iter().position(u8::is_ascii_control).map(|behind| at + behind)
}

/// The highest bit of each byte that is a control character. Bits above the lowest one that is set may be wrong: the
/// subtractions borrow from there.
#[inline]
fn controls(word: u64) -> u64 {
    let below_space = word.wrapping_sub(each(b' ')) & !word;
    let delete = word ^ each(0x7f);
    let is_delete = delete.wrapping_sub(each(1)) & !delete;
    (below_space | is_delete) & each(HIGHEST)
}

/// The highest bit of each byte that is neither a letter nor a hyphen.
#[inline]
fn no_letters_or_hyphens(word: u64) -> u64 {
    // Seven bits of each, so that no addition carries into the next byte.
    let low = word & !each(HIGHEST);
    let lower = low | each(b' ');
    let from_a = lower + each(HIGHEST - b'a');
    let behind_z = lower + each(HIGHEST - b'z' - 1);
    let no_hyphen = (low ^ each(b'-')) + each(HIGHEST - 1);
    (word | ((!from_a | behind_z) & no_hyphen)) & each(HIGHEST)
}

const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

const HIGHEST: u8 = 0x80;
/// `HTTP/1.1 200 `.
const STATUS_LINE: usize = 13;

/// The characters of a token (RFC 9110 section 5.6.2).
static TOKEN: [bool; 256] = {
    let mut token = [false; 256];
    let others = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < others.len() {
        token[others[at] as usize] = true;
        at += 1;
    }
    let mut byte = 0;
    while byte < 256 {
        token[byte] |= (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    token
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_control_character_is_found_wherever_it_is() {
        for byte in 0..=255_u8 {
            for at in 0..24 {
                let mut bytes = [b'a'; 24];
                bytes[at] = byte;
                let is_control = byte < b' ' || byte == 0x7f;
                assert_eq!(next_control(&bytes), is_control.then_some(at), "{byte} at {at}");
                // The first of several counts.
                bytes[23] = 0;
                let first = if is_control { at } else { 23 };
                assert_eq!(next_control(&bytes), Some(first), "{byte} at {at}");
                assert_eq!(next_control(&bytes[at..]), Some(first - at), "{byte} at {at}");
            }
        }
        assert_eq!(next_control(b""), None);
    }

    fn end_of_name(line: &[u8]) -> Option<usize> {
        let (name, behind) = behind_name(line)?;
        assert!(name == &line[..name.len()] && behind == &line[name.len() + 1..]);
        Some(name.len())
    }

    #[test]
    fn a_name_ends_at_the_colon_behind_a_token() {
        for size in 0..20 {
            let mut line = vec![b'n'; size];
            line.extend_from_slice(b": value, and more of it");
            assert_eq!(end_of_name(&line), (size > 0).then_some(size));
            for at in 0..size {
                for byte in 0..=255_u8 {
                    line[at] = byte;
                    let end = match byte {
                        b':' if at > 0 => Some(at),
                        _ => TOKEN[usize::from(byte)].then_some(size),
                    };
                    assert_eq!(end_of_name(&line), end, "{byte} at {at} of {size}");
                    let short = &line[..=size];
                    assert_eq!(end_of_name(short), end, "{byte} at {at} of {size}");
                }
                line[at] = b'n';
            }
            assert_eq!(end_of_name(&line[..size]), None);
        }
    }

    #[test]
    fn a_name_is_the_same_in_any_case_and_no_other_is() {
        assert!(
            is(b"Content-LENGTH", b"content-length") && !is(b"Content_Length", b"content-length")
        );
        let tokens = (0..=255_u8).filter(|byte| TOKEN[usize::from(*byte)]);
        for byte in tokens {
            for low in b"-abcdefghijklmnopqrstuvwxyz" {
                assert_eq!(is(&[byte], &[*low]), byte.eq_ignore_ascii_case(low), "{byte} {low}");
            }
        }
    }

    #[test]
    fn a_cut_head_and_one_of_another_form_are_none() {
        let head = b"HTTP/1.1 404 Not\tFound\r\nA:b\r\nc-d: \te f \r\nG:\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(read(&head[..end], 9, |_, _| ()), None, "{end}");
        }
        let mut fields = Vec::new();
        let mut with_body = head.to_vec();
        with_body.extend_from_slice(b"\0\r\n: ");
        let known = read(&with_body, 3, |name, value| fields.push((name, value)));
        assert_eq!(known, Some(PlainHead { size: head.len(), version: 1, status: 404 }));
        assert_eq!(fields, [(&b"A"[..], &b"b"[..]), (b"c-d", b" \te f "), (b"G", b"")]);
        assert_eq!(read(head, 2, |_, _| ()), None, "more fields than that");
        for other in [
            "HTTP/1.1 200\r\n\r\n",
            "HTTP/1.1 099 A\r\n\r\n",
            "HTTP/1.1 2a0 A\r\n\r\n",
            "HTTP/1.2 200 A\r\n\r\n",
            "HTTP/1.1  200 A\r\n\r\n",
            "HTTP/1.1 200 A\n\n",
            "HTTP/1.1 200 A\r\nB: c\n\r\n",
            "HTTP/1.1 200 A\r\nB: c\r\n d\r\n\r\n",
            "HTTP/1.1 200 A\r\nB : c\r\n\r\n",
            "HTTP/1.1 200 A\r\n: c\r\n\r\n",
            "HTTP/1.1 200 A\r\nB\r\n\r\n",
            "HTTP/1.1 200 A\r\nB: \r\r\n\r\n",
            "HTTP/1.1 200 A\r\nB: \0\r\n\r\n",
            "HTTP/1.1 200 \x7f\r\n\r\n",
        ] {
            assert_eq!(read(other.as_bytes(), 9, |_, _| ()), None, "{other:?}");
        }
    }
}
