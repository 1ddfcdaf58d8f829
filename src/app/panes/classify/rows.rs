//! The images of the pane, in pages.
//!
//! A folder may hold a hundred thousand photos. All of them are on the list, but only those of the page that is seen are
//! read and kept in memory.

use crate::{
    app::{classifier::Source, widgets::zoom::Zoom},
    train::answers::Answer,
};

/// Rows on a page.
const PAGE: usize = 50;

/// See the module.
#[derive(Default)]
pub(crate) struct Rows {
    /// In the order in which they were added; the newest is seen first.
    rows: Vec<Row>,
    /// The page that is seen, counted from the newest row; one that there is, or the first.
    page: usize,
    /// Images that were ever added.
    added: usize,
}

/// A row of the pane.
pub(crate) struct Row {
    /// Tells it from all others that there ever were: a late answer is still about this one.
    pub number: usize,
    pub source: Source,
    /// `None` while it is to be read, as rows of other pages are again.
    pub content: Option<Result<Item, String>>,
}

/// An image that was read.
pub(crate) struct Item {
    pub name: String,
    pub original: Zoom,
    pub input: Zoom,
    pub truth: Option<usize>,
    pub note: Option<String>,
    pub answer: Option<Result<Answer, String>>,
    /// From the request to the answer, in milliseconds, shared by the images of one request.
    pub milliseconds: f64,
}

impl Rows {
    pub(crate) fn added(&self) -> usize {
        self.added
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn page(&self) -> usize {
        self.page
    }

    pub(crate) fn pages(&self) -> usize {
        self.rows.len().div_ceil(PAGE).max(1)
    }

    /// Adds images, and turns to the page that they are on.
    pub(crate) fn add(&mut self, sources: Vec<Source>) {
        for source in sources {
            self.rows.push(Row { number: self.added, source, content: None });
            self.added += 1;
        }
        self.turn_to(0);
    }

    /// Takes rows off.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Row) -> bool) {
        self.rows.retain(keep);
        self.turn_to(self.page);
    }

    /// All are to be read anew.
    pub(crate) fn forget(&mut self) {
        self.rows.iter_mut().for_each(|row| row.content = None);
    }

    /// Shows another page, and lets go of the pictures of all others.
    pub(crate) fn turn_to(&mut self, page: usize) {
        self.page = page.min(self.pages() - 1);
        let newest = self.rows.len() - self.page * PAGE;
        for (index, row) in self.rows.iter_mut().enumerate() {
            if index >= newest || index + PAGE < newest {
                row.content = None;
            }
        }
    }

    /// The rows of the page that is seen, from above.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().rev().skip(self.page * PAGE).take(PAGE)
    }

    pub(crate) fn shown_mut(&mut self) -> impl Iterator<Item = &mut Row> {
        self.rows.iter_mut().rev().skip(self.page * PAGE).take(PAGE)
    }

    /// The images of this page that were read, with the numbers of their rows.
    pub(crate) fn items(&mut self) -> impl Iterator<Item = (usize, &mut Item)> {
        self.shown_mut().filter_map(|row| Some((row.number, row.content.as_mut()?.as_mut().ok()?)))
    }

    /// At most so many rows of this page that are to be read next.
    pub(crate) fn unread(&self, most: usize) -> impl Iterator<Item = &Row> {
        self.shown().filter(|row| row.content.is_none()).take(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(rows: &Rows) -> Vec<usize> {
        rows.shown().map(|row| row.number).collect()
    }

    #[test]
    fn every_image_is_on_a_page_and_only_those_of_one_page_are_kept() {
        let mut rows = Rows::default();
        assert_eq!((rows.pages(), numbers(&rows).len()), (1, 0));
        rows.add((0..120).map(Source::HeldOut).collect());
        assert_eq!(rows.pages(), 3);
        let mut seen = Vec::new();
        for page in 0..3 {
            rows.turn_to(page);
            seen.extend(numbers(&rows));
            rows.shown_mut().for_each(|row| row.content = Some(Err("broken".to_owned())));
            assert_eq!(rows.rows.iter().filter(|row| row.content.is_some()).count(), rows.shown().count());
        }
        assert!(seen.iter().eq((0..120).rev().collect::<Vec<_>>().iter()), "each once, the newest first");
        rows.turn_to(99);
        assert_eq!((rows.page(), numbers(&rows).len()), (2, 20));
        // The page goes with its last row.
        rows.retain(|row| row.number >= 20);
        assert_eq!((rows.page(), rows.pages(), numbers(&rows)[0]), (1, 2, 69));
        rows.add(vec![Source::HeldOut(7)]);
        assert_eq!((rows.page(), numbers(&rows)[0], rows.added()), (0, 120, 121));
        assert_eq!(rows.unread(8).count(), 8);
    }
}
