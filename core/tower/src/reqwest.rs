//! A client of reqwest as a service over [`http`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use ::reqwest::{Body, Client, Error, Request};
use tower_service::Service;

/// A client of reqwest as a service over [`http::Request`], for [`ClientLayer`](crate::ClientLayer).
///
/// reqwest takes layers around its connections only, where requests are not seen. So the layer goes
/// around the client:
///
/// ```
/// use http::Request;
/// use spandrel_core::hosted::trace::tracer;
/// use spandrel_tower::{ClientLayer, Reqwest};
/// use tower_layer::Layer as _;
/// use tower_service::Service as _;
///
/// async fn count(client: reqwest::Client) -> Result<http::StatusCode, Box<dyn std::error::Error>> {
///     let mut client = ClientLayer::new(&tracer("shop")).layer(Reqwest(client));
///     let request = Request::get("http://stock.internal/stock/7").body(reqwest::Body::default())?;
///     Ok(client.call(request).await?.status())
/// }
/// ```
///
/// The span is about the request as the program made it: redirects that reqwest follows belong to it.
#[derive(Clone, Debug)]
pub struct Reqwest(pub Client);

impl Service<http::Request<Body>> for Reqwest {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        // A client of reqwest always is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move {
            let request = Request::try_from(request)?;
            Ok(client.execute(request).await?.into())
        })
    }
}
