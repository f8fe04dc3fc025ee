//! Metrics as they are scraped, the page that documents them, and the page at `/`.

mod common;

use std::path::Path;

use millstream_api::view::Views;
use millstream_server::{Health, Phase, Server};

use crate::common::{Events, Live, get, info, server};

#[test]
fn the_documentation_is_what_the_code_has() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    expect_test::expect_file![path].assert_eq(&millstream_server::metrics::documentation());
}

#[test]
fn a_scrape_is_in_the_format_of_prometheus() {
    let views = Views::default();
    views.publish("live", Live::new(1, 3, &[1, 2]));
    let (server, health) = server(&views);
    health.set(Phase::Running);
    let mut events = Events::follow(&server, "/views/live/follow", "");
    assert_eq!(events.expect().0, "reset");
    let answer = get(&server, "/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{}", answer.head);
    let lines: Vec<&str> = answer.body.lines().collect();
    for expected in [
        "# HELP millstream_view_rows Rows that readers see in a view.",
        "# TYPE millstream_view_rows gauge",
        "millstream_view_rows{view=\"live\"} 2",
        "millstream_view_versions_total{view=\"live\"} 3",
        "millstream_phase{phase=\"running\"} 1",
        "millstream_phase{phase=\"starting\"} 0",
        "millstream_server_followers 1",
        concat!("millstream_info{topology=\"late-departures\",version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
    ] {
        assert!(lines.contains(&expected), "{expected} is not in\n{}", answer.body);
    }
    assert!(lines.iter().any(|line| line.strip_prefix("process_cpu_seconds_total ").is_some_and(|v| v.parse::<f64>().unwrap() > 0.0)));
    assert!(!answer.body.contains("millstream_node_rows_in_total"), "there is no run");
    for line in lines.iter().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let family = name.split('{').next().unwrap();
        assert!(answer.body.contains(&format!("# TYPE {family} ")), "{line}");
    }
}

#[test]
fn the_page_needs_no_token_and_loads_nothing_from_elsewhere() {
    let info = info(&Health::default(), Some("open sesame"));
    let server = Server::start("127.0.0.1:0".parse().unwrap(), Views::default(), info).unwrap();
    let page = get(&server, "/");
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: text/html; charset=utf-8\r\n"), "{}", page.head);
    assert!(page.head.contains("content-security-policy: default-src 'none';"), "{}", page.head);
    assert!(page.body.starts_with("<!doctype html>"));
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.body.contains(outside), "{outside}");
    }
    assert!(!page.body.contains("innerHTML"), "what comes from rows is text");
    assert_eq!(get(&server, "/metrics").status, 401);
}
