//! What the end-to-end tests share: the SQL cases and the cells of the determinism matrix.
//!
//! Stays outside: what a right answer is. `compare.py` asks DuckDB.

pub mod cases;
pub mod cells;
