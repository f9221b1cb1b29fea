//! The tasks in SQLite.

use std::sync::{Arc, Mutex, PoisonError};

use actix_web::web;
use common::Task;
use rusqlite::{Connection, Row, params};

use crate::error::Error;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS tasks (
    id INTEGER PRIMARY KEY,
    description TEXT NOT NULL CHECK (description <> ''),
    completed INTEGER NOT NULL DEFAULT FALSE
)";

#[derive(Clone)]
pub struct Database(Arc<Mutex<Connection>>);

impl Database {
    pub fn open(path: &str) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute(SCHEMA, [])?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    pub async fn tasks(&self) -> Result<Vec<Task>, Error> {
        self.run(|connection| {
            let mut query = connection.prepare("SELECT * FROM tasks ORDER BY id")?;
            let tasks = query.query_map([], task)?;
            tasks.collect()
        })
        .await
    }

    pub async fn add(&self, description: String) -> Result<Task, Error> {
        self.run(move |connection| {
            let query = "INSERT INTO tasks (description) VALUES (?) RETURNING *";
            connection.query_row(query, params![description], task)
        })
        .await
    }

    pub async fn complete(&self, id: i64) -> Result<Task, Error> {
        let completed = self.run(move |connection| {
            let query = "UPDATE tasks SET completed = TRUE WHERE id = ? RETURNING *";
            connection.query_row(query, params![id], task)
        });
        completed.await.map_err(|error| match error {
            Error::Database(rusqlite::Error::QueryReturnedNoRows) => Error::NoSuchTask(id),
            other => other,
        })
    }

    async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let connection = self.0.clone();
        let run = move || query(&connection.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(web::block(run).await??)
    }
}

fn task(row: &Row<'_>) -> rusqlite::Result<Task> {
    Ok(Task {
        id: row.get(0)?,
        description: row.get(1)?,
        completed: row.get(2)?,
    })
}
