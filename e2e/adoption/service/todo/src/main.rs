//! A to-do list over HTTP.

mod db;
mod error;
mod routes;

use std::{env, io, net::Ipv4Addr};

use actix_web::{App, HttpServer, http::StatusCode, middleware::ErrorHandlers, web};

use crate::db::Database;

#[actix_web::main]
async fn main() -> io::Result<()> {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("info"));

    let variable = |name: &str, default: &str| env::var(name).unwrap_or(default.to_owned());
    let port = variable("PORT", "8080").parse().map_err(io::Error::other)?;
    let db = Database::open(&variable("DATABASE", "todo.db")).map_err(io::Error::other)?;
    let quotes = routes::Quotes {
        client: reqwest::Client::new(),
        url: variable("QUOTE_URL", "http://localhost:9000/quote"),
    };

    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(db.clone()))
            .app_data(web::Data::new(quotes.clone()))
            .configure(routes::configure)
            .wrap(ErrorHandlers::new().handler(StatusCode::INTERNAL_SERVER_ERROR, error::page))
    })
    .bind((Ipv4Addr::LOCALHOST, port))?;
    for address in server.addrs() {
        log::info!("listening on http://{address}");
    }
    server.run().await
}
