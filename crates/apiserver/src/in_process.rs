//! The way into the server for callers of the same process: a tower service with an identity.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use machinery::admission::UserInfo;

use crate::body::BodyError;
use crate::flow::OwnComponent;
use crate::{ApiServer, Body};

/// Calls the server as one user. Authorisation and admission apply as they do to anyone.
#[derive(Clone, Debug)]
pub struct InProcess {
    server: ApiServer,
    user: UserInfo,
}

impl InProcess {
    pub(crate) fn new(server: ApiServer, user: UserInfo) -> Self {
        Self { server, user }
    }
}

impl<B> tower::Service<Request<B>> for InProcess
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.server.clone();
        let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        request.extensions_mut().insert(self.user.clone());
        request.extensions_mut().insert(OwnComponent);
        Box::pin(async move { Ok(server.handle(request).await) })
    }
}
