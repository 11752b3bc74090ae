//! A request of our own.

use super::defaults::Options;
use super::response::Answer;
use super::{Asked, begin, ended};
use crate::error::{Context, Error, Outcome, Result};
use crate::phase::Peer;
use crate::port::{Announced, Handle, Unsendable};
use crate::rt;
use bytes::Bytes;
use ringway_proto::chunk::Chunk;
use ringway_proto::h1;
use ringway_proto::message::{Body, Fields, Part, RequestHead, Reset};
use ringway_proto::rules::upgrade;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// A request that is being put together. What is wrong with it is said when it is sent.
pub struct Request {
    method: Box<[u8]>,
    target: Result<Target, Error>,
    options: Options,
    body: Bytes,
    /// The protocol to switch to.
    upgrade: Option<Box<[u8]>>,
}

/// What a URL names.
struct Target {
    host: String,
    port: u16,
    /// As it stands in the URL.
    authority: String,
    path_and_query: String,
}

impl Request {
    /// A request for `http://HOST[:PORT]/PATH`. A name is resolved when it is sent, off the shard.
    pub fn new(method: &str, url: &str) -> Self {
        Self::with(Options::default(), method, url)
    }

    pub(super) fn with(options: Options, method: &str, url: &str) -> Self {
        let (method, target) = (method.as_bytes().into(), Target::of(url));
        Self { method, target, options, body: Bytes::new(), upgrade: None }
    }

    /// As [`Request::new`] with GET.
    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    /// As [`Request::new`] with POST.
    pub fn post(url: &str) -> Self {
        Self::new("POST", url)
    }

    /// Where it is sent, instead of where the URL says: a cluster, a Unix-domain socket, an address with time-outs of
    /// its own.
    #[must_use]
    pub fn to(mut self, peer: Peer) -> Self {
        self.options.peer = Some(peer);
        self
    }

    /// How long it may take from [`Request::send`] to the head of the answer; more is `request_timeout`. Default: as long
    /// as the peer's time-outs for connecting and for the first byte.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Adds a field. What frames the message is ours to say: such fields have no effect.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.options.add_field(name.as_ref(), value.as_ref());
        self
    }

    /// Sets the content.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Asks for a switch to `protocol` (RFC 9110 section 7.8), which must not be HTTP/2; `websocket` is asked for with
    /// GET, and nothing with content. If the peer agrees, [`Answer::status`] is 101 and [`Answer::upgrade`] has the
    /// connection. Else the answer is one like any other. What the protocol wants in fields is the caller's to send
    /// and to check.
    ///
    /// ```no_run
    /// use ringway_engine::client::{Request, Stream};
    /// use ringway_engine::error::Result;
    ///
    /// async fn chat() -> Result<Stream> {
    ///     let request = Request::get("http://127.0.0.1:9100/chat").upgrade("websocket");
    ///     let request = request.header("sec-websocket-version", "13").header("sec-websocket-key", "...");
    ///     request.send().await?.upgrade()
    /// }
    /// ```
    #[must_use]
    pub fn upgrade(mut self, protocol: &str) -> Self {
        self.upgrade = Some(protocol.as_bytes().into());
        self
    }

    /// Sends it, and waits for the head of the answer.
    ///
    /// # Errors
    /// When it cannot be sent, or is not answered: with the outcome that an exchange of a client would have had, such as
    /// `connect_failed` or `first_byte_timeout`. Any status is an answer.
    pub async fn send(self) -> Result<Answer> {
        match self.options.timeout {
            Some(timeout) => match rt::timeout(timeout, self.exchange()).await {
                Ok(answer) => answer,
                Err(_) => Err(Error::new(Outcome::RequestTimeout)),
            },
            None => self.exchange().await,
        }
    }

    async fn exchange(self) -> Result<Answer> {
        let body = self.body.clone();
        let length = (!body.is_empty()).then_some(body.len() as u64);
        let handle = self.begin(length.map_or(Body::Empty, Body::Length)).await?;
        if !body.is_empty() {
            handle.put(Part::Data(Chunk::from(Vec::from(body))));
        }
        handle.put(Part::End);
        Answer::wait(Rc::new(handle)).await
    }

    /// Begins to send it: the content follows piece by piece, so many bytes where that is known. What was set with
    /// [`Request::body`] is not sent.
    ///
    /// The answer may come before the content is complete. Where both are long, read and write side by side, in two
    /// tasks: a side that is not taken from stops the other.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn upload(self, length: Option<u64>) -> Result<Upload> {
        let handle = self.begin(length.map_or(Body::Streamed, Body::Length)).await?;
        Ok(Upload { handle: Rc::new(handle), announced: Announced::new(length) })
    }

    async fn begin(self, body: Body) -> Result<Handle> {
        let target = self.target?;
        let head =
            h1::request(&self.method, target.path_and_query.as_bytes(), target.authority.as_bytes(), body);
        let mut head: RequestHead =
            head.map_err(|rule| Error::failed(format!("a request that breaks a rule: {}", rule.word())))?;
        for [name, value] in &self.options.fields {
            if name.eq_ignore_ascii_case(b"host") {
                head.fields.set(name, value).or_fail("the request's Host")?;
            } else {
                head.fields.append(name, value).or_fail("a field of the request")?;
            }
        }
        if let Some(protocol) = self.upgrade {
            head.fields.append(b"connection", b"upgrade").or_fail("the request's Connection")?;
            head.fields.append(b"upgrade", &protocol).or_fail("the request's Upgrade")?;
            if upgrade::wanted(&head, &[&*protocol]).is_none() {
                return Err(Error::failed("a switch of protocols that cannot be asked for"));
            }
            head.upgrade = Some(protocol);
        }
        let peer = match self.options.peer {
            Some(peer) => peer,
            None => Peer::address(resolve(&target.host, target.port).await?),
        };
        begin(Asked::Http(Box::new(head)), peer)
    }
}

/// The content of a request on its way. Dropped before [`Upload::finish`] it takes the request with it.
#[derive(Debug)]
pub struct Upload {
    handle: Rc<Handle>,
    announced: Announced,
}

impl Upload {
    /// Sends a piece, once there is room for it.
    ///
    /// # Errors
    /// When the exchange is over: [`Upload::answer`] tells whether there is an answer all the same. `hook_failed` when it
    /// is more than was announced, or comes behind the end; none of the piece is sent.
    pub async fn write(&self, bytes: impl Into<Vec<u8>>) -> Result<()> {
        let chunk = Chunk::from(bytes.into());
        if chunk.is_empty() {
            return Ok(());
        }
        let sent = self.announced.send(&self.handle, chunk).await;
        sent.map_err(|unsendable| match unsendable {
            Unsendable::Gone => ended(&self.handle),
            mistake => Error::because(mistake),
        })
    }

    /// The content is complete. If it is less than was announced, the request is taken back.
    pub fn finish(&self) {
        self.announced.end(&self.handle);
    }

    /// The content is complete, with these fields behind it.
    pub fn finish_with(&self, trailers: Fields) {
        self.handle.put(Part::Trailers(trailers));
        self.finish();
    }

    /// Waits for the head of the answer.
    ///
    /// # Errors
    /// As [`Request::send`]; `hook_failed` when less content came than was announced.
    pub async fn answer(&self) -> Result<Answer> {
        let answer = Answer::wait(Rc::clone(&self.handle)).await;
        let is_short = self.handle.is_ended() && self.announced.is_short();
        answer.map_err(|error| if is_short { Error::because(Unsendable::TooShort) } else { error })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.handle.put(Part::Reset(Reset::Cancelled));
    }
}

impl Target {
    fn of(url: &str) -> Result<Self> {
        let refuse = |why: &str| Error::failed(format!("{url}: {why}"));
        let rest = match url.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => {
                return Err(Error::new(Outcome::PeerInvalid).context("TLS to a peer is not there yet"));
            }
            _ => return Err(refuse("a URL begins with http://")),
        };
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(at);
        if authority.contains('@') {
            return Err(refuse("a name and a password in a URL are not sent"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                (host, port.parse().map_err(|_| refuse("not a port"))?)
            }
            _ => (authority, 80),
        };
        let path_and_query = match path_and_query {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.split('#').next().unwrap_or(path).to_owned(),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(refuse("there is no host"));
        }
        Ok(Self { host, port, authority: authority.to_owned(), path_and_query })
    }
}

/// The first address of a name.
async fn resolve(host: &str, port: u16) -> Result<SocketAddr> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, port));
    }
    let failed = |error: Error| error.context(host.to_owned()).into_upstream();
    let addresses = rt::resolve(host, port).await.or_fail("resolving the peer's name").map_err(failed)?;
    addresses.first().copied().or_fail("the peer's name has no address").map_err(failed)
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", String::from_utf8_lossy(&self.method))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_what() {
        let parts = |url: &str| {
            let target = Target::of(url).ok()?;
            Some((target.host, target.port, target.authority, target.path_and_query))
        };
        let some = |host: &str, port, authority: &str, path: &str| {
            Some((host.to_owned(), port, authority.to_owned(), path.to_owned()))
        };
        assert_eq!(parts("http://a.example"), some("a.example", 80, "a.example", "/"));
        assert_eq!(parts("http://a:81/b?c#d"), some("a", 81, "a:81", "/b?c"));
        assert_eq!(parts("http://a?c"), some("a", 80, "a", "/?c"));
        assert_eq!(parts("http://[::1]:8080/"), some("::1", 8080, "[::1]:8080", "/"));
        assert_eq!(parts("http://[::1]"), some("::1", 80, "[::1]", "/"));
        for wrong in
            ["", "a.example", "ftp://a", "https://a", "http://", "http://:80", "http://a:b", "http://u@a"]
        {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }
}
