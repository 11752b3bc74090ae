//! Slow readers: what they cost, and that they lose nothing.

use ringway_engine::io::sim::Conditions;
use ringway_engine::limits::QUEUE_HIGH_BYTES;
use ringway_testing::{World, calm, simulated, simulated_calm};

/// What a relayed direction may hold at most: a queue just short of full, and one receive on top of it.
const HELD_BYTES_MAX: usize = QUEUE_HIGH_BYTES + 68 * 1024;
/// The same when what is received is short.
const HELD_FOR_BYTES_MAX: usize = QUEUE_HIGH_BYTES + 2 * 4096;
/// Ten million bytes.
const LARGE: usize = 10_000_000;

#[test]
fn a_reader_that_stops_costs_a_bounded_number_of_bytes_and_gets_everything_later() {
    simulated_calm(|w| {
        let body = pattern(LARGE);
        w.origin().on("GET /").ok(&body);
        let c = w.client();
        c.stop_reading().get("/");
        w.after("50s");
        holds_little(w);
        c.resume_reading().expect_status(200).expect_body_len(LARGE);
        assert!(c.response().body == body);
        c.get("/").expect_status(200).expect_body_len(LARGE).expect_kept_alive();
        w.expect_outcomes(&["complete", "complete"]);
        assert_eq!(w.held_bytes(), 0);
    });
}

#[test]
fn a_slow_reader_gets_ten_million_bytes_in_hundreds_of_pieces() {
    simulated_calm(|w| {
        let body = pattern(LARGE);
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunks = body
            .chunks(65_000)
            .map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        w.origin()
            .on("GET /")
            .reply([head.into(), chunks.collect::<Vec<_>>().concat(), b"0\r\n\r\n".to_vec()].concat());
        let c = w.client();
        c.stop_reading().get("/");
        let mut pauses = 0;
        while c.received_bytes() < LARGE {
            w.after("1s");
            holds_little(w);
            c.resume_reading().stop_reading();
            pauses += 1;
        }
        assert!(pauses > 100, "{pauses}");
        w.settle();
        c.resume_reading().expect_status(200).expect_body_len(LARGE).expect_kept_alive();
        assert!(c.response().body == body);
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn an_upload_to_an_origin_that_stops_reading_is_bounded_and_arrives_later() {
    simulated_calm(|w| {
        let body = pattern(LARGE);
        w.origin().on("POST /").early().stop_reading().wait("50s").resume_reading().read_all().ok("done");
        let c = w.client();
        c.post("/", &body);
        w.after("40s");
        holds_little(w);
        c.expect_ok("done").expect_kept_alive();
        assert!(w.origin().last().message().body == body);
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn an_upload_in_chunks_to_a_slow_origin_is_intact() {
    simulated_calm(|w| {
        let body = "0123456789abcdef".repeat(60_000);
        let script = w.origin().on("POST /").early();
        let script = (0..20).fold(script, |script, _| script.stop_reading().wait("5s").resume_reading());
        script.read_all().ok("done");
        let c = w.client();
        let pieces: Vec<&str> =
            (0..body.len()).step_by(7_000).map(|at| &body[at..body.len().min(at + 7_000)]).collect();
        c.post_chunks("/", &pieces).expect_ok("done").expect_kept_alive();
        w.origin().last().expect_body(&body);
    });
}

#[test]
fn single_bytes_for_a_stopped_reader_cost_no_more_than_a_full_queue() {
    simulated_calm(|w| {
        w.conditions(|conditions| {
            *conditions = Conditions { buffer_bytes: 4096, ..Conditions::dribbling() };
        });
        w.origin().on("GET /").ok("x".repeat(300_000));
        let c = w.client();
        c.stop_reading().get("/");
        for _ in 0..5 {
            w.after("10s");
            let held = w.held_bytes();
            assert!(held <= HELD_FOR_BYTES_MAX, "{held} bytes held");
        }
        c.resume_reading().expect_status(200).expect_body_len(300_000).expect_kept_alive();
    });
}

#[test]
fn single_byte_chunks_for_a_stopped_reader_cost_no_more() {
    simulated_calm(|w| {
        w.conditions(|conditions| {
            *conditions = Conditions { buffer_bytes: 4096, ..Conditions::dribbling() };
        });
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        w.origin().on("GET /").reply([head, &"1\r\nx\r\n".repeat(50_000), "0\r\n\r\n"].concat());
        let c = w.client();
        c.stop_reading().get("/");
        w.after("50s");
        let held = w.held_bytes();
        assert!(held <= HELD_FOR_BYTES_MAX, "{held} bytes held");
        c.resume_reading().expect_status(200).expect_body_len(50_000).expect_kept_alive();
    });
}

#[test]
fn single_bytes_of_an_upload_for_a_stopped_origin_cost_no_more_than_a_full_queue() {
    simulated_calm(|w| {
        w.conditions(|conditions| {
            *conditions = Conditions { buffer_bytes: 4096, ..Conditions::dribbling() };
        });
        w.origin().on("POST /").early().stop_reading().wait("50s").resume_reading().read_all().ok("done");
        let c = w.client();
        c.post("/", "x".repeat(300_000));
        w.after("40s");
        // A POST is sent once: nothing of it is kept.
        let held = w.held_bytes();
        assert!(held <= HELD_FOR_BYTES_MAX, "{held} bytes held");
        c.expect_ok("done").expect_kept_alive();
        w.origin().last().expect_body("x".repeat(300_000));
    });
}

#[test]
fn a_body_is_intact_however_often_its_reader_pauses() {
    simulated(|w| {
        let body = pattern(300_000);
        w.origin().on("GET /").ok(&body);
        let c = w.client();
        c.get("/");
        for _ in 0..20 {
            c.stop_reading();
            w.after("3s");
            c.resume_reading();
            w.after("1ms");
        }
        c.expect_status(200).expect_body_len(300_000).expect_kept_alive();
        assert!(c.response().body == body);
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn pipelined_responses_to_a_slow_reader_come_in_order_and_little_is_held() {
    simulated_calm(|w| {
        let c = w.client();
        c.stop_reading();
        for n in 0..50 {
            w.origin().on(&format!("GET /{n}")).ok(format!("{n:05}").repeat(10_000));
            c.get(&format!("/{n}"));
        }
        for _ in 0..20 {
            w.after("10s");
            holds_little(w);
            c.resume_reading().stop_reading();
        }
        c.resume_reading();
        (0..50).for_each(|n| _ = c.expect_ok(format!("{n:05}").repeat(10_000)));
        c.expect_kept_alive();
        w.origin().expect_connections(1).expect_requests(50);
    });
}

#[test]
fn a_client_that_stops_reading_does_not_hold_up_another() {
    simulated_calm(|w| {
        w.origin().on("GET /").ok("x".repeat(1_000_000));
        let slow: Vec<_> = (0..20).map(|_| w.client()).collect();
        slow.iter().for_each(|c| _ = c.stop_reading().get("/"));
        w.after("1s");
        let begun = w.now();
        let quick = w.client();
        quick.get("/").expect_ok("x".repeat(1_000_000)).get("/").expect_ok("x".repeat(1_000_000));
        assert!(w.now() - begun < ringway_testing::duration("1s"));
        let held = w.held_bytes();
        assert!(held <= 20 * HELD_BYTES_MAX, "{held} bytes held");
        slow.iter().for_each(|c| _ = c.resume_reading().expect_status(200).expect_body_len(1_000_000));
        assert_eq!(w.held_bytes(), 0);
    });
}

#[test]
fn an_origin_that_stops_reading_does_not_hold_up_what_it_sends() {
    simulated_calm(|w| {
        let (up, down) = (pattern(1_000_000), pattern(1_200_000));
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", down.len());
        w.origin()
            .on("POST /")
            .early()
            .stop_reading()
            .reply(head)
            .reply(&down[..1_000_000])
            .wait("40s")
            .resume_reading()
            .read_all()
            .reply(&down[1_000_000..]);
        let c = w.client();
        c.post("/", &up).expect_status(200);
        w.after("30s");
        assert!(c.received_bytes() > 1_000_000, "{}", c.received_bytes());
        c.expect_body_len(1_200_000).expect_kept_alive();
        assert!(w.origin().last().message().body == up);
        assert!(c.response().body == down);
    });
}

#[test]
fn a_client_that_stops_reading_its_answer_does_not_hold_up_its_upload() {
    simulated_calm(|w| {
        let (up, down) = (pattern(1_000_000), pattern(1_200_000));
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", down.len());
        w.origin().on("POST /").early().reply(head).reply(&down[..10]).read_all().reply(&down[10..]);
        let c = w.client();
        c.stop_reading().post("/", &up);
        w.after("30s");
        assert!(w.origin().last().message().body == up);
        holds_little(w);
        c.resume_reading().expect_status(200).expect_body_len(1_200_000).expect_kept_alive();
        assert!(c.response().body == down);
    });
}

#[track_caller]
fn holds_little(w: &World) {
    let held = w.held_bytes();
    assert!(held <= HELD_BYTES_MAX, "{held} bytes held");
}

/// Bytes whose order shows.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

#[test]
fn a_hundred_clients_that_do_not_read_hold_a_hundred_times_that() {
    simulated_calm(|w| {
        w.origin().on("*").ok("x".repeat(2_000_000));
        let clients: Vec<_> = (0..100).map(|_| w.client()).collect();
        clients.iter().for_each(|c| _ = c.stop_reading().get("/"));
        w.after("10s");
        assert!(w.held_bytes() < 100 * PAUSED_BYTES, "{}", w.held_bytes());
        clients.iter().for_each(|c| _ = c.reset());
        w.settle();
        assert_eq!(w.held_bytes(), 0);
    });
}

#[test]
fn full_duplex_through_small_buffers_does_not_lock_up() {
    simulated_calm(|w| {
        w.conditions(|conditions| conditions.buffer_bytes = 3000);
        w.origin().on("*").early().reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").echo();
        let c = w.client();
        let content = "0123456789".repeat(50_000);
        c.post("/", &content).expect_ok(&content).expect_kept_alive();
    });
}

#[test]
fn slow_and_torn_in_both_directions_everything_arrives() {
    simulated(|w| {
        w.conditions(|conditions| conditions.buffer_bytes = 500);
        let content: String = (0..500).map(|n| format!("{n:010}")).collect();
        w.origin().on("*").ok(&content);
        w.client().post("/", &content).expect_ok(&content).expect_kept_alive();
        w.origin().last().expect_body(&content);
    });
}

#[test]
fn an_early_answer_comes_down_while_the_upload_is_stuck() {
    simulated_calm(|w| {
        w.origin().on("*").early().stop_reading().ok("early").hang();
        let c = w.client();
        c.post("/", "x".repeat(5_000_000)).expect_ok("early");
        assert!(w.now().as_secs() < 2);
        c.close();
    });
}

#[test]
fn what_an_early_answer_leaves_of_a_large_upload_is_dropped_up_to_a_bound() {
    simulated_calm(|w| {
        w.origin().on("POST /").early().ok("early").hang();
        w.origin().on("GET /next").ok("next");
        let c = w.client();
        c.post("/", "x".repeat(900_000)).get("/next").expect_ok("early").expect_ok("next");
        let c = w.client();
        c.post("/", "x".repeat(1_200_000))
            .expect_ok("early")
            .expect_header("Connection", "close")
            .expect_over();
    });
}

#[test]
fn a_large_answer_waits_at_its_origin_while_the_client_does_not_read() {
    calm(|w| {
        w.origin().on("GET /").ok("x".repeat(HUGE));
        let c = w.client();
        c.stop_reading().get("/");
        let taken = w.counter("upstream_received_bytes");
        assert!(taken < HUGE as u64 / 2, "{taken}");
        c.resume_reading().expect_status(200).expect_body_len(HUGE);
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn a_large_upload_waits_at_its_client_while_the_origin_does_not_read() {
    calm(|w| {
        w.origin().on("POST /").early().stop_reading().wait("50ms").resume_reading().read_all().ok("done");
        let c = w.client();
        c.post("/", "x".repeat(HUGE)).expect_ok("done").expect_kept_alive();
        assert_eq!(w.origin().request(0).message().body.len(), HUGE);
        w.expect_outcomes(&["complete"]);
    });
}

#[test]
fn a_large_body_goes_up_and_comes_down_at_once() {
    calm(|w| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        w.origin().on("POST /").early().reply(head).echo();
        let body: Vec<u8> = (0..HUGE / 4).map(|at| (at % 251) as u8).collect();
        w.client().post("/", &body).expect_ok(&body);
    });
}

/// More than the buffers of real sockets hold on the way.
const HUGE: usize = 40_000_000;

/// What one paused exchange may hold: both queues at their high mark with a receive on top, and change.
const PAUSED_BYTES: usize = 3 * 140 * 1024;

/// A client that sends `bytes` in pieces of `piece` to an origin that never answers, and what that holds.
fn held_for(w: &World, bytes: impl AsRef<[u8]>, piece: usize) -> usize {
    w.conditions(|conditions| (conditions.packet_bytes, conditions.buffer_bytes) = (piece, 1_000_000));
    w.origin().on("*").hang();
    w.client().send(bytes);
    w.after("1s");
    w.held_bytes()
}

#[test]
fn requests_behind_one_that_is_not_answered_hold_little_more_than_they_are_long() {
    for piece in [1, 100, 4095, 4096, 5000, 17_000, 30_000, 40_000] {
        simulated_calm(|w| {
            let held = held_for(w, "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(4000), piece);
            assert!(held < 64 * 1024 + piece, "{held} bytes held for pieces of {piece}");
        });
    }
}

#[test]
fn a_long_head_holds_little_more_than_it_is_long() {
    for is_complete in [false, true] {
        for piece in [4500, 2000] {
            simulated_calm(|w| {
                let end = if is_complete { "\r\n\r\n" } else { "" };
                let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {}{end}", "x".repeat(4200));
                let held = held_for(w, head, piece);
                assert!(held <= 3 * 4096, "{held} bytes held for pieces of {piece}");
            });
        }
    }
}

#[test]
fn a_thousand_clients_that_dribble_hold_little_each() {
    simulated_calm(|w| {
        const CLIENTS: usize = 1000;
        w.conditions(|conditions| *conditions = Conditions { buffer_bytes: 4096, ..Conditions::dribbling() });
        w.origin().on("*").early().stop_reading().hang();
        let uploads = (0..CLIENTS).map(|n| {
            let c = w.client();
            // Some send more than all queues hold.
            let len = if n % 100 == 0 { 80_000 } else { 300 };
            c.request("POST", "/", "Content-Length: 100000\r\n", "x".repeat(len));
            c
        });
        let clients: Vec<_> = uploads.collect();
        w.after("20s");
        let held = w.held_bytes();
        assert!(held < CLIENTS / 100 * 64 * 1024 + CLIENTS * 3 * 4096, "{held} bytes held");
        clients.iter().for_each(|c| _ = c.close());
    });
}
