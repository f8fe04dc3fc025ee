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
