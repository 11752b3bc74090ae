//! Where heads and bodies end: all that the relay understands of HTTP.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Downstream,
    Upstream,
}

/// Where in its stream the next byte from this peer belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Head,
    Body {
        left: u64,
        last: bool,
    },
    /// Nothing is due: the request is complete, or the upstream connection idles.
    Done {
        last: bool,
    },
}

pub(crate) struct Malformed;

impl Input {
    /// How many of the bytes belong to the current message; zero while its head is incomplete.
    pub(crate) fn take(&mut self, side: Side, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut taken = 0;
        if *self == Self::Head {
            let Some(head) = Head::parse(side, bytes)? else { return Ok(0) };
            taken = head.bytes;
            // An interim response (100 Continue) is a head, and the real one follows.
            if head.interim {
                return Ok(taken);
            }
            *self = Self::Body { left: head.body_bytes, last: head.close };
        }
        match *self {
            Self::Body { left, last } => {
                let n = left.min((bytes.len() - taken) as u64);
                *self = if n == left { Self::Done { last } } else { Self::Body { left: left - n, last } };
                Ok(taken + n as usize)
            }
            Self::Head | Self::Done { .. } => Err(Malformed),
        }
    }
}

struct Head {
    bytes: usize,
    body_bytes: u64,
    /// The upstream will not take another request on this connection.
    close: bool,
    interim: bool,
}

impl Head {
    fn parse(side: Side, bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut headers = [std::mem::MaybeUninit::uninit(); HEADERS_MAX];
        match side {
            Side::Downstream => {
                let mut request = httparse::Request::new(&mut []);
                let status = request.parse_with_uninit_headers(bytes, &mut headers).map_err(|_| Malformed)?;
                if request.method == Some("HEAD") {
                    return Err(Malformed);
                }
                Self::from_headers(status, request.headers, Some(0))
            }
            Side::Upstream => {
                let mut response = httparse::Response::new(&mut []);
                let config = httparse::ParserConfig::default();
                let status = config
                    .parse_response_with_uninit_headers(&mut response, bytes, &mut headers)
                    .map_err(|_| Malformed)?;
                let code = response.code.unwrap_or(0);
                let no_body = code < 200 || code == 204 || code == 304;
                let head = Self::from_headers(status, response.headers, no_body.then_some(0))?;
                Ok(head.map(|head| Self { interim: code < 200, ..head }))
            }
        }
    }

    /// `otherwise` is the body's length without Content-Length, if that is defined.
    fn from_headers(
        status: httparse::Status<usize>,
        headers: &[httparse::Header<'_>],
        otherwise: Option<u64>,
    ) -> Result<Option<Self>, Malformed> {
        let httparse::Status::Complete(bytes) = status else { return Ok(None) };
        let (mut length, mut close) = (otherwise, false);
        for header in headers {
            // By length first: it tells almost all headers apart.
            match header.name.len() {
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    close = header.value.eq_ignore_ascii_case(b"close");
                }
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    length = std::str::from_utf8(header.value).ok().and_then(|value| value.parse().ok());
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => return Err(Malformed),
                _ => {}
            }
        }
        let body_bytes = length.ok_or(Malformed)?;
        Ok(Some(Self { bytes, body_bytes, close, interim: false }))
    }
}

const HEADERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn take(side: Side, bytes: &[u8]) -> (Option<usize>, Input) {
        let mut input = Input::Head;
        (input.take(side, bytes).ok(), input)
    }

    #[test]
    fn a_message_ends_where_its_length_says() {
        let (n, input) = take(Side::Downstream, b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /");
        assert_eq!((n, input), (Some(27), Input::Done { last: false }));
        let (n, input) = take(Side::Upstream, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc");
        assert_eq!((n, input), (Some(41), Input::Body { left: 2, last: false }));
        let (n, input) = take(Side::Upstream, b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_eq!((n, input), (Some(46), Input::Done { last: true }));
    }

    #[test]
    fn an_incomplete_head_takes_nothing_and_an_interim_one_only_itself() {
        assert_eq!(take(Side::Downstream, b"GET / HTTP/1.1\r\nHos"), (Some(0), Input::Head));
        let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200";
        assert_eq!(take(Side::Upstream, interim), (Some(25), Input::Head));
    }

    #[test]
    fn framings_it_does_not_understand_are_refused() {
        assert_eq!(take(Side::Downstream, b"HEAD / HTTP/1.1\r\n\r\n").0, None);
        assert_eq!(take(Side::Downstream, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").0, None);
        assert_eq!(take(Side::Upstream, b"HTTP/1.1 200 OK\r\n\r\nall the rest").0, None);
        assert_eq!(take(Side::Upstream, b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n").0, None);
    }
}
