//! What the benchmarks share: a figure with its spread, and a table that a person likes to read.

mod spread;
mod table;

pub use crate::{spread::Spread, table::Table};
