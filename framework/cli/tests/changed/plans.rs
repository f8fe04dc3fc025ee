//! Which changes lose state, and how that is said.

use super::command::{Ended, Folder};
use super::{topology, with, with_other_neighbours};

fn plan(old: &str, new: &str) -> Ended {
    let files = ["in.ndjson", "right.ndjson", "table.ndjson"].map(|name| (name, ""));
    let folder = Folder::with(&[&[("old.toml", old), ("new.toml", new)], &files[..]].concat());
    folder.run(&["plan", "old.toml", "new.toml"])
}

/// What is said of nodes that lose their state when the topology becomes this one, without what would be lost.
fn lost(new: &str) -> Vec<String> {
    let plan = plan(&topology(""), new);
    assert!(plan.out.contains("keeps its state"), "{}{}", plan.out, plan.err);
    let is_lost = |line: &&str| line.starts_with('`') && !line.ends_with("keeps its state") && !line.contains(" is new ");
    plan.out.lines().filter(is_lost).map(|line| line.split(": ").next().unwrap().to_owned()).collect()
}

fn lost_by(from: &str, to: &str) -> Vec<String> {
    lost(&with(&topology(""), from, to))
}

const NOTHING: [String; 0] = [];

#[test]
fn neighbours_do_not_matter() {
    assert_eq!(lost(&with_other_neighbours(&topology(""))), NOTHING);
    for input in ["o", "d.late", "sums.late", "near.late_left"] {
        let reader = format!("\nz = {{ type = \"discard\", input = \"{input}\" }}\n");
        assert_eq!(lost(&(topology("") + &reader)), NOTHING, "{input}");
    }
    for input in ["d.late", "sums.late", "best.late", "near.late_left", "both.late_right"] {
        let by_place = format!("[operators.z]\ntype = \"deduplicate\"\ninput = \"{input}\"\nby = [\"id\"]\nkeep = \"last\"\n");
        let reader = format!("{by_place}\n[sinks]\nz_z = {{ type = \"discard\", input = \"z\" }}\n");
        assert_eq!(lost(&with(&topology(""), "[sinks]\n", &reader)), NOTHING, "{input}, by place");
    }
}

#[test]
fn a_text_with_the_same_meaning_is_no_change() {
    for (from, to) in [
        ("\"count(*) as n\"]\n\n[operators.l]", "\"COUNT( * )  as n\"]\n\n[operators.l]"),
        ("order = [\"cents\"]", "order = [\"cents asc nulls last\"]"),
        ("within = \"1m\"", "within = \"60s\""),
        ("by     = [\"id / 2 % 900 as k\"]", "by     = [\"id/2%900 as k\"]"),
        ("before  = \"2m\"", "before  = \"120s\""),
        ("on      = \"left.id = right.id\"", "on      = \"left.id=right.id\""),
        (
            "compute = [\"sum(cents) as cents\", \"count(*) as n\"]",
            "compute = [\"sum(cents) as cents\", \"count(*) as n\"]\nhaving = \"n > 1\"",
        ),
        ("size  = \"10m\"", "size  = \"600s\""),
    ] {
        assert_eq!(lost_by(from, to), NOTHING, "{to}");
    }
}

#[test]
fn how_a_service_is_spoken_to_is_no_state() {
    for to in ["timeout = \"5s\", attempts = 3, pause = \"1s\"", "max_bytes = \"2MiB\", compression = \"gzip\"", "headers = { x = \"y\" }"]
    {
        assert_eq!(lost_by("timeout = \"1s\"", to), NOTHING, "{to}");
    }
    assert_eq!(lost_by("http://127.0.0.1:9/", "http://127.0.0.1:10/"), NOTHING);
}

#[test]
fn what_state_is_of_matters() {
    for (from, to, said) in [
        ("by     = [\"id / 2 % 900 as k\"]", "by     = [\"id / 2 % 901 as k\"]", vec!["`d` has another `by`"]),
        ("keep   = \"last\"", "keep   = \"first\"", vec!["`d` has another `keep`"]),
        ("n     = 2", "n     = 4", vec!["`t` has another `n`"]),
        (
            "order = [\"cents\"]",
            "order = [\"note\"]",
            vec!["`t` has another `order`, and no longer reads the column `cents`, and reads the column `note` as well"],
        ),
        ("last_value(id)", "first_value(id)", vec!["`l` has another `compute`"]),
        ("\"sum(cents) as cents\"", "\"max(cents) as cents\"", vec!["`sums` has another `compute`"]),
        ("kind    = \"full\"", "kind    = \"left\"", vec!["`near` has another `kind`"]),
        ("id = \"bigint\", c = \"string\", cents = \"bigint\"", "id = \"bigint\", c = \"string not null\", cents = \"bigint\"", vec![]),
    ] {
        let lost = lost_by(from, to);
        assert!(said.iter().all(|said| lost.iter().any(|lost| lost == said)), "{to}: {lost:?}");
        assert!(!lost.is_empty(), "{to}");
    }
}

#[test]
fn windows_are_named() {
    let lost = lost_by("size  = \"10m\"", "size  = \"20m\"");
    let said =
        |node: &str| lost.iter().any(|lost| lost.starts_with(&format!("`{node}` reads windows of ")) && lost.contains("which were "));
    assert!(["sums", "best"].into_iter().all(said), "{lost:?}");
}

#[test]
fn a_reader_that_needs_more_of_rows_that_are_kept_is_named_with_its_column() {
    let more = lost_by(
        "path = \"t.ndjson\", changes = true, columns = [\"c\", \"cents\"]",
        "path = \"t.ndjson\", changes = true, columns = [\"c\", \"cents\", \"note\"]",
    );
    assert!(more.contains(&"`t` reads the column `note` as well, which the rows of its state do not have".to_owned()), "{more:?}");
    let less = lost_by(
        "path = \"t.ndjson\", changes = true, columns = [\"c\", \"cents\"]",
        "path = \"t.ndjson\", changes = true, columns = [\"c\"]",
    );
    assert!(!less.iter().any(|lost| lost.starts_with("`t`")), "{less:?}");
}

#[test]
fn what_was_sent_and_may_be_withdrawn_matters() {
    let calculated = |formula: &str| {
        with(
            &topology(""),
            "\"count(*) as n\"]\n\n[operators.l]",
            &format!("\"count(*) as n\", \"count(*) + {formula} as m\"]\n\n[operators.l]"),
        )
    };
    let plan = plan(&calculated("1"), &calculated("2"));
    assert!(plan.out.contains("`n` calculates `m` in another way, and could not withdraw what it has sent"), "{}", plan.out);
    assert!(
        lost_by("\"count(*) as n\"]\n\n[operators.l]", "\"count(*) as n\"]\nhaving = \"n > 1\"\n\n[operators.l]")
            .contains(&"`n` has another `having`".to_owned())
    );
}
