//! What people implement: [`Proxy`] and [`Filter`].

use super::content::Content;
use super::peer::Peer;
use super::response::Response;
use super::session::{ContentUse, Session};
use super::unasked::Unasked;
use super::visit::{Connected, Flow};
use crate::error::{Error, Result};
use ringway_proto::message::{Fields, RequestHead, ResponseHead};

macro_rules! hooks {
    ($(#[$doc:meta])* trait $name:ident { $($own:tt)* }) => {
        $(#[$doc])*
        ///
        /// Hooks are asynchronous functions that run on the shard of their exchange: they may wait for anything in
        /// [`crate::rt`], and need not be `Send`. One that does not wait costs some nanoseconds and no allocation; one
        /// that waits parks its own exchange and nothing else. A hook may end at any `await`: it is dropped there when
        /// the client leaves, or after [`crate::settings::Limits::hook_timeout`]. A hook that panics fails its own
        /// exchange. One that nobody wrote is not called.
        ///
        /// In the order in which they run; those of the response run in the opposite order of the chain, the last
        /// filter first.
        pub trait $name: Sized + 'static {
            /// What one exchange remembers from hook to hook. It is dropped behind `logging`, when the exchange is over.
            type Ctx: 'static;

            /// What `request_body_filter` does, unless [`Session::set_request_content`] says otherwise.
            const REQUEST_CONTENT: ContentUse = ContentUse::Rewrite;

            /// What `response_body_filter` does, unless [`Session::set_response_content`] says otherwise.
            const RESPONSE_CONTENT: ContentUse = ContentUse::Rewrite;

            /// Makes the context of an exchange, in front of the first hook of it that runs.
            fn new_ctx(&self) -> Self::Ctx;

            /// The head of a request has come, and nothing was decided. Runs in front of the request filters of all
            /// members of the chain: for what they have to know, such as [`Session::attach`].
            ///
            /// # Errors
            /// End the exchange: the client is answered what the error says.
            fn early_request_filter(
                &self,
                session: &mut Session,
                ctx: &mut Self::Ctx,
            ) -> impl Future<Output = Result<()>> {
                let _ = (session, ctx);
                Unasked::new()
            }

            /// May change the request, refuse it, or answer it at once: with [`Flow::Respond`] no origin is asked.
            ///
            /// # Errors
            /// As in `early_request_filter`.
            fn request_filter(
                &self,
                session: &mut Session,
                ctx: &mut Self::Ctx,
            ) -> impl Future<Output = Result<Flow>> {
                let _ = (session, ctx);
                Unasked::new()
            }

            $($own)*

            /// A connection to the upstream is there, new or reused. Once for each attempt.
            ///
            /// # Errors
            /// End the exchange.
            fn connected_to_upstream(
                &self,
                session: &mut Session,
                connected: &Connected,
                ctx: &mut Self::Ctx,
            ) -> impl Future<Output = Result<()>> {
                let _ = (session, connected, ctx);
                Unasked::new()
            }

            /// May change the request as it goes to the origin. Once for each attempt, each time from the request that
            /// [`Session::request`] shows, with hop-by-hop fields removed and forwarding fields added.
            ///
            /// # Errors
            /// End the exchange.
            fn upstream_request_filter(
                &self,
                session: &mut Session,
                upstream_request: &mut RequestHead,
                ctx: &mut Self::Ctx,
            ) -> impl Future<Output = Result<()>> {
                let _ = (session, upstream_request, ctx);
                Unasked::new()
            }

            /// Some of the request's content passes on its way to the origin; see [`Content`] and
            /// [`Session::set_request_content`]. A hook that waits pauses both directions of its exchange. Not called
            /// for content that is sent again in another attempt.
            ///
            /// # Errors
            /// End the exchange: answered where no answer has begun, else cut.
            fn request_body_filter(
                &self,
                session: &mut Session,
                content: &mut Content,
                ctx: &mut Self::Ctx,
            ) -> impl Future<Output = Result<()>> {
                let _ = (session, content, ctx);
                Unasked::new()
            }

            /// The fields behind the request's content pass.
            ///
            /// # Errors
            /// As in `request_body_filter`.
            fn request_trailer_filter(
                &self,
                session: &mut Session,
                trailers: &mut Fields,
                ctx: &mut Self::Ctx,
            ) -> impl Future<Output = Result<()>> {
                let _ = (session, trailers, ctx);
                Unasked::new()
            }

            /// The head of a final response has come from upstream, before it could be stored.
            ///
            /// # Errors
            /// End the exchange: the client is answered what the error says. One with [`Error::with_retry`] rejects the
            /// response, and the request is sent elsewhere, where that can be: `error_while_proxy` is next.
            fn upstream_response_filter(
                &self,
                session: &mut Session,
                upstream_response: &mut ResponseHead,
                ctx: &mut Self::Ctx,
            ) -> impl Future<Output = Result<()>> {
                let _ = (session, upstream_response, ctx);
                Unasked::new()
            }

            /// May change the head of the response that goes to the client, wherever it comes from: an origin, a hook,
            /// ourselves. What a hook of this phase fails with is sent without asking it again.
            ///
            /// # Errors
            /// End the exchange: the client is answered what the error says.
            fn response_filter(
                &self,
                session: &mut Session,
                response: &mut ResponseHead,
                ctx: &mut Self::Ctx,
            ) -> impl Future<Output = Result<()>> {
                let _ = (session, response, ctx);
                Unasked::new()
            }

            /// Some of the response's content passes on its way to the client; see [`Content`] and
            /// [`Session::set_response_content`]. To slow a response down, wait. Not called where a response has no
            /// content: for HEAD, 204, 304.
            ///
            /// # Errors
            /// The response has begun: the client's connection is cut, so that it does not take it for complete.
            fn response_body_filter(
                &self,
                session: &mut Session,
                content: &mut Content,
                ctx: &mut Self::Ctx,
            ) -> impl Future<Output = Result<()>> {
                let _ = (session, content, ctx);
                Unasked::new()
            }

            /// The fields behind the response's content pass.
            ///
            /// # Errors
            /// As in `response_body_filter`.
            fn response_trailer_filter(
                &self,
                session: &mut Session,
                trailers: &mut Fields,
                ctx: &mut Self::Ctx,
            ) -> impl Future<Output = Result<()>> {
                let _ = (session, trailers, ctx);
                Unasked::new()
            }

            /// No connection could be had. [`Error::set_retry`] says whether the next attempt is made, which begins
            /// with `upstream_peer`. Where none is, the exchange fails with what the hook leaves in `error`.
            fn fail_to_connect(
                &self,
                session: &mut Session,
                error: &mut Error,
                ctx: &mut Self::Ctx,
            ) -> impl Future<Output = ()> {
                let _ = (session, error, ctx);
                Unasked::new()
            }

            /// An upstream connection failed behind `connected_to_upstream` and in front of an answer, or
            /// `upstream_response_filter` rejected the answer. [`Error::set_retry`] says whether the request is sent again,
            /// and `error` what the exchange fails with if it is not. Without that a rejected answer is asked for again,
            /// and a request whose connection failed is where RFC 9110 section 9.2.2 allows it: on a reused connection
            /// that closed without an answer, for a method that is idempotent.
            fn error_while_proxy(
                &self,
                session: &mut Session,
                error: &mut Error,
                ctx: &mut Self::Ctx,
            ) -> impl Future<Output = ()> {
                let _ = (session, error, ctx);
                Unasked::new()
            }

            /// The exchange failed, and the client can still be answered: with this, or else with a line of text. The
            /// first member of the chain that has an answer gives it.
            fn fail_to_proxy(
                &self,
                session: &mut Session,
                error: &Error,
                ctx: &mut Self::Ctx,
            ) -> impl Future<Output = Option<Response>> {
                let _ = (session, error, ctx);
                Unasked::new()
            }

            /// It is over: the last hook, called exactly once for each context. Whoever waits here keeps nobody
            /// waiting; the client's connection serves its next request.
            fn logging(
                &self,
                session: &mut Session,
                error: Option<&Error>,
                ctx: &mut Self::Ctx,
            ) -> impl Future<Output = ()> {
                let _ = (session, error, ctx);
                Unasked::new()
            }
        }
    };
}

hooks! {
    /// A proxy: where requests go, and what happens to them on the way.
    ///
    /// Only [`Proxy::new_ctx`] and [`Proxy::upstream_peer`] have to be written:
    ///
    /// ```
    /// use ringway_engine::error::Result;
    /// use ringway_engine::phase::{Peer, Proxy, Session};
    /// use ringway_proto::message::RequestHead;
    ///
    /// struct Balancer;
    ///
    /// impl Proxy for Balancer {
    ///     type Ctx = ();
    ///
    ///     fn new_ctx(&self) {}
    ///
    ///     async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Peer> {
    ///         Ok(Peer::cluster("origins"))
    ///     }
    ///
    ///     async fn upstream_request_filter(
    ///         &self,
    ///         _: &mut Session,
    ///         upstream_request: &mut RequestHead,
    ///         _: &mut (),
    ///     ) -> Result<()> {
    ///         Ok(upstream_request.fields.set(b"host", b"one.example")?)
    ///     }
    /// }
    /// ```
    trait Proxy {
        /// Chooses where the request goes. Called again for each further attempt.
        ///
        /// # Errors
        /// End the exchange: the client is answered what the error says.
        fn upstream_peer(
            &self,
            session: &mut Session,
            ctx: &mut Self::Ctx,
        ) -> impl Future<Output = Result<Peer>>;
    }
}

hooks! {
    /// Something that takes part in the exchanges of a proxy, in front of it or behind it, and can be used with any.
    /// It has the hooks of a [`Proxy`] but does not choose where requests go.
    trait Filter {}
}
