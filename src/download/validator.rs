//! What the head of a response says about its representation: by which validator a later request can ask for the
//! rest of the same one (RFC 9110 section 13.1.5), and which range a partial response has (section 14.4).

use crate::client::parse_date;
use crate::response::ResponseHead;

/// The value for If-Range: a strong entity tag, or a date. Threads: a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validator(String);

/// The field Content-Range. Threads: a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    /// The first byte; `None` if the range can't be satisfied.
    pub(super) first: Option<u64>,
    /// How long the whole is, if that is known.
    pub(super) total: Option<u64>,
}

impl Validator {
    /// The validator of a response that has one which tells any two versions apart.
    pub(super) fn of(head: &ResponseHead) -> Option<Self> {
        let text = |name: &str| head.header(name).and_then(|value| std::str::from_utf8(value).ok());
        if let Some(tag) = text("etag").filter(|tag| is_strong_tag(tag)) {
            return Some(Self(tag.to_owned()));
        }
        // RFC 9110 section 8.8.2.2: a date is strong if it is a second or more before that of the response. With
        // a weak tag beside it, the server says that it does not keep track that closely.
        let modified = text("last-modified").filter(|_| head.header("etag").is_none())?;
        let time = |text: &str| parse_date(text.as_bytes());
        let is_older = text("date").and_then(time) > Some(time(modified)?);
        (is_older && is_field_text(modified)).then(|| Self(modified.to_owned()))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        (is_strong_tag(text) || is_field_text(text)).then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a response is of another version: it has another validator of the same sort. Servers that do not know
    /// If-Range send the range of whatever they have.
    pub(super) fn contradicts(&self, head: &ResponseHead) -> bool {
        let name = if is_strong_tag(&self.0) { "etag" } else { "last-modified" };
        head.header(name).is_some_and(|other| other != self.0.as_bytes())
    }
}

impl ContentRange {
    /// `bytes 5-9/10`, `bytes 5-9/*` or `bytes */10`; `None` for anything else.
    pub(super) fn of(head: &ResponseHead) -> Option<Self> {
        Self::parse(std::str::from_utf8(head.header("content-range")?).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse::<u64>().ok()).flatten()
        };
        let total = if total == "*" { None } else { Some(number(total)?) };
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        if range == "*" {
            return total.map(|total| Self { first: None, total: Some(total) });
        }
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let fits = first <= last && total.is_none_or(|total| last < total);
        fits.then_some(Self { first: Some(first), total })
    }
}

fn is_strong_tag(text: &str) -> bool {
    text.len() >= 2 && text.starts_with('"') && text.ends_with('"') && is_field_text(text)
}

fn is_field_text(text: &str) -> bool {
    (1..=1024).contains(&text.len()) && text.bytes().all(|byte| (b' '..0x7f).contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_strictly() {
        let range = |first, total| Some(ContentRange { first, total });
        assert_eq!(ContentRange::parse("bytes 5-9/10"), range(Some(5), Some(10)));
        assert_eq!(ContentRange::parse("Bytes 5-9/*"), range(Some(5), None));
        assert_eq!(ContentRange::parse("bytes */10"), range(None, Some(10)));
        for wrong in [
            "",
            "bytes",
            "bytes 5-9",
            "items 5-9/10",
            "bytes 9-5/10",
            "bytes 5-10/10",
            "bytes */*",
            "bytes +5-9/10",
        ] {
            assert_eq!(ContentRange::parse(wrong), None, "{wrong:?}");
        }
    }
}
