//! A file written so that it is on disk when that returns.
//!
//! Large files go past the system's memory where the system can do that: only a run that goes on from them will read them, and to get
//! pages for their bytes and copy them there costs several times as much as all else. The answer of the disk is waited for either way.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Result, Write};
use std::path::Path;

/// Files of this size are not kept in the system's memory.
const LARGE_BYTES: usize = 1 << 20;

/// What goes past the system's memory must begin at a multiple of this, in memory and in the file, and be as long. It is what the blocks of
/// disks divide, and no system asks for more than a page.
pub const BLOCK_BYTES: usize = 4096;

/// Writes a file, over another one of this name if there is one. Makes its folder if that is not there.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = create(path)?;
    if bytes.len() < LARGE_BYTES {
        file.write_all(bytes)?;
        return file.sync_all();
    }
    let written = write_past_memory(&mut file, bytes)?;
    file.write_all(&bytes[written..])?;
    file.sync_all()?;
    let_go(&file);
    Ok(())
}

fn create(path: &Path) -> Result<File> {
    let open = || OpenOptions::new().write(true).create(true).truncate(true).open(path);
    match (open(), path.parent()) {
        (Err(cause), Some(folder)) if cause.kind() == ErrorKind::NotFound => {
            std::fs::create_dir_all(folder)?;
            open()
        }
        (opened, _) => opened,
    }
}

/// Writes whole blocks past the system's memory. How many bytes that were: none where the file system cannot do it, or where the bytes do
/// not begin where it wants them.
#[cfg(target_os = "linux")]
fn write_past_memory(file: &mut File, bytes: &[u8]) -> Result<usize> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    let blocks = &bytes[..bytes.len() - bytes.len() % BLOCK_BYTES];
    let before = fcntl_getfl(&*file)?;
    if blocks.as_ptr().align_offset(BLOCK_BYTES) != 0 || fcntl_setfl(&*file, before | OFlags::DIRECT).is_err() {
        return Ok(0);
    }
    let written = write_blocks(file, blocks);
    fcntl_setfl(&*file, before)?;
    written
}

#[cfg(not(target_os = "linux"))]
fn write_past_memory(_: &mut File, _: &[u8]) -> Result<usize> {
    Ok(0)
}

/// Writes as many whole blocks as are taken. That they are of a wrong length or place for this file system shows only here.
#[cfg(target_os = "linux")]
fn write_blocks(file: &mut File, blocks: &[u8]) -> Result<usize> {
    let mut written = 0;
    while written < blocks.len() && written % BLOCK_BYTES == 0 {
        match file.write(&blocks[written..]) {
            Ok(0) => break,
            Ok(bytes) => written += bytes,
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) if cause.kind() == ErrorKind::InvalidInput => break,
            Err(cause) => return Err(cause),
        }
    }
    Ok(written)
}

/// Has the system keep nothing of a file in memory. Otherwise each new file takes other memory, and to get that can cost the system several
/// times as much as to fill it. A file system that cannot do it loses nothing.
fn let_go(file: &File) {
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_every_length_and_place_in_memory_are_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let memory: Vec<u8> = (0..3 * LARGE_BYTES as u32).map(|number| (number % 251) as u8).collect();
        let aligned = memory.as_ptr().align_offset(BLOCK_BYTES);
        for start in [aligned, aligned + 1, aligned + 512] {
            for length in [0, 1, BLOCK_BYTES, LARGE_BYTES - 1, LARGE_BYTES, LARGE_BYTES + 1, LARGE_BYTES + BLOCK_BYTES + 77] {
                let (path, bytes) = (folder.path().join("a/b"), &memory[start..start + length]);
                write(&path, bytes).unwrap();
                assert!(std::fs::read(&path).unwrap() == bytes, "{length} bytes from {start}");
            }
        }
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(write(&folder.path().join("file/b"), &[1]).is_err());
        assert!(write(folder.path(), &vec![0; LARGE_BYTES]).is_err());
    }
}
