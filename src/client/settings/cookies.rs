//! The cookies that a client keeps.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use crate::client::cookies::{Jar, KeptCookie};
use crate::client::{Client, cookies};
use crate::error::Error;
use crate::vocabulary::{CookieFormat, Kind};

impl Client {
    /// Sets whether cookies are kept; they are not by default, and switching it off forgets them. The cookies of every
    /// response are kept, those of redirects included, and sent as RFC 6265 specifies. A request that has a Cookie
    /// header of its own sends that one, and none of the kept ones.
    ///
    /// At most 3000 cookies are kept, and 180 of a site (a registrable domain and all below it). When there
    /// are more, expired ones are removed, then the least recently used one of the site, or of the site
    /// with the most cookies.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_cookies(true);
    /// ```
    pub fn set_cookies(&self, on: bool) {
        self.configure(|config| match on {
            true => {
                let jar = config.jar.get_or_insert_with(Arc::default);
                jar.trust_localhost(config.secure_cookies_on_localhost);
            }
            false => config.jar = None,
        });
    }

    /// The Cookie header that a request for that URL would have; `None` if there is none. Bytes that
    /// are not UTF-8 are returned as U+FFFD; they are sent unchanged.
    ///
    /// # Errors
    /// [`Kind::InvalidUrl`].
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_cookies(true);
    /// client.add_cookie("https://example.org/", "id=7")?;
    /// assert_eq!(client.cookies_for("https://example.org/")?.as_deref(), Some("id=7"));
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn cookies_for(&self, url: &str) -> Result<Option<String>, Error> {
        let target = cookies::target(url)?;
        let field = self.config.load().jar.as_ref().and_then(|jar| jar.peek(&target));
        Ok(field.map(|field| String::from_utf8_lossy(&field).into_owned()))
    }

    /// Keeps a cookie as if a response from that URL had set it: `name=value`, then
    /// attributes as in a Set-Cookie header.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_cookies(true);
    /// client.add_cookie("https://example.org/", "id=7; Path=/; Secure")?;
    /// assert_eq!(client.cookies_for("https://example.org/shop")?.as_deref(), Some("id=7"));
    /// assert_eq!(client.cookies_for("http://example.org/shop")?, None);
    /// # Ok::<(), hangup::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Kind::InvalidUrl`]; [`Kind::InvalidArgument`] for a cookie that such a response could not set;
    /// [`Kind::InvalidState`] if cookies are not kept.
    pub fn add_cookie(&self, url: &str, cookie: &str) -> Result<(), Error> {
        let target = cookies::target(url)?;
        self.jar()?.set(&target, cookie.as_bytes()).map_err(|why| {
            Error::new(Kind::InvalidArgument, format!("the cookie is refused: {why}"))
        })
    }

    /// Sets whether Secure cookies are also set by and sent to `localhost`, names below it and loopback addresses without
    /// TLS, as browsers have it for servers under development; they are not by default.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_cookies(true);
    /// client.set_secure_cookies_on_localhost(true);
    /// client.add_cookie("http://localhost:8000/", "id=7; Secure")?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_secure_cookies_on_localhost(&self, on: bool) {
        self.configure(|config| {
            config.secure_cookies_on_localhost = on;
            if let Some(jar) = &config.jar {
                jar.trust_localhost(on);
            }
        });
    }

    /// The cookies that are kept and have not expired, by domain, path and name; none if cookies are not kept.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_cookies(true);
    /// client.add_cookie("https://example.org/", "id=7")?;
    /// assert_eq!(client.cookies().len(), 1);
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn cookies(&self) -> Vec<KeptCookie> {
        self.config.load().jar.as_ref().map_or_else(Vec::new, |jar| jar.list())
    }

    /// Writes the cookies into a file, those included that would be forgotten with the client. The file is written beside
    /// its place and renamed, so that it is never half a file, and only its owner can read it.
    ///
    /// The Netscape format can't hold a cookie whose name or path has a tab, and leaves it out.
    ///
    /// # Errors
    /// [`Kind::System`] if it can't be written; [`Kind::InvalidState`] if cookies are not kept.
    ///
    /// ```
    /// use hangup::CookieFormat;
    ///
    /// let path = std::env::temp_dir().join(format!("cookies-{}.txt", std::process::id()));
    /// let client = hangup::Client::default();
    /// client.set_cookies(true);
    /// client.add_cookie("https://example.org/", "id=7")?;
    /// client.save_cookies(&path, CookieFormat::Netscape)?;
    /// client.clear_cookies();
    /// client.load_cookies(&path)?;
    /// assert_eq!(client.cookies_for("https://example.org/")?.as_deref(), Some("id=7"));
    /// std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn save_cookies(&self, path: &Path, format: CookieFormat) -> Result<(), Error> {
        let jar = self.jar()?;
        let text = match format {
            CookieFormat::Netscape => jar.to_netscape(),
            CookieFormat::Json => jar.to_json(),
        };
        write_whole(path, &text).map_err(|error| {
            let what = format!("can't write the cookies into {}", path.display());
            Error::from_os(Kind::System, &what, &error)
        })
    }

    /// Adds the cookies of a file to those that are kept. Either format is recognised: the text format of Netscape, also as
    /// curl and browsers' extensions write it, and JSON. Cookies that have expired, those with more than 4096
    /// bytes, and those for a public suffix, are passed over.
    ///
    /// # Errors
    /// [`Kind::System`] if it can't be read; [`Kind::InvalidArgument`] if it is neither, has a cookie with control
    /// characters, or is larger than 16 MiB: nothing is kept then; [`Kind::InvalidState`] if cookies are not kept.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_cookies(true);
    /// assert!(client.load_cookies("/no/such/file".as_ref()).is_err());
    /// ```
    pub fn load_cookies(&self, path: &Path) -> Result<(), Error> {
        let jar = self.jar()?;
        let failed = |error: &io::Error| {
            let what = format!("can't read the cookies of {}", path.display());
            Error::from_os(Kind::System, &what, error)
        };
        let file = File::open(path).map_err(|error| failed(&error))?;
        let mut text = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(|error| failed(&error))?;
        let bad = |why: &str| {
            let what = format!("{} is no file of cookies: {why}", path.display());
            Error::new(Kind::InvalidArgument, what)
        };
        if text.len() as u64 > MAX_FILE {
            return Err(bad("it is larger than 16 MiB"));
        }
        jar.load(&text).map_err(|why| bad(&why))
    }

    fn jar(&self) -> Result<Arc<Jar>, Error> {
        self.config.load().jar.clone().ok_or_else(|| {
            let what = "this client keeps no cookies; switch them on first";
            Error::new(Kind::InvalidState, what)
        })
    }

    /// Forgets all cookies.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_cookies(true);
    /// client.clear_cookies();
    /// ```
    pub fn clear_cookies(&self) {
        if let Some(jar) = &self.config.load().jar {
            jar.clear();
        }
    }
}

/// Writes a file that is there as a whole or not at all. A temporary file is readable by its owner alone.
fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The largest file of cookies.
const MAX_FILE: u64 = 16 << 20;
