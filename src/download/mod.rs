//! Downloads: the body of a response becomes a file, is continued where it broke off, and is there under its name
//! only when it is complete and as it was announced.

mod call;
mod digests;
mod options;
mod partial;
mod transfer;
mod validator;

pub use self::options::DownloadOptions;
pub(crate) use self::transfer::Download;
