//! What the service answers.

use actix_web::{
    HttpRequest, HttpResponse, Responder, get, post,
    web::{self, Data, Json, Path, Payload, ServiceConfig},
};
use actix_ws::Message;
use common::NewTask;
use futures_util::StreamExt as _;

use crate::{db::Database, error::Error};

/// Where quotes come from.
#[derive(Clone)]
pub struct Quotes {
    pub client: reqwest::Client,
    pub url: String,
}

pub fn configure(app: &mut ServiceConfig) {
    let tasks = web::scope("/tasks")
        .service(list)
        .service(add)
        .service(complete);
    app.service(tasks)
        .service(quote)
        .service(socket)
        .service(health);
}

#[get("")]
async fn list(db: Data<Database>) -> Result<impl Responder, Error> {
    Ok(Json(db.tasks().await?))
}

#[post("")]
async fn add(db: Data<Database>, task: Json<NewTask>) -> Result<impl Responder, Error> {
    let task = db.add(task.into_inner().description).await?;
    log::info!("task {} was added", task.id);
    Ok(HttpResponse::Created().json(task))
}

#[post("/{id}/complete")]
async fn complete(db: Data<Database>, id: Path<i64>) -> Result<impl Responder, Error> {
    Ok(Json(db.complete(*id).await?))
}

#[get("/quote")]
async fn quote(quotes: Data<Quotes>) -> Result<impl Responder, Error> {
    let response = quotes.client.get(&quotes.url).send().await?;
    Ok(response.error_for_status()?.text().await?)
}

/// Says back what it is told.
#[get("/ws")]
async fn socket(request: HttpRequest, body: Payload) -> actix_web::Result<HttpResponse> {
    let (response, mut session, mut messages) = actix_ws::handle(&request, body)?;
    actix_web::rt::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            let said = match message {
                Message::Text(text) => session.text(text).await,
                Message::Ping(bytes) => session.pong(&bytes).await,
                Message::Close(_) => break,
                _ => Ok(()),
            };
            if said.is_err() {
                return;
            }
        }
        let _ = session.close(None).await;
    });
    Ok(response)
}

#[get("/healthz")]
async fn health() -> &'static str {
    "ok"
}

#[cfg(test)]
mod tests {
    use actix_web::{App, http::StatusCode, test};
    use common::Task;

    use super::*;

    #[actix_web::test]
    async fn a_task_that_was_added_is_listed() {
        let db = Database::open(":memory:").unwrap();
        let app = App::new().app_data(Data::new(db)).configure(configure);
        let app = test::init_service(app).await;
        let task = NewTask {
            description: "buy milk".to_owned(),
        };
        let request = test::TestRequest::post().uri("/tasks").set_json(task);
        let response = test::call_service(&app, request.to_request()).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        let request = test::TestRequest::get().uri("/tasks").to_request();
        let tasks: Vec<Task> = test::call_and_read_body_json(&app, request).await;
        assert_eq!(tasks[0].description, "buy milk");
    }
}
