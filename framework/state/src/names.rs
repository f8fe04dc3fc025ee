//! What objects of a store are called: a folder for each checkpoint, named by its number, and in it the manifest and the parts.

use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::message::CheckpointId;

use crate::blobs::Blobs;

/// The name of the manifest in a checkpoint's folder.
pub(crate) const MANIFEST: &str = "manifest";

/// No run comes so far: a folder with a greater number is not ours, and leaves none for the next checkpoint.
const MOST: CheckpointId = CheckpointId::MAX / 2;

/// Twenty digits, so that names sort as numbers do.
pub(crate) fn folder_name(id: CheckpointId) -> String {
    format!("{id:020}")
}

/// The name of an object of a checkpoint.
pub(crate) fn name(id: CheckpointId, file: &str) -> String {
    format!("{}/{file}", folder_name(id))
}

/// The numbers of all folders of checkpoints, whatever is in them, rising.
pub(crate) fn numbers(blobs: &dyn Blobs) -> Result<Vec<CheckpointId>> {
    let mut numbers: Vec<CheckpointId> = blobs.folders()?.iter().filter_map(|name| number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

pub(crate) fn number(folder: &str) -> Option<CheckpointId> {
    let is_number = folder.len() == 20 && folder.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| folder.parse().ok()).flatten().filter(|number| *number <= MOST)
}

/// Whether there is something in the place of a checkpoint's manifest.
pub(crate) fn has_manifest(blobs: &dyn Blobs, id: CheckpointId) -> Result<bool> {
    Ok(blobs.get(&name(id, MANIFEST))?.is_some())
}

/// Writes a manifest where there must be none.
pub(crate) fn create_manifest(blobs: &dyn Blobs, id: CheckpointId, manifest: &[u8]) -> Result<()> {
    match blobs.create(&name(id, MANIFEST), manifest)? {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::State, format!("there is a checkpoint {id} already, of another run"))),
    }
}

/// Removes a checkpoint, or what an interrupted write has left of it. The manifest goes first: a checkpoint of which a part is
/// missing must not be there at any moment.
pub(crate) fn remove(blobs: &dyn Blobs, id: CheckpointId) -> Result<()> {
    blobs.remove(&name(id, MANIFEST))?;
    blobs.remove_folder(&folder_name(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_twenty_digits_within_reason_are_a_checkpoint() {
        assert_eq!(number(&folder_name(7)), Some(7));
        let too_many = u64::MAX.to_string();
        for other in ["7", "0000000000000000000x", "000000000000000000007", &too_many] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
