//! What hooks do to heads, and what is sent all the same.

use super::*;
use ringway_proto::chunk::SMALL_BYTES;
use ringway_proto::message::{Body, Status};
use ringway_testing::http::Framing;
use ringway_testing::simulated_calm;

/// Does this to heads that pass.
#[derive(Clone, Copy)]
struct Edits {
    request: fn(&mut Session) -> Result<Flow>,
    upstream_request: fn(&mut RequestHead) -> Result<()>,
    response: fn(&mut ResponseHead) -> Result<()>,
}

/// Nothing.
const NONE: Edits =
    Edits { request: |_| Ok(Flow::Continue), upstream_request: |_| Ok(()), response: |_| Ok(()) };

impl Proxy for Edits {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<Flow> {
        (self.request)(session)
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        upstream_request: &mut RequestHead,
        (): &mut (),
    ) -> Result<()> {
        (self.upstream_request)(upstream_request)
    }

    async fn response_filter(&self, _: &mut Session, response: &mut ResponseHead, (): &mut ()) -> Result<()> {
        (self.response)(response)
    }
}

/// A world with these edits.
fn edited(edits: Edits, run: impl Fn(&World)) {
    scenario(|w| {
        w.proxy(move || edits);
        run(w);
    });
}

#[test]
fn what_frames_a_request_is_written_by_us() {
    let edits = Edits {
        request: |session| {
            let fields = &mut session.request_mut().fields;
            fields.set(b"content-length", b"1")?;
            fields.set(b"transfer-encoding", b"gzip")?;
            Ok(Flow::Continue)
        },
        upstream_request: |head| {
            head.fields.set(b"content-length", b"99")?;
            head.fields.append(b"content-length", b"98")?;
            head.fields.set(b"transfer-encoding", b"chunked")?;
            head.fields.set(b"connection", b"close, x-secret")?;
            Ok(head.fields.set(b"keep-alive", b"timeout=1")?)
        },
        ..NONE
    };
    edited(edits, |w| {
        w.origin().on("*").reply(OK);
        let c = w.client();
        c.post("/", "hello").expect_ok("abc").get("/").expect_ok("abc");
        w.origin().request(0).expect_body("hello").expect_header("Content-Length", "5");
        w.origin().request(0).expect_no_header("Transfer-Encoding").expect_no_header("Connection");
        w.origin().request(1).expect_body("").expect_connection(0).expect_no_header("Content-Length");
        w.expect_outcomes(&["complete"; 2]);
    });
}

#[test]
fn what_frames_a_response_is_written_by_us() {
    let edits = Edits {
        response: |head| {
            head.fields.set(b"content-length", b"99")?;
            head.fields.append(b"content-length", b"1")?;
            head.fields.set(b"transfer-encoding", b"chunked")?;
            Ok(head.fields.set(b"connection", b"close")?)
        },
        ..NONE
    };
    edited(edits, |w| {
        w.origin().on("GET /").reply(OK);
        w.origin()
            .on("GET /chunked")
            .reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        w.origin().on("GET /broken").close();
        let c = w.client();
        c.get("/")
            .expect_ok("abc")
            .expect_header("Content-Length", "3")
            .expect_no_header("Transfer-Encoding");
        c.get("/chunked").expect_ok("abc").expect_no_header("Content-Length").expect_no_header("Connection");
        c.get("/broken").expect_status(502).expect_body("502 Bad Gateway\n").expect_kept_alive();
    });
}

#[test]
fn what_frames_an_answer_of_a_hook_is_written_by_us() {
    let edits = Edits {
        request: |_| {
            let response = Response::new(200).header("content-length", "99").header("connection", "close");
            Ok(response.header("transfer-encoding", "chunked").body("hi").into())
        },
        ..NONE
    };
    edited(edits, |w| {
        let c = w.client();
        c.get("/").expect_ok("hi").expect_header("Content-Length", "2").expect_no_header("Connection");
        c.get("/").expect_ok("hi").expect_no_header("Transfer-Encoding").expect_kept_alive();
    });
}

#[test]
fn a_status_without_content_takes_the_content_away() {
    for status in [204, 304] {
        let edits = match status {
            204 => Edits {
                response: |head| {
                    head.status = Status(204);
                    Ok(())
                },
                ..NONE
            },
            _ => Edits {
                response: |head| {
                    head.status = Status(304);
                    Ok(())
                },
                ..NONE
            },
        };
        edited(edits, |w| {
            w.origin().on("*").reply(OK);
            let c = w.client();
            c.get("/").expect_status(status).expect_body("");
            c.get("/").expect_status(status).expect_body("").expect_kept_alive();
            w.expect_outcomes(&["complete"; 2]);
        });
    }
}

#[test]
fn a_status_with_content_does_not_make_any() {
    let edits = Edits {
        response: |head| {
            head.status = Status(200);
            Ok(())
        },
        ..NONE
    };
    edited(edits, |w| {
        w.origin().on("GET /204").reply("HTTP/1.1 204 No Content\r\n\r\n");
        w.origin().on("GET /304").reply("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n");
        let c = w.client();
        c.get("/204").expect_ok("").get("/204").expect_ok("");
        c.get("/304").expect_ok("").get("/304").expect_ok("").expect_kept_alive();
        w.expect_outcomes(&["complete"; 4]);
    });
}

#[test]
fn a_status_that_is_not_final_is_a_failure_of_the_hook() {
    const BAD: [fn(&mut ResponseHead) -> Result<()>; 5] = [
        |head| {
            head.status = Status(0);
            Ok(())
        },
        |head| {
            head.status = Status(100);
            Ok(())
        },
        |head| {
            head.status = Status(101);
            Ok(())
        },
        |head| {
            head.status = Status(199);
            Ok(())
        },
        |head| {
            head.status = Status(1000);
            Ok(())
        },
    ];
    for response in BAD {
        edited(Edits { response, ..NONE }, |w| {
            w.origin().on("GET /").reply(OK);
            w.origin().on("GET /broken").close();
            let c = w.client();
            for path in ["/", "/broken"] {
                c.get(path).expect_status(500).expect_body("500 Internal Server Error\n").expect_kept_alive();
            }
            w.expect_outcomes(&["hook_failed"; 2]);
        });
    }
}

#[test]
fn a_switch_of_protocols_cannot_be_made_an_answer() {
    let edits = Edits {
        response: |head| {
            head.status = Status(200);
            Ok(())
        },
        ..NONE
    };
    edited(edits, |w| {
        let switch = "HTTP/1.1 101 Ok\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw";
        w.origin().on("GET /").reply(switch).tunnel().hang();
        let c = w.client();
        c.request("GET", "/", "Connection: upgrade\r\nUpgrade: websocket\r\n", "").expect_status(500);
        c.expect_body("500 Internal Server Error\n");
        w.expect_outcomes(&["hook_failed"]);
        w.origin().expect_ended(0);
    });
}

#[test]
fn an_answer_that_cannot_be_sent_is_a_500() {
    const BAD: [fn(&mut Session) -> Result<Flow>; 4] = [
        |_| Ok(Response::new(100).into()),
        |_| Ok(Response::new(600).into()),
        |_| Ok(Response::new(200).header("a b", "c").into()),
        |_| Ok(Response::new(200).header("a", "b\r\nc: d").into()),
    ];
    for request in BAD {
        edited(Edits { request, ..NONE }, |w| {
            let c = w.client();
            c.get("/").expect_status(500).expect_body("500 Internal Server Error\n").expect_kept_alive();
            w.expect_outcomes(&["hook_failed"]);
        });
    }
}

#[test]
fn a_field_that_cannot_be_sent_is_a_500() {
    let edits = Edits { upstream_request: |head| Ok(head.fields.set(b"x", b"a\r\nb: c")?), ..NONE };
    edited(edits, |w| {
        let c = w.client();
        c.get("/").expect_status(500).expect_body("500 Internal Server Error\n").expect_kept_alive();
        w.expect_outcomes(&["hook_failed"]);
    });
    let edits = Edits { response: |head| Ok(head.fields.append(b"x y", b"a")?), ..NONE };
    edited(edits, |w| {
        w.origin().on("*").reply(OK);
        let c = w.client();
        c.get("/").expect_status(500).expect_body("500 Internal Server Error\n").expect_kept_alive();
        w.expect_outcomes(&["hook_failed"]);
    });
}

#[test]
fn head_may_be_made_get_and_its_client_is_sent_no_content() {
    let edits = Edits { upstream_request: |head| Ok(head.set_method(b"GET")?), ..NONE };
    edited(edits, |w| {
        w.origin().on("GET /").reply(OK);
        let c = w.client();
        c.head("/").expect_ok("").expect_header("Content-Length", "3");
        c.head("/").expect_ok("").get("/").expect_ok("abc").expect_kept_alive();
        w.origin().expect_connections(1).last().expect_line("GET / HTTP/1.1");
        w.expect_outcomes(&["complete"; 3]);
        w.last_record().expect("method", "GET");
        assert_eq!(w.records()[0].text("method"), "HEAD");
    });
}

#[test]
fn get_may_be_made_head_and_its_client_waits_for_no_content() {
    let edits = Edits {
        request: |session| {
            session.request_mut().set_method(b"HEAD")?;
            Ok(Flow::Continue)
        },
        ..NONE
    };
    edited(edits, |w| {
        w.origin().on("HEAD /").reply("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
        let c = w.client();
        c.get("/").expect_ok("").expect_framing(Framing::Length(0));
        c.get("/").expect_ok("").head("/").expect_ok("").expect_header("Content-Length", "3");
        c.expect_kept_alive();
        w.origin().expect_connections(1);
        w.expect_outcomes(&["complete"; 3]);
    });
}

#[test]
fn a_method_of_ones_own_is_sent_and_connect_is_not() {
    let edits = Edits { upstream_request: |head| Ok(head.set_method(b"BREW")?), ..NONE };
    edited(edits, |w| {
        w.origin().on("BREW /").reply(OK);
        let c = w.client();
        c.post("/", "hello").expect_ok("abc");
        w.origin().last().expect_body("hello");
    });
    for edits in [
        Edits { upstream_request: |head| Ok(head.set_method(b"CONNECT")?), ..NONE },
        Edits { upstream_request: |head| Ok(head.set_method(b"GET / HTTP/1.1\r\nX: ")?), ..NONE },
    ] {
        edited(edits, |w| {
            w.client().get("/").expect_status(500);
            w.expect_outcomes(&["hook_failed"]);
        });
    }
}

#[test]
fn a_target_is_what_the_hook_says_and_the_log_what_the_client_said() {
    let edits = Edits { upstream_request: |head| Ok(head.set_target(b"/other?x=1")?), ..NONE };
    edited(edits, |w| {
        w.origin().on("GET /other?x=1").reply(OK);
        w.client().get("/").expect_ok("abc");
        w.last_record().expect("target", "/");
    });
    let edits = Edits { upstream_request: |head| Ok(head.set_target(b"/a b")?), ..NONE };
    edited(edits, |w| {
        w.client().get("/").expect_status(500);
        w.expect_outcomes(&["hook_failed"]);
    });
}

#[test]
fn a_request_has_a_host_whatever_a_hook_removes() {
    let edits = Edits {
        upstream_request: |head| {
            head.fields.remove_named(b"host");
            Ok(())
        },
        ..NONE
    };
    edited(edits, |w| {
        w.origin().on("*").reply(OK);
        w.client().get("/").expect_ok("abc");
        assert_eq!(w.origin().last().message().all("host").len(), 1);
    });
}

#[test]
fn an_origin_is_asked_for_one_host_or_not_at_all() {
    const REQUEST: [fn(&mut Session) -> Result<Flow>; 2] = [
        |session| {
            session.request_mut().fields.append(b"host", b"b").map(|()| Flow::Continue).map_err(Error::from)
        },
        |session| {
            session.request_mut().fields.set(b"Host", b"a, b").map(|()| Flow::Continue).map_err(Error::from)
        },
    ];
    const UPSTREAM: [fn(&mut RequestHead) -> Result<()>; 6] = [
        |head| Ok(head.fields.append(b"Host", b"b")?),
        // Also one that says the same.
        |head| Ok(head.fields.append(b"hOST", b"a")?),
        |head| Ok(head.fields.set(b"Host", b"user@b")?),
        |head| Ok(head.fields.set(b"Host", b"b c")?),
        |head| Ok(head.fields.set(b"Host", b"b:x")?),
        |head| Ok(head.fields.set(b"Host", b"")?),
    ];
    let edits = REQUEST.map(|request| Edits { request, ..NONE });
    for edits in edits.into_iter().chain(UPSTREAM.map(|upstream_request| Edits { upstream_request, ..NONE }))
    {
        edited(edits, |w| {
            w.origin().on("*").reply(OK);
            let c = w.client();
            c.get("/").expect_status(500).expect_body("500 Internal Server Error\n").expect_kept_alive();
            w.expect_outcomes(&["hook_failed"]);
            w.origin().expect_requests(0);
        });
    }
}

#[test]
fn a_hook_may_name_another_host() {
    let edits = Edits {
        request: |session| {
            session.request_mut().fields.set(b"host", b"b")?;
            session.request_mut().fields.set(b"host", b"b.example:8080")?;
            Ok(Flow::Continue)
        },
        ..NONE
    };
    edited(edits, |w| {
        w.origin().on("*").reply(OK);
        let c = w.client();
        c.get("/").expect_ok("abc").request("GET", "http://example.com/x", "", "").expect_ok("abc");
        w.origin().request(0).expect_headers("Host", &["b.example:8080"]);
        w.origin().request(1).expect_line("GET /x HTTP/1.1").expect_headers("Host", &["b.example:8080"]);
    });
}

#[test]
fn a_protocol_that_would_change_the_message_is_not_sent() {
    let edits = Edits {
        upstream_request: |head| {
            head.upgrade = Some(b"chat\r\nx-evil: 1".as_slice().into());
            Ok(())
        },
        ..NONE
    };
    edited(edits, |w| {
        w.origin().on("*").reply(OK);
        w.client().get("/").expect_ok("abc");
        w.origin()
            .last()
            .expect_no_header("x-evil")
            .expect_no_header("Upgrade")
            .expect_no_header("Connection");
    });
}

#[test]
fn a_length_that_a_hook_made_up_frames_nothing_else() {
    let edits = Edits {
        upstream_request: |head| {
            head.set_body(Body::Length(2));
            Ok(())
        },
        ..NONE
    };
    edited(edits, |w| {
        w.origin().on("*").read_all().reply(OK);
        let c = w.client();
        c.post("/", "GET /smuggled HTTP/1.1\r\n\r\n").any_status();
        w.origin().last().expect_line("POST / HTTP/1.1").expect_header("Content-Length", "2");
        // Whatever it got of that: it was no request of its own, and nobody else's comes behind it.
        w.client().post("/", "ok").expect_ok("abc");
        w.origin().last().expect_line("POST / HTTP/1.1").expect_body("ok").expect_connection(1);
    });
}

#[test]
fn trailers_of_a_hook_frame_and_route_nothing() {
    scenario(|w| {
        w.proxy(|| Trailing);
        let content = "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n";
        w.origin().on("*").reply(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{content}"));
        let c = w.client();
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n";
        c.asks("POST").send(format!("{head}{content}"));
        c.expect_status(200).expect_body("hello").expect_trailers(&[("x-sum", "1"), ("x-own", "2")]);
        w.origin().last().expect_trailers(&[("x-sum", "1"), ("x-own", "2")]);
    });
}

/// Adds trailers that may be sent and such that may not.
struct Trailing;

impl Trailing {
    fn add(trailers: &mut Fields) -> Result<()> {
        for name in ["content-length", "transfer-encoding", "host", "connection", "content-encoding"] {
            trailers.append(name, "1")?;
        }
        Ok(trailers.append("x-own", "2")?)
    }
}

impl Proxy for Trailing {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }

    async fn request_trailer_filter(
        &self,
        _: &mut Session,
        trailers: &mut Fields,
        (): &mut (),
    ) -> Result<()> {
        Self::add(trailers)
    }

    async fn response_trailer_filter(
        &self,
        _: &mut Session,
        trailers: &mut Fields,
        (): &mut (),
    ) -> Result<()> {
        Self::add(trailers)
    }
}

/// Waits with the heads of responses, and tells what they say then.
struct Pensive;

impl Proxy for Pensive {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }

    async fn response_filter(&self, _: &mut Session, response: &mut ResponseHead, (): &mut ()) -> Result<()> {
        rt::sleep(Duration::from_millis(20)).await;
        let said = response.fields.find("x-name").unwrap_or_default().to_vec();
        response.fields.append("x-said", said)?;
        response.fields.remove_named("x-gone");
        Ok(())
    }
}

#[test]
fn a_head_that_a_hook_waits_with_stays_what_it_is_while_others_come() {
    scenario(|w| {
        w.proxy(|| Pensive);
        let fill = |n: usize| char::from(b'a' + n as u8).to_string().repeat(200 + 37 * n);
        for n in 0..12 {
            let fields = format!("X-Name: {n}\r\nX-Gone: {}\r\nX-Fill: {}\r\n", fill(n), fill(n));
            let reply = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 3\r\n\r\nabc");
            w.origin().on(&format!("GET /{n}")).reply(reply);
        }
        let clients: Vec<_> = (0..12).map(|_| w.client()).collect();
        // The first round is when it is found out that hooks wait.
        for _ in 0..3 {
            clients.iter().enumerate().for_each(|(n, c)| _ = c.get(&format!("/{n}")));
            for (n, c) in clients.iter().enumerate() {
                c.expect_ok("abc").expect_header("X-Said", &n.to_string()).expect_header("X-Fill", &fill(n));
                c.expect_header("X-Name", &n.to_string()).expect_no_header("X-Gone");
            }
        }
    });
}

#[test]
fn heads_that_hooks_wait_with_hold_little_memory() {
    simulated_calm(|w| {
        w.proxy(|| Pensive);
        w.origin().on("*").reply(OK);
        let clients: Vec<_> = (0..40).map(|_| w.client()).collect();
        clients[0].get("/").expect_ok("abc");
        clients.iter().for_each(|c| _ = c.get("/"));
        w.after("10ms");
        // The answers are there and none is sent: a request, a head and content in a small buffer each, and none in the
        // large one that it was received into.
        assert!(w.held_bytes() <= 40 * 3 * SMALL_BYTES, "{}", w.held_bytes());
        clients.iter().for_each(|c| _ = c.expect_ok("abc"));
    });
}

#[test]
fn a_hook_may_end_the_clients_connection() {
    let edits = Edits {
        request: |session| {
            session.close_connection();
            Ok(Flow::Continue)
        },
        ..NONE
    };
    edited(edits, |w| {
        w.origin().on("*").reply(OK);
        let c = w.client();
        c.get("/").expect_ok("abc").expect_header("Connection", "close").expect_closed();
    });
}
