//! Rewrites texts on their way: one name towards the origin, another towards the client.
//!
//! ```sh
//! cargo run -p ringway-engine --example rewrite -- 127.0.0.1:8080 127.0.0.1:9001 www.example origin.internal
//! curl -d '{"link": "http://www.example/a"}' -H 'content-type: application/json' http://127.0.0.1:8080/
//! ```
//!
//! What is looked for may lie across the border of two pieces. Nothing is collected: of each piece only as much is
//! kept back as the beginning of what is looked for may be.

use ringway_engine::prelude::*;

struct Rewrite {
    /// As clients know it.
    outside: String,
    /// As the origin knows it.
    inside: String,
}

/// What each direction of an exchange keeps back.
#[derive(Default)]
struct Ctx {
    request: Replace,
    response: Replace,
}

/// Replaces a text in content that comes in pieces.
#[derive(Default)]
struct Replace {
    held: Vec<u8>,
}

impl Replace {
    fn pass(&mut self, content: &mut Content, from: &[u8], to: &[u8]) {
        self.held.extend_from_slice(&content.take());
        let mut done = 0;
        let mut out = Vec::with_capacity(self.held.len());
        while let Some(at) = self.held[done..].windows(from.len()).position(|window| window == from) {
            out.extend_from_slice(&self.held[done..done + at]);
            out.extend_from_slice(to);
            done += at + from.len();
        }
        // The longest end that the text may begin with waits for the next piece.
        let rest = &self.held[done..];
        let kept = if content.is_end() { 0 } else { longest_beginning(rest, from) };
        out.extend_from_slice(&rest[..rest.len() - kept]);
        self.held.drain(..self.held.len() - kept);
        content.set(out);
    }
}

/// How many bytes at the end of `bytes` are a beginning of `text`, and not all of it.
fn longest_beginning(bytes: &[u8], text: &[u8]) -> usize {
    let longest = bytes.len().min(text.len() - 1);
    (0..=longest).rev().find(|&length| bytes.ends_with(&text[..length])).unwrap_or(0)
}

/// Whether there is text to be read: not pictures, and nothing that is compressed.
fn is_text(fields: &Fields) -> bool {
    let media_type = fields.get(Name::ContentType).unwrap_or_default();
    let is_text = [b"text/".as_slice(), b"application/json"].iter().any(|text| media_type.starts_with(text));
    is_text && !fields.has(Name::ContentEncoding)
}

impl Proxy for Rewrite {
    type Ctx = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx::default()
    }

    async fn request_filter(&self, session: &mut Session, _: &mut Ctx) -> Result<Flow> {
        if !is_text(&session.request().fields) {
            // It goes on with its length, and no hook is called for it.
            session.set_request_content(ContentUse::Skip);
        }
        Ok(Flow::Continue)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Ctx) -> Result<Peer> {
        Ok(Peer::cluster("origin"))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHead,
        _: &mut Ctx,
    ) -> Result<()> {
        // Compressed text cannot be rewritten, and the positions of a range are those of the text before.
        request.fields.remove(Name::AcceptEncoding);
        request.fields.remove_named("range");
        Ok(())
    }

    async fn request_body_filter(&self, _: &mut Session, content: &mut Content, ctx: &mut Ctx) -> Result<()> {
        ctx.request.pass(content, self.outside.as_bytes(), self.inside.as_bytes());
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHead,
        _: &mut Ctx,
    ) -> Result<()> {
        if is_text(&response.fields) {
            // They speak of the bytes that the origin has.
            response.fields.remove_named("etag");
            response.fields.remove_named("accept-ranges");
        } else {
            session.set_response_content(ContentUse::Skip);
        }
        Ok(())
    }

    async fn response_body_filter(
        &self,
        _: &mut Session,
        content: &mut Content,
        ctx: &mut Ctx,
    ) -> Result<()> {
        ctx.response.pass(content, self.inside.as_bytes(), self.outside.as_bytes());
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut arg = |default: &str| args.next().unwrap_or(default.into());
    let (listen, origin) = (arg("127.0.0.1:8080"), arg("127.0.0.1:9001"));
    let (outside, inside) = (arg("www.example"), arg("origin.internal"));
    if outside.is_empty() || inside.is_empty() {
        return Err("there has to be something to look for".into());
    }
    let rewrite = move || Rewrite { outside: outside.clone(), inside: inside.clone() };
    Server::builder().listen(listen, Service::proxy(rewrite)).cluster("origin", [origin]).announce().run()?;
    Ok(())
}
