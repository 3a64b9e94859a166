//! Mutates well-formed bytes. The same number gives the same bytes each time.

use crate::support::Random;

/// Changes `bytes` in one to four places.
pub fn mutate(random: &mut Random, bytes: &mut Vec<u8>, tokens: &[&str]) {
    for _ in 0..=random.below(4) {
        change(random, bytes, tokens);
    }
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, tokens: &[&str]) {
    let len = bytes.len();
    let at = pick(random, len + 1);
    let end = at + pick(random, (len - at).min(40) + 1);
    match random.below(9) {
        0 if at < len => bytes[at] ^= 1 << random.below(8),
        1 if at < len => bytes[at] = BYTES[pick(random, BYTES.len())],
        2 => bytes.insert(at, BYTES[pick(random, BYTES.len())]),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let copy = bytes[at..end].to_vec();
            let to = pick(random, len + 1);
            bytes.splice(to..to, copy);
        }
        5 => bytes.truncate(at),
        6 => number(random, bytes),
        _ => {
            let token = tokens[pick(random, tokens.len())];
            // Mostly where a line begins.
            let to = if random.below(3) == 0 { at } else { line(bytes, at) };
            bytes.splice(to..to, token.bytes());
        }
    }
}

/// Replaces a number by another one.
fn number(random: &mut Random, bytes: &mut Vec<u8>) {
    let digits: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
    if digits.is_empty() {
        return;
    }
    let at = digits[pick(random, digits.len())];
    match random.below(3) {
        0 => bytes[at] = b'0' + random.below(10) as u8,
        1 => bytes.insert(at, b'0' + random.below(10) as u8),
        _ => drop(bytes.splice(at..=at, NUMBERS[pick(random, NUMBERS.len())].bytes())),
    }
}

/// Where the line after `at` begins.
fn line(bytes: &[u8], at: usize) -> usize {
    let rest = bytes[at..].iter().position(|byte| *byte == b'\n');
    rest.map_or(bytes.len(), |end| at + end + 1)
}

/// One of 0 to `of` - 1.
pub fn pick(random: &mut Random, of: usize) -> usize {
    random.below(of.max(1) as u64) as usize
}

const BYTES: &[u8] = b"\r\n \t\0:;,=\"'%/\\@?#+-0aF\x0b\x0c\x1f\x7f\x80\xa0\xff";

const NUMBERS: &[&str] =
    &["-1", "+2", " 2", "0x6", "00000000000000000002", "18446744073709551616", "4294967296", "1e3"];
