//! What a run has left behind, in a form in which two runs can be compared.

use std::collections::BTreeMap;

use arrow::json::LineDelimitedWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use super::Folder;

/// The rows that a run has left behind, by file: sorted, changes applied; views as text of `state export`.
pub fn left_behind(folder: &Folder) -> BTreeMap<String, Vec<String>> {
    let mut rows = BTreeMap::new();
    for name in folder.names() {
        if name.ends_with(".csv") && name != "zones.csv" || name.ends_with(".ndjson") && name != "trips.ndjson" {
            rows.insert(name.clone(), applied(&folder.read(&name)));
        } else if name.ends_with(".parquet") {
            rows.entry("rows.parquet".to_owned()).or_insert_with(Vec::new).extend(parquet(folder, &name));
        }
    }
    rows.values_mut().for_each(|rows| rows.sort_unstable());
    let exported = folder.run(&["state", "export", "topology.toml", "exported"]);
    assert_eq!(exported.code, Some(0), "{}", exported.err);
    if let Ok(text) = std::fs::read_to_string(folder.path("exported/board.ndjson")) {
        // How many versions there were depends on how rows came together.
        let mut board: Vec<String> = text.lines().filter(|line| line.starts_with("{\"state\":\"rows\"")).map(str::to_owned).collect();
        board.sort_unstable();
        rows.insert("board".to_owned(), board);
    }
    rows
}

/// The lines that are left once those that take back others have done so, sorted then: changes with the weight −1, events of a database.
pub fn applied(text: &str) -> Vec<String> {
    let is_events = text.starts_with("{\"before\":");
    if !text.contains("\"_weight\"") && !is_events {
        return text.lines().map(str::to_owned).collect();
    }
    let mut left: BTreeMap<String, i64> = BTreeMap::new();
    for line in text.lines() {
        let mut row: Value = serde_json::from_str(line).unwrap();
        if is_events {
            for (side, weight) in [("before", -1), ("after", 1)] {
                if !row[side].is_null() {
                    *left.entry(row[side].to_string()).or_default() += weight;
                }
            }
            continue;
        }
        let weight = row.as_object_mut().unwrap().remove("_weight").unwrap().as_i64().unwrap();
        *left.entry(row.to_string()).or_default() += weight;
    }
    assert!(left.values().all(|count| *count >= 0), "a row was taken back more often than it came");
    left.into_iter().flat_map(|(row, count)| std::iter::repeat_n(row, count as usize)).collect()
}

/// The rows of a part.
fn parquet(folder: &Folder, name: &str) -> Vec<String> {
    let file = std::fs::File::open(folder.path(name)).unwrap();
    let mut text = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut text);
    for records in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
        writer.write(&records.unwrap()).unwrap();
    }
    writer.finish().unwrap();
    drop(writer);
    String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
}
