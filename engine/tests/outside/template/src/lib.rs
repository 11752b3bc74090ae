//! Tenants: each has a name in front of its host, a cluster, and so many requests under way at a time.

use ringway_engine::meter::{Inflight, SharedGuard, SharedInflight};
use ringway_engine::prelude::*;
use std::cell::Cell;
use std::time::Duration;

/// Sends requests to the tenant's cluster.
pub struct Tenants {
    inflight: SharedInflight,
    /// Of this shard.
    answered: Cell<u64>,
    /// For those who want to know.
    measure: Attachable,
}

/// What an exchange remembers.
pub struct Visit {
    tenant: String,
    place: Option<SharedGuard>,
    is_late: bool,
}

impl Tenants {
    pub const AT_A_TIME: u64 = 2;

    pub fn new(inflight: SharedInflight) -> Self {
        Self { inflight, answered: Cell::new(0), measure: Attachable::new(Measure) }
    }
}

impl Proxy for Tenants {
    type Ctx = Visit;

    fn new_ctx(&self) -> Visit {
        Visit { tenant: String::new(), place: None, is_late: false }
    }

    async fn early_request_filter(&self, session: &mut Session, _: &mut Visit) -> Result<()> {
        if session.request().path() == b"/measured" {
            session.attach(&self.measure);
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, visit: &mut Visit) -> Result<Flow> {
        let host = std::str::from_utf8(session.host()).or_refuse(400)?;
        let (tenant, _) = host.split_once('.').or_refuse(404)?;
        let place = self.inflight.try_begin(tenant, Self::AT_A_TIME);
        if place.is_none() {
            return Ok(Response::new(429).header("retry-after", "1").into());
        }
        (visit.tenant, visit.place) = (tenant.to_owned(), place);
        Ok(Flow::Continue)
    }

    async fn upstream_peer(&self, session: &mut Session, _: &mut Visit) -> Result<Peer> {
        let patience = if session.request().path() == b"/report" { 60 } else { 5 };
        Ok(Peer::cluster("app").first_byte_timeout(Duration::from_secs(patience)))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        upstream_request: &mut RequestHead,
        visit: &mut Visit,
    ) -> Result<()> {
        upstream_request.fields.set("x-tenant", &visit.tenant)?;
        Ok(())
    }

    async fn error_while_proxy(&self, _: &mut Session, error: &mut Error, visit: &mut Visit) {
        visit.is_late = error.outcome() == Outcome::FirstByteTimeout;
    }

    async fn fail_to_proxy(&self, _: &mut Session, error: &Error, visit: &mut Visit) -> Option<Response> {
        visit.is_late.then(|| Response::new(error.status()).body("It takes too long.\n"))
    }

    async fn logging(&self, _: &mut Session, _: Option<&Error>, _: &mut Visit) {
        self.answered.set(self.answered.get() + 1);
    }
}

/// Counts the bytes of answers, and says so behind them.
pub struct Measure;

impl Filter for Measure {
    type Ctx = usize;

    fn new_ctx(&self) -> usize {
        0
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHead,
        _: &mut usize,
    ) -> Result<()> {
        Ok(response.fields.set("x-measured", "yes")?)
    }

    async fn response_body_filter(
        &self,
        _: &mut Session,
        content: &mut Content,
        bytes: &mut usize,
    ) -> Result<()> {
        *bytes += content.len();
        if content.is_end() {
            content.append(format!(" ({bytes})"));
        }
        Ok(())
    }
}

/// Answers by itself, after it has asked another.
pub struct Status {
    pub asked: Inflight,
}

impl HttpApp for Status {
    async fn serve(&self, mut request: Incoming, responder: Responder) -> Result<()> {
        let _asking = self.asked.begin("status");
        if request.head().method() == Method::Post {
            let body = request.bytes(16).await?;
            return responder.send(Response::new(200).body(body)).await;
        }
        let asked = client::Request::get("http://app/health").to(Peer::cluster("app")).send().await;
        let status = asked.map_or(503, |answer| answer.status());
        rt::sleep(Duration::from_millis(1)).await;
        let writer = responder.begin(Response::new(status), None).await?;
        writer.write("the app: ").await?;
        writer.write(status.to_string()).await?;
        writer.finish();
        Ok(())
    }
}
