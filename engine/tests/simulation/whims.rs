//! Hooks that wait, hold content back, and fail, as the seed of their world has it.

use ringway_engine::error::{Error, Outcome, Result};
use ringway_engine::io::sim::Rng;
use ringway_engine::phase::{Connected, Content, ContentUse, Flow, Peer, Phase, Proxy, Session};
use ringway_engine::rt;
use ringway_engine::service::{Service, Services};
use ringway_proto::message::{Name, RequestHead, ResponseHead};
use std::time::Duration;

/// The services of a world: none of our own, or a proxy that does what it likes and that nobody may see anything of.
pub(crate) fn services(seed: u64, is_clean: bool) -> Services {
    if !are_in(seed) {
        return Services::default();
    }
    Services::new(vec![Some(Service::proxy(move || Whims { seed, is_clean }))])
}

/// Whether the world of this seed has such a proxy.
pub(crate) fn are_in(seed: u64) -> bool {
    Rng::new(seed ^ WHAT).chance(400)
}

struct Whims {
    seed: u64,
    is_clean: bool,
}

/// Content that is held back, of the request and of the response.
type Held = [Vec<u8>; 2];

impl Whims {
    fn rng(&self, session: &Session, phase: Phase, n: u64) -> Rng {
        let id =
            session.request().received_target().iter().fold(0, |id: u64, byte| id * 31 + u64::from(*byte));
        let mut rng =
            Rng::new(self.seed ^ WHAT ^ id.wrapping_mul(0x9e37_79b9) ^ (phase as u64) << 40 ^ n << 48);
        rng.word();
        rng
    }

    async fn visit(&self, session: &Session, phase: Phase) -> Result<()> {
        let mut rng = self.rng(session, phase, u64::from(session.attempts()));
        match rng.below(10) {
            0..=4 => {}
            5 => rt::yield_now().await,
            _ => rt::sleep(Duration::from_micros(rng.between(0, 30_000) as u64)).await,
        }
        if !self.is_clean && rng.chance(20) {
            return Err(if rng.chance(500) { Error::failed("a whim") } else { Error::refused(418) });
        }
        Ok(())
    }

    /// Waits, and passes on what was held back, or holds everything back.
    async fn hold(
        &self,
        session: &Session,
        phase: Phase,
        content: &mut Content,
        held: &mut Vec<u8>,
    ) -> Result<()> {
        let mut rng = self.rng(session, phase, held.len() as u64);
        self.visit(session, phase).await?;
        held.extend_from_slice(&content.take());
        if content.is_end() || rng.chance(500) {
            content.set(std::mem::take(held));
        }
        Ok(())
    }
}

impl Proxy for Whims {
    type Ctx = Held;

    fn new_ctx(&self) -> Held {
        Held::default()
    }

    async fn early_request_filter(&self, session: &mut Session, _: &mut Held) -> Result<()> {
        let mut rng = self.rng(session, Phase::Finished, 1);
        let uses = [ContentUse::Rewrite, ContentUse::Observe, ContentUse::Skip];
        session.set_request_content(*rng.pick(&uses));
        session.set_response_content(*rng.pick(&uses));
        self.visit(session, Phase::EarlyRequest).await
    }

    async fn request_filter(&self, session: &mut Session, _: &mut Held) -> Result<Flow> {
        self.visit(session, Phase::Request).await.map(|()| Flow::Continue)
    }

    async fn upstream_peer(&self, session: &mut Session, _: &mut Held) -> Result<Peer> {
        self.visit(session, Phase::Select).await.map(|()| Peer::cluster("app"))
    }

    async fn connected_to_upstream(&self, session: &mut Session, _: &Connected, _: &mut Held) -> Result<()> {
        self.visit(session, Phase::Connected).await
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        _: &mut RequestHead,
        _: &mut Held,
    ) -> Result<()> {
        self.visit(session, Phase::UpstreamRequest).await
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        content: &mut Content,
        held: &mut Held,
    ) -> Result<()> {
        self.hold(session, Phase::RequestData, content, &mut held[0]).await
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        _: &mut ResponseHead,
        _: &mut Held,
    ) -> Result<()> {
        self.visit(session, Phase::UpstreamResponse).await?;
        let mut rng = self.rng(session, Phase::Retry, u64::from(session.attempts()));
        let request = session.request();
        let is_repeatable = request.method().is_idempotent() && !request.fields.has(Name::Upgrade);
        if !self.is_clean && is_repeatable && rng.chance(50) {
            return Err(Error::new(Outcome::UpstreamRejected).with_retry(true));
        }
        Ok(())
    }

    async fn response_filter(&self, session: &mut Session, _: &mut ResponseHead, _: &mut Held) -> Result<()> {
        self.visit(session, Phase::Response).await
    }

    async fn response_body_filter(
        &self,
        session: &mut Session,
        content: &mut Content,
        held: &mut Held,
    ) -> Result<()> {
        self.hold(session, Phase::ResponseData, content, &mut held[1]).await
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, _: &mut Held) {
        let _ = self.visit(session, Phase::Finished).await;
    }
}

/// Keeps these choices apart from all others of a world.
const WHAT: u64 = 0x77 << 56;
