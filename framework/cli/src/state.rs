//! `millstream state`: what a checkpoint holds, without running anything.

use std::io::Write;
use std::path::Path;

use millstream_api::Registry;
use millstream_api::diagnostic::nearest;
use millstream_api::error::{Error, ErrorKind, Result};
use millstream_api::message::CheckpointId;
use millstream_api::state::StateEntries;
use millstream_api::time::rfc3339;
use millstream_runtime::checkpoint::open as open_store;
use millstream_state::export::json_lines;
use millstream_state::manifest::TaskRecord;
use millstream_state::{Finished, Manifest, Store};
use millstream_topology::{StorePlace, StoreText};

use crate::args::{File, State, StateExport, StateGet, StateList, StateTarget};
use crate::console::{Console, Trouble};
use crate::files::loaded;
use crate::status::Status;
use millstream_runtime::text::{self, grouped};

/// Shows what checkpoints there are, or what one holds.
pub fn state(args: &State, registry: &Registry, console: &Console) -> Status {
    let shown = match args {
        State::Ls(args) => list(args, registry).map(|text| console.print(&text)),
        State::Get(args) => get(args, registry).map(|text| console.print(&text)),
        State::Export(args) => export(args, registry).map(|text| {
            console.note(&text);
            Status::Done
        }),
    };
    shown.unwrap_or_else(|error| {
        console.trouble(&Trouble::new(error.message(), error.help_text()));
        Status::Failed
    })
}

/// The store that is meant: by its URL, its folder, or the topology that names it.
fn open(target: &StateTarget, registry: &Registry) -> Result<Store> {
    let text = target.target.to_string_lossy();
    let (place, text) = if let Ok(store) = text.parse::<StoreText>() {
        (store.place(Path::new(".")), text.into_owned())
    } else if target.target.is_dir() {
        (StorePlace::Folder(target.target.clone()), text.into_owned())
    } else {
        of_topology(&target.target, registry)?
    };
    // Only to look: what is not there is not made.
    match &place {
        StorePlace::Folder(folder) if !folder.is_dir() => {
            Err(error(format!("there is no store at {}", folder.display())).help("it is made by the first run with a [checkpoint]"))
        }
        place => open_store(place, &text),
    }
}

fn of_topology(path: &Path, registry: &Registry) -> Result<(StorePlace, String)> {
    if !path.exists() {
        let help = "name a topology file, the folder of a store, or its URL: file:PATH or s3://BUCKET/PATH";
        return Err(error(format!("there is nothing at {}", path.display())).help(help));
    }
    let outcome = loaded(&File { path: path.to_owned(), sets: Vec::new() }, registry);
    let topology = outcome.topology.ok_or_else(|| {
        error(format!("{} is no topology that may run", path.display()))
            .help("`millstream check` says why; or name the store itself: file:PATH or s3://BUCKET/PATH")
    })?;
    let settings = topology.checkpoint.ok_or_else(|| error(format!("{} has no [checkpoint]", path.display())))?;
    Ok((settings.store.place(&topology.folder), settings.store.text().to_owned()))
}

fn manifest(store: &Store, wanted: Option<CheckpointId>) -> Result<Manifest> {
    let newest = || store.checkpoints().map(|there| there.last().copied());
    let id = match wanted {
        Some(id) => id,
        None => newest()?.ok_or_else(|| error(format!("there is no checkpoint in {}", store.place())))?,
    };
    store.manifest(id)
}

fn list(args: &StateList, registry: &Registry) -> Result<String> {
    let store = open(&args.target, registry)?;
    let mut text = String::new();
    for id in store.checkpoints()? {
        text.push_str(&match store.manifest(id) {
            Ok(manifest) => {
                format!("checkpoint {id}  {}  {} bytes{}\n", rfc3339(manifest.taken_at), grouped(manifest.state_bytes()), remark(&manifest))
            }
            Err(error) => format!("checkpoint {id}  {}\n", error.message()),
        });
    }
    let manifest = manifest(&store, args.target.checkpoint)?;
    text.push_str(&format!("\ncheckpoint {} of {}\n", manifest.checkpoint, manifest.topology));
    for node in &manifest.nodes {
        let tasks: Vec<&TaskRecord> = manifest.tasks.iter().filter(|task| task.node == node.name).collect();
        let bytes: u64 = tasks.iter().map(|task| task.state_bytes()).sum();
        let watermark = tasks.iter().map(|task| task.watermark).max();
        text.push_str(&format!("{} {} ({})", node.role, node.name, node.kind));
        if bytes > 0 {
            text.push_str(&format!(
                ": {}, {} bytes in {} of {} subtasks",
                node.state.join(", "),
                grouped(bytes),
                tasks.iter().filter(|task| task.state_bytes() > 0).count(),
                tasks.len()
            ));
        }
        if let Some(watermark) = watermark {
            text.push_str(&format!(", watermark {watermark}"));
        }
        text.push('\n');
        for split in tasks.iter().flat_map(|task| &task.splits) {
            let at = split.position.as_ref().map_or("nothing read", |position| position.0.as_str());
            text.push_str(&format!("  {}: {at}{}\n", split.split, if split.ended { ", ended" } else { "" }));
        }
    }
    Ok(text)
}

fn remark(manifest: &Manifest) -> &'static str {
    match manifest.finished {
        None => "",
        Some(Finished::Ended) => "  finished: all inputs have ended",
        Some(Finished::Drained) => "  finished: drained",
    }
}

fn get(args: &StateGet, registry: &Registry) -> Result<String> {
    let store = open(&args.target, registry)?;
    let manifest = manifest(&store, args.target.checkpoint)?;
    let mut out = Vec::new();
    let mut left = args.limit;
    let mut is_there = false;
    for task in tasks_of(&manifest, &args.node)? {
        let entries = entries(&store, &manifest, task)?;
        is_there |= args.state.as_ref().is_none_or(|name| entries.contains_key(name));
        left -= json_lines(&entries, args.state.as_deref(), args.value.as_deref(), left, &mut out)?;
    }
    match &args.state {
        Some(name) if !is_there => known_state(&manifest, &args.node, name)?,
        _ => {}
    }
    String::from_utf8(out).map_err(Error::internal)
}

/// Fails when the node keeps no state of this name.
fn known_state(manifest: &Manifest, node: &str, name: &str) -> Result<()> {
    let known = manifest.node(node).map(|node| node.state.as_slice()).unwrap_or_default();
    if known.iter().any(|state| state == name) {
        return Ok(());
    }
    let near = nearest(name, known.iter().map(String::as_str)).map_or(String::new(), |near| format!("did you mean `{near}`? "));
    let help = match known {
        [] => "it keeps no state".to_owned(),
        known => format!("{near}it has: {}", known.join(", ")),
    };
    Err(error(format!("`{node}` has no state `{name}`")).help(help))
}

/// All state of a subtask.
fn entries(store: &Store, manifest: &Manifest, task: &TaskRecord) -> Result<StateEntries> {
    let mut entries = store.entries(manifest.checkpoint, task)?;
    if let Some(pieces) = store.pieces(manifest, task) {
        for (name, rows) in pieces.together(&(0..u16::MAX))? {
            entries.entry(name).or_default().extend(rows);
        }
    }
    Ok(entries)
}

/// The subtasks of a node, which must be there.
fn tasks_of<'a>(manifest: &'a Manifest, node: &str) -> Result<Vec<&'a TaskRecord>> {
    if manifest.node(node).is_none() {
        let names: Vec<&str> = manifest.nodes.iter().map(|node| node.name.as_str()).collect();
        let near = nearest(node, names.iter().copied());
        let near = near.map_or(String::new(), |near| format!("did you mean `{near}`? "));
        return Err(
            error(format!("checkpoint {} has no node `{node}`", manifest.checkpoint)).help(format!("{near}nodes: {}", names.join(", ")))
        );
    }
    Ok(manifest.tasks.iter().filter(|task| task.node == node).collect())
}

fn export(args: &StateExport, registry: &Registry) -> Result<String> {
    let store = open(&args.target, registry)?;
    let manifest = manifest(&store, args.target.checkpoint)?;
    let cannot = |path: &Path, cause: std::io::Error| Error::io(format!("cannot write {}", path.display()), cause);
    std::fs::create_dir_all(&args.folder).map_err(|cause| cannot(&args.folder, cause))?;
    let (mut files, mut rows) = (0, 0);
    for node in manifest.nodes.iter().filter(|node| manifest.tasks.iter().any(|task| task.node == node.name && task.state_bytes() > 0)) {
        let path = args.folder.join(format!("{}.ndjson", node.name));
        let mut out = std::io::BufWriter::new(std::fs::File::create(&path).map_err(|cause| cannot(&path, cause))?);
        for task in tasks_of(&manifest, &node.name)? {
            rows += json_lines(&entries(&store, &manifest, task)?, None, None, usize::MAX, &mut out)?;
        }
        out.flush().map_err(|cause| cannot(&path, cause))?;
        files += 1;
    }
    Ok(format!(
        "checkpoint {} of {}: {} of state of {files} {} in {}",
        manifest.checkpoint,
        manifest.topology,
        text::rows(rows as u64),
        if files == 1 { "node" } else { "nodes" },
        args.folder.display()
    ))
}

fn error(message: String) -> Error {
    Error::new(ErrorKind::State, message)
}
