//! The codec, byte by byte and part by part.

mod exchange;
mod properties;
mod threats;
mod wire;

use super::*;
use crate::message::Status;

/// A codec with what it sends; the world of a test in a line.
pub(super) struct End {
    pub(super) codec: Codec,
    pub(super) out: SendQueue,
}

impl End {
    pub(super) fn server() -> Self {
        Self::server_with(CodecLimits::default())
    }

    pub(super) fn server_with(limits: CodecLimits) -> Self {
        let pool = Pool::new();
        Self { codec: Codec::server(Rc::new(limits), pool.clone()), out: SendQueue::new(pool) }
    }

    pub(super) fn client() -> Self {
        Self::client_with(CodecLimits::default())
    }

    pub(super) fn client_with(limits: CodecLimits) -> Self {
        let pool = Pool::new();
        Self { codec: Codec::client(Rc::new(limits), pool.clone()), out: SendQueue::new(pool) }
    }

    /// A client whose request of this head is sent.
    pub(super) fn asking(request: &str) -> Self {
        let mut client = Self::client();
        client.ask(request);
        client
    }

    pub(super) fn ask(&mut self, request: &str) {
        for part in request_parts(request) {
            self.send(part);
        }
        self.sent();
    }

    /// Receives bytes and says in words which parts they made.
    pub(super) fn receive(&mut self, bytes: &str) -> String {
        self.codec.on_received(Chunk::from(bytes.as_bytes().to_vec()));
        self.poll()
    }

    pub(super) fn finish(&mut self) -> String {
        self.codec.on_finished();
        self.poll()
    }

    pub(super) fn poll(&mut self) -> String {
        let mut words = Words::default();
        while let Some(part) = self.codec.poll_part() {
            words.add(&part);
        }
        words.end()
    }

    pub(super) fn send(&mut self, part: Part) -> &mut Self {
        self.codec.send(part, &mut self.out);
        self
    }

    /// Sends a response of our own without content.
    pub(super) fn answer(&mut self, status: u16) -> String {
        self.send(Part::Response(ResponseHead::local(Status(status), Body::Empty))).send(Part::End);
        self.sent()
    }

    /// What was sent since the last call.
    pub(super) fn sent(&mut self) -> String {
        let mut sent = Vec::new();
        self.out.visit(|slice| {
            sent.extend_from_slice(slice);
            true
        });
        self.out.clear();
        String::from_utf8_lossy(&sent).into_owned()
    }
}

/// Parts in words, with neighbouring data joined.
#[derive(Default)]
pub(super) struct Words {
    pub(super) text: String,
    is_data: bool,
}

impl Words {
    pub(super) fn add(&mut self, part: &Part) {
        if self.is_data && !matches!(part, Part::Data(_)) {
            self.text.push(']');
        }
        let is_first_data = !self.is_data;
        self.is_data = matches!(part, Part::Data(_));
        if !self.text.is_empty() && (!self.is_data || is_first_data) {
            self.text.push(' ');
        }
        match part {
            Part::Request(head) => {
                let (method, target) =
                    (head.method_bytes().escape_ascii(), head.target_bytes().escape_ascii());
                self.text += &format!("{method} {target} {:?}", head.body());
                self.add_fields(&head.fields);
            }
            Part::Response(head) => {
                self.text += &format!("{} {:?}", head.status.0, head.body());
                self.add_fields(&head.fields);
            }
            Part::Data(data) => {
                assert!(!data.is_empty());
                if is_first_data {
                    self.text.push('[');
                }
                self.text += &data.escape_ascii().to_string();
            }
            Part::Trailers(fields) => {
                self.text += "trailers";
                self.add_fields(fields);
            }
            Part::End => self.text += ".",
            Part::Reset(reset) => self.text += &format!("!{reset:?}"),
        }
    }

    pub(super) fn end(mut self) -> String {
        if self.is_data {
            self.text.push(']');
        }
        self.text
    }

    fn add_fields(&mut self, fields: &crate::message::Fields) {
        for field in fields.iter() {
            self.text += &format!(" {}={}", field.name.escape_ascii(), field.value.escape_ascii());
        }
    }
}

/// A relay of one exchange: what a server receives goes out of a client, and back.
pub(super) struct Relay {
    pub(super) server: End,
    pub(super) client: End,
}

impl Relay {
    pub(super) fn new() -> Self {
        Self { server: End::server(), client: End::client() }
    }

    /// What the origin sees of the request.
    pub(super) fn request(&mut self, bytes: &str) -> String {
        self.server.codec.on_received(Chunk::from(bytes.as_bytes().to_vec()));
        while let Some(part) = self.server.codec.poll_part() {
            self.client.send(part);
        }
        self.client.sent()
    }

    /// What the client sees of the response.
    pub(super) fn response(&mut self, bytes: &str) -> String {
        self.client.codec.on_received(Chunk::from(bytes.as_bytes().to_vec()));
        while let Some(part) = self.client.codec.poll_part() {
            self.server.send(part);
        }
        self.server.sent()
    }

    /// What the client sees of the end of the origin's connection.
    pub(super) fn response_end(&mut self) -> String {
        self.client.codec.on_finished();
        self.response("")
    }
}

/// What the origin sees of this request.
pub(super) fn relayed_request(bytes: &str) -> String {
    Relay::new().request(bytes)
}

/// What the client sees of this response to this request.
pub(super) fn relayed_response(request: &str, response: &str) -> String {
    let mut relay = Relay::new();
    relay.request(request);
    let mut seen = relay.response(response);
    seen += &relay.response_end();
    seen
}

/// The parts of a request as a server receives them.
pub(super) fn request_parts(bytes: &str) -> Vec<Part> {
    let mut server = End::server();
    server.codec.on_received(Chunk::from(bytes.as_bytes().to_vec()));
    let parts: Vec<Part> = core::iter::from_fn(|| server.codec.poll_part()).collect();
    assert!(!parts.iter().any(|part| matches!(part, Part::Reset(_))), "{parts:?}");
    parts
}

/// The parts of a response to GET as a client receives them, to the end of the connection.
pub(super) fn response_parts(bytes: &str) -> Vec<Part> {
    response_parts_to("GET / HTTP/1.1\r\nHost: a\r\n\r\n", bytes)
}

pub(super) fn response_parts_to(request: &str, bytes: &str) -> Vec<Part> {
    let mut client = End::asking(request);
    client.codec.on_received(Chunk::from(bytes.as_bytes().to_vec()));
    client.codec.on_finished();
    let parts: Vec<Part> = core::iter::from_fn(|| client.codec.poll_part()).collect();
    assert!(!parts.iter().any(|part| matches!(part, Part::Reset(_))), "{parts:?}");
    parts
}

#[test]
fn an_idle_codec_is_small() {
    assert!(size_of::<Codec>() <= 304, "{}", size_of::<Codec>());
}
