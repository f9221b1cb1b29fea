//! Tests across the workspace's programs: a module for each surface.

mod load;
mod program;
mod workers;
