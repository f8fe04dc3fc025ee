//! Which metrics there are. Names, labels and helps are the documentation; a name that is here stays.

use millstream_api::EventTime;
use millstream_runtime::CheckpointStatus;
use millstream_runtime::observe::{DiskObservation, EdgeObservation, Moment, NodeObservation, RequestsObservation, SplitObservation};

use super::scrape::{Scrape, ViewSize};
use crate::health::Phase;

/// A metric.
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
    pub labels: &'static [&'static str],
    /// Gives each sample: the texts of its labels and its value.
    pub samples: fn(&Scrape, &mut Sample<'_>),
}

/// Takes a sample.
pub type Sample<'a> = dyn FnMut(&[&str], f64) + 'a;

/// What can be done with a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises: take its rate.
    Counter,
    /// Rises and falls.
    Gauge,
}

impl Kind {
    /// The format's word.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        }
    }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str, samples: fn(&Scrape, &mut Sample<'_>)) -> Family {
    Family { name, kind: Kind::Counter, help, labels, samples }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str, samples: fn(&Scrape, &mut Sample<'_>)) -> Family {
    Family { name, kind: Kind::Gauge, help, labels, samples }
}

const NODE: &[&str] = &["node"];
const EDGE: &[&str] = &["stream", "from", "to"];
const SPLIT: &[&str] = &["node", "split"];
const VIEW: &[&str] = &["view"];

/// All metrics, in the order in which they are written.
pub const FAMILIES: &[Family] = &[
    gauge(
        "millstream_info",
        &["topology", "version"],
        "Always 1; says which topology runs in which version of Millstream.",
        |scrape, sample| {
            sample(&[&scrape.topology, env!("CARGO_PKG_VERSION")], 1.0);
        },
    ),
    gauge("millstream_phase", &["phase"], "1 for the phase in which the run is, 0 for the others.", |scrape, sample| {
        Phase::ALL.iter().for_each(|phase| sample(&[phase.name()], f64::from(u8::from(*phase == scrape.phase))));
    }),
    gauge("millstream_run_seconds", &[], "For how long the run has lasted.", |scrape, sample| {
        scrape.run.iter().for_each(|run| sample(&[], seconds(run.running_micros as f64)));
    }),
    gauge(
        "millstream_node_info",
        &["node", "type", "role"],
        "Always 1; the type of each node, and whether it is a source, operator or sink.",
        |scrape, sample| {
            each_node(scrape, |node| sample(&[&node.node, &node.kind, &node.role], 1.0));
        },
    ),
    counter("millstream_node_rows_in_total", NODE, "Rows that came into a node.", |scrape, sample| {
        each_node(scrape, |node| sample(&[&node.node], node.rows_in as f64));
    }),
    counter("millstream_node_rows_out_total", NODE, "Rows that a node has sent on its own streams.", |scrape, sample| {
        each_node(scrape, |node| sample(&[&node.node], node.rows_out as f64));
    }),
    counter(
        "millstream_node_row_fates_total",
        &["node", "fate"],
        "What became of the rows that came in: passed, filtered, taken, late, rejected, skipped or expired. The rest of the rows in is in state.",
        |scrape, sample| each_node(scrape, |node| fates(node, sample)),
    ),
    counter(
        "millstream_node_rows_partly_late_total",
        NODE,
        "Rows taken that were too late for some of their windows.",
        |scrape, sample| {
            each_node(scrape, |node| sample(&[&node.node], node.fates.partly_late as f64));
        },
    ),
    counter(
        "millstream_node_requests_total",
        &["node", "status"],
        "Requests that a node (`http`) has sent or answered, each attempt, by the status of the answer; `none` without one. Since the last start or restart.",
        |scrape, sample| each_with_requests(scrape, |node, requests| answers(node, requests, sample)),
    ),
    counter(
        "millstream_node_request_retries_total",
        NODE,
        "Attempts after which a node was to send the same request again.",
        |scrape, sample| each_with_requests(scrape, |node, requests| sample(&[node], requests.retries as f64)),
    ),
    counter(
        "millstream_node_refused_rows_total",
        NODE,
        "Rows that a service did not want, or bad rows for which a source refused a request.",
        |scrape, sample| each_with_requests(scrape, |node, requests| sample(&[node], requests.refused_rows as f64)),
    ),
    gauge(
        "millstream_node_waits_for_service",
        NODE,
        "1 while a request of a node has failed and is to be sent again.",
        |scrape, sample| each_with_requests(scrape, |node, requests| sample(&[node], f64::from(u8::from(requests.awaited.is_some())))),
    ),
    counter("millstream_node_batches_in_total", NODE, "Batches that came into a node.", |scrape, sample| {
        each_node(scrape, |node| sample(&[&node.node], node.batches_in as f64));
    }),
    counter("millstream_node_batches_out_total", NODE, "Batches that a node has sent on its own streams.", |scrape, sample| {
        each_node(scrape, |node| sample(&[&node.node], node.batches_out as f64));
    }),
    counter("millstream_node_bytes_in_total", NODE, "Memory of the rows that came into a node.", |scrape, sample| {
        each_node(scrape, |node| sample(&[&node.node], node.bytes_in as f64));
    }),
    gauge("millstream_node_state_bytes", NODE, "Memory of a node's state.", |scrape, sample| {
        each_node(scrape, |node| sample(&[&node.node], node.state_bytes as f64));
    }),
    gauge("millstream_node_disk_keys", NODE, "Keys on disk of a node whose keys may go there; of windows, groups.", |scrape, sample| {
        each_on_disk(scrape, |node, disk| sample(&[node], disk.keys as f64));
    }),
    gauge("millstream_node_disk_bytes", NODE, "What the keys of a node take on disk.", |scrape, sample| {
        each_on_disk(scrape, |node, disk| sample(&[node], disk.bytes as f64));
    }),
    counter(
        "millstream_node_disk_lookups_total",
        NODE,
        "Keys that were looked for on disk; of windows, groups that were read back.",
        |scrape, sample| {
            each_on_disk(scrape, |node, disk| sample(&[node], disk.lookups as f64));
        },
    ),
    counter("millstream_node_disk_evictions_total", NODE, "How often all keys of a subtask left memory for disk.", |scrape, sample| {
        each_on_disk(scrape, |node, disk| sample(&[node], disk.evictions as f64));
    }),
    gauge(
        "millstream_node_watermark_timestamp_seconds",
        NODE,
        "A node's watermark, in seconds since 1970; +Inf once its input has ended.",
        |scrape, sample| {
            each_node(scrape, |node| moment(node.watermark, |value| sample(&[&node.node], value)));
        },
    ),
    gauge(
        "millstream_node_watermark_lag_seconds",
        NODE,
        "How far a node's watermark is behind the greatest event time that its sources have read.",
        |scrape, sample| {
            each_node(scrape, |node| node.lag_micros.iter().for_each(|lag| sample(&[&node.node], seconds(*lag as f64))));
        },
    ),
    gauge("millstream_node_over", NODE, "1 when a node has sent its last item.", |scrape, sample| {
        each_node(scrape, |node| sample(&[&node.node], f64::from(u8::from(node.over))));
    }),
    gauge(
        "millstream_node_time_ratio",
        &["node", "activity"],
        "The share of the last second or so that a node's subtasks were busy, held (a reader had no credit), ready (waiting for a thread) or waiting; of a source also reading.",
        |scrape, sample| each_node(scrape, |node| times(node, sample)),
    ),
    gauge("millstream_source_progress_ratio", NODE, "How much of a source of known size is read.", |scrape, sample| {
        each_node(scrape, |node| {
            let known = node.progress.filter(|progress| progress.total > 0);
            known.iter().for_each(|progress| sample(&[&node.node], progress.done as f64 / progress.total as f64));
        });
    }),
    gauge(
        "millstream_split_watermark_timestamp_seconds",
        SPLIT,
        "The watermark of a source's split, in seconds since 1970.",
        |scrape, sample| {
            each_split(scrape, |node, split| moment(split.watermark, |value| sample(&[node, &split.split], value)));
        },
    ),
    gauge("millstream_split_idle", SPLIT, "1 while a split has been silent for longer than `idle_after`.", |scrape, sample| {
        each_split(scrape, |node, split| sample(&[node, &split.split], f64::from(u8::from(split.idle))));
    }),
    gauge("millstream_edge_batches", EDGE, "Batches sent on an edge and not yet processed.", |scrape, sample| {
        each_edge(scrape, |edge| sample(&ends(edge), edge.batches as f64));
    }),
    gauge("millstream_edge_batches_limit", EDGE, "How many batches may be on an edge.", |scrape, sample| {
        each_edge(scrape, |edge| sample(&ends(edge), edge.batches_limit as f64));
    }),
    gauge("millstream_edge_bytes", EDGE, "Bytes sent on an edge and not yet processed.", |scrape, sample| {
        each_edge(scrape, |edge| sample(&ends(edge), edge.bytes as f64));
    }),
    gauge("millstream_edge_bytes_limit", EDGE, "How many bytes may be on an edge.", |scrape, sample| {
        each_edge(scrape, |edge| sample(&ends(edge), edge.bytes_limit as f64));
    }),
    counter("millstream_edge_holds_total", EDGE, "How often a sender had rows ready for an edge and found no credit.", |scrape, sample| {
        each_edge(scrape, |edge| sample(&ends(edge), edge.holds as f64));
    }),
    counter("millstream_edge_held_seconds_total", EDGE, "For how long senders have waited for credit on an edge.", |scrape, sample| {
        each_edge(scrape, |edge| sample(&ends(edge), seconds(edge.held_micros as f64)));
    }),
    counter(
        "millstream_checkpoints_total",
        &["outcome"],
        "Checkpoints that this run has written, and those that have failed.",
        |scrape, sample| {
            each_status(scrape, |status| {
                sample(&["completed"], status.completed as f64);
                sample(&["failed"], status.failed as f64);
            });
        },
    ),
    gauge(
        "millstream_checkpoint_timestamp_seconds",
        &[],
        "When the newest checkpoint of this run was written, in seconds since 1970.",
        |scrape, sample| {
            each_status(scrape, |status| status.written_at_us.iter().for_each(|at| sample(&[], seconds(*at as f64))));
        },
    ),
    gauge(
        "millstream_checkpoint_duration_seconds",
        &[],
        "How long the newest checkpoint took from its beginning until it existed.",
        |scrape, sample| {
            each_status(scrape, |status| status.duration_us.iter().for_each(|took| sample(&[], seconds(*took as f64))));
        },
    ),
    gauge(
        "millstream_checkpoint_alignment_seconds",
        &[],
        "How much of that passed until all subtasks had come to its barrier.",
        |scrape, sample| {
            each_status(scrape, |status| status.alignment_us.iter().for_each(|took| sample(&[], seconds(*took as f64))));
        },
    ),
    gauge("millstream_checkpoint_bytes", &[], "How many bytes the newest checkpoint has written.", |scrape, sample| {
        each_status(scrape, |status| status.bytes.iter().for_each(|bytes| sample(&[], *bytes as f64)));
    }),
    counter(
        "millstream_checkpoint_written_bytes_total",
        &[],
        "How many bytes the checkpoints of this run have written.",
        |scrape, sample| {
            each_status(scrape, |status| sample(&[], status.written_bytes as f64));
        },
    ),
    counter(
        "millstream_restarts_total",
        &[],
        "How often the run went on from a checkpoint by itself after a failure.",
        |scrape, sample| {
            each_status(scrape, |status| sample(&[], status.restarts as f64));
        },
    ),
    gauge("millstream_view_rows", VIEW, "Rows that readers see in a view.", |scrape, sample| {
        each_view(scrape, |view| sample(&[&view.name], view.rows as f64));
    }),
    gauge("millstream_view_bytes", VIEW, "Memory of the rows that readers see in a view.", |scrape, sample| {
        each_view(scrape, |view| sample(&[&view.name], view.size_bytes as f64));
    }),
    counter("millstream_view_versions_total", VIEW, "Versions of a view: batches that were applied.", |scrape, sample| {
        each_view(scrape, |view| sample(&[&view.name], view.version as f64));
    }),
    gauge("millstream_server_followers", &[], "Clients that follow a view now.", |scrape, sample| {
        sample(&[], scrape.followers as f64);
    }),
    counter("process_cpu_seconds_total", &[], "Time that all threads of the process have had on a core.", |scrape, sample| {
        sample(&[], scrape.cpu_seconds);
    }),
    gauge("process_resident_memory_bytes", &[], "Memory that the process has now (Linux only).", |scrape, sample| {
        scrape.resident_bytes.iter().for_each(|bytes| sample(&[], *bytes as f64));
    }),
];

fn each_node(scrape: &Scrape, take: impl FnMut(&NodeObservation)) {
    scrape.run.iter().flat_map(|run| &run.nodes).for_each(take);
}

fn each_on_disk(scrape: &Scrape, mut take: impl FnMut(&str, &DiskObservation)) {
    each_node(scrape, |node| node.disk.iter().for_each(|disk| take(&node.node, disk)));
}

fn each_with_requests(scrape: &Scrape, mut take: impl FnMut(&str, &RequestsObservation)) {
    each_node(scrape, |node| node.requests.iter().for_each(|requests| take(&node.node, requests)));
}

fn each_split(scrape: &Scrape, mut take: impl FnMut(&str, &SplitObservation)) {
    each_node(scrape, |node| node.splits.iter().for_each(|split| take(&node.node, split)));
}

fn each_edge(scrape: &Scrape, take: impl FnMut(&EdgeObservation)) {
    scrape.run.iter().flat_map(|run| &run.edges).for_each(take);
}

fn each_status(scrape: &Scrape, take: impl FnMut(&CheckpointStatus)) {
    scrape.checkpoints.iter().for_each(take);
}

fn each_view(scrape: &Scrape, take: impl FnMut(&ViewSize)) {
    scrape.views.iter().for_each(take);
}

fn ends(edge: &EdgeObservation) -> [&str; 3] {
    [&edge.stream, &edge.from, &edge.to]
}

fn fates(node: &NodeObservation, sample: &mut Sample<'_>) {
    let fates = node.fates;
    let counts = [
        ("passed", fates.passed),
        ("filtered", fates.filtered),
        ("taken", fates.taken),
        ("late", fates.late),
        ("rejected", fates.rejected),
        ("skipped", fates.skipped),
        ("expired", fates.expired),
    ];
    counts.iter().for_each(|(fate, count)| sample(&[&node.node, fate], *count as f64));
}

fn answers(node: &str, requests: &RequestsObservation, sample: &mut Sample<'_>) {
    requests.answers.iter().for_each(|(status, count)| sample(&[node, &status.to_string()], *count as f64));
    if requests.unanswered > 0 {
        sample(&[node, "none"], requests.unanswered as f64);
    }
}

fn times(node: &NodeObservation, sample: &mut Sample<'_>) {
    let recent = node.recent;
    let shares = [
        ("busy", Some(recent.busy_percent)),
        ("held", Some(recent.held_percent)),
        ("ready", Some(recent.ready_percent)),
        ("waiting", Some(recent.waiting_percent)),
        ("reading", Some(recent.reading_percent).filter(|_| node.role == "source")),
    ];
    shares.iter().for_each(|(activity, percent)| {
        percent.iter().for_each(|percent| sample(&[&node.node, activity], (percent * 10.0).round() / 1000.0))
    });
}

/// Nothing before the first watermark.
fn moment(moment: Moment, mut take: impl FnMut(f64)) {
    match moment.0 {
        EventTime::MIN => {}
        EventTime::MAX => take(f64::INFINITY),
        time => take(seconds(time.0 as f64)),
    }
}

fn seconds(micros: f64) -> f64 {
    micros / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_prometheus_has_them() {
        for Family { name, kind, labels, help, .. } in FAMILIES {
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(help.ends_with('.') && !help.contains('|'), "{name}: {help}");
            assert!(labels.iter().all(|label| label.chars().all(|c| c.is_ascii_lowercase())), "{name}");
            assert_eq!(FAMILIES.iter().filter(|other| other.name == *name).count(), 1, "{name}");
        }
    }
}
