//! An actix-web application as a service for connections.

use std::{rc::Rc, time::Duration};

use actix_http::{ConnectionType, HttpService, Protocol, Request, Response, ResponseHead};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, boxed, fn_service,
    map_config,
};
use actix_web::{
    body::{BoxBody, MessageBody},
    dev::AppConfig,
    rt::{
        net::{TcpStream, UnixStream},
        time,
    },
};
use futures_util::future::LocalBoxFuture;
use tokio::sync::watch;
use tokio_util::either::Either;

use crate::{
    Address,
    activity::Activity,
    serve::{Step, reached},
};

/// A connection of either kind of socket.
pub(crate) type Stream = Either<TcpStream, UnixStream>;

/// Serves one connection to its end.
pub(crate) type Connections = Rc<boxed::BoxService<Stream, (), actix_http::error::DispatchError>>;

/// Creates the application on the thread that calls it; fails where the
/// application says so in its log.
pub(crate) type Create = dyn Fn(&'static Activity, watch::Receiver<Step>) -> LocalBoxFuture<'static, Result<Connections, ()>>
    + Send;

/// How long a connection may be idle.
///
/// It is longer than proxies keep theirs (nginx and the load balancers of clouds 60 s), so that it is
/// they who close them: a request that meets a close is lost. It is also longer than `--timeout`
/// usually is, since actix closes a connection whose time is over without a look at what has come
/// meanwhile, to a thread that was blocked for as long.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// What the application sees of the server, as with `HttpServer`.
pub(crate) fn config(address: &Address) -> AppConfig {
    match address {
        // The only constructor that is public. actix's own test server uses it too.
        Address::Tcp(address) => AppConfig::__priv_test_new(false, address.to_string(), *address),
        Address::Unix(_) => AppConfig::default(),
    }
}

/// Wraps what makes an application so that a serving thread can call it.
pub(crate) fn creator<F, I, S, B>(factory: F, config: AppConfig) -> Box<Create>
where
    F: Fn() -> I + Send + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: std::fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    Box::new(move |activity, step| {
        let config = config.clone();
        let (answer, error_answer) = (answered(activity, &step), answered(activity, &step));
        let app = map_config(factory().into_factory(), move |()| config.clone())
            .map(move |response| {
                let mut response: Response<B> = response.into();
                answer(response.head_mut());
                response
            })
            .map_err(move |error| {
                let error: actix_web::Error = error.into();
                let mut response: Response<BoxBody> = error.error_response().into();
                error_answer(response.head_mut());
                response
            });
        // The other time-outs are those of actix-web's `HttpServer`.
        let http = HttpService::build()
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(Duration::from_secs(5))
            .client_disconnect_timeout(Duration::from_secs(1))
            .graceful_shutdown_signal(move || close_idle(step.clone()))
            .finish(app);
        let connections = fn_service(|stream: Stream| async move {
            let peer = match &stream {
                Either::Left(stream) => stream.peer_addr().ok(),
                Either::Right(_) => None,
            };
            Ok((stream, Protocol::Http1, peer))
        })
        .and_then(http);
        Box::pin(async move {
            let service = connections.new_service(()).await?;
            Ok(Rc::new(boxed::service(service)))
        })
    })
}

/// Waits until a connection that is idle is to be closed.
///
/// The runtime may know nothing yet of a request that has come: it looks for events after some
/// tasks, and a process that was stopped for a while wakes up with the word to close before it. It
/// looks for them before a timer fires, so after a short sleep a connection that seems idle is.
async fn close_idle(step: watch::Receiver<Step>) {
    reached(step, Step::CloseIdle).await;
    time::sleep(Duration::from_millis(1)).await;
}

/// What is done with the head of every answer before it is written.
fn answered(
    activity: &'static Activity,
    step: &watch::Receiver<Step>,
) -> impl Fn(&mut ResponseHead) + Clone + use<> {
    let step = step.clone();
    move |head| {
        activity.request_answered();
        if *step.borrow() >= Step::AnnounceClose && !head.upgrade() {
            head.set_connection_type(ConnectionType::Close);
        }
    }
}
