//! Shared code of the benchmarks: figures with their spread, rows that compare them with a peer, and sections of rows.
//! A section is printed as a table and written as JSON.

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
