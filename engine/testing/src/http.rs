//! A second reading of HTTP/1.1: what clients and origins of tests understand. It shares nothing with the engine,
//! is strict, and refuses in a loud voice, since everything that it reads was written by the proxy.

use std::collections::VecDeque;

/// Reads the messages of one direction of a connection, as the bytes come.
#[derive(Debug)]
pub struct Reader {
    role: Role,
    line: Vec<u8>,
    stage: Stage,
    /// The methods of the requests that are to be answered; GET where nothing is said.
    methods: VecDeque<String>,
    /// Every message whose head is complete, in order. Only the last may be incomplete.
    pub messages: Vec<Message>,
    /// What followed a 101, or a 2xx to CONNECT.
    pub raw: Vec<u8>,
    /// What is wrong with what came.
    pub error: Option<String>,
}

/// Which direction is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// From a client.
    Requests,
    /// From an origin.
    Responses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    StartLine,
    Fields,
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
    Raw,
}

/// How a message says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Nothing says that there is content.
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

/// A request or a response.
#[derive(Clone, Debug)]
pub struct Message {
    /// The start line.
    pub line: String,
    /// The fields, in order and as spelled.
    pub fields: Vec<(String, String)>,
    /// How its content is framed.
    pub framing: Framing,
    /// The content that came.
    pub body: Vec<u8>,
    /// Sizes of its chunks.
    pub chunks: Vec<u64>,
    /// The trailer section.
    pub trailers: Vec<(String, String)>,
    /// Whether its end came.
    pub is_complete: bool,
}

impl Message {
    /// The status of a response.
    pub fn status(&self) -> u16 {
        self.line.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    /// All values of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        values(&self.fields, name)
    }

    /// The value of a field that is there once.
    pub fn get(&self, name: &str) -> Option<&str> {
        match self.all(name)[..] {
            [value] => Some(value),
            _ => None,
        }
    }
}

/// The values of the fields of this name.
pub fn values<'a>(fields: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    let named = fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.as_str()).collect()
}

impl Reader {
    /// A reader that waits for the first byte.
    pub fn new(role: Role) -> Self {
        Self {
            role,
            line: Vec::new(),
            stage: Stage::StartLine,
            methods: VecDeque::new(),
            messages: Vec::new(),
            raw: Vec::new(),
            error: None,
        }
    }

    /// A request with this method was sent: its response is read accordingly.
    pub fn expect(&mut self, method: &str) {
        self.methods.push_back(method.into());
    }

    /// Everything that follows is opaque.
    pub fn become_raw(&mut self) {
        self.stage = Stage::Raw;
    }

    /// Whether the last message is only a part of a head.
    pub fn is_in_head(&self) -> bool {
        self.stage == Stage::Fields
    }

    /// Bytes came.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.error.is_none() {
            let taken = match self.stage {
                Stage::Raw => {
                    self.raw.extend_from_slice(bytes);
                    bytes.len()
                }
                Stage::Length(left) => self.take_data(bytes, left),
                Stage::ChunkData(left) => self.take_data(bytes, left),
                Stage::UntilClose => self.take_data(bytes, u64::MAX),
                _ => self.take_line(bytes),
            };
            bytes = &bytes[taken..];
        }
    }

    /// The peer finished in order. What is until then not complete stays so.
    pub fn finish(&mut self) {
        if self.stage == Stage::UntilClose {
            self.complete();
        }
    }

    fn take_data(&mut self, bytes: &[u8], left: u64) -> usize {
        let len = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left.saturating_sub(len as u64);
        self.last().body.extend_from_slice(&bytes[..len]);
        match self.stage {
            Stage::Length(_) if left == 0 => self.complete(),
            Stage::Length(_) => self.stage = Stage::Length(left),
            Stage::ChunkData(_) if left == 0 => self.stage = Stage::ChunkEnd,
            Stage::ChunkData(_) => self.stage = Stage::ChunkData(left),
            _ => {}
        }
        len
    }

    fn take_line(&mut self, bytes: &[u8]) -> usize {
        let end = bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        let taken = end.unwrap_or(bytes.len());
        self.line.extend_from_slice(&bytes[..taken]);
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            match line.strip_suffix(b"\r\n").map(|line| String::from_utf8(line.to_vec())) {
                Some(Ok(line)) if !line.contains('\r') => self.on_line(line),
                _ => self.fail(format!("not a line: {}", line.escape_ascii())),
            }
        }
        taken
    }

    fn on_line(&mut self, line: String) {
        match self.stage {
            Stage::StartLine => self.on_start_line(line),
            Stage::Fields if line.is_empty() => self.on_head(),
            Stage::Trailers if line.is_empty() => self.complete(),
            Stage::Fields | Stage::Trailers => self.on_field(&line),
            Stage::ChunkSize => self.on_chunk_size(&line),
            Stage::ChunkEnd if line.is_empty() => self.stage = Stage::ChunkSize,
            _ => self.fail(format!("an unexpected line: {line:?}")),
        }
    }

    fn on_start_line(&mut self, line: String) {
        let words = line.splitn(3, ' ').count();
        let is_right = match self.role {
            Role::Requests => words == 3 && line.ends_with(" HTTP/1.1"),
            Role::Responses => words == 3 && line.starts_with("HTTP/1.1 "),
        };
        if !is_right {
            return self.fail(format!("not a start line: {line:?}"));
        }
        self.messages.push(Message {
            line,
            fields: Vec::new(),
            framing: Framing::None,
            body: Vec::new(),
            chunks: Vec::new(),
            trailers: Vec::new(),
            is_complete: false,
        });
        self.stage = Stage::Fields;
    }

    fn on_field(&mut self, line: &str) {
        let is_token = |name: &str| {
            let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            !name.is_empty() && name.bytes().all(is_token_byte)
        };
        let Some((name, value)) = line.split_once(':').filter(|(name, _)| is_token(name)) else {
            return self.fail(format!("not a field: {line:?}"));
        };
        let field = (name.to_string(), value.trim_matches([' ', '\t']).to_string());
        match self.stage {
            Stage::Trailers => self.last().trailers.push(field),
            _ => self.last().fields.push(field),
        }
    }

    fn on_head(&mut self) {
        let role = self.role;
        let head = self.last();
        let lengths = head.all("content-length");
        let codings = head.all("transfer-encoding");
        let framing = match (&lengths[..], &codings[..]) {
            ([], []) if role == Role::Responses => Some(Framing::UntilClose),
            ([], []) => Some(Framing::None),
            ([length], []) => length.parse().ok().map(Framing::Length),
            ([], ["chunked"]) => Some(Framing::Chunked),
            _ => None,
        };
        let Some(framing) = framing else {
            let error = format!("ambiguous framing: {lengths:?} {codings:?}");
            return self.fail(error);
        };
        head.framing = framing;
        match role {
            Role::Requests => self.begin_content(framing),
            Role::Responses => self.on_response_head(framing),
        }
    }

    fn on_response_head(&mut self, framing: Framing) {
        let status = self.last().status();
        if status == 101 {
            self.complete();
            self.stage = Stage::Raw;
            return;
        }
        if (100..200).contains(&status) {
            self.last().framing = Framing::None;
            return self.complete();
        }
        let method = self.methods.pop_front().unwrap_or_else(|| "GET".into());
        if method == "CONNECT" && status < 300 {
            self.complete();
            self.stage = Stage::Raw;
            return;
        }
        if matches!(status, 204 | 304) || method == "HEAD" {
            return self.complete();
        }
        self.begin_content(framing);
    }

    fn begin_content(&mut self, framing: Framing) {
        match framing {
            Framing::None | Framing::Length(0) => self.complete(),
            Framing::Length(length) => self.stage = Stage::Length(length),
            Framing::Chunked => self.stage = Stage::ChunkSize,
            Framing::UntilClose => self.stage = Stage::UntilClose,
        }
    }

    fn on_chunk_size(&mut self, line: &str) {
        match u64::from_str_radix(line, 16) {
            Ok(0) => self.stage = Stage::Trailers,
            Ok(size) => {
                self.last().chunks.push(size);
                self.stage = Stage::ChunkData(size);
            }
            Err(_) => self.fail(format!("not a chunk size: {line:?}")),
        }
    }

    fn complete(&mut self) {
        self.last().is_complete = true;
        self.stage = Stage::StartLine;
    }

    fn last(&mut self) -> &mut Message {
        self.messages.last_mut().expect("begun by its start line")
    }

    fn fail(&mut self, error: String) {
        self.error.get_or_insert(error);
    }
}
