//! The one generic thing between what a user wrote and an exchange: it lends what an exchange gives away to the hook
//! that a phase asks for.
//!
//! An exchange that is given away has no head, no session, nothing; so nobody can look at what a waiting hook may be
//! changing. Which hooks were written is known when the program is compiled.

use super::cell::{Hook, HookCell, Rooms};
use super::chain::{Hooks, LinkPool, Starts, Visited};
use super::proxy::{Filter, Proxy};
use super::response::Response;
use super::session::ContentUse;
use super::unasked::asks;
use super::visit::{Answer, Flow, Visit};
use super::{Phase, Phases};
use crate::error::Result;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// The methods that start a hook.
macro_rules! starts {
    ($module:ident: $($function:ident)*) => {
        $(
            fn $function(&mut self, visit: Box<Visit>, context: &mut Context<'_>) -> Visited {
                self.start($module::$function::<P>, visit, context)
            }
        )*
    };
}

macro_rules! adapter {
    (
        $(#[$doc:meta])*
        struct $adapter:ident<$bound:ident>;
        lent $lent:ident;
        module $module:ident;
        own { $($own:ident $own_function:ident;)* }
        $($extra:item)*
    ) => {
        $(#[$doc])*
        struct $adapter<P: $bound> {
            cell: HookCell<$lent<P>, Answer>,
        }

        /// What a running hook borrows from.
        struct $lent<P: $bound> {
            of: Rc<P>,
            /// From the first hook of an exchange to its end.
            ctx: Option<P::Ctx>,
            visit: Option<Box<Visit>>,
        }

        impl<P: $bound> $lent<P> {
            /// What the hook may touch.
            #[inline]
            fn parts(&mut self) -> (&P, &mut Visit, &mut P::Ctx) {
                let visit = self.visit.as_mut().expect("put here by `visit`");
                (&self.of, visit, self.ctx.get_or_insert_with(|| self.of.new_ctx()))
            }
        }

        impl<P: $bound> $adapter<P> {
            fn new(of: Rc<P>, rooms: Rooms) -> Self {
                Self { cell: HookCell::new($lent { of, ctx: None, visit: None }, rooms) }
            }

            #[inline(always)]
            fn start<H>(&mut self, hook: H, visit: Box<Visit>, context: &mut Context<'_>) -> Visited
            where
                H: for<'a> Hook<'a, $lent<P>, Answer>,
            {
                self.cell.lent_mut().expect("one hook at a time").visit = Some(visit);
                let answer = ready!(self.cell.start(hook, context));
                self.back(answer)
            }

            #[inline]
            fn back(&mut self, answer: Answer) -> Visited {
                let lent = self.cell.lent_mut().expect("the hook has answered");
                Poll::Ready((lent.visit.take().expect("put here by `visit`"), answer))
            }
        }

        impl<P: $bound> Starts for $adapter<P> {
            starts!($module: $($own_function)* early_request request connected upstream_request request_data request_trailers upstream_response response response_data response_trailers connect_failed retry failed finished);
        }

        impl<P: $bound> Hooks for $adapter<P> {
            fn asked(&self) -> Phases {
                use $module as of;
                Phases::NONE
                    $(.with(Phase::$own, asks::<_, Answer, _>(of::$own_function::<P>)))*
                    .with(Phase::EarlyRequest, asks::<_, Answer, _>(of::early_request::<P>))
                    .with(Phase::Request, asks::<_, Answer, _>(of::request::<P>))
                    .with(Phase::Connected, asks::<_, Answer, _>(of::connected::<P>))
                    .with(Phase::UpstreamRequest, asks::<_, Answer, _>(of::upstream_request::<P>))
                    .with(Phase::RequestData, asks::<_, Answer, _>(of::request_data::<P>))
                    .with(Phase::RequestTrailers, asks::<_, Answer, _>(of::request_trailers::<P>))
                    .with(Phase::UpstreamResponse, asks::<_, Answer, _>(of::upstream_response::<P>))
                    .with(Phase::Response, asks::<_, Answer, _>(of::response::<P>))
                    .with(Phase::ResponseData, asks::<_, Answer, _>(of::response_data::<P>))
                    .with(Phase::ResponseTrailers, asks::<_, Answer, _>(of::response_trailers::<P>))
                    .with(Phase::ConnectFailed, asks::<_, Answer, _>(of::connect_failed::<P>))
                    .with(Phase::Retry, asks::<_, Answer, _>(of::retry::<P>))
                    .with(Phase::Failed, asks::<_, Answer, _>(of::failed::<P>))
                    .with(Phase::Finished, asks::<_, Answer, _>(of::finished::<P>))
            }

            fn content(&self) -> [ContentUse; 2] {
                [P::REQUEST_CONTENT, P::RESPONSE_CONTENT]
            }

            fn resume(&mut self, context: &mut Context<'_>) -> Visited {
                let answer = ready!(self.cell.resume(context));
                self.back(answer)
            }

            fn cancel(&mut self) -> Option<Box<Visit>> {
                self.cell.cancel();
                self.cell.lent_mut().and_then(|lent| lent.visit.take())
            }

            fn clear(&mut self) {
                if let Some(lent) = self.cell.lent_mut() {
                    lent.ctx = None;
                }
            }
        }

        /// The hooks as functions of what is lent.
        mod $module {
            use super::*;

            $($extra)*

            pub(super) fn early_request<P: $bound>(lent: &mut $lent<P>) -> impl Future<Output = Result<()>> {
                let (of, visit, ctx) = lent.parts();
                of.early_request_filter(&mut visit.session, ctx)
            }

            pub(super) fn request<P: $bound>(lent: &mut $lent<P>) -> impl Future<Output = Result<Flow>> {
                let (of, visit, ctx) = lent.parts();
                of.request_filter(&mut visit.session, ctx)
            }

            pub(super) fn connected<P: $bound>(lent: &mut $lent<P>) -> impl Future<Output = Result<()>> {
                let (of, visit, ctx) = lent.parts();
                let connected = visit.connected.as_ref().expect("noted before the phase");
                of.connected_to_upstream(&mut visit.session, connected, ctx)
            }

            pub(super) fn upstream_request<P: $bound>(lent: &mut $lent<P>) -> impl Future<Output = Result<()>> {
                let (of, visit, ctx) = lent.parts();
                let head = visit.upstream_request.as_mut().expect("made before the phase");
                of.upstream_request_filter(&mut visit.session, head, ctx)
            }

            pub(super) fn request_data<P: $bound>(lent: &mut $lent<P>) -> impl Future<Output = Result<()>> {
                let (of, visit, ctx) = lent.parts();
                of.request_body_filter(&mut visit.session, &mut visit.content, ctx)
            }

            pub(super) fn request_trailers<P: $bound>(lent: &mut $lent<P>) -> impl Future<Output = Result<()>> {
                let (of, visit, ctx) = lent.parts();
                let trailers = visit.request_trailers.as_mut().expect("put here before the phase");
                of.request_trailer_filter(&mut visit.session, trailers, ctx)
            }

            pub(super) fn upstream_response<P: $bound>(lent: &mut $lent<P>) -> impl Future<Output = Result<()>> {
                let (of, visit, ctx) = lent.parts();
                let head = visit.response.as_mut().expect("put here before the phase");
                of.upstream_response_filter(&mut visit.session, head, ctx)
            }

            pub(super) fn response<P: $bound>(lent: &mut $lent<P>) -> impl Future<Output = Result<()>> {
                let (of, visit, ctx) = lent.parts();
                let head = visit.response.as_mut().expect("put here before the phase");
                of.response_filter(&mut visit.session, head, ctx)
            }

            pub(super) fn response_data<P: $bound>(lent: &mut $lent<P>) -> impl Future<Output = Result<()>> {
                let (of, visit, ctx) = lent.parts();
                of.response_body_filter(&mut visit.session, &mut visit.content, ctx)
            }

            pub(super) fn response_trailers<P: $bound>(lent: &mut $lent<P>) -> impl Future<Output = Result<()>> {
                let (of, visit, ctx) = lent.parts();
                let trailers = visit.response_trailers.as_mut().expect("put here before the phase");
                of.response_trailer_filter(&mut visit.session, trailers, ctx)
            }

            pub(super) fn connect_failed<P: $bound>(lent: &mut $lent<P>) -> impl Future<Output = ()> {
                let (of, visit, ctx) = lent.parts();
                let error = visit.error.as_mut().expect("noted before the phase");
                of.fail_to_connect(&mut visit.session, error, ctx)
            }

            pub(super) fn retry<P: $bound>(lent: &mut $lent<P>) -> impl Future<Output = ()> {
                let (of, visit, ctx) = lent.parts();
                let error = visit.error.as_mut().expect("noted before the phase");
                of.error_while_proxy(&mut visit.session, error, ctx)
            }

            pub(super) fn failed<P: $bound>(lent: &mut $lent<P>) -> impl Future<Output = Option<Response>> {
                let (of, visit, ctx) = lent.parts();
                let error = visit.error.as_ref().expect("noted before the phase");
                of.fail_to_proxy(&mut visit.session, error, ctx)
            }

            pub(super) fn finished<P: $bound>(lent: &mut $lent<P>) -> impl Future<Output = ()> {
                let (of, visit, ctx) = lent.parts();
                of.logging(&mut visit.session, visit.error.as_ref(), ctx)
            }
        }
    };
}

adapter! {
    /// The hooks of a proxy.
    struct ProxyHooks<Proxy>;
    lent LentToProxy;
    module proxy_hooks;
    own { Select select; }

    pub(super) async fn select<P: Proxy>(lent: &mut LentToProxy<P>) -> Result<()> {
        let (of, visit, ctx) = lent.parts();
        visit.peer = Some(of.upstream_peer(&mut visit.session, ctx).await?);
        Ok(())
    }
}

adapter! {
    /// The hooks of a filter.
    struct FilterHooks<Filter>;
    lent LentToFilter;
    module filter_hooks;
    own {}
}

impl LinkPool {
    /// The links of a proxy.
    pub fn of_proxy<P: Proxy>(proxy: Rc<P>, rooms: &Rooms) -> Rc<Self> {
        let rooms = rooms.clone();
        Self::new(move || Box::new(ProxyHooks::new(Rc::clone(&proxy), rooms.clone())))
    }

    /// The links of a filter.
    pub fn of_filter<F: Filter>(filter: Rc<F>, rooms: &Rooms) -> Rc<Self> {
        let rooms = rooms.clone();
        Self::new(move || Box::new(FilterHooks::new(Rc::clone(&filter), rooms.clone())))
    }
}
