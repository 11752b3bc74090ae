//! Apps that answer requests.

use crate::client::{Stream, ended_by};
use crate::error::{Error, Fault, Outcome, Result};
use crate::phase::{App, Downstream, Peer, Proxy, Response, Serve, Session};
use crate::port::{Announced, Handle, Reader, Unread, Unsendable};
use ringway_proto::chunk::Chunk;
use ringway_proto::message::{Body, Fields, Part, RequestHead, Reset, ResponseHead, Status};
use ringway_proto::rules::upgrade;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;

/// Answers requests.
///
/// ```
/// use ringway_engine::app::{HttpApp, Incoming, Responder};
/// use ringway_engine::error::Result;
/// use ringway_engine::phase::Response;
///
/// struct Hello;
///
/// impl HttpApp for Hello {
///     async fn serve(&self, request: Incoming, responder: Responder) -> Result<()> {
///         let path = String::from_utf8_lossy(request.head().path()).into_owned();
///         responder.send(Response::new(200).body(format!("hello, {path}\n"))).await
///     }
/// }
/// ```
pub trait HttpApp: Sized + 'static {
    /// Answers one request. It runs as a task of its shard. Once it has answered completely it may go on as long as it
    /// likes.
    ///
    /// When the client leaves, or a time-out or the end of the process takes it away, whoever has begun to answer or
    /// waits for content gets an error from the next read or write, and may go on for
    /// [`hook_timeout`](crate::settings::Limits::hook_timeout) before it is dropped. Whoever waits for something else is
    /// dropped there at once: nobody needs the answer any more.
    ///
    /// # Errors
    /// Are answered as they say where no answer has begun, else the connection is cut. So is one that ends without an
    /// answer: 500.
    fn serve(&self, request: Incoming, responder: Responder) -> impl Future<Output = Result<()>>;
}

/// A request with its content on the way.
pub struct Incoming {
    head: RequestHead,
    client: Rc<Downstream>,
    content: Reader,
}

impl Incoming {
    /// The head, as filters left it.
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// The protocols that the client may be switched to with [`Responder::upgrade`], in its order.
    pub fn upgrades(&self) -> impl Iterator<Item = &[u8]> {
        upgrade::offered(&self.head)
    }

    /// The first field of this name; case does not matter.
    pub fn header(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.head.fields.find(name.as_ref())
    }

    /// The client.
    pub fn client(&self) -> &Downstream {
        &self.client
    }

    /// The next piece of the content; `None` at its end.
    ///
    /// # Errors
    /// When it breaks off: `downstream_closed`, `body_timeout`, `malformed`, `stopped`.
    pub async fn chunk(&mut self) -> Result<Option<Chunk>> {
        let chunk = self.content.chunk().await;
        chunk.map_err(|_| left(self.content.handle()))
    }

    /// All of the content.
    ///
    /// # Errors
    /// As [`Incoming::chunk`]; `too_large` (413) when it is longer than `bytes_max`.
    pub async fn bytes(&mut self, bytes_max: usize) -> Result<Vec<u8>> {
        let bytes = self.content.bytes(bytes_max).await;
        bytes.map_err(|unread| match unread {
            Unread::Broken => left(self.content.handle()),
            Unread::TooLong => Error::new(Outcome::TooLarge),
        })
    }

    /// The fields behind the content, once that was read.
    pub fn trailers(&self) -> Option<&Fields> {
        self.content.trailers()
    }
}

/// Answers once: it is used up by that.
pub struct Responder {
    handle: Rc<Handle>,
    /// The protocols that the client may be switched to.
    offered: Box<[Box<[u8]>]>,
}

impl Responder {
    /// Answers with content that is there.
    ///
    /// # Errors
    /// When the answer cannot be sent, or the client is gone.
    pub async fn send(self, response: Response) -> Result<()> {
        let (mut head, body) = response.into_parts()?;
        let has_content = !head.status.is_bodiless();
        head.set_body(if has_content { Body::Length(body.len() as u64) } else { Body::Empty });
        self.put_head(head)?;
        if has_content && !body.is_empty() {
            self.handle.put(Part::Data(Chunk::from(Vec::from(body))));
        }
        self.handle.put(Part::End);
        Ok(())
    }

    /// Begins an answer whose content follows piece by piece: so many bytes, or as many as will come. What the response
    /// has for a body is sent first.
    ///
    /// # Errors
    /// When the answer cannot be sent, or the client is gone.
    pub async fn begin(self, response: Response, length: Option<u64>) -> Result<Writer> {
        let (mut head, body) = response.into_parts()?;
        head.set_body(length.map_or(Body::Streamed, Body::Length));
        self.put_head(head)?;
        let writer = Writer { handle: self.handle, announced: Announced::new(length) };
        writer.write(body).await?;
        Ok(writer)
    }

    /// Switches to another protocol (RFC 9110 section 7.8): sends `response`, a 101 with what the protocol wants in
    /// fields, and hands out the connection. `Connection` and `Upgrade` are added. What the client sent right behind its
    /// request is the first that is read. The connection ends when the stream and all of its clones are dropped, also in
    /// tasks of their own.
    ///
    /// ```
    /// use ringway_engine::app::{HttpApp, Incoming, Responder};
    /// use ringway_engine::error::Result;
    /// use ringway_engine::phase::Response;
    ///
    /// struct Echo;
    ///
    /// impl HttpApp for Echo {
    ///     async fn serve(&self, _: Incoming, responder: Responder) -> Result<()> {
    ///         let stream = responder.upgrade("echo", Response::new(101)).await?;
    ///         while let Some(chunk) = stream.read().await? {
    ///             stream.write_chunk(chunk).await?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// `refused` (400) when the client does not ask for `protocol` in a way that may be followed: in HTTP/1.1, with
    /// `Connection: upgrade`, without content, and never HTTP/2; `websocket` only with GET. Also when `response` is no
    /// 101 that can be sent, or the client is gone.
    pub async fn upgrade(self, protocol: &str, response: Response) -> Result<Stream> {
        let mut offered = self.offered.iter().map(|offered| &**offered);
        let Some(protocol) = offered.find(|offered| offered.eq_ignore_ascii_case(protocol.as_bytes())) else {
            return Err(Error::refused(400).context(format!("no switch to {protocol} is asked for")));
        };
        let head = response.into_switch(protocol)?;
        // The end of the request is not that of the stream.
        while let Some(part) = self.handle.part().await {
            if matches!(part, Part::Reset(_)) {
                break;
            }
        }
        self.put_head(head)?;
        self.handle.opened().await.map_err(|_| left(&self.handle))?;
        Ok(Stream::of_client(self.handle))
    }

    /// Sends an interim response in front of the answer, such as 103 (Early Hints). Any other status than 102 to 199 is
    /// not sent.
    pub fn interim(&self, response: Response) {
        let (head, _) = response.into_unchecked_parts();
        if head.status.is_informational()
            && head.status.0 != 100
            && head.status != Status::SWITCHING_PROTOCOLS
        {
            self.handle.put(Part::Response(head));
        }
    }

    fn put_head(&self, head: ResponseHead) -> Result<()> {
        if self.handle.closed().is_some() {
            return Err(left(&self.handle));
        }
        self.handle.put(Part::Response(head));
        Ok(())
    }
}

/// The content of an answer on its way. Dropped before [`Writer::finish`] it cuts the client's connection, so that what
/// came is not taken for the whole.
pub struct Writer {
    handle: Rc<Handle>,
    announced: Announced,
}

impl Writer {
    /// Sends a piece, once there is room for it.
    ///
    /// # Errors
    /// When the client is gone: `downstream_closed`, `downstream_write_timeout`, `stopped`. `hook_failed` when it is more
    /// than was announced; none of the piece is sent.
    pub async fn write(&self, bytes: impl Into<Vec<u8>>) -> Result<()> {
        let chunk = Chunk::from(bytes.into());
        if chunk.is_empty() {
            return Ok(());
        }
        let sent = self.announced.send(&self.handle, chunk).await;
        sent.map_err(|unsendable| match unsendable {
            Unsendable::Gone => left(&self.handle),
            mistake => Error::because(mistake),
        })
    }

    /// The content is complete.
    pub fn finish(self) {
        self.handle.put(Part::End);
    }

    /// The content is complete, with these fields behind it.
    pub fn finish_with(self, trailers: Fields) {
        self.handle.put(Part::Trailers(trailers));
        self.handle.put(Part::End);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.handle.put(Part::Reset(Reset::Cancelled));
    }
}

/// A proxy all of whose requests go to `app`.
pub(crate) fn proxy<A: HttpApp>(app: A) -> AppProxy {
    AppProxy(App::new(Requests(Rc::new(app))))
}

/// Sends every request to an app.
pub(crate) struct AppProxy(App);

impl Proxy for AppProxy {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::app(self.0.clone()))
    }
}

struct Requests<A>(Rc<A>);

impl<A: HttpApp> Serve for Requests<A> {
    fn serve(&self, handle: Handle, client: &Rc<Downstream>) -> Pin<Box<dyn Future<Output = ()>>> {
        let (app, client, handle) = (Rc::clone(&self.0), Rc::clone(client), Rc::new(handle));
        Box::pin(async move {
            let Some(Part::Request(head)) = handle.part().await else { return };
            let offered = upgrade::offered(&head).map(Into::into).collect();
            let request = Incoming { head, client, content: Reader::new(Rc::clone(&handle)) };
            let responder = Responder { handle: Rc::clone(&handle), offered };
            if let Err(error) = app.serve(request, responder).await {
                answer_for(&handle, error).await;
            }
        })
    }
}

/// Why the client's side is gone.
fn left(handle: &Handle) -> Error {
    ended_by(handle, Outcome::DownstreamClosed)
}

/// Says what went wrong, where nothing was said yet.
async fn answer_for(handle: &Rc<Handle>, error: Error) {
    // What the app was told was logged.
    let is_known = handle.closed() == Some(error.outcome() as u8);
    if error.fault() == Fault::Local && !is_known {
        log::warn!("{error}");
    }
    if handle.has_answered() || handle.closed().is_some() {
        return;
    }
    let status = error.status();
    let text = format!("{status} {}\n", Status(status).reason());
    let responder = Responder { handle: Rc::clone(handle), offered: Box::default() };
    // A status that an error may have is one that an answer may have.
    let _ = responder.send(Response::new(status).header("cache-control", "no-store").body(text)).await;
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("head", &self.head).finish_non_exhaustive()
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responder")
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}
