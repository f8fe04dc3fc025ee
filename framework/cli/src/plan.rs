//! `millstream plan OLD NEW`: what becomes of state when one version of a topology follows another, before it does.

use millstream_api::Registry;
use millstream_runtime::checkpoint::node_records;
use millstream_state::compare::{Change, compare};

use crate::args::{File, Plan};
use crate::console::{Console, Trouble};
use crate::files::checked;
use crate::since::left_behind;
use crate::status::Status;

/// Compares two topologies. The status says whether state would be lost.
pub fn plan(args: &Plan, registry: &Registry, console: &Console) -> Status {
    let read = |path: &std::path::Path| checked(&File { path: path.to_owned(), sets: args.sets.clone() }, registry, console);
    let (Some((old, _)), Some((new, _))) = (read(&args.old), read(&args.new)) else {
        return Status::Wrong;
    };
    let changes = compare(&node_records(&old), &node_records(&new));
    let left = match left_behind(&old, &new) {
        Ok(left) => left,
        Err(error) => {
            console.trouble(&Trouble::new(error.to_string(), None));
            return Status::Failed;
        }
    };
    let stays = |change: &&Change| left.iter().all(|left| left.source != change.node());
    let mut text: String = changes.iter().filter(stays).map(|change| format!("{change}\n")).collect();
    left.iter().for_each(|left| text.push_str(&format!("{}\n", left.what)));
    let forgets = left.iter().any(|left| left.loses);
    let (lost, groups) = (changes.iter().filter(|change| Change::loses(change)).count(), (old.runtime.key_groups, new.runtime.key_groups));
    let mut is_refused = lost > 0 || forgets;
    if old.name != new.name {
        text.push_str(&format!("the topologies have different names, `{}` and `{}`: each needs a store of its own\n", old.name, new.name));
        is_refused = true;
    }
    if groups.0 != groups.1 {
        text.push_str(&format!("runtime.key_groups is fixed by the first checkpoint: it was {} and is now {}\n", groups.0, groups.1));
        is_refused = true;
    }
    text.push_str(&match lost {
        0 if forgets && old.name == new.name && groups.0 == groups.1 => {
            "a place in the input is lost: run wants --allow-dropped-state, unless it was the end\n".to_owned()
        }
        0 if is_refused => "no checkpoint of the one can be used by the other\n".to_owned(),
        0 => "no state is lost\n".to_owned(),
        1 => "the state of 1 node is lost: run wants --allow-dropped-state\n".to_owned(),
        n => format!("the state of {n} nodes is lost: run wants --allow-dropped-state\n"),
    });
    match console.print(&text) {
        Status::Done if is_refused => Status::Failed,
        status => status,
    }
}
