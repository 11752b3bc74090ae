//! A gateway: who asks is found out by asking another service, then the path and a field decide who answers.
//!
//! ```sh
//! cargo run -p ringway-engine --example gateway -- 127.0.0.1:8080 127.0.0.1:9000 127.0.0.1:9001 127.0.0.1:9002
//! curl -i http://127.0.0.1:8080/api/things                                   # 401
//! curl -i -H 'authorization: Bearer abc' http://127.0.0.1:8080/api/things    # to 9001
//! curl -i -H 'authorization: Bearer abc' http://127.0.0.1:8080/              # to 9002
//! ```
//!
//! The first origin is the service that knows users: it answers `GET /check` with 200 and an `X-User`, or with 401
//! or 403.

use ringway_engine::client::Request;
use ringway_engine::prelude::*;

struct Gateway;

/// What an exchange remembers.
#[derive(Default)]
struct Ctx {
    user: Option<Vec<u8>>,
}

impl Gateway {
    /// The user behind these credentials, or the answer for whoever has none.
    async fn user(credentials: &[u8]) -> Result<Result<Vec<u8>, Response>> {
        let check = Request::get("http://users/check").header("authorization", credentials);
        // When nobody knows who it is, nobody gets in: 503.
        let answer = check.to(Peer::cluster("users")).send().await.or_refuse(503)?;
        Ok(match (answer.status(), answer.header("x-user")) {
            (200, Some(user)) => Ok(user.to_vec()),
            (401, _) => Err(who_are_you()),
            (403, _) => Err(Response::new(403).body("Not you.\n")),
            (status, _) => return Err(Error::refused(503).context(format!("users answered {status}"))),
        })
    }
}

fn who_are_you() -> Response {
    Response::new(401).header("www-authenticate", "Bearer").body("Who are you?\n")
}

impl Proxy for Gateway {
    type Ctx = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx::default()
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<Flow> {
        let Some(credentials) = session.request().fields.get(Name::Authorization) else {
            return Ok(who_are_you().into());
        };
        match Self::user(credentials).await? {
            Ok(user) => ctx.user = Some(user),
            Err(response) => return Ok(response.into()),
        }
        Ok(Flow::Continue)
    }

    async fn upstream_peer(&self, session: &mut Session, _: &mut Ctx) -> Result<Peer> {
        let request = session.request();
        let is_api = request.path().starts_with(b"/api/") || request.fields.find("x-api").is_some();
        Ok(Peer::cluster(if is_api { "api" } else { "web" }))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHead,
        ctx: &mut Ctx,
    ) -> Result<()> {
        // Origins believe this field: what the client sent under its name is replaced.
        request.fields.set("x-user", ctx.user.as_deref().unwrap_or_default())?;
        request.fields.remove(Name::Authorization);
        Ok(())
    }

    async fn response_filter(&self, _: &mut Session, response: &mut ResponseHead, _: &mut Ctx) -> Result<()> {
        response.fields.remove(Name::Server);
        Ok(response.fields.set("x-content-type-options", "nosniff")?)
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, ctx: &mut Ctx) {
        let user = ctx.user.as_deref().map_or("-".into(), String::from_utf8_lossy);
        let path = String::from_utf8_lossy(session.request().path());
        println!("{user} {path} {} {:?}", session.status().unwrap_or(0), session.endpoint());
    }
}

fn main() -> Result<(), StartError> {
    let mut args = std::env::args().skip(1);
    let mut arg = |default: &str| args.next().unwrap_or(default.into());
    Server::builder()
        .listen(arg("127.0.0.1:8080"), Service::proxy(|| Gateway))
        .cluster("users", [arg("127.0.0.1:9000")])
        .cluster("api", [arg("127.0.0.1:9001")])
        .cluster("web", [arg("127.0.0.1:9002")])
        .announce()
        .run()?;
    Ok(())
}
