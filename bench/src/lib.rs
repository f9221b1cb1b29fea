//! What the benchmarks share: a figure with its spread, a line that compares it with a peer's, and a section of such
//! lines, which is printed as a table and written as JSON.

pub mod python;
pub mod row;
pub mod section;

mod program;
mod random;
mod spread;
mod table;

pub use crate::{
    program::program,
    random::Random,
    row::{Goal, Row},
    section::Section,
    spread::Spread,
    table::Table,
};
