//! What this build of the library can do.

use std::sync::OnceLock;

/// What the library was built with: protocols, content codings, kinds of proxies and others, in alphabetical order.
/// Later versions may add names.
///
/// ```
/// assert!(hangup::features().contains(&"http1"));
/// ```
pub fn features() -> &'static [&'static str] {
    static BUILT_WITH: OnceLock<Vec<&'static str>> = OnceLock::new();
    BUILT_WITH.get_or_init(|| {
        let mut names: Vec<_> = ALL.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
        names.sort_unstable();
        names
    })
}

/// Each name, and whether this build has it.
const ALL: &[(&str, bool)] = &[
    ("br", cfg!(feature = "brotli")),
    ("deflate", cfg!(feature = "gzip")),
    ("gzip", cfg!(feature = "gzip")),
    ("http-proxy", true),
    ("http1", true),
    ("post-quantum", cfg!(feature = "aws-lc")),
    ("socks4", true),
    ("socks5", true),
    ("tls", true),
    ("unix-sockets", true),
    ("upgrade", true),
    ("ureq", cfg!(feature = "ureq")),
    ("zstd", cfg!(feature = "zstd")),
];

#[cfg(test)]
mod tests {
    use super::features;

    #[test]
    fn the_names_are_in_order_and_each_is_there_once() {
        assert!(features().is_sorted_by(|a, b| a < b), "{:?}", features());
    }
}
