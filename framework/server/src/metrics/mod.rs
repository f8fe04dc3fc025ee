//! `GET /metrics`: everything that can be counted, in the text format of Prometheus (version 0.0.4).
//!
//! Nothing is counted here: a scrape is one observation of the run, and what the views and the process say of themselves.
//! - `families`: which metrics there are; `docs/metrics.md` is made of it
//! - `scrape`: what they are read from
//! - `text`: how they are written

mod families;
mod scrape;
mod text;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};

use self::families::{FAMILIES, Kind};
use self::scrape::Scrape;
use self::text::Writer;
use crate::answer::head;
use crate::routes::State;

/// The media type of the format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers a scrape.
pub async fn metrics(state: web::Data<State>) -> HttpResponse {
    head(StatusCode::OK, CONTENT_TYPE).body(written(&Scrape::of(&state)))
}

fn written(scrape: &Scrape) -> String {
    let mut writer = Writer::default();
    for family in FAMILIES {
        writer.family(family.name, family.kind.name(), family.help);
        (family.samples)(scrape, &mut |labels, value| writer.sample(family.name, family.labels, labels, value));
    }
    writer.finish()
}

/// All metrics as a page in Markdown: the text of `docs/metrics.md`.
pub fn documentation() -> String {
    let mut page = "# Metrics\n\n\
        `GET /metrics` of the [server](server.md) answers in the text format of Prometheus. Counters begin with the run, at 0 or at the last\n\
        checkpoint. What a node has no value for, such as a watermark without event time, is left out.\n\n\
        <!-- Made from framework/server/src/metrics/families.rs; UPDATE_EXPECT=1 cargo test -p millstream-server --test metrics writes it anew. -->\n\n\
        | metric | | labels | |\n|---|---|---|---|\n"
        .to_owned();
    for family in FAMILIES {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        page.push_str(&format!("| `{}` | {kind} | {} | {} |\n", family.name, labels.join(", "), family.help));
    }
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::health::Phase;

    #[test]
    fn requests_are_counted_by_their_answers() {
        let node = json!({
            "node": "hook", "type": "http", "role": "sink", "over": false, "rows_in": 9, "rows_out": 0, "batches_in": 1, "batches_out": 0,
            "bytes_in": 1, "state_bytes": 0, "watermark": null, "lag_micros": null, "waits_for": null, "inputs": [], "splits": [],
            "fates": { "passed": 0, "filtered": 0, "taken": 5, "late": 0, "rejected": 0, "skipped": 4, "expired": 0, "partly_late": 0 },
            "subtasks": [], "progress": null,
            "recent": { "rows_in_per_second": 0.0, "rows_out_per_second": 0.0, "bytes_in_per_second": 0.0, "busy_percent": 0.0,
                "held_percent": 0.0, "ready_percent": 0.0, "waiting_percent": 0.0, "reading_percent": 0.0 },
            "requests": { "answers": { "200": 5, "503": 2 }, "unanswered": 1, "retries": 3, "refused_rows": 4,
                "awaited": { "to": "http://x/", "since_micros": 0, "failed": 1, "attempts": 10, "said": "busy" } },
        });
        let run = json!({ "topology": "t", "at_micros": 0, "running_micros": 0, "interval_micros": 1, "nodes": [node], "edges": [] });
        let scrape = Scrape {
            topology: "t".to_owned(),
            phase: Phase::Running,
            run: Some(serde_json::from_value(run).unwrap()),
            checkpoints: None,
            views: Vec::new(),
            followers: 0,
            cpu_seconds: 0.0,
            resident_bytes: None,
        };
        let text = written(&scrape);
        for expected in [
            r#"millstream_node_requests_total{node="hook",status="200"} 5"#,
            r#"millstream_node_requests_total{node="hook",status="503"} 2"#,
            r#"millstream_node_requests_total{node="hook",status="none"} 1"#,
            r#"millstream_node_request_retries_total{node="hook"} 3"#,
            r#"millstream_node_refused_rows_total{node="hook"} 4"#,
            r#"millstream_node_waits_for_service{node="hook"} 1"#,
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected} is not in\n{text}");
        }
    }
}
