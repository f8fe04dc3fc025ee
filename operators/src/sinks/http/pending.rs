//! Rows that are collected into a request.

/// Encoded rows, each with its line end.
pub(super) struct Pending {
    max_rows: usize,
    max_bytes: usize,
    body: Vec<u8>,
    rows: usize,
    /// Whether the row that comes next would not fit.
    full: bool,
}

impl Pending {
    /// For so many rows and bytes, at most.
    pub(super) fn new(max_rows: usize, max_bytes: usize) -> Self {
        Pending { max_rows, max_bytes, body: Vec::new(), rows: 0, full: false }
    }

    /// Adds the rows at the start of `lines` that fit; gives their bytes. When it is empty at least one fits.
    pub(super) fn add(&mut self, lines: &[u8]) -> usize {
        let mut end = 0;
        for line_end in memchr::memchr_iter(b'\n', lines) {
            let bytes = self.body.len() + line_end + 1;
            if self.rows > 0 && bytes > self.max_bytes {
                self.full = true;
                break;
            }
            end = line_end + 1;
            self.rows += 1;
            if self.rows == self.max_rows || bytes >= self.max_bytes {
                self.full = true;
                break;
            }
        }
        self.body.extend_from_slice(&lines[..end]);
        end
    }

    /// Whether it must be sent before anything is added.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// All of it was sent.
    pub(super) fn clear(&mut self) {
        self.body.clear();
        (self.rows, self.full) = (0, false);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The requests that these rows make, of batches of `batch` rows.
    fn requests(rows: &[String], batch: usize, max_rows: usize, max_bytes: usize) -> Vec<String> {
        let mut pending = Pending::new(max_rows, max_bytes);
        let mut sent = Vec::new();
        for rows in rows.chunks(batch) {
            let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
            let mut start = 0;
            while start < lines.len() {
                start += pending.add(&lines.as_bytes()[start..]);
                if pending.is_full() {
                    sent.push(String::from_utf8(pending.body().to_vec()).unwrap());
                    pending.clear();
                }
            }
        }
        if !pending.is_empty() {
            sent.push(String::from_utf8(pending.body().to_vec()).unwrap());
        }
        sent
    }

    proptest! {
        #[test]
        fn all_rows_are_sent_in_order_and_within_the_limits(
            rows in prop::collection::vec("[a-z]{0,12}", 0..40), batch in 1..9_usize, max_rows in 1..6_usize, max_bytes in 1..30_usize,
        ) {
            let sent = requests(&rows, batch, max_rows, max_bytes);
            let all = sent.concat();
            prop_assert_eq!(all.lines().collect::<Vec<_>>(), rows.iter().map(String::as_str).collect::<Vec<_>>());
            for request in &sent {
                let lines = request.lines().count();
                prop_assert!(lines <= max_rows && (lines == 1 || request.len() <= max_bytes), "{request:?}");
            }
            // How rows came in batches does not show, and no two neighbours could have been one.
            prop_assert_eq!(&sent, &requests(&rows, 1, max_rows, max_bytes));
            for pair in sent.windows(2) {
                let first_of_next = pair[1].find('\n').map_or(0, |end| end + 1);
                prop_assert!(pair[0].lines().count() == max_rows || pair[0].len() + first_of_next > max_bytes);
            }
        }
    }
}
