//! The timelines of docs/semantics.md: small runs in virtual time, drawn as they went. `UPDATE_EXPECT=1` draws them anew.
//!
//! [`scenes`] says what is sent to which topology, [`play`] runs it and notes what came of each step, [`picture`] draws that.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod picture;
mod play;
mod scenes;

use std::path::Path;

#[test]
fn every_timeline_is_drawn_as_it_runs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/timelines");
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut names = Vec::new();
    for scene in scenes::all() {
        let drawn = picture::draw(&scene, &play::play(&scene));
        let path = folder.join(format!("{}.svg", scene.name));
        names.push(format!("{}.svg", scene.name));
        if update {
            std::fs::write(&path, &drawn).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(there == drawn, "{} is stale: UPDATE_EXPECT=1 draws it anew", path.display());
    }
    let mut there: Vec<String> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    names.sort();
    assert_eq!(there, names);
}

#[test]
fn every_timeline_is_shown_in_the_docs() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/semantics.md")).unwrap();
    for scene in scenes::all() {
        assert!(page.contains(&format!("(timelines/{}.svg)", scene.name)), "{}", scene.name);
    }
}
