//! How long a message is (RFC 9112 section 6).
//!
//! Strict where the RFC leaves a choice: what two readers could understand differently is refused, not
//! repaired. The one repair is that identical Content-Lengths collapse to one.

use super::{Rule, list};
use crate::h1::head::{FramingFields, RawRequest, RawResponse};
use crate::message::{Body, Fields, Method, Name, Status, Version};

/// The proof that a head's framing was checked, with what was found. Only the rules here make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramingChecked {
    body: Body,
}

impl FramingChecked {
    /// What content follows the head.
    #[inline]
    pub fn body(self) -> Body {
        self.body
    }

    /// For a message of our own: we say how long it is.
    pub fn for_local(body: Body) -> Self {
        Self { body }
    }
}

/// Checks the framing of an HTTP/1 request (RFC 9112 section 6.3).
///
/// # Errors
/// [`Rule::LengthAndEncoding`], [`Rule::ContentLength`], [`Rule::TransferEncoding`], [`Rule::TransferCoding`] or
/// [`Rule::EncodingInHttp10`].
#[inline]
pub fn check_request(raw: &RawRequest) -> Result<FramingChecked, Rule> {
    let body = announced(&raw.fields, raw.noted, raw.version)?.unwrap_or(Body::Empty);
    // RFC 9110 section 9.3.6: CONNECT has no content, so what stands behind it belongs to the tunnel. With a
    // length there are two opinions about these bytes.
    if raw.method == Method::Connect && body != Body::Empty {
        return Err(if body == Body::Streamed { Rule::TransferEncoding } else { Rule::ContentLength });
    }
    Ok(FramingChecked { body })
}

/// Checks the framing of an HTTP/1 response to a request with `method` (RFC 9112 section 6.3).
///
/// # Errors
/// As [`check_request`].
#[inline]
pub fn check_response(raw: &RawResponse, method: Method) -> Result<FramingChecked, Rule> {
    // Section 6.3 (1) and (2): these have none whatever their fields say, and the fields are not sent on.
    if is_unframed(raw.status, method) {
        return Ok(FramingChecked { body: Body::Empty });
    }
    let body = announced(&raw.fields, raw.noted, raw.version)?.unwrap_or(Body::UntilClose);
    // Here the fields tell of another response, are sent on, and so were checked all the same.
    if method == Method::Head || raw.status.is_bodiless() {
        return Ok(FramingChecked { body: Body::Empty });
    }
    Ok(FramingChecked { body })
}

/// Whether a response has neither content nor fields that frame it: 1xx, 204 and 2xx to CONNECT
/// (RFC 9112 section 6.1, RFC 9110 section 8.6).
#[inline]
pub fn is_unframed(status: Status, method: Method) -> bool {
    status.is_informational() || status.0 == 204 || (method == Method::Connect && status.0 < 300)
}

/// The length that `Content-Length` announces; `None` without one (RFC 9110 section 8.6).
///
/// # Errors
/// [`Rule::ContentLength`] when an element is not a number or differs from another.
pub fn content_length(fields: &Fields) -> Result<Option<u64>, Rule> {
    // Nearly always one number.
    let mut values = fields.get_all(Name::ContentLength);
    if let (Some(value), None) = (values.next(), values.next())
        && let Some(length) = list::decimal(value)
    {
        return Ok(Some(length));
    }
    let mut found = None;
    for value in fields.get_all(Name::ContentLength) {
        for element in value.split(|&byte| byte == b',') {
            let length = list::decimal(list::trim(element)).ok_or(Rule::ContentLength)?;
            if found.is_some_and(|found| found != length) {
                return Err(Rule::ContentLength);
            }
            found = Some(length);
        }
    }
    Ok(found)
}

/// What the framing fields announce; `None` without one.
#[inline]
fn announced(fields: &Fields, noted: FramingFields, version: Version) -> Result<Option<Body>, Rule> {
    match (noted.has(Name::ContentLength), noted.has(Name::TransferEncoding)) {
        (false, false) => Ok(None),
        (true, false) => Ok(content_length(fields)?.map(Body::Length)),
        // Section 6.3 allows to drop Content-Length; whoever sends both hopes that somebody drops the other.
        (true, true) => Err(Rule::LengthAndEncoding),
        (false, true) if version == Version::Http10 => Err(Rule::EncodingInHttp10),
        (false, true) if noted.is_repeated(Name::TransferEncoding) => Err(Rule::TransferEncoding),
        (false, true) => transfer_encoding(fields.get(Name::TransferEncoding).unwrap_or_default()).map(Some),
    }
}

/// Accepts `chunked` and nothing else (RFC 9112 section 6.1).
fn transfer_encoding(value: &[u8]) -> Result<Body, Rule> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if is_chunked(value) {
        return Ok(Body::Streamed);
    }
    let mut codings = value.rsplit(|&byte| byte == b',').map(list::trim);
    let is_final_chunked = codings.next().is_some_and(is_chunked);
    let mut others = codings.peekable();
    let is_coded = is_final_chunked && others.peek().is_some();
    // `gzip, chunked` is well said and not implemented; anything else is not said well.
    if is_coded && others.all(|coding| crate::message::fields::is_valid_name(coding) && !is_chunked(coding)) {
        return Err(Rule::TransferCoding);
    }
    Err(Rule::TransferEncoding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Chunk;
    use crate::h1::head::{HeadLimits, HeadParser};

    fn request(head: &str) -> Result<Body, Rule> {
        let mut parser = HeadParser::new();
        let len = parser.on_request_bytes(head.as_bytes(), &HeadLimits::default())?.expect("complete");
        let raw = parser.take_request(Chunk::from(head.as_bytes()[..len].to_vec()));
        check_request(&raw).map(FramingChecked::body)
    }

    fn post(fields: &str) -> Result<Body, Rule> {
        request(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"))
    }

    fn response_to(method: Method, head: &str) -> Result<Body, Rule> {
        let head = format!("HTTP/1.1 {head}\r\n\r\n");
        let mut parser = HeadParser::new();
        let len = parser.on_response_bytes(head.as_bytes(), &HeadLimits::default())?.expect("complete");
        let raw = parser.take_response(Chunk::from(head.as_bytes()[..len].to_vec()));
        check_response(&raw, method).map(FramingChecked::body)
    }

    fn response(head: &str) -> Result<Body, Rule> {
        response_to(Method::Get, head)
    }

    #[test]
    fn a_request_without_framing_fields_has_no_content() {
        assert_eq!(post("X: y"), Ok(Body::Empty));
        assert_eq!(post("Content-Length: 0"), Ok(Body::Length(0)));
        assert_eq!(post("Content-Length: 5"), Ok(Body::Length(5)));
        assert_eq!(post("Transfer-Encoding: Chunked"), Ok(Body::Streamed));
    }

    #[test]
    fn a22_a25_length_with_encoding_is_refused() {
        assert_eq!(post("Content-Length: 5\r\nTransfer-Encoding: chunked"), Err(Rule::LengthAndEncoding));
        assert_eq!(post("Transfer-Encoding: x\r\nContent-Length: 5"), Err(Rule::LengthAndEncoding));
        assert_eq!(
            response("200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5"),
            Err(Rule::LengthAndEncoding)
        );
    }

    #[test]
    fn a27_b25_invalid_lengths_are_refused_and_identical_ones_collapse() {
        for bad in [
            "+5",
            "-0",
            "-5",
            "0x5",
            "5 5",
            "5,6",
            "5;",
            "",
            ",",
            "5,",
            ",5",
            "5,,5",
            "5_0",
            "\u{665}",
            "5.0",
            "1e1",
            "18446744073709551616",
            "99999999999999999999999999",
            "5\t5",
            "five",
        ] {
            assert_eq!(post(&format!("Content-Length: {bad}")), Err(Rule::ContentLength), "{bad:?}");
            assert_eq!(
                response(&format!("200 OK\r\nContent-Length: {bad}")),
                Err(Rule::ContentLength),
                "{bad:?}"
            );
        }
        assert_eq!(post("Content-Length: 5, 5"), Ok(Body::Length(5)));
        assert_eq!(post("Content-Length: 5\r\ncontent-length: 05"), Ok(Body::Length(5)));
        assert_eq!(post("Content-Length: 5\r\nContent-Length: 6"), Err(Rule::ContentLength));
        assert_eq!(post("Content-Length: 18446744073709551615"), Ok(Body::Length(u64::MAX)));
    }

    #[test]
    fn cve_2023_40225_an_empty_content_length_is_refused() {
        assert_eq!(post("Content-Length:"), Err(Rule::ContentLength));
        assert_eq!(post("Content-Length:\r\nContent-Length: 5"), Err(Rule::ContentLength));
    }

    #[test]
    fn a18_a19_a26_a_request_is_exactly_chunked_once() {
        for bad in [
            "",
            ",",
            "chunked,",
            ",chunked",
            "chunked, chunked",
            "xchunked",
            "chunkedx",
            "chunked x",
            "identity",
            "gzip",
            "chunked, gzip",
            "\"chunked\"",
            "chunked;q=1",
            "chunked, xchunked",
            "gzip, chunked, chunked",
            "x y, chunked",
        ] {
            assert_eq!(post(&format!("Transfer-Encoding: {bad}")), Err(Rule::TransferEncoding), "{bad:?}");
        }
        assert_eq!(post("Transfer-Encoding: gzip, chunked"), Err(Rule::TransferCoding));
        assert_eq!(post("Transfer-Encoding: identity,chunked"), Err(Rule::TransferCoding));
    }

    #[test]
    fn rustsec_2021_0020_several_transfer_encoding_lines_are_refused() {
        for second in ["chunked", "gzip", "identity"] {
            let both = format!("Transfer-Encoding: chunked\r\ntransfer-encoding: {second}");
            assert_eq!(post(&both), Err(Rule::TransferEncoding), "{second}");
        }
    }

    #[test]
    fn a23_cve_2026_2835_encoding_in_http10_is_refused() {
        let head = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(request(head), Err(Rule::EncodingInHttp10));
        let head = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut parser = HeadParser::new();
        parser.on_response_bytes(head.as_bytes(), &HeadLimits::default()).unwrap().unwrap();
        let raw = parser.take_response(Chunk::from(head.as_bytes().to_vec()));
        assert_eq!(check_response(&raw, Method::Get), Err(Rule::EncodingInHttp10));
    }

    #[test]
    fn cve_2025_64763_connect_with_content_is_refused() {
        let connect = |fields: &str| request(&format!("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n{fields}\r\n"));
        assert_eq!(connect(""), Ok(Body::Empty));
        assert_eq!(connect("Content-Length: 5\r\n"), Err(Rule::ContentLength));
        assert_eq!(connect("Content-Length: 0\r\n"), Err(Rule::ContentLength));
        assert_eq!(connect("Transfer-Encoding: chunked\r\n"), Err(Rule::TransferEncoding));
    }

    #[test]
    fn a_response_without_framing_fields_lasts_until_close() {
        assert_eq!(response("200 OK"), Ok(Body::UntilClose));
        assert_eq!(response("200 OK\r\nContent-Length: 3"), Ok(Body::Length(3)));
        assert_eq!(response("200 OK\r\nTransfer-Encoding: chunked"), Ok(Body::Streamed));
        assert_eq!(response("200 OK\r\nTransfer-Encoding: gzip, chunked"), Err(Rule::TransferCoding));
        assert_eq!(response("200 OK\r\nTransfer-Encoding: gzip"), Err(Rule::TransferEncoding));
    }

    #[test]
    fn a31_responses_without_content_have_none_whatever_their_fields_say() {
        for status in ["100 Continue", "103 Early Hints", "204 No Content", "304 Not Modified"] {
            assert_eq!(response(&format!("{status}\r\nContent-Length: 5")), Ok(Body::Empty), "{status}");
            assert_eq!(
                response(&format!("{status}\r\nTransfer-Encoding: chunked")),
                Ok(Body::Empty),
                "{status}"
            );
        }
        assert_eq!(response_to(Method::Head, "200 OK\r\nContent-Length: 5"), Ok(Body::Empty));
        assert_eq!(response_to(Method::Head, "200 OK\r\nTransfer-Encoding: chunked"), Ok(Body::Empty));
        assert_eq!(response_to(Method::Head, "200 OK"), Ok(Body::Empty));
        assert_eq!(response_to(Method::Connect, "200 OK\r\nContent-Length: 5"), Ok(Body::Empty));
        assert_eq!(response_to(Method::Connect, "407 No\r\nContent-Length: 5"), Ok(Body::Length(5)));
    }

    #[test]
    fn b25_a_malformed_length_is_refused_also_where_no_content_follows() {
        assert_eq!(response("304 Not Modified\r\nContent-Length: x"), Err(Rule::ContentLength));
        assert_eq!(response_to(Method::Head, "200 OK\r\nContent-Length: 5, 6"), Err(Rule::ContentLength));
    }
}
