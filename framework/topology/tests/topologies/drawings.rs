//! What is drawn of a topology and what is explained of it.

use std::fmt::Write;

use expect_test::expect;
use millstream_topology::{Drawing, draw, explain};

use crate::support::topology;

const BRANCHES: &str = "name = \"branches\"\n[runtime]\nworkers = 2\n\
    [sources.feed]\ntype = \"feed\"\ntime = { by = \"at\", max_delay = \"5m\", on_null = \"reject\" }\ncolumns = [\"a bigint\", \"at timestamp\"]\n\
    [sources.other]\ntype = \"feed\"\ncolumns = [\"a bigint\", \"at timestamp\"]\n\
    [operators.hours]\ntype = \"cut\"\ninput = \"feed\"\nsize = \"1h\"\n\
    [operators.end]\ntype = \"gather\"\ninput = \"hours\"\nby = [\"a\"]\ndescription = \"says <b> & \\\"more\\\"\"\n\
    [operators.both]\ntype = \"pair\"\nleft = \"feed\"\nright = \"other\"\nparallelism = 1\n\
    [sinks.kept]\ntype = \"drain\"\ninput = \"end\"\n\
    [sinks.late]\ntype = \"drain\"\ninput = \"end.late\"\n\
    [sinks.bad]\ntype = \"drain\"\ninput = \"feed.rejected\"\non_bad_row = \"skip\"\n\
    [sinks.pairs]\ntype = \"drain\"\ninput = \"both\"\n";

#[test]
fn a_drawing_for_mermaid() {
    expect![[r##"
        flowchart LR
            n0(["<b>feed</b><br>feed"]):::source
            n1(["<b>other</b><br>feed"]):::source
            n2["<b>hours</b><br>cut × 2<br><i>windows of 1h</i>"]:::operator
            n3["<b>end</b><br>gather × 2"]:::operator
            n4["<b>both</b><br>pair"]:::operator
            n5[/"<b>kept</b><br>drain"/]:::sink
            n6[/"<b>late</b><br>drain"/]:::sink
            n7[/"<b>bad</b><br>drain"/]:::sink
            n8[/"<b>pairs</b><br>drain"/]:::sink
            n0 -->|"in turn"| n2
            n2 -->|"by key a"| n3
            n0 --> n4
            n1 --> n4
            n3 --> n5
            n3 -.->|"end.late"| n6
            n0 -.->|"feed.rejected"| n7
            n4 --> n8
            classDef source stroke:#0d9488,stroke-width:2px
            classDef operator stroke:#4f6bd8,stroke-width:2px
            classDef sink stroke:#b7791f,stroke-width:2px
    "##]]
    .assert_eq(&draw(&topology(BRANCHES), Drawing::Mermaid));
}

#[test]
fn a_drawing_for_graphviz() {
    expect![[r##"
        digraph "branches" {
            rankdir = LR
            node [shape = box, style = rounded, fontname = "sans-serif"]
            edge [fontname = "sans-serif", fontsize = 10]
            "feed" [label = "feed\nfeed", color = "#0d9488"]
            "other" [label = "other\nfeed", color = "#0d9488"]
            "hours" [label = "hours\ncut × 2\nwindows of 1h", color = "#4f6bd8"]
            "end" [label = "end\ngather × 2", color = "#4f6bd8"]
            "both" [label = "both\npair", color = "#4f6bd8"]
            "kept" [label = "kept\ndrain", color = "#b7791f"]
            "late" [label = "late\ndrain", color = "#b7791f"]
            "bad" [label = "bad\ndrain", color = "#b7791f"]
            "pairs" [label = "pairs\ndrain", color = "#b7791f"]
            "feed" -> "hours" [label = "in turn"]
            "hours" -> "end" [label = "by key a"]
            "feed" -> "both"
            "other" -> "both"
            "end" -> "kept"
            "end" -> "late" [label = "end.late", style = dashed]
            "feed" -> "bad" [label = "feed.rejected", style = dashed]
            "both" -> "pairs"
        }
    "##]]
    .assert_eq(&draw(&topology(BRANCHES), Drawing::Dot));
}

#[test]
fn a_finished_drawing_has_every_node_and_edge_and_no_markup_of_the_file() {
    let svg = draw(&topology(BRANCHES), Drawing::Svg);
    assert_eq!(svg.matches("class=\"box\"").count(), 9);
    assert_eq!(svg.matches("marker-end=").count(), 8);
    assert_eq!(svg.matches("class=\"arrow side\"").count(), 2);
    assert!(svg.contains("<title>says &lt;b&gt; &amp; &quot;more&quot;</title>"), "{svg}");
    assert_eq!(svg.matches("<g").count(), svg.matches("</g>").count());
    assert!(!svg.contains("NaN") && !svg.contains("inf "), "{svg}");
}

#[test]
fn a_topology_of_two_hundred_nodes_is_drawn() {
    let mut text = "name = \"large\"\n[sources.n0]\ntype = \"feed\"\ncolumns = [\"a bigint\"]\n".to_owned();
    for node in 1..200 {
        let (one, other) = (node / 3, node - 1);
        write!(text, "[operators.n{node}]\ntype = \"merge\"\ninputs = [\"n{one}\", \"n{other}\"]\n").unwrap();
    }
    text.push_str("[sinks.out]\ntype = \"drain\"\ninput = \"n199\"\n");
    let svg = draw(&topology(&text), Drawing::Svg);
    assert_eq!(svg.matches("class=\"box\"").count(), 201);
    assert_eq!(svg.matches("marker-end=").count(), 2 * 199 + 1);
}

#[test]
fn what_follows_from_a_plan_is_explained() {
    expect![[r#"
        What bounds state
          feed, other, hours, end, both, kept, late, bad and pairs
            no state
          rows between nodes
            8 batches on a channel, 64MiB on an edge (runtime.mailbox, runtime.in_flight)

        Which rows can be late or rejected, and where they go
          feed
            the watermark stays max_delay = "5m" behind the greatest event time of each split
            without an event time: it is counted and sent to feed.rejected, which bad reads
            a row that cannot be read: the run fails
          other
            no event time: none of its rows can be late
            a row that cannot be read: the run fails
          end
            late rows are counted and sent to end.late, which late reads
          bad
            a row that cannot be written is left out and counted as skipped

        What holds from source to sink
          within a run
            each row is processed exactly once on each path; those that are filtered, late, rejected or skipped are in the ledger
            nothing is saved on the way: after a stop, a failure or a crash a run starts from the beginning
          feed → kept
            given out as it comes; it cannot be taken back
            at most once over restarts: feed cannot be read again, so a failure loses what was on the way
          feed → late
            given out as it comes; it cannot be taken back
            at most once over restarts: feed cannot be read again, so a failure loses what was on the way
          feed → bad
            given out as it comes; it cannot be taken back
            at most once over restarts: feed cannot be read again, so a failure loses what was on the way
          feed and other → pairs
            given out as it comes; it cannot be taken back
            at most once over restarts: feed and other cannot be read again, so a failure loses what was on the way

    "#]]
    .assert_eq(&explain(&topology(BRANCHES)));
}
