//! Whether a request came over TLS.

use actix_web::dev::ServiceRequest;

/// The attribute `url.scheme`: what this server speaks. The headers that say what a
/// proxy speaks come from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 2] = [Self::Http, Self::Https];

    pub(super) fn of(request: &ServiceRequest) -> Self {
        match request.app_config().secure() {
            true => Self::Https,
            false => Self::Http,
        }
    }

    /// The value of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}
