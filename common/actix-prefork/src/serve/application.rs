//! An actix-web application as a service for connections.

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use actix_http::{
    ConnectionType, HttpService, KeepAlive, Protocol, Request, Response, ResponseHead, StatusCode,
    error::DispatchError,
};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, apply_fn_factory, boxed,
    fn_service, map_config,
};
use actix_web::{
    body::{BoxBody, MessageBody},
    dev::AppConfig,
};
use futures_util::future::LocalBoxFuture;
use tokio::sync::watch;

use super::{
    Step,
    body::{self, Answer},
    connection::Connection,
    exchange::Exchange,
    settings::Settings,
    stream::{self, Socket, Stream},
};
use crate::activity::Activity;

/// What a serving thread has accepted.
pub(crate) struct Accepted {
    pub(crate) socket: Socket,
    pub(crate) exchange: Rc<Exchange>,
}

/// Serves one connection to its end.
pub(crate) type Connections = Rc<boxed::BoxService<Accepted, (), DispatchError>>;

/// Creates the application on the thread that calls it; fails where the
/// application says so in its log.
pub(crate) type Create = dyn Fn(&'static Activity, watch::Receiver<Step>) -> LocalBoxFuture<'static, Result<Connections, ()>>
    + Send;

/// Wraps what makes an application so that a serving thread can call it.
pub(crate) fn creator<F, I, S, B>(factory: F, config: AppConfig, settings: Settings) -> Box<Create>
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
        let (config, settings) = (config.clone(), Rc::new(settings.clone()));
        let timeouts = settings.timeouts;
        let app = map_config(factory().into_factory(), move |()| config.clone()).map_err(
            |error| -> Response<BoxBody> {
                let error: actix_web::Error = error.into();
                error.error_response().into()
            },
        );
        let app = apply_fn_factory(app, move |mut request: Request, app: &_| {
            let exchange = exchange(&request);
            body::limit(&mut request, &exchange, timeouts.body);
            let in_service = exchange.begin();
            let answer = Service::call(app, request);
            let step = step.clone();
            async move {
                let answered = |head: &mut ResponseHead| {
                    activity.request_answered();
                    finish(head, in_service.exchange(), *step.borrow());
                };
                match answer.await {
                    Ok(response) => {
                        let mut response: Response<B> = response.into();
                        answered(response.head_mut());
                        Ok(response.map_body(|_, body| Answer::new(body, in_service)))
                    }
                    Err(mut response) => {
                        answered(response.head_mut());
                        Err(response)
                    }
                }
            }
        });
        let on_connect = settings.on_connect.clone();
        // `Connection` has the other limits.
        let keep_alive = match settings.keep_alive {
            KeepAlive::Disabled => KeepAlive::Disabled,
            KeepAlive::Timeout(_) | KeepAlive::Os => KeepAlive::Os,
        };
        let http = HttpService::build()
            .keep_alive(keep_alive)
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(settings.client_disconnect_timeout)
            .h1_allow_half_closed(settings.h1_allow_half_closed)
            .on_connect_ext(move |connection: &Connection<Stream>, data| {
                data.insert(connection.exchange().clone());
                if let Some(hook) = &on_connect {
                    hook(stream::as_any(connection.stream()), data);
                }
            })
            .finish(app);
        let connections = fn_service(move |accepted: Accepted| {
            let settings = settings.clone();
            async move {
                connect(accepted, &settings)
                    .await
                    .map_err(DispatchError::Io)
            }
        })
        .and_then(http);
        Box::pin(async move {
            let service = connections.new_service(()).await?;
            Ok(Rc::new(boxed::service(service)))
        })
    })
}

/// Does what comes before HTTP on a connection.
async fn connect(
    accepted: Accepted,
    settings: &Settings,
) -> io::Result<(Connection<Stream>, Protocol, Option<SocketAddr>)> {
    let Accepted { socket, exchange } = accepted;
    let (peer, descriptor) = (stream::peer(&socket), stream::descriptor(&socket));
    let (stream, protocol) = stream::handshake(socket, settings).await?;
    if protocol == Protocol::Http2 {
        exchange.multiplexed();
    }
    let connection = Connection::new(stream, descriptor, exchange, settings);
    Ok((connection, protocol, peer))
}

/// The state of the connection that a request came by.
fn exchange(request: &Request) -> Rc<Exchange> {
    let exchange = request.conn_data::<Rc<Exchange>>();
    exchange
        .cloned()
        .unwrap_or_else(|| Exchange::new(usize::MAX))
}

/// What is done with the head of every response before it is written.
fn finish(head: &mut ResponseHead, exchange: &Exchange, step: Step) {
    if head.upgrade() {
        return exchange.upgraded();
    }
    if exchange.is_body_late() && head.status.is_client_error() {
        head.status = StatusCode::REQUEST_TIMEOUT;
    }
    let closes = step >= Step::AnnounceClose || exchange.is_body_late() || exchange.has_left_body();
    if closes {
        head.set_connection_type(ConnectionType::Close);
    }
}
