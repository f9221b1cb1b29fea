//! What the todo service and its clients exchange.

use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, Serialize)]
pub struct Task {
    pub id: i64,
    pub description: String,
    pub completed: bool,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct NewTask {
    pub description: String,
}
