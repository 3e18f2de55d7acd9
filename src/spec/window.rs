//! Which earlier keys a layer lets a row see.

use serde::Serialize;

/// The keys that a row sees: from [`Window::first_visible`] to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Window {
    /// All keys up to the row.
    Full,
    /// The last so many, the row itself included (arXiv 2004.05150).
    Sliding(usize),
    /// Those of the row's own chunk: positions are cut into chunks of so many from 0 on (Llama 4).
    Chunked(usize),
}

impl Window {
    /// The first key that row `row` (absolute position) sees. It never falls as rows go on.
    ///
    /// ```
    /// use niah::spec::Window;
    /// let first = |window: Window| [0, 7, 8, 9].map(|row| window.first_visible(row));
    /// assert_eq!(first(Window::Full), [0, 0, 0, 0]);
    /// assert_eq!(first(Window::Sliding(8)), [0, 0, 1, 2]);
    /// assert_eq!(first(Window::Chunked(8)), [0, 0, 8, 8]);
    /// ```
    #[must_use]
    pub fn first_visible(self, row: usize) -> usize {
        match self {
            Self::Full => 0,
            Self::Sliding(width) => (row + 1).saturating_sub(width),
            Self::Chunked(size) => row - row % size,
        }
    }

    /// `n`, the number of keys that row `row` sees.
    #[must_use]
    pub fn visible(self, row: usize) -> usize {
        row + 1 - self.first_visible(row)
    }
}
