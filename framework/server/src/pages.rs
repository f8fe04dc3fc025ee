//! Selections that are read a page at a time, each kept until its next page is asked for.
//!
//! A cursor stands for a selection, and so for a version: pages never mix versions. What is kept is bounded in number, in bytes
//! and in time; a cursor whose selection is gone is refused, and its client starts again.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::http::StatusCode;
use millstream_api::time::Clock;

use crate::answer::Refusal;
use crate::selection::Selection;

/// Selections that are kept, at most.
const MAX_KEPT: usize = 32;
/// What their rows may take together, in bytes. The newest is kept whatever its size: its rows are those of the view.
const MAX_BYTES: usize = 256 << 20;
/// How long one is kept after its last page, in microseconds.
const MAX_IDLE_MICROS: i64 = 60_000_000;

/// See the [module](self).
pub struct Pages {
    clock: Arc<dyn Clock>,
    /// The one that was used last stands last.
    kept: Mutex<VecDeque<Kept>>,
}

struct Kept {
    id: u64,
    view: String,
    selection: Selection,
    /// Rows of a page, unless a request says otherwise.
    limit: usize,
    used_micros: i64,
}

/// A page: which rows of which selection.
pub struct Page {
    /// The selection.
    pub selection: Selection,
    /// The first row.
    pub start: usize,
    /// Rows of a page.
    pub limit: usize,
    /// What the selection is kept under, if it is.
    pub id: Option<u64>,
}

impl Pages {
    /// Nothing is kept yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Pages { clock, kept: Mutex::default() }
    }

    /// The text that stands for what follows `page`, which then is kept; `None` after the last row.
    pub fn cursor(&self, view: &str, page: &Page) -> Option<String> {
        let next = page.start.checked_add(page.limit).filter(|next| *next < page.selection.len())?;
        let id = page.id.unwrap_or_else(|| self.keep(view, page));
        Some(format!("{id:016x}-{next}"))
    }

    fn keep(&self, view: &str, page: &Page) -> u64 {
        // Each `RandomState` has keys of its own: what it makes of nothing is as good as drawn, so no cursor fits another run.
        let id = RandomState::new().build_hasher().finish();
        let used_micros = self.clock.now().0;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(Kept { id, view: view.to_owned(), selection: page.selection.clone(), limit: page.limit, used_micros });
        let mut bytes: usize = kept.iter().map(|kept| kept.selection.size_bytes()).sum();
        while kept.len() > MAX_KEPT || (bytes > MAX_BYTES && kept.len() > 1) {
            bytes -= kept.pop_front().map_or(0, |oldest| oldest.selection.size_bytes());
        }
        id
    }

    /// The page that a cursor stands for.
    ///
    /// # Errors
    /// A text that is no cursor of this view, or one whose selection is gone.
    pub fn page(&self, view: &str, cursor: &str) -> Result<Page, Refusal> {
        let parsed = cursor.split_once('-').and_then(|(id, start)| Some((u64::from_str_radix(id, 16).ok()?, start.parse().ok()?)));
        let Some((id, start)) = parsed else {
            return Err(Refusal::bad_query("this is no cursor").help("take `next` of the page before as it is"));
        };
        let now_micros = self.clock.now().0;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| now_micros.saturating_sub(kept.used_micros) <= MAX_IDLE_MICROS);
        let place = kept.iter().position(|kept| kept.id == id && kept.view == view);
        let Some(mut found) = place.and_then(|place| kept.remove(place)) else {
            let refusal = Refusal::new(StatusCode::GONE, "cursor-gone", "the version that this cursor pages through is not kept any more");
            return Err(refusal.help("start again without `cursor`; pages are kept for a minute, and fewer when many are read at once"));
        };
        found.used_micros = now_micros;
        let page = Page { selection: found.selection.clone(), start, limit: found.limit, id: Some(id) };
        kept.push_back(found);
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use millstream_api::time::ClockTime;

    use super::*;

    #[derive(Default)]
    struct ByHand(AtomicI64);

    impl Clock for ByHand {
        fn now(&self) -> ClockTime {
            ClockTime(self.0.load(Ordering::Relaxed))
        }
    }

    fn page(rows: i64, limit: usize) -> Page {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let selection = Selection::found((1, RecordBatch::try_from_iter([("n", column)]).unwrap()));
        Page { selection, start: 0, limit, id: None }
    }

    fn status(result: Result<Page, Refusal>) -> u16 {
        result.err().unwrap().status.as_u16()
    }

    #[test]
    fn a_cursor_leads_on_to_the_last_row() {
        let pages = Pages::new(Arc::new(ByHand::default()));
        let first = pages.cursor("v", &page(5, 2)).unwrap();
        let second = pages.page("v", &first).unwrap();
        assert_eq!((second.start, second.limit, second.selection.len()), (2, 2, 5));
        let third = pages.page("v", &pages.cursor("v", &second).unwrap()).unwrap();
        assert_eq!((third.start, pages.cursor("v", &third)), (4, None));
        assert_eq!(pages.page("v", &first).unwrap().start, 2, "a page can be read again");
        assert_eq!(pages.cursor("v", &page(2, 2)), None);
        assert_eq!(pages.cursor("v", &page(2, usize::MAX)), None);
    }

    #[test]
    fn what_is_kept_is_bounded_in_number_and_time() {
        let clock = Arc::new(ByHand::default());
        let pages = Pages::new(clock.clone());
        let cursors: Vec<String> = (0..MAX_KEPT).map(|_| pages.cursor("v", &page(3, 1)).unwrap()).collect();
        assert!(pages.page("v", &cursors[0]).is_ok());
        let last = pages.cursor("v", &page(3, 1)).unwrap();
        assert_eq!(status(pages.page("v", &cursors[1])), 410, "the one that was not used for the longest time");
        assert!(pages.page("v", &cursors[0]).is_ok());
        clock.0.store(MAX_IDLE_MICROS, Ordering::Relaxed);
        assert!(pages.page("v", &last).is_ok());
        clock.0.store(MAX_IDLE_MICROS + 1, Ordering::Relaxed);
        assert_eq!(status(pages.page("v", &cursors[0])), 410);
        assert!(pages.page("v", &last).is_ok());
    }

    #[test]
    fn other_texts_and_other_views_are_refused() {
        let pages = Pages::new(Arc::new(ByHand::default()));
        let cursor = pages.cursor("v", &page(3, 1)).unwrap();
        assert_eq!(status(pages.page("w", &cursor)), 410);
        for text in ["", "-", "x-1", "1-", "1-x", "1", "ffffffffffffffffff-1", "1--1"] {
            assert_eq!(status(pages.page("v", text)), 400, "{text}");
        }
        let beyond = pages.page("v", &format!("{}-{}", &cursor[..16], usize::MAX)).unwrap();
        assert_eq!(pages.cursor("v", &beyond), None);
    }
}
