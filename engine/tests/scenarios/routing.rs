//! Which site and route take a request, and in what form it goes on.

use ringway_engine::settings::{Cluster, FieldEdit, PathPattern, Route, RouteAction, Site};
use ringway_testing::{Client, World, scenario};

#[test]
fn an_exact_host_goes_before_the_longest_wildcard_before_any() {
    scenario(|w| {
        let one = |host: &str| site(host, vec![respond(PathPattern::Any, host)]);
        sites(w, vec![one("*"), one("*.example.com"), one("*.eu.example.com"), one("example.com")]);
        let c = w.client();
        ask(&c, "GET", "example.com", "/").expect_ok("example.com");
        ask(&c, "GET", "a.example.com", "/").expect_ok("*.example.com");
        ask(&c, "GET", "a.b.example.com", "/").expect_ok("*.example.com");
        ask(&c, "GET", "a.eu.example.com", "/").expect_ok("*.eu.example.com");
        ask(&c, "GET", "badexample.com", "/").expect_ok("*");
    });
}

#[test]
fn port_case_and_last_dot_of_a_host_do_not_matter() {
    scenario(|w| {
        sites(w, vec![site("example.com", vec![respond(PathPattern::Any, "here")])]);
        let c = w.client();
        for host in ["EXAMPLE.com", "example.com:8080", "example.com.", "Example.Com.:1"] {
            ask(&c, "GET", host, "/").expect_ok("here");
        }
    });
}

#[test]
fn an_unknown_host_is_404_and_its_connection_goes_on() {
    scenario(|w| {
        sites(w, vec![site("example.com", vec![respond(PathPattern::Any, "here")])]);
        let c = w.client();
        c.send("POST /a HTTP/1.1\r\nHost: other.example\r\nContent-Length: 5\r\n\r\nhello");
        c.expect_status(404).expect_body("404 Not Found\n").expect_kept_alive();
        // What was content must not become a request.
        ask(&c, "GET", "example.com", "/").expect_ok("here");
        c.send("GET / HTTP/1.0\r\n\r\n").expect_status(404).expect_body("404 Not Found\n").expect_closed();
        w.expect_outcomes(&["no_route", "answered", "no_route"]);
    });
}

#[test]
fn the_longest_path_wins_and_exact_goes_before_prefix() {
    scenario(|w| {
        let routes = vec![
            respond(PathPattern::Any, "any"),
            respond(prefix("/a/"), "below a"),
            respond(prefix("/a"), "begins with a"),
            respond(exact("/a"), "a"),
            respond(prefix("/a/b/"), "below b"),
            respond(exact("/a/b/c"), "c"),
        ];
        sites(w, vec![site("*", routes)]);
        let c = w.client();
        for (target, body) in [
            ("/", "any"),
            ("/a", "a"),
            ("/a?b=/a/b/c", "a"),
            ("/ab", "begins with a"),
            ("/a/", "below a"),
            ("/a/b", "below a"),
            ("/a/b/", "below b"),
            ("/a/b/c", "c"),
            ("/a/b/c/d", "below b"),
            ("/A", "any"),
        ] {
            c.get(target).expect_ok(body);
        }
    });
}

#[test]
fn a_method_that_does_not_fit_falls_to_the_next_longest() {
    scenario(|w| {
        let mut write = respond(exact("/a/b"), "write");
        write.methods = vec!["PUT".into(), "POST".into()];
        let mut read = respond(prefix("/a/"), "read");
        read.methods = vec!["GET".into()];
        sites(w, vec![site("*", vec![write, read])]);
        let c = w.client();
        c.post("/a/b", "x").expect_ok("write");
        c.get("/a/b").expect_ok("read");
        for method in ["DELETE", "post"] {
            c.request(method, "/a/b", "", "")
                .expect_status(404)
                .expect_body("404 Not Found\n")
                .expect_kept_alive();
        }
        c.head("/a/b").expect_status(404).expect_body("").expect_kept_alive();
        w.expect_outcomes(&["answered", "answered", "no_route", "no_route", "no_route"]);
    });
}

#[test]
fn a_site_without_a_fitting_route_does_not_ask_another_site() {
    scenario(|w| {
        let any = site("*", vec![respond(PathPattern::Any, "any")]);
        sites(w, vec![any, site("example.com", vec![respond(exact("/a"), "a")])]);
        let c = w.client();
        c.get("/a").expect_ok("a");
        c.get("/b").expect_status(404).expect_body("404 Not Found\n").expect_kept_alive();
    });
}

#[test]
fn a_redirect_says_where_and_has_no_content() {
    scenario(|w| {
        let to = |status| RouteAction::Redirect { status, location: "https://new.example/a?b".into() };
        let routes = vec![Route::new(exact("/301"), to(301)), Route::new(PathPattern::Any, to(308))];
        sites(w, vec![site("*", routes)]);
        let c = w.client();
        c.get("/301").expect_status(301).expect_body("").expect_header("Location", "https://new.example/a?b");
        c.expect_header("Content-Length", "0").expect_no_header("Content-Type").expect_kept_alive();
        c.head("/").expect_status(308).expect_header("Content-Length", "0").expect_kept_alive();
        c.post("/", "hello").expect_status(308).expect_body("").expect_kept_alive();
        c.get("/301").expect_status(301).expect_body("");
        w.origin().expect_connections(0);
        w.expect_outcomes(&["answered"; 4]);
    });
}

#[test]
fn a_fixed_answer_takes_the_request_to_its_end() {
    scenario(|w| {
        let action = RouteAction::Respond {
            status: 503,
            body: "{}".into(),
            content_type: Some("application/json".into()),
        };
        sites(w, vec![site("*", vec![Route::new(PathPattern::Any, action)])]);
        let c = w.client();
        c.post("/", "hello")
            .expect_status(503)
            .expect_body("{}")
            .expect_header("Content-Type", "application/json");
        c.expect_header("Content-Length", "2").expect_no_header("Via").expect_kept_alive();
        c.post_chunks("/", &["hello", " world"]).expect_status(503).expect_body("{}").expect_kept_alive();
        c.head("/")
            .expect_status(503)
            .expect_header("Content-Length", "2")
            .expect_body("")
            .expect_kept_alive();
        c.get("/").expect_status(503).expect_body("{}").expect_kept_alive();
        w.expect_outcomes(&["answered"; 4]);
    });
}

#[test]
fn a_path_that_can_be_read_in_two_ways_is_400_where_routes_differ() {
    scenario(|w| {
        w.origin().on("*").ok("origin");
        sites(w, vec![site("*", vec![respond(prefix("/admin/"), "admin"), app(PathPattern::Any)])]);
        let c = w.client();
        for target in [
            "/admin%2fx",
            "/a/..%2Fadmin/x",
            "/a\\..\\admin",
            "/a%5Cb",
            "/a%00b",
            "/../admin/x",
            "/a/..;/admin/x",
            "/a%zz",
            "/a%",
        ] {
            c.get(target).expect_status(400).expect_body("400 Bad Request\n").expect_kept_alive();
            w.last_record().expect("outcome", "path_refused").expect("target", target);
        }
        c.get("/a?b=%2f..%5c/../%00").expect_ok("origin");
        w.origin().expect_requests(1).last().expect_line("GET /a?b=%2f..%5c/../%00 HTTP/1.1");
    });
}

#[test]
fn a_path_goes_on_untouched_where_one_route_takes_everything() {
    scenario(|w| {
        w.origin().on("*").ok("");
        let c = w.client();
        for target in ["/a%2Fb%2f", "//x//", "/../..;/%2e%2E", "/a\\b", "/%00", "/a%zz", "/%41;x=y,'()*?a?/b"]
        {
            c.get(target).expect_ok("");
            w.origin().last().expect_line(&format!("GET {target} HTTP/1.1"));
        }
    });
}

#[test]
fn b19_routes_look_at_the_canonical_path_and_origins_get_the_original() {
    scenario(|w| {
        w.origin().on("*").ok("origin");
        sites(w, vec![site("*", vec![app(prefix("/api/")), respond(PathPattern::Any, "any")])]);
        let c = w.client();
        for target in ["/x/../api/y", "/%61pi/y", "/./api/", "/api/%7e~", "/api//x/%e4"] {
            c.get(target).expect_ok("origin");
            w.origin().last().expect_line(&format!("GET {target} HTTP/1.1"));
        }
        for target in ["/api/../x", "/api/%2e%2e/x", "//api/x", "/API/"] {
            c.get(target).expect_ok("any");
        }
    });
}

#[test]
fn a8_a9_an_absolute_target_becomes_a_path_and_its_host_the_host() {
    scenario(|w| {
        w.origin().on("*").ok("");
        let c = w.client();
        for (target, host, line, sent) in [
            ("http://example.com/a?b", "example.com", "GET /a?b HTTP/1.1", "example.com"),
            ("http://EXAMPLE.com:80", "example.com", "GET / HTTP/1.1", "EXAMPLE.com:80"),
            ("HTTPS://example.com/", "example.com:443", "GET / HTTP/1.1", "example.com"),
            ("http://[::1]:8/%2f//", "[::1]:8", "GET /%2f// HTTP/1.1", "[::1]:8"),
            ("http://example.com?a/b?c", "example.com", "GET /?a/b?c HTTP/1.1", "example.com"),
            ("http://example.com:8?", "example.com:8", "GET /? HTTP/1.1", "example.com:8"),
        ] {
            ask(&c, "GET", host, target).expect_ok("");
            w.origin()
                .last()
                .expect_line(line)
                .expect_header("Host", sent)
                .expect_header("X-Forwarded-Host", sent);
            w.last_record().expect("target", target).expect("host", sent);
        }
        w.client().send("GET http://old.example/a HTTP/1.0\r\n\r\n").expect_ok("");
        w.origin().last().expect_line("GET /a HTTP/1.1").expect_header("Host", "old.example");
    });
}

#[test]
fn a_host_that_differs_from_an_absolute_target_is_refused() {
    scenario(|w| {
        for (target, host) in [
            ("http://a.example/", "b.example"),
            ("http://a.example/", "a.example:8080"),
            ("https://a.example/", "a.example:80"),
        ] {
            let c = w.client();
            ask(&c, "GET", host, target).expect_status(400).expect_body("400 Bad Request\n").expect_closed();
            w.last_record().expect("rule", "host_mismatch");
        }
        w.origin().expect_connections(0);
    });
}

#[test]
fn an_absolute_target_decides_the_site_and_the_route() {
    scenario(|w| {
        let routes = vec![respond(exact("/a"), "a"), respond(exact("/"), "root")];
        sites(w, vec![site("a.example", routes), site("*", vec![respond(PathPattern::Any, "other")])]);
        let c = w.client();
        ask(&c, "GET", "a.example", "http://a.example/a").expect_ok("a");
        ask(&c, "GET", "A.example", "http://a.EXAMPLE").expect_ok("root");
        ask(&c, "GET", "a.example", "http://a.example?/a").expect_ok("root");
        ask(&c, "GET", "b.example", "http://b.example/a").expect_ok("other");
    });
}

#[test]
fn a10_options_for_the_whole_server_goes_out_as_an_asterisk() {
    scenario(|w| {
        w.origin().on("OPTIONS *").ok("server");
        w.origin().on("OPTIONS /").ok("root");
        let c = w.client();
        ask(&c, "OPTIONS", "example.com", "*").expect_ok("server");
        ask(&c, "OPTIONS", "example.com", "http://example.com").expect_ok("server");
        w.origin().last().expect_line("OPTIONS * HTTP/1.1").expect_header("Host", "example.com");
        ask(&c, "OPTIONS", "example.com", "http://example.com/").expect_ok("root");
        // RFC 9112 section 3.2.4: only without a query.
        w.origin().on("OPTIONS /?a").ok("query");
        ask(&c, "OPTIONS", "example.com", "http://example.com?a").expect_ok("query");
        ask(&c, "GET", "example.com", "*")
            .expect_status(400)
            .expect_body("400 Bad Request\n")
            .expect_closed();
    });
}

#[test]
fn options_for_the_whole_server_fits_only_a_route_without_path() {
    scenario(|w| {
        w.origin().on("OPTIONS *").ok("server");
        sites(
            w,
            vec![site("a", vec![app(prefix("/"))]), site("b", vec![app(prefix("/")), app(PathPattern::Any)])],
        );
        let c = w.client();
        ask(&c, "OPTIONS", "a", "*").expect_status(404).expect_body("404 Not Found\n").expect_kept_alive();
        ask(&c, "OPTIONS", "b", "*").expect_ok("server");
    });
}

#[test]
fn fields_of_requests_are_edited_in_order() {
    scenario(|w| {
        w.origin().on("GET /").ok("");
        edit_requests(
            w,
            vec![
                FieldEdit::Set("X-Set".into(), "1".into()),
                FieldEdit::Add("X-Add".into(), "2".into()),
                FieldEdit::Remove("x-gone".into()),
                FieldEdit::Set("Host".into(), "inner.example".into()),
                FieldEdit::Add("X-Set".into(), "3".into()),
            ],
        );
        let fields = "x-set: a\r\nX-Add: b\r\nX-SET: c\r\nX-Gone: d\r\nX-GONE: e\r\n";
        w.client().request("GET", "/", fields, "").expect_ok("");
        let request = w.origin().last();
        request.expect_headers("X-Set", &["1", "3"]).expect_headers("X-Add", &["b", "2"]);
        request.expect_no_header("X-Gone").expect_headers("Host", &["inner.example"]);
        request.expect_headers("X-Forwarded-Host", &["example.com"]);
        w.last_record().expect("host", "example.com");
    });
}

#[test]
fn a_request_whose_host_was_edited_away_has_the_origins() {
    scenario(|w| {
        w.origin().on("GET /").ok("");
        edit_requests(w, vec![FieldEdit::Remove("Host".into())]);
        w.client().get("/").expect_ok("");
        w.origin().last().expect_header("Host", &w.origin_at(0).address());
    });
}

#[test]
fn fields_of_responses_are_edited_ours_as_well() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\nServer: x\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n");
        let edits = vec![
            FieldEdit::Remove("Server".into()),
            FieldEdit::Set("X-A".into(), "2".into()),
            FieldEdit::Add("Cache-Control".into(), "private".into()),
        ];
        let mut routes = vec![app(exact("/")), respond(exact("/ours"), "ours"), app(exact("/down"))];
        routes.iter_mut().for_each(|route| route.response_fields = edits.clone());
        sites(w, vec![site("*", routes)]);
        let c = w.client();
        c.get("/").expect_ok("").expect_no_header("Server").expect_header("X-A", "2");
        c.expect_header("Cache-Control", "private");
        c.get("/ours").expect_ok("ours").expect_header("X-A", "2");
        w.origin().on("GET /down").close();
        c.get("/down").expect_status(502).expect_body("502 Bad Gateway\n").expect_header("X-A", "2");
        c.expect_headers("Cache-Control", &["no-store", "private"]);
    });
}

#[test]
fn edits_cannot_change_how_a_message_is_framed() {
    scenario(|w| {
        let edits = || {
            vec![
                FieldEdit::Set("Content-Length".into(), "1".into()),
                FieldEdit::Add("Transfer-Encoding".into(), "chunked".into()),
                FieldEdit::Set("Connection".into(), "close".into()),
            ]
        };
        w.origin().on("*").ok("hello");
        edit_requests(w, edits());
        w.settings(|settings| settings.sites[0].routes[0].response_fields = edits());
        let c = w.client();
        c.post("/", "abcd").expect_ok("hello").expect_header("Content-Length", "5").expect_kept_alive();
        let request = w.origin().last();
        request
            .expect_body("abcd")
            .expect_header("Content-Length", "4")
            .expect_no_header("Transfer-Encoding");
        c.get("/").expect_ok("hello").expect_no_header("Connection");
        w.origin().last().expect_no_header("Content-Length").expect_no_header("Connection").expect_body("");
        w.origin().expect_connections(1);
    });
}

#[test]
fn clusters_are_found_by_their_names() {
    scenario(|w| {
        w.origins(2);
        w.settings(|settings| {
            let endpoint = settings.clusters[0].endpoints.pop().expect("there are two");
            settings.clusters.push(ringway_engine::settings::Cluster::new("other", vec![endpoint]));
            let other = RouteAction::Proxy { cluster: "other".into() };
            settings.sites[0].routes.push(Route::new(prefix("/other/"), other));
        });
        w.origin_at(0).on("GET /x").ok("app");
        w.origin_at(1).on("GET /other/x").ok("other");
        let c = w.client();
        c.get("/x").expect_ok("app");
        w.last_record().expect("cluster", "app").expect("endpoint", &w.origin_at(0).address());
        c.get("/other/x").expect_ok("other");
        w.last_record().expect("cluster", "other").expect("endpoint", &w.origin_at(1).address());
    });
}

fn sites(w: &World, sites: Vec<Site>) {
    w.settings(|settings| settings.sites = sites);
}

fn edit_requests(w: &World, edits: Vec<FieldEdit>) {
    w.settings(|settings| settings.sites[0].routes[0].request_fields = edits);
}

fn site(host: &str, routes: Vec<Route>) -> Site {
    Site::new(vec![host.into()], routes)
}

fn exact(path: &str) -> PathPattern {
    PathPattern::Exact(path.into())
}

fn prefix(path: &str) -> PathPattern {
    PathPattern::Prefix(path.into())
}

fn app(path: PathPattern) -> Route {
    Route::new(path, RouteAction::Proxy { cluster: "app".into() })
}

fn respond(path: PathPattern, body: &str) -> Route {
    Route::new(path, RouteAction::Respond { status: 200, body: body.into(), content_type: None })
}

fn ask<'a>(c: &'a Client, method: &str, host: &str, target: &str) -> &'a Client {
    c.asks(method).send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

#[test]
fn b3_an_absolute_target_with_user_information_is_refused() {
    scenario(|w| {
        for target in
            ["http://user@example.com/", "http://user:pass@example.com/", "http:///x", "http://:80/"]
        {
            let c = w.client();
            c.send(format!("GET {target} HTTP/1.1\r\nHost: example.com\r\n\r\n")).expect_status(400);
            c.expect_body("400 Bad Request\n").expect_closed();
        }
        w.origin().expect_connections(0);
    });
}

#[test]
fn a_fixed_answer_without_content_may_be_a_204() {
    scenario(|w| {
        w.settings(|s| {
            let respond = RouteAction::Respond { status: 204, body: "ignored".into(), content_type: None };
            s.sites[0].routes = vec![Route::new(PathPattern::Any, respond)];
        });
        let c = w.client();
        c.get("/").expect_status(204).expect_body("").expect_no_header("Content-Length");
        c.expect_no_header("Content-Type").get("/").expect_status(204);
    });
}

#[test]
fn a_fixed_answer_needs_no_origin_and_drops_the_content_that_came() {
    scenario(|w| {
        w.settings(|s| s.sites[0].routes = vec![respond(PathPattern::Any, "ok")]);
        let c = w.client();
        c.post("/", "content")
            .expect_ok("ok")
            .post_chunks("/", &["con", "tent"])
            .expect_ok("ok")
            .expect_kept_alive();
        c.get("/").expect_ok("ok");
        w.origin().expect_connections(0);
        w.expect_outcomes(&["answered"; 3]);
    });
}

#[test]
fn clusters_do_not_share_connections() {
    scenario(|w| {
        w.origins(2);
        w.settings(|s| {
            let second = s.clusters[0].endpoints.remove(1);
            s.clusters.push(Cluster::new("other", vec![second]));
            let other = RouteAction::Proxy { cluster: "other".into() };
            s.sites[0].routes.push(Route::new(prefix("/other/"), other));
        });
        w.origin_at(0).on("*").ok("app");
        w.origin_at(1).on("*").ok("other");
        let c = w.client();
        c.get("/").expect_ok("app").get("/other/").expect_ok("other").get("/").expect_ok("app");
        w.origin_at(0).expect_connections(1).expect_requests(2);
        w.origin_at(1).expect_connections(1).expect_requests(1);
        w.last_record().expect("cluster", "app");
    });
}
