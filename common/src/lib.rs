//! Worker processes for actix-web, and Prometheus metrics shared between them.
