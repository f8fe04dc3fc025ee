//! Where bytes are kept: anything that names whole objects, writes them durably, and can refuse to write over one.
//!
//! In production that is `object_store`, over a folder ([`folder`]) or a bucket ([`s3`]); a test can stand something in between
//! that fails. How a file comes to be on disk is in `durable`. What the names mean is not known here.

mod durable;
pub mod folder;
#[cfg(feature = "s3")]
pub mod s3;

use millstream_api::error::Result;

pub use self::durable::BLOCK_BYTES;
pub use self::folder::FolderBlobs;

/// Whole objects by name. Names are `a` or `folder/a`. Blocks.
pub trait Blobs: Send + Sync {
    /// Writes an object, over another one of this name if there is one; it is durable when this returns.
    ///
    /// # Errors
    /// When it cannot be written. Then it is not there, or (a torn write of a store that is none of the good ones) damaged.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()>;

    /// Writes an object only if there is none of this name; `false`: there is one, with other contents. Of several who do so at the
    /// same time one gets `true`.
    ///
    /// # Errors
    /// When it cannot be written, or it cannot be known whether it was.
    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool>;

    /// The bytes of an object; `None`: there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// The names of all folders.
    ///
    /// # Errors
    /// When the store cannot be listed.
    fn folders(&self) -> Result<Vec<String>>;

    /// Removes an object. One that is not there is no error.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&self, name: &str) -> Result<()>;

    /// Removes a folder with all that is in it. One that is not there is no error.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove_folder(&self, folder: &str) -> Result<()>;
}

/// The innermost cause of an error of `object_store`: what stands around it repeats the path, and times that differ from try to try.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
