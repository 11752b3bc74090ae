//! What HTTP allows in the names and values that a configuration adds to messages or compares with them.

use super::diagnose::{Problem, closest};
use ringway_engine::route::canonical;
use ringway_engine::settings::{LimitKey, PathPattern, RateLimit};
use std::net::Ipv6Addr;

/// One method or several with commas between: `GET`, `GET,HEAD`. They are compared byte by byte.
pub(crate) fn parse_methods(text: &str) -> Result<Vec<String>, Problem> {
    let mut methods: Vec<String> = Vec::new();
    for method in text.split(',').map(str::trim) {
        if !is_token(method) {
            return Err(Problem::new(format!("`{method}` is not a method"))
                .with_help("write \"GET\" or \"GET,HEAD\""));
        }
        if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
            let upper = method.to_ascii_uppercase();
            return Err(
                Problem::new("methods are written in capitals").with_help(format!("write \"{upper}\""))
            );
        }
        if methods.iter().any(|earlier| earlier == method) {
            return Err(Problem::new(format!("`{method}` is given twice")));
        }
        methods.push(method.to_owned());
    }
    Ok(methods)
}

/// `/x/*` is a prefix, `/x` is exactly that path. What no request can ask for is refused.
pub(crate) fn parse_path(text: &str) -> Result<PathPattern, Problem> {
    let refuse = |message: &str| Err(Problem::new(format!("`{text}`: {message}")));
    if !text.starts_with('/') {
        return Err(
            Problem::new(format!("`{text}` does not start with `/`")).with_help(format!("write \"/{text}\""))
        );
    }
    let (path, is_prefix) = match text.strip_suffix('*') {
        Some(prefix) if prefix.ends_with('/') => (prefix, true),
        Some(prefix) => {
            let help = format!("write \"{prefix}/*\", or \"{prefix}\" for exactly that path");
            return Err(Problem::new("`*` stands for whole segments only").with_help(help));
        }
        None => (text, false),
    };
    if path.contains('*') {
        return Err(
            Problem::new(format!("`{text}`: `*` can only be the last segment")).with_help("like \"/x/*\"")
        );
    }
    if path.contains(['?', '#']) {
        return refuse("a pattern is about the path, without query and fragment");
    }
    if path
        .bytes()
        .any(|byte| byte.is_ascii() && (!byte.is_ascii_graphic() || br#""<>^`{|}"#.contains(&byte)))
    {
        return refuse("a path holds such characters only percent-encoded, like `%20`");
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return refuse("dot segments are removed before paths are compared");
    }
    // The engine's own reading, so that two spellings of one path are found to be one.
    let path = canonical(path.as_bytes()).map_err(|doubt| {
        let reason = doubt.word().replace('_', " ");
        Problem::new(format!("`{text}`: requests for such a path are refused ({reason})"))
    })?;
    let path = String::from_utf8_lossy(&path).into_owned();
    Ok(if is_prefix { PathPattern::Prefix(path) } else { PathPattern::Exact(path) })
}

/// `*`, `example.com`, `*.example.com`, `[::1]`; the result is lower case.
pub(crate) fn parse_host(text: &str) -> Result<String, Problem> {
    let host = text.to_ascii_lowercase();
    let name = host.strip_prefix("*.").unwrap_or(&host);
    let is_v6 = |text: &str| {
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        inner.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
    };
    if host == "*" || is_v6(&host) {
        return Ok(host);
    }
    let refuse = |message: &str| Problem::new(format!("`{text}`: {message}"));
    if let Some((host, port)) = text.rsplit_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && (is_v6(host) || !host.contains(':'))
    {
        return Err(refuse("hosts are compared without their port").with_help(format!("write \"{host}\"")));
    }
    if name.parse::<Ipv6Addr>().is_ok() {
        return Err(refuse("an IPv6 address stands in brackets").with_help(format!("write \"[{name}]\"")));
    }
    if name.contains('*') {
        return Err(refuse("`*` can only be the first label").with_help("like \"*.example.com\""));
    }
    if !name.is_ascii() {
        return Err(refuse("a name outside ASCII is written as it is sent, in its `xn--` form"));
    }
    let is_label_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_label_byte);
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(refuse("not a host").with_help("like \"example.com\", \"*.example.com\" or \"*\""));
    }
    Ok(host)
}

/// A field name that a configuration may change.
pub(crate) fn parse_field_name(text: &str) -> Result<String, Problem> {
    if !is_token(text) {
        return Err(Problem::new(format!("`{text}` is not a field name")));
    }
    if CONNECTION_FIELDS.iter().any(|name| text.eq_ignore_ascii_case(name)) {
        let message =
            format!("`{text}` says how one connection carries the message; the proxy writes it itself");
        return Err(Problem::new(message));
    }
    Ok(text.to_owned())
}

/// Whose requests a limit counts together: `client`, `host`, `path`, `all`, `header:NAME`.
pub(crate) fn parse_limit_key(text: &str) -> Result<LimitKey, Problem> {
    const WORDS: [(&str, LimitKey); 4] = [
        ("client", LimitKey::Client),
        ("host", LimitKey::Host),
        ("path", LimitKey::Path),
        ("all", LimitKey::All),
    ];
    if let Some((_, key)) = WORDS.into_iter().find(|(word, _)| *word == text) {
        return Ok(key);
    }
    if let Some(name) = text.strip_prefix("header:") {
        return parse_field_name(name).map(LimitKey::Header);
    }
    let problem = Problem::new(format!("requests cannot be counted by `{text}`"));
    let words = ["client", "host", "path", "all", "header:"];
    Err(match closest(text.split_inclusive(':').next().unwrap_or(text), words) {
        Some("header:") => problem.with_help("write \"header:NAME\""),
        Some(meant) => problem.with_help(format!("did you mean \"{meant}\"?")),
        None => problem.with_help("\"client\", \"host\", \"path\", \"header:NAME\" or \"all\""),
    })
}

/// The name of a limit in responses.
pub(crate) fn parse_limit_name(text: &str) -> Result<String, Problem> {
    if RateLimit::is_announceable(text) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(format!("`{text}` is not a name of a limit"))
        .with_help("printable ASCII without quotes and backslashes"))
}

/// A field value (RFC 9110 section 5.5): no control characters but tab, no blanks at the ends.
pub(crate) fn parse_field_value(text: &str) -> Result<String, Problem> {
    if text.chars().any(|c| c.is_ascii_control() && c != '\t') {
        return Err(Problem::new("a field value has no line breaks and no control characters"));
    }
    if text.trim_matches([' ', '\t']) != text {
        return Err(Problem::new("a field value does not start or end with a blank"));
    }
    Ok(text.to_owned())
}

/// What may stand in `Location`: a URI reference.
pub(crate) fn parse_location(text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.bytes().any(|byte| !byte.is_ascii_graphic() || br#""<>\^`{|}"#.contains(&byte))
    {
        let message =
            format!("`{text}` is not a URL or path; other characters are percent-encoded, like `%20`");
        return Err(Problem::new(message));
    }
    Ok(text.to_owned())
}

/// `type/subtype`, with parameters or without.
pub(crate) fn parse_media_type(text: &str) -> Result<String, Problem> {
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let is_type = essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    if !is_type {
        return Err(Problem::new(format!("`{text}` is not a media type")).with_help("like \"text/html\""));
    }
    parse_field_value(text)
}

/// A token of the `Upgrade` field that may pass besides `websocket`; the result is lower case.
pub(crate) fn parse_upgrade(text: &str) -> Result<String, Problem> {
    let token = text.to_ascii_lowercase();
    match token.as_str() {
        "websocket" => Err(Problem::new("`websocket` always passes")),
        "h2c" => Err(Problem::new("`h2c` never passes: requests inside it could not be checked")),
        _ if text.split('/').count() <= 2 && text.split('/').all(is_token) => Ok(token),
        _ => Err(Problem::new(format!("`{text}` is not an upgrade token"))),
    }
}

/// The name that `Via` shows (RFC 9110 section 7.6.3): a token, or a host with its port.
pub(crate) fn parse_via(text: &str) -> Result<String, Problem> {
    let is_received_by = |text: &str| match text.rsplit_once(':') {
        Some((host, port)) => is_token(host) && port.parse::<u16>().is_ok(),
        None => is_token(text),
    };
    if is_received_by(text) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(format!("`{text}` is not a name for `Via`")).with_help("a host, or a word"))
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// An edit of these would break the framing, or be taken off again.
const CONNECTION_FIELDS: &[&str] = &[
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_exact_or_whole_segments() {
        assert_eq!(parse_path("/x/*"), Ok(PathPattern::Prefix("/x/".into())));
        assert_eq!(parse_path("/*"), Ok(PathPattern::Prefix("/".into())));
        assert_eq!(parse_path("/x"), Ok(PathPattern::Exact("/x".into())));
        assert_eq!(parse_path("/"), Ok(PathPattern::Exact("/".into())));
        assert_eq!(parse_path("/a//b%20c;d=~e%C3%A9"), Ok(PathPattern::Exact("/a//b%20c;d=~e%C3%A9".into())));
        assert_eq!(parse_path("/%7Eé"), Ok(PathPattern::Exact("/~%C3%A9".into())));
        for text in [
            "", "x", "*", "/x*", "/*/x", "/x/*/*", "/x?a", "/x#a", "/x y", "/a/../b", "/./", "/%4", "/%zz",
            "/a\\b",
        ] {
            parse_path(text).expect_err(text);
        }
        assert!(parse_path("/a%2fb").unwrap_err().to_string().contains("are refused (encoded slash)"));
        assert!(parse_path("/x*").unwrap_err().to_string().contains("\"/x/*\""));
    }

    #[test]
    fn hosts_are_lower_case_names_with_a_star_in_front_at_most() {
        for (text, host) in [
            ("*", "*"),
            ("Example.COM", "example.com"),
            ("*.Example.com", "*.example.com"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(parse_host(text).as_deref(), Ok(host));
        }
        for text in [
            "", "*.", "**", "a.*.b", "a*.b", "*a", "a b", "a/b", ".a", "a.", "a..b", "é.de", "[::g]",
            "http://a",
        ] {
            parse_host(text).expect_err(text);
        }
        assert!(parse_host("a.b:80").unwrap_err().to_string().contains("write \"a.b\""));
        assert!(parse_host("[::1]:80").unwrap_err().to_string().contains("write \"[::1]\""));
        assert!(parse_host("::1").unwrap_err().to_string().contains("write \"[::1]\""));
    }

    #[test]
    fn methods_are_tokens_in_capitals() {
        assert_eq!(parse_methods("GET"), Ok(vec!["GET".into()]));
        assert_eq!(parse_methods("GET, M-SEARCH"), Ok(vec!["GET".into(), "M-SEARCH".into()]));
        assert!(parse_methods("get").unwrap_err().to_string().contains("write \"GET\""));
        for text in ["", "GET,", "GET POST", "GET,GET", "Gët"] {
            parse_methods(text).expect_err(text);
        }
    }

    #[test]
    fn fields_cannot_split_messages_or_change_their_framing() {
        assert_eq!(parse_field_name("X-From"), Ok("X-From".into()));
        for text in ["", "X From", "X:", "Content-Length", "transfer-encoding", "CONNECTION", "X\r\nY"] {
            parse_field_name(text).expect_err(text);
        }
        assert_eq!(parse_field_value("a\tb é"), Ok("a\tb é".into()));
        assert_eq!(parse_field_value(""), Ok(String::new()));
        for text in ["a\r\nb", "a\nb", "a\0", "\u{7f}", " a", "a\t"] {
            parse_field_value(text).expect_err(text);
        }
    }

    #[test]
    fn locations_media_types_upgrades_and_via_are_what_their_fields_take() {
        parse_location("https://a/b?c=%20#d").unwrap();
        for text in ["", "/a b", "/é", "/a\r\nb"] {
            parse_location(text).expect_err(text);
        }
        parse_media_type("text/html; charset=utf-8").unwrap();
        for text in ["", "html", "text/", "text/html;\r\n"] {
            parse_media_type(text).expect_err(text);
        }
        assert_eq!(parse_upgrade("Foo/1"), Ok("foo/1".into()));
        for text in ["", "h2c", "H2C", "WebSocket", "a b", "a/b/c", "a/"] {
            parse_upgrade(text).expect_err(text);
        }
        parse_via("edge-1.example:8080").unwrap();
        for text in ["", "a b", "a:b", "a\r\n"] {
            parse_via(text).expect_err(text);
        }
    }
}
