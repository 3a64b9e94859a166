//! The settings of one download.

/// How a download is done.
///
/// ```
/// use hangup::DownloadOptions;
///
/// let options = DownloadOptions { resumes: 5, ..DownloadOptions::default() };
/// assert!(options.resume && options.sync);
/// ```
///
/// Threads: a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadOptions {
    /// Whether what an earlier call received is continued, if the server still has the same version; `true` by
    /// default. Otherwise the file is received from its beginning.
    pub resume: bool,
    /// How many times this call asks for the rest after its connection broke; 0 by default.
    pub resumes: u32,
    /// The most bytes that the file may have; `None`, the default, is any number. A larger one fails with
    /// [`Kind::TooLarge`](crate::Kind::TooLarge), and nothing of it is kept.
    pub max_bytes: Option<u64>,
    /// Whether file and name are flushed to the disk before the call returns (fsync(2)), and what came every 64 MiB
    /// and before an error, so that a power failure loses little; `true` by default.
    pub sync: bool,
}

impl Default for DownloadOptions {
    fn default() -> Self {
        Self { resume: true, resumes: 0, max_bytes: None, sync: true }
    }
}
