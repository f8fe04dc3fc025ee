//! Right topologies: what flows, in which shape, and who judges.

use crate::support::{check_with, report, topology};
use expect_test::expect;
use millstream_topology::{Topology, describe};

/// `name: columns, flags` for each stream that is read.
fn shapes(topology: &Topology) -> Vec<String> {
    let outputs = topology.nodes.iter().flat_map(|node| &node.outputs).filter(|output| output.shape.read);
    let line = |output: &millstream_topology::NodeOutput| {
        let names: Vec<&str> = output.shape.schema.fields().iter().map(|field| field.name().as_str()).collect();
        let flags = [(output.shape.explicit_windows, " explicit"), (output.shape.judge, " judge"), (output.shape.origin, " origin")];
        let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
        format!("{}: {}{flags}", output.name, names.join(" "))
    };
    outputs.map(line).collect()
}

const SOURCE: &str = "name = \"n\"\n[runtime]\nworkers = 3\n[sources.s]\ntype = \"feed\"\ntime.by = \"at\"\n\
                      columns = [\"a bigint\", \"b string\", \"at timestamp\", \"unused int\"]\n";

fn with_source(rest: &str) -> Topology {
    topology(&format!("{SOURCE}{rest}"))
}

#[test]
fn only_columns_that_are_read_flow() {
    let topology = with_source(
        "[operators.p]\ntype = \"pass\"\ninput = \"s\"\n[operators.g]\ntype = \"gather\"\ninput = \"p\"\nby = [\"b\"]\n\
         [sinks.d]\ntype = \"drain\"\ninput = \"g\"\n[sinks.e]\ntype = \"drain\"\ninput = \"p\"\ncolumns = [\"a\"]\n",
    );
    assert_eq!(shapes(&topology), ["s: a b at", "p: a b", "g: b"]);
    let parallelism: Vec<(&str, usize)> = topology.nodes.iter().map(|node| (node.name.as_str(), node.parallelism)).collect();
    assert_eq!(parallelism, [("s", 1), ("p", 3), ("g", 3), ("d", 1), ("e", 1)]);
}

#[test]
fn no_node_has_more_subtasks_than_key_groups() {
    let rest = "[operators.p]\ntype = \"pass\"\ninput = \"s\"\n[operators.g]\ntype = \"gather\"\ninput = \"p\"\nby = [\"b\"]\n\
                [sinks.d]\ntype = \"drain\"\ninput = \"g\"\n";
    let outcome = check_with(&format!("{SOURCE}{rest}"), &[], &["runtime.workers=9", "runtime.key_groups=5"]);
    let topology = outcome.topology.unwrap();
    assert_eq!(topology.nodes.iter().map(|node| node.parallelism).collect::<Vec<_>>(), [1, 9, 5, 1]);
}

#[test]
fn every_source_has_a_stream_of_rejected_rows_and_times_for_the_others() {
    let topology = with_source("[sinks.d]\ntype = \"drain\"\ninput = \"s\"\n[sinks.r]\ntype = \"drain\"\ninput = \"s.rejected\"\n");
    let source = topology.node("s").unwrap();
    let settings = source.source.as_ref().unwrap();
    assert_eq!(source.outputs[settings.rejected_port].name, "s.rejected");
    assert_eq!(source.plan.outputs.len(), source.outputs.len());
    assert_eq!(settings.times.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
    assert!(source.outputs[0].stream.event_time && source.outputs[0].stream.from_source);
    assert!(!source.outputs[1].stream.event_time && !source.outputs[1].stream.from_source);
}

#[test]
fn a_window_read_by_aggregates_only_leaves_rows_as_they_are() {
    let topology = with_source(
        "[operators.w]\ntype = \"cut\"\ninput = \"s\"\nsize = \"1h\"\n[operators.p]\ntype = \"pass\"\ninput = \"w\"\n\
         [operators.g]\ntype = \"gather\"\ninput = \"p\"\nby = [\"a\"]\n[operators.h]\ntype = \"gather\"\ninput = \"w\"\nby = [\"b\"]\nfirst = true\n\
         [sinks.d]\ntype = \"drain\"\ninput = \"g\"\n[sinks.e]\ntype = \"drain\"\ninput = \"h\"\n",
    );
    assert_eq!(shapes(&topology), ["s: a b at origin", "w: a b origin", "p: a", "g: a explicit", "h: b explicit"]);
}

#[test]
fn a_window_whose_columns_are_needed_before_an_aggregate_is_explicit_but_does_not_judge() {
    let topology = with_source(
        "[operators.w]\ntype = \"cut\"\ninput = \"s\"\nsize = \"1h\"\n[operators.p]\ntype = \"pass\"\ninput = \"w\"\n\
         [operators.g]\ntype = \"gather\"\ninput = \"p\"\nby = [\"window_end\"]\n[sinks.d]\ntype = \"drain\"\ninput = \"g\"\n",
    );
    assert_eq!(shapes(&topology), ["s: at", "w: window_end explicit", "p: window_end explicit", "g: window_end explicit"]);
}

#[test]
fn a_window_read_row_by_row_judges_itself() {
    let topology = with_source(
        "[operators.w]\ntype = \"cut\"\ninput = \"s\"\nsize = \"1h\"\n[operators.p]\ntype = \"pass\"\ncolumns = [\"a\"]\ninput = \"w\"\n\
         [sinks.d]\ntype = \"drain\"\ninput = \"p\"\n[sinks.l]\ntype = \"drain\"\ncolumns = [\"b\"]\ninput = \"w.late\"\n",
    );
    assert_eq!(shapes(&topology), ["s: a b at", "w: a explicit judge", "w.late: b", "p: a explicit"]);
}

#[test]
fn windows_that_meet_in_a_union_have_one_shape() {
    let union = |readers: &str| {
        with_source(&format!(
            "[operators.v]\ntype = \"cut\"\ninput = \"s\"\nsize = \"1h\"\n[operators.w]\ntype = \"cut\"\ninput = \"s\"\nsize = \"1h\"\n\
             [operators.m]\ntype = \"merge\"\ninputs = [\"v\", \"w\"]\n[operators.g]\ntype = \"gather\"\ninput = \"m\"\nby = [\"a\"]\n\
             [sinks.d]\ntype = \"drain\"\ninput = \"g\"\n{readers}"
        ))
    };
    assert_eq!(shapes(&union("")), ["s: a at", "v: a", "w: a", "m: a", "g: a explicit"]);
    let needs_bounds =
        "[operators.h]\ntype = \"gather\"\ninput = \"v\"\nby = [\"window_start\"]\n[sinks.e]\ntype = \"drain\"\ninput = \"h\"\n";
    let shapes = shapes(&union(needs_bounds));
    assert_eq!(shapes[1..4], ["v: a window_start explicit", "w: a explicit", "m: a explicit"]);
}

#[test]
fn readers_that_want_different_windows_are_refused() {
    let report = report(&format!(
        "{SOURCE}[operators.w]\ntype = \"cut\"\ninput = \"s\"\nsize = \"1h\"\n[operators.p]\ntype = \"pass\"\ninput = \"w\"\n\
         [operators.g]\ntype = \"gather\"\ninput = \"p\"\nby = [\"a\"]\n[sinks.d]\ntype = \"drain\"\ninput = \"g\"\n[sinks.e]\ntype = \"drain\"\ninput = \"p\"\n"
    ));
    expect![[r#"
        t.toml:24:10: error[mixed-window-readers]: `e` reads single rows of the windows of `w`, while `g` takes whole windows and judges lateness itself
        24 | input = "p"
           |          ^
        help: give `e` a `window` node of its own that reads what `w` reads

    "#]]
    .assert_eq(&report.render());
}

#[test]
fn named_streams_of_a_source() {
    let source = "name = \"n\"\n[sources.x]\ntype = \"feed\"\ncolumns = [\"at timestamp\", \"a int\"]\nnamed = [\"one\", \"two\"]\ntime.by = \"at\"\n";
    let topology = topology(&format!("{source}[sinks.d]\ntype = \"drain\"\ninput = \"x.two\"\ncolumns = [\"a\"]\n"));
    let outputs: Vec<(&str, bool)> = topology.nodes[0].outputs.iter().map(|o| (o.name.as_str(), o.shape.read)).collect();
    assert_eq!(outputs, [("x.one", false), ("x.two", true), ("x.rejected", false)]);
    let report = report(&format!("{source}[sinks.d]\ntype = \"drain\"\ninput = \"x\"\n"));
    expect![[r#"
        t.toml:9:10: error[unknown-stream]: `d` reads `x`, which `x` does not define
        9 | input = "x"
          |          ^
        help: it defines x.one, x.two, x.rejected

    "#]]
    .assert_eq(&report.render());
}

#[test]
fn variables_and_arguments_reach_nodes_and_take_the_type_of_their_keys() {
    let text = "name = \"n\"\n[runtime]\nworkers = \"${W:-4}\"\n[sources.CamelCase]\ntype = \"feed\"\ncolumns = [\"a int\", \"Col ${T}\"]\n\
                [operators.p]\ntype = \"pass\"\ninput = \"CamelCase\"\n[sinks.d]\ntype = \"drain\"\ninput = \"p\"\n";
    let env = [("T", "timestamp"), ("MILLSTREAM__OPERATORS__P__COLUMNS", "[\"Col\", \"a\"]"), ("MILLSTREAM__RUNTIME__LINGER", "1s")];
    let outcome = check_with(text, &env, &["sources.CamelCase.time.by=Col", "runtime.mailbox=2"]);
    assert_eq!(outcome.report.render(), "");
    let topology = outcome.topology.unwrap();
    assert_eq!(topology.runtime.workers.get(), 4);
    assert_eq!(topology.runtime.mailbox.get(), 2);
    assert_eq!(topology.runtime.linger.micros(), 1_000_000);
    assert_eq!(shapes(&topology), ["CamelCase: a Col", "p: Col a"]);
    assert_eq!(topology.nodes.iter().map(|node| node.line).collect::<Vec<_>>(), [4, 7, 10]);
}

#[test]
fn mistakes_in_variables_name_the_variable() {
    let text = "name = \"n\"\n[sources.s]\ntype = \"feed\"\ncolumns = [\"a int\"]\n[sinks.d]\ntype = \"drain\"\ninput = \"s\"\n";
    let env = [("MILLSTREAM__RUNTIME__WORKERS", "many"), ("MILLSTREAM__RUNTIM__X", "1"), ("MILLSTREAM__SINKS__D__INPUT", "t")];
    let outcome = check_with(text, &env, &["runtime.linger=soon", "sinks.d.colums=[]"]);
    assert!(outcome.topology.is_none());
    expect![[r#"
        MILLSTREAM__RUNTIME__WORKERS: error[wrong-type]: `workers` must be a whole number, not "many"

        --set runtime.linger: error[bad-duration]: `soon` is not a duration; write it like "250ms", "10s" or "1h30m"
        help: whole numbers, each with one of the units us, ms, s, m, h, d and w behind it, up to about 290,000 years

        MILLSTREAM__RUNTIM__X: error[unknown-key]: `runtim` is not a key here
        help: did you mean `runtime`?

        --set sinks.d.colums: error[unknown-key]: `colums` is not a key here
        help: did you mean `columns`?

        MILLSTREAM__SINKS__D__INPUT: error[unknown-stream]: `d` reads `t`, which is not defined
        help: did you mean `s`? defined here: s

    "#]]
    .assert_eq(&outcome.report.render());
}

#[test]
fn the_plan_as_text() {
    let topology = with_source(
        "[operators.w]\ntype = \"cut\"\ninput = \"s\"\nsize = \"1h\"\ndescription = \"by hour\"\n\
         [operators.g]\ntype = \"gather\"\ninput = \"w\"\nby = [\"a\"]\n\
         [operators.t]\ntype = \"gather\"\ninput = \"g\"\nby = [\"a\"]\nparallelism = 2\n\
         [sinks.d]\ntype = \"drain\"\ninput = \"t\"\n",
    );
    expect![[r#"
        s: source feed, line 4, 1 subtask
          defines s (event time)
            a       bigint
            b       string     not read
            at      timestamp
            unused  int        not read
          defines s.rejected (nobody reads it)

        w: operator cut, line 8, 3 subtasks
          by hour
          reads s in turn
          defines w (event time, windows of 1h, lateness judged by the reader)
            a             bigint
            b             string              not read
            at            timestamp           not read
            unused        int                 not read
            window_start  timestamp not null  not read
            window_end    timestamp not null  not read
          defines w.late (event time, nobody reads it)

        g: operator gather, line 13, 3 subtasks
          reads w by key a
          defines g (event time, windows of 1h, key a)
            a  bigint
          defines g.late (event time, nobody reads it)

        t: operator gather, line 17, 2 subtasks
          reads g by key a
          defines t (event time, windows of 1h, key a)
            a  bigint
          defines t.late (event time, key a, nobody reads it)

        d: sink drain, line 22, 1 subtask
          reads t in turn
    "#]]
    .assert_eq(&describe(&topology));
}
