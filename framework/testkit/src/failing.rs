//! A store that fails when a test wants it to.
//!
//! It stands before another one and asks about every call, counted from 0, what is to become of it. A store fails in more ways than
//! by an error: it may do what it was asked for and say that it has not, leave half of it behind, or take its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millstream_api::error::{Error, Result};
use millstream_state::blobs::Blobs;

/// What a store is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To write an object.
    Put,
    /// To write an object where there is none.
    Create,
    /// To read an object.
    Get,
    /// To list folders.
    List,
    /// To remove an object or a folder.
    Remove,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing out of the ordinary.
    None,
    /// It fails, and nothing is done.
    Fails,
    /// It fails, and of what was to be written the first half is there.
    Torn,
    /// It is carried out, and said to have failed.
    Unanswered,
    /// It is carried out after this time.
    Slow(Duration),
}

type Judge = dyn Fn(usize, Operation) -> Fault + Send + Sync;

/// A store that fails when a test wants it to.
pub struct FailingBlobs {
    inner: Arc<dyn Blobs>,
    calls: AtomicUsize,
    judge: Box<Judge>,
}

impl FailingBlobs {
    /// Before `inner`; `judge` says of each call, by its number from 0, what becomes of it.
    pub fn new(inner: Arc<dyn Blobs>, judge: impl Fn(usize, Operation) -> Fault + Send + Sync + 'static) -> Self {
        FailingBlobs { inner, calls: AtomicUsize::new(0), judge: Box::new(judge) }
    }

    /// How often it was called.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn call<T>(&self, operation: Operation, torn: impl FnOnce() -> Result<()>, whole: impl FnOnce() -> Result<T>) -> Result<T> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let failure = || Error::io(format!("cannot do call {number} ({operation:?})"), "the store is made to fail");
        match (self.judge)(number, operation) {
            Fault::None => whole(),
            Fault::Fails => Err(failure()),
            Fault::Torn => torn().and(Err(failure())),
            Fault::Unanswered => whole().and(Err(failure())),
            Fault::Slow(time) => {
                std::thread::sleep(time);
                whole()
            }
        }
    }
}

impl Blobs for FailingBlobs {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let half = &bytes[..bytes.len() / 2];
        self.call(Operation::Put, || self.inner.put(name, half), || self.inner.put(name, bytes))
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let half = &bytes[..bytes.len() / 2];
        self.call(Operation::Create, || self.inner.create(name, half).map(drop), || self.inner.create(name, bytes))
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.call(Operation::Get, || Ok(()), || self.inner.get(name))
    }

    fn folders(&self) -> Result<Vec<String>> {
        self.call(Operation::List, || Ok(()), || self.inner.folders())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.call(Operation::Remove, || Ok(()), || self.inner.remove(name))
    }

    fn remove_folder(&self, folder: &str) -> Result<()> {
        self.call(Operation::Remove, || Ok(()), || self.inner.remove_folder(folder))
    }
}
