//! The date of an Expires attribute, read as RFC 6265 section 5.1.1 specifies: servers write it in many
//! forms, and one that can't be read would keep a cookie that the server deletes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time that the text names, if it names one.
pub(crate) fn parse(text: &[u8]) -> Option<SystemTime> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(|byte| is_delimiter(*byte)).filter(|token| !token.is_empty()) {
        if time.is_none() {
            time = time_of(token);
            if time.is_some() {
                continue;
            }
        }
        if day.is_none() {
            day = number(token, 1..=2);
            if day.is_some() {
                continue;
            }
        }
        if month.is_none() {
            month = month_of(token);
            if month.is_some() {
                continue;
            }
        }
        if year.is_none() {
            year = number(token, 2..=4);
        }
    }
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year => year,
    };
    let (month, day, (hour, minute, second)) = (month?, day?, time?);
    let exists = year >= 1601 && (1..=days_in(month, year)).contains(&day);
    if !exists || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_since_1970(i64::from(year), i64::from(month), i64::from(day));
    let seconds = days * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e)
}

/// Hours, minutes and seconds, each of one or two digits; what follows a non-digit is ignored.
fn time_of(token: &[u8]) -> Option<(u32, u32, u32)> {
    let mut parts = token.splitn(3, |byte| *byte == b':');
    let mut whole = || {
        let part = parts.next()?;
        part.iter().all(u8::is_ascii_digit).then(|| number(part, 1..=2)).flatten()
    };
    let (hour, minute) = (whole()?, whole()?);
    Some((hour, minute, number(parts.next()?, 1..=2)?))
}

/// The digits that the token begins with, if there are so many of them.
fn number(token: &[u8], digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let count = token.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !digits.contains(&count) {
        return None;
    }
    Some(token[..count].iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
}

/// 1 to 12, from the first three letters.
fn month_of(token: &[u8]) -> Option<u32> {
    let begin = token.get(..3)?;
    let names = b"janfebmaraprmayjunjulaugsepoctnovdec".chunks(3);
    names.zip(1..).find(|(name, _)| begin.eq_ignore_ascii_case(name)).map(|(_, month)| month)
}

fn days_in(month: u32, year: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Of the Gregorian calendar, for years from 1 on: years begin in March here, so that a leap day is
/// a year's last day (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<i64> {
        let time = parse(text.as_bytes())?;
        Some(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_secs() as i64,
            Err(before) => -(before.duration().as_secs() as i64),
        })
    }

    #[test]
    fn every_form_of_a_date_names_the_same_time() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 6 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37",
            "sun, 06 nov 1994 8:49:37 gmt",
            "Sun, 06-November-1994 08:49:37 GMT",
            "08:49:37 6 Nov 1994",
            "1994 Nov 06 08:49:37",
            "6th Nov 94 08:49:37.123 +0100",
            "\"Sun, 06 Nov 1994 08:49:37 GMT\"",
            "Mon,06/Nov/1994\t08:49:37",
        ] {
            assert_eq!(seconds(text), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn years_and_their_days_are_those_of_the_calendar() {
        for (text, expected) in [
            ("01 Jan 1970 00:00:00", 0),
            ("31 Dec 1969 23:59:59", -1),
            ("29 Feb 2000 12:00:00", 951_825_600),
            ("28 Feb 2100 23:59:59", 4_107_542_399),
            ("01 Jan 69 00:00:00", 3_124_224_000),
            ("01 Jan 70 00:00:00", 0),
            ("01 Jan 1601 00:00:00", -11_644_473_600),
            ("31 Dec 9999 23:59:59", 253_402_300_799),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_names_no_time_is_none() {
        for text in [
            "",
            "0",
            "never",
            "Thu, 01 Jan 1970",
            "Thu, Jan 1970 00:00:00",
            "00:00:00 01 1970",
            "01 Jan 00:00:00",
            "30 Feb 2000 00:00:00",
            "29 Feb 2100 00:00:00",
            "31 Apr 2000 00:00:00",
            "00 Jan 2000 00:00:00",
            "01 Jan 1600 00:00:00",
            "01 Jan 20000 00:00:00",
            "01 Jan 2000 24:00:00",
            "01 Jan 2000 00:60:00",
            "01 Jan 2000 00:00:60",
            "01 Jan 2000 000:00:00",
            "01 Jan 2000 00:00",
            "001 Jan 2000 00:00:00",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
