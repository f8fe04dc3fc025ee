//! Objects in a bucket of S3, or of anything that speaks its protocol.
//!
//! A write of S3 is whole or not there, and durable when it is answered, so there is nothing to flush. That an object is written
//! only where there is none rests on `If-None-Match: *`. Credentials, region and endpoint come from the environment, as with every
//! other tool for S3; none of them ever stands in a message.
//!
//! No request takes longer than [`REQUEST`], whatever the size of an object: large ones go and come in pieces.

mod surroundings;

use std::time::Duration;

use millstream_api::error::{Error, Result};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as ObjectPath;
use object_store::{
    BackoffConfig, ClientConfigKey, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig, WriteMultipart,
};
use tokio::runtime::Runtime;

use self::surroundings::{help, is_of_the_bucket, missing, told};
use super::{Blobs, innermost};

/// Greater objects are written and read in pieces of this size.
const PIECE_BYTES: usize = 16 * 1024 * 1024;

/// Pieces of an object that are on their way at once.
const PIECES_AT_ONCE: usize = 4;

/// How long it may take to connect.
const CONNECT: &str = "5s";

/// How long a request may take, with its answer.
const REQUEST: &str = "30s";

/// After this time a request that has failed is not tried again.
const TRIES: Duration = Duration::from_secs(20);

/// How often a request is tried again when the server cannot be reached, or answers that it cannot serve it now.
const RETRIES: usize = 5;

/// A connection that was idle this long is not used again: the server may have closed it.
const IDLE: &str = "4s";

/// How often a conditional write of which it is not known what became of it is tried again.
const CREATE_TRIES: usize = 2;

/// A prefix of a bucket.
pub struct S3Blobs {
    bucket: String,
    prefix: ObjectPath,
    store: AmazonS3,
    runtime: Runtime,
}

impl S3Blobs {
    /// For the objects of a bucket whose names begin with `prefix/`. Asks the server nothing yet.
    ///
    /// # Errors
    /// When the environment does not say all that is needed, or contradicts itself.
    pub fn open(bucket: &str, prefix: &str) -> Result<S3Blobs> {
        let cannot = |cause: &dyn std::fmt::Display| Error::io(format!("cannot open the store s3://{bucket}/{prefix}"), cause);
        if let Some((what, help)) = missing(|name| std::env::var(name).ok().filter(|value| !value.is_empty())) {
            return Err(cannot(&what).help(help));
        }
        let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(2), base: 2.0 };
        let client = |builder: AmazonS3Builder, (key, value)| builder.with_config(AmazonS3ConfigKey::Client(key), value);
        let times =
            [(ClientConfigKey::ConnectTimeout, CONNECT), (ClientConfigKey::Timeout, REQUEST), (ClientConfigKey::PoolIdleTimeout, IDLE)];
        let store = times
            .into_iter()
            .fold(AmazonS3Builder::from_env(), client)
            .with_bucket_name(bucket)
            .with_retry(RetryConfig { backoff, max_retries: RETRIES, retry_timeout: TRIES })
            .build()
            .map_err(|cause| cannot(&innermost(&cause)))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|cause| cannot(&cause))?;
        let prefix = ObjectPath::parse(prefix).map_err(|cause| cannot(&cause))?;
        Ok(S3Blobs { bucket: bucket.to_owned(), prefix, store, runtime })
    }

    fn path(&self, name: &str) -> ObjectPath {
        ObjectPath::from(format!("{}/{name}", self.prefix))
    }

    fn cannot(&self, what: &str, name: &str, cause: &object_store::Error) -> Error {
        let text = told(cause, &innermost(cause));
        let error = Error::io(format!("cannot {what} s3://{}/{}", self.bucket, self.path(name)), &text);
        match help(cause, &text) {
            Some(help) => error.help(help),
            None => error,
        }
    }

    async fn put_in_pieces(&self, path: &ObjectPath, bytes: &[u8]) -> object_store::Result<()> {
        let mut write = WriteMultipart::new_with_chunk_size(self.store.put_multipart(path).await?, PIECE_BYTES);
        for piece in bytes.chunks(PIECE_BYTES) {
            if let Err(error) = write.wait_for_capacity(PIECES_AT_ONCE).await {
                // What the server keeps of it would be paid for. If this fails too, there is nothing more to be done.
                let _ = write.abort().await;
                return Err(error);
            }
            write.write(piece);
        }
        write.finish().await.map(drop)
    }

    async fn get_in_pieces(&self, path: &ObjectPath) -> object_store::Result<Vec<u8>> {
        let piece = |from: u64| Some(GetRange::Bounded(from..from + PIECE_BYTES as u64));
        let first = self.store.get_opts(path, GetOptions { range: piece(0), ..GetOptions::default() }).await?;
        let (size, tag) = (first.meta.size, first.meta.e_tag.clone());
        let mut bytes: Vec<u8> = first.bytes().await?.into();
        while (bytes.len() as u64) < size {
            let options = GetOptions { range: piece(bytes.len() as u64), if_match: tag.clone(), ..GetOptions::default() };
            bytes.extend_from_slice(&self.store.get_opts(path, options).await?.bytes().await?);
        }
        Ok(bytes)
    }

    /// What became of a conditional write that was refused: another one may have been first, or the first try was ours and its answer
    /// was lost, or two were on their way at once and the server wants it to be tried again.
    fn whose(&self, name: &str, bytes: &[u8]) -> Result<Option<bool>> {
        Ok(self.get(name)?.map(|there| there == bytes))
    }
}

impl Blobs for S3Blobs {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name);
        let put = async {
            match bytes.len() <= PIECE_BYTES {
                true => self.store.put(&path, PutPayload::from(bytes.to_vec())).await.map(drop),
                false => self.put_in_pieces(&path, bytes).await,
            }
        };
        self.runtime.block_on(put).map_err(|cause| self.cannot("write", name, &cause))
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let (path, payload) = (self.path(name), PutPayload::from(bytes.to_vec()));
        let mut tries = 0;
        loop {
            tries += 1;
            let put = self.store.put_opts(&path, payload.clone(), PutMode::Create.into());
            let cause = match self.runtime.block_on(put) {
                Ok(_) => return Ok(true),
                Err(object_store::Error::AlreadyExists { source, .. }) => {
                    if let Some(ours) = self.whose(name, bytes)? {
                        return Ok(ours);
                    }
                    object_store::Error::Generic { store: "S3", source }
                }
                // Also when the request was lost on its way it may have been carried out. To try again answers that.
                Err(cause @ object_store::Error::Generic { .. }) => cause,
                Err(cause) => return Err(self.cannot("write", name, &cause)),
            };
            if tries == CREATE_TRIES {
                return Err(self.cannot("write", name, &cause));
            }
        }
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self.runtime.block_on(self.get_in_pieces(&self.path(name))) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { source, .. }) if !is_of_the_bucket(&source.to_string()) => Ok(None),
            Err(cause) => Err(self.cannot("read", name, &cause)),
        }
    }

    fn folders(&self) -> Result<Vec<String>> {
        let listed = self.runtime.block_on(self.store.list_with_delimiter(Some(&self.prefix)));
        let listed = listed.map_err(|cause| self.cannot("list", "", &cause))?;
        Ok(listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect())
    }

    fn remove(&self, name: &str) -> Result<()> {
        match self.runtime.block_on(self.store.delete(&self.path(name))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(cause) => Err(self.cannot("remove", name, &cause)),
        }
    }

    fn remove_folder(&self, folder: &str) -> Result<()> {
        let remove = async {
            let listed = self.store.list_with_delimiter(Some(&self.path(folder))).await?;
            for object in listed.objects {
                match self.store.delete(&object.location).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(cause) => return Err(cause),
                }
            }
            Ok(())
        };
        self.runtime.block_on(remove).map_err(|cause| self.cannot("remove", folder, &cause))
    }
}
