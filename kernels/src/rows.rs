//! `Rows`: which rows of a batch take part.

/// Which rows of the argument arrays take part, in order.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// All rows of arrays of this length.
    All(usize),
    /// These rows, by index into the arrays. An index may come more than once.
    List(&'a [u32]),
}

impl Rows<'_> {
    /// How many rows take part.
    pub fn len(&self) -> usize {
        match self {
            Rows::All(rows) => *rows,
            Rows::List(rows) => rows.len(),
        }
    }

    /// Whether no row takes part.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The array index of the `i`-th selected row.
    ///
    /// # Panics
    /// May panic when `i >= len()`.
    #[inline(always)]
    pub fn get(&self, i: usize) -> usize {
        match self {
            Rows::All(_) => i,
            Rows::List(rows) => rows[i] as usize,
        }
    }
}
