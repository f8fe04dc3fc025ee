//! `millstream check`: every mistake in one go, and what the plan makes of the file.

use millstream_api::Registry;
use millstream_api::registry::Role;
use millstream_topology::{Topology, describe, explain};

use crate::args::{Check, CheckFormat};
use crate::console::{Console, Trouble};
use crate::files::{checked, loaded};
use crate::found;
use crate::status::Status;

/// Checks a topology without running it.
pub fn check(args: &Check, registry: &Registry, console: &Console) -> Status {
    if args.format == CheckFormat::Json {
        return for_editors(args, registry, console);
    }
    let Some((topology, warnings)) = checked(&args.file, registry, console) else {
        return Status::Wrong;
    };
    let mut text = if args.schemas { describe(&topology) } else { String::new() };
    if args.explain {
        if args.schemas {
            text.push('\n');
        }
        text.push_str(&explain(&topology));
    }
    text.push_str(&verdict(&topology, warnings));
    console.print(&text)
}

/// One document on standard output. Nothing else may be there.
fn for_editors(args: &Check, registry: &Registry, console: &Console) -> Status {
    if args.schemas || args.explain {
        let help = "`millstream graph --format json` has the schemas of all streams, and what bounds state";
        console.trouble(&Trouble::new("--format json prints what was found and nothing else", Some(help)));
        return Status::Wrong;
    }
    let outcome = loaded(&args.file, registry);
    match console.print(&found::json(&outcome.report)) {
        Status::Done if outcome.topology.is_none() => Status::Wrong,
        status => status,
    }
}

/// `late-departures: 1 source, 2 operators, 2 sinks; no mistakes`.
fn verdict(topology: &Topology, warnings: usize) -> String {
    let count = |role: Role| counted(topology.nodes.iter().filter(|node| node.role == role).count(), role.name());
    let nodes = Role::ALL.map(count).join(", ");
    let warned = if warnings == 0 { String::new() } else { format!(", {}", counted(warnings, "warning")) };
    format!("{}: {nodes}; no mistakes{warned}\n", topology.name)
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_follow_their_number() {
        assert_eq!(counted(1, "source"), "1 source");
        assert_eq!(counted(0, "warning"), "0 warnings");
    }
}
