//! Forms: multipart/form-data (RFC 7578) and application/x-www-form-urlencoded, as the body of a request.
//!
//! Names are written as browsers do (WHATWG HTML, "multipart form data"): UTF-8, with `"`, CR and LF percent-encoded, and
//! without `filename*`. Knows nothing of how a body is sent.

use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};

use http::header::HeaderValue;

use crate::error::Error;
use crate::request::{Body, Request};
use crate::vocabulary::Kind;

/// A form: named fields of text, bytes, files and readers, in their order. A name may occur several times.
///
/// Create: [`new`](Self::new). Use: [`add_text`](Self::add_text) and [`add_part`](Self::add_part), then
/// [`Request::set_form`]. It is sent with its length if the lengths of all parts are known, and again for redirects and
/// retries if all parts can be read again. Threads: a value.
///
/// ```no_run
/// use hangup::{Form, Part, Request};
///
/// let mut form = Form::new();
/// form.add_text("title", "Holidays")?;
/// form.add_part("picture", Part::file("beach.jpg")?.content_type("image/jpeg")?)?;
/// let mut request = Request::new("POST", "https://example.org/upload")?;
/// request.set_form(form)?;
/// # Ok::<(), hangup::Error>(())
/// ```
#[derive(Debug)]
pub struct Form {
    boundary: String,
    parts: Vec<(String, Part)>,
}

/// The value of a field: its bytes, and what the form says of them.
///
/// Create: [`text`](Self::text), [`bytes`](Self::bytes), [`file`](Self::file) or [`new`](Self::new) with any body. Threads: a value.
#[derive(Debug)]
pub struct Part {
    body: Body,
    /// The text itself, for a form that is URL-encoded.
    text: Option<String>,
    file_name: Option<String>,
    content_type: Option<String>,
}

impl Form {
    /// A form without fields. As multipart/form-data it has a boundary of 128 random bits.
    pub fn new() -> Self {
        let mut boundary = String::from("hangup-");
        for _ in 0..2 {
            // Its keys come from the system's random numbers.
            let _ = write!(boundary, "{:016x}", RandomState::new().build_hasher().finish());
        }
        Self { boundary, parts: Vec::new() }
    }

    /// Sets the boundary between the parts, in place of the random one. It must occur in no part.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] unless it is 1 to 70 letters, digits and `'()+_,-./:=?` (RFC 2046 section 5.1.1, without the space).
    ///
    /// ```
    /// let mut form = hangup::Form::new();
    /// form.set_boundary("a-boundary")?;
    /// assert!(form.set_boundary("a\r\nb").is_err());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_boundary(&mut self, boundary: &str) -> Result<(), Error> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
        if boundary.is_empty() || boundary.len() > 70 || !boundary.bytes().all(legal) {
            let what = format!(
                "{boundary:?} is no boundary of a form: use 1 to 70 letters, digits and '()+_,-./:=? (RFC 2046 section \
                 5.1.1)"
            );
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        boundary.clone_into(&mut self.boundary);
        Ok(())
    }

    /// Adds a field of text.
    ///
    /// # Errors
    /// As for [`add_part`](Self::add_part).
    ///
    /// ```
    /// let mut form = hangup::Form::new();
    /// form.add_text("name", "value")?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn add_text(&mut self, name: &str, value: &str) -> Result<(), Error> {
        self.add_part(name, Part::text(value))
    }

    /// Adds a field.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for a name or a file name with a NUL.
    ///
    /// ```
    /// use hangup::{Form, Part};
    /// let mut form = Form::new();
    /// form.add_part("data", Part::bytes(b"{}").file_name("data.json").content_type("application/json")?)?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn add_part(&mut self, name: &str, part: Part) -> Result<(), Error> {
        let file_name = part.file_name.as_deref().unwrap_or("");
        if name.contains('\0') || file_name.contains('\0') {
            let what = "a NUL character in the name of a form's field or file";
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        self.parts.push((name.to_owned(), part));
        Ok(())
    }

    /// The value of its Content-Type as multipart/form-data.
    pub fn content_type(&self) -> String {
        let quote = self
            .boundary
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"'+_-.".contains(&byte));
        let mark = if quote { "" } else { "\"" };
        format!("multipart/form-data; boundary={mark}{}{mark}", self.boundary)
    }

    /// Its body as multipart/form-data.
    pub fn into_body(self) -> Body {
        let mut bodies = Vec::new();
        let mut text = String::new();
        for (name, part) in self.parts {
            let _ = write!(
                text,
                "--{}\r\nContent-Disposition: form-data; name=\"{}\"",
                self.boundary,
                escaped(&name)
            );
            if let Some(file_name) = &part.file_name {
                let _ = write!(text, "; filename=\"{}\"", escaped(file_name));
            }
            if let Some(content_type) = &part.content_type {
                let _ = write!(text, "\r\nContent-Type: {content_type}");
            }
            text.push_str("\r\n\r\n");
            match part.text {
                Some(value) => text.push_str(&value),
                None => {
                    bodies.push(Body::from(std::mem::take(&mut text)));
                    bodies.push(part.body);
                }
            }
            text.push_str("\r\n");
        }
        let _ = write!(text, "--{}--\r\n", self.boundary);
        let end = Body::from(text);
        if bodies.is_empty() {
            return end;
        }
        bodies.push(end);
        Body::sequence(bodies)
    }

    /// The form as it is now, to be sent, while this one is kept: what can be read only once moves into it.
    pub(crate) fn take(&mut self) -> Result<Self, Error> {
        let parts = self.parts.iter_mut().map(|(name, part)| Ok((name.clone(), part.take()?)));
        Ok(Self { boundary: self.boundary.clone(), parts: parts.collect::<Result<_, Error>>()? })
    }

    /// Its fields as pairs of text.
    fn pairs(&self) -> Result<Vec<(&str, &str)>, Error> {
        let pairs = self.parts.iter().map(|(name, part)| match &part.text {
            Some(text) if part.file_name.is_none() => Ok((name.as_str(), text.as_str())),
            _ => {
                let what = format!(
                    "the field {name:?} is no text, and only text can be URL-encoded; send the form as \
                     multipart/form-data"
                );
                Err(Error::new(Kind::InvalidArgument, what))
            }
        });
        pairs.collect()
    }
}

impl Default for Form {
    fn default() -> Self {
        Self::new()
    }
}

impl Request {
    /// Sets the body to a form as multipart/form-data (RFC 7578), and Content-Type unless the request has one already. One
    /// that the request has must name the form's boundary ([`Form::set_boundary`]).
    ///
    /// # Errors
    /// [`Kind::InvalidHeader`], never for a request that could be made.
    ///
    /// ```
    /// let mut form = hangup::Form::new();
    /// form.add_text("name", "value")?;
    /// let mut request = hangup::Request::new("POST", "https://example.org/")?;
    /// request.set_form(form)?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_form(&mut self, form: Form) -> Result<(), Error> {
        let content_type = form.content_type();
        self.set_typed_body(form.into_body(), &content_type)
    }

    /// Sets the body to a form of text alone, URL-encoded.
    pub(crate) fn set_urlencoded(&mut self, form: &Form) -> Result<(), Error> {
        self.set_form_urlencoded(form.pairs()?)
    }
}

impl Part {
    /// Any body.
    ///
    /// ```
    /// use hangup::{Body, Part};
    /// let part = Part::new(Body::reader(std::io::Cursor::new("data"), Some(4))).file_name("data.txt");
    /// ```
    pub fn new(body: Body) -> Self {
        Self { body, text: None, file_name: None, content_type: None }
    }

    /// This text. It has no Content-Type unless one is set, which means text/plain (RFC 7578 section 4.4).
    pub fn text(value: &str) -> Self {
        Self { text: Some(value.to_owned()), ..Self::new(Body::none()) }
    }

    /// These bytes, copied.
    pub fn bytes(data: &[u8]) -> Self {
        Self::new(Body::bytes(data))
    }

    /// The contents of a regular file ([`Body::file`]), with the last part of its path as file name, and
    /// application/octet-stream as content type.
    ///
    /// # Errors
    /// [`Kind::System`] if it can't be opened or is not a regular file.
    ///
    /// ```
    /// assert!(hangup::Part::file("/no/such/file").is_err());
    /// ```
    pub fn file(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let name = path.file_name().unwrap_or_default();
        let name = Path::new(name).to_string_lossy().into_owned();
        let part = Self::new(Body::file(path)?).file_name(&name);
        Ok(Self { content_type: Some(BYTES.to_owned()), ..part })
    }

    /// Sets the file name, which makes the field a file. A `"`, CR or LF in it is percent-encoded.
    #[must_use]
    pub fn file_name(mut self, name: &str) -> Self {
        self.file_name = Some(name.to_owned());
        self.content_type.get_or_insert_with(|| BYTES.to_owned());
        self
    }

    /// Sets the content type. The default is application/octet-stream for a file; others have none.
    ///
    /// # Errors
    /// [`Kind::InvalidHeader`] for what can't be the value of a header.
    pub fn content_type(mut self, content_type: &str) -> Result<Self, Error> {
        HeaderValue::from_str(content_type).map_err(|_| {
            let what = format!("{content_type:?} can't be the content type of a form's field");
            Error::new(Kind::InvalidHeader, what)
        })?;
        self.content_type = Some(content_type.to_owned());
        Ok(self)
    }

    fn take(&mut self) -> Result<Self, Error> {
        Ok(Self {
            body: self.body.take()?,
            text: self.text.clone(),
            file_name: self.file_name.clone(),
            content_type: self.content_type.clone(),
        })
    }
}

/// A name between quotation marks (WHATWG HTML, "multipart/form-data encoding algorithm").
fn escaped(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

const BYTES: &str = "application/octet-stream";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_has_a_boundary_of_its_own() {
        let one = Form::new().content_type();
        assert_ne!(one, Form::new().content_type());
        assert!(one.starts_with("multipart/form-data; boundary=hangup-"), "{one}");
        let mut form = Form::new();
        form.set_boundary("a:b").unwrap();
        assert_eq!(form.content_type(), "multipart/form-data; boundary=\"a:b\"");
        for wrong in ["", "a b", "a\"b", "ä", &"x".repeat(71)] {
            assert!(form.set_boundary(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_escaped_as_browsers_do() {
        assert_eq!(escaped("a\"b\r\nc%22\\ä"), "a%22b%0D%0Ac%22\\ä");
    }

    #[test]
    fn only_text_is_url_encoded() {
        let mut form = Form::new();
        form.add_text("a", "b").unwrap();
        assert_eq!(form.pairs().unwrap(), [("a", "b")]);
        form.add_part("c", Part::bytes(b"d")).unwrap();
        assert_eq!(form.pairs().unwrap_err().kind(), Kind::InvalidArgument);
    }
}
