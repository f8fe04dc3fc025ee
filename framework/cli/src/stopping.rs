//! What a stop waits for, said while it lasts: rows that are under way come out first, and a slow sink can take long for them.

use millstream_runtime::observe::{NodeObservation, Observation};
use millstream_runtime::text::{grouped, rows};

/// So many nodes are named.
const MOST_NODES: usize = 3;

/// Who was busy for so much of the last second is at work.
const AT_WORK_PERCENT: f64 = 50.0;

/// Who still has work to do, those behind the others first: they hold up the others.
pub fn awaited(seen: &Observation) -> String {
    let working: Vec<&NodeObservation> = seen.nodes.iter().rev().filter(|node| !node.over).collect();
    let named = named(seen, &working);
    let waits_for = match named.len() {
        0 => "the last checkpoint to be written".to_owned(),
        1..=MOST_NODES => named.join(", "),
        all => format!("{} and {} more", named[..MOST_NODES].join(", "), all - MOST_NODES),
    };
    format!("still stopping, waiting for {waits_for}; Ctrl-C again to end at once")
}

/// How a node is called that gives a sign of being at work.
type Sign = fn(&Observation, &NodeObservation) -> Option<String>;

fn name(node: &NodeObservation) -> String {
    format!("`{}`", node.node)
}

/// Those that others wait for, by the first sign that any of them gives.
fn named(seen: &Observation, working: &[&NodeObservation]) -> Vec<String> {
    let signs: [Sign; 4] = [
        // Whatever lies before others, it does not move before the service answers.
        with_service,
        with_queue,
        |_, node| (node.recent.busy_percent >= AT_WORK_PERCENT).then(|| name(node)),
        |_, node| Some(name(node)),
    ];
    let giving = |sign: Sign| working.iter().filter_map(|node| sign(seen, node)).collect::<Vec<_>>();
    signs.into_iter().map(giving).find(|named| !named.is_empty()).unwrap_or_default()
}

/// A node that waits until a service takes its rows.
fn with_service(seen: &Observation, node: &NodeObservation) -> Option<String> {
    let awaited = node.requests.as_ref()?.awaited.as_ref()?;
    Some(format!("`{}`, which {}", node.node, awaited.says(seen.at_micros)))
}

/// A node that has batches before it.
fn with_queue(seen: &Observation, node: &NodeObservation) -> Option<String> {
    let batches: u64 = seen.edges_into(&node.node).map(|edge| edge.batches).sum();
    let (done, verb) = if node.role == "sink" { (node.fates.taken, "written") } else { (node.rows_in, "in") };
    let plural = if batches == 1 { "batch" } else { "batches" };
    (batches > 0).then(|| format!("`{}` ({} {plural} to go, {} {verb})", node.node, grouped(batches), rows(done)))
}

#[cfg(test)]
mod tests {
    use millstream_runtime::observe::{AwaitedObservation, RequestsObservation};
    use serde_json::json;

    use super::*;

    fn node(name: &str, role: &str, over: bool) -> serde_json::Value {
        json!({
            "node": name, "type": "t", "role": role, "over": over, "rows_in": 30_000, "rows_out": 1, "batches_in": 1, "batches_out": 1,
            "bytes_in": 1, "state_bytes": 0, "watermark": null, "lag_micros": null, "waits_for": null, "inputs": [], "splits": [],
            "fates": { "passed": 0, "filtered": 0, "taken": 1_234, "late": 0, "rejected": 0, "skipped": 0, "expired": 0, "partly_late": 0 },
            "subtasks": [], "progress": null,
            "recent": { "rows_in_per_second": 0.0, "rows_out_per_second": 0.0, "bytes_in_per_second": 0.0, "busy_percent": 0.0,
                "held_percent": 0.0, "ready_percent": 0.0, "waiting_percent": 0.0, "reading_percent": 0.0 },
        })
    }

    fn seen(over: [bool; 2], batches: u64) -> Observation {
        let edge = json!({ "stream": "x", "from": "x", "to": "o", "batches": batches, "batches_limit": 8, "bytes": 0, "bytes_limit": 1,
            "holds": 0, "held_micros": 0, "holds_now": false, "held_percent": 0.0 });
        let nodes = json!([node("x", "source", over[0]), node("o", "sink", over[1])]);
        let all = json!({ "topology": "t", "at_micros": 0, "running_micros": 0, "interval_micros": 1, "nodes": nodes, "edges": [edge] });
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn a_stop_names_who_has_work_to_do() {
        let text = |over, batches| awaited(&seen(over, batches));
        let ends = "; Ctrl-C again to end at once";
        assert_eq!(text([false, false], 8), format!("still stopping, waiting for `o` (8 batches to go, 1,234 rows written){ends}"));
        assert_eq!(text([true, false], 1), format!("still stopping, waiting for `o` (1 batch to go, 1,234 rows written){ends}"));
        assert_eq!(text([false, false], 0), format!("still stopping, waiting for `o`, `x`{ends}"));
        let mut waiting = seen([false, false], 8);
        waiting.at_micros = 5_000_000;
        let awaited = AwaitedObservation { to: "http://s/".into(), since_micros: 0, failed: 2, attempts: 10, said: "no answer".into() };
        waiting.nodes[0].requests = Some(RequestsObservation { awaited: Some(awaited), ..Default::default() });
        let said = "`x`, which waits for http://s/: attempt 2 of 10 has failed, the first one 5 s ago: no answer";
        assert_eq!(super::awaited(&waiting), format!("still stopping, waiting for {said}{ends}"));
        let mut busy = seen([false, false], 0);
        busy.nodes[0].recent.busy_percent = 90.0;
        assert_eq!(super::awaited(&busy), format!("still stopping, waiting for `x`{ends}"));
        assert_eq!(text([true, true], 0), format!("still stopping, waiting for the last checkpoint to be written{ends}"));
    }
}
