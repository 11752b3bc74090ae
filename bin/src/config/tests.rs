//! The configuration as a whole: the example, the keys that are not there yet, and the proof that every key is
//! documented and changes something.

use super::address::tests::resolve_for_tests;
use super::spec::Spec;
use super::*;
use kdl::KdlDocument;
use ringway_engine::settings::*;
use std::collections::BTreeSet;
use std::time::Duration;

const EXAMPLE: &str = include_str!("../../tests/data/ringway.kdl");
const EVERY_KEY: &str = include_str!("../../tests/data/every-key.kdl");

fn read_text(text: &str) -> Result<Config, String> {
    read("f", text, resolve_for_tests).map_err(|report| report.to_string())
}

fn errors(text: &str) -> String {
    read_text(text).expect_err(text)
}

/// A file with `lines` in addition to what every file needs.
fn with(lines: &str) -> String {
    format!("listen \"127.0.0.1:0\"\nsite \"*\" {{ route {{ respond }}; }}\n{lines}\n")
}

#[test]
fn the_example_says_what_it_says() {
    let tcp = |port| Address::Tcp(([127, 0, 0, 1], port).into());
    let endpoint = |port, weight| Endpoint { address: tcp(port), weight };
    let proxy = || RouteAction::Proxy { cluster: "app".into() };
    let redirect = RouteAction::Redirect { status: 308, location: "/new".into() };
    let respond = RouteAction::Respond { status: 200, body: "ok".into(), content_type: None };
    let api = Route {
        methods: vec!["GET".into()],
        request_fields: vec![FieldEdit::Set("X-From".into(), "ringway".into())],
        ..Route::new(PathPattern::Prefix("/api/".into()), proxy())
    };
    let settings = Settings {
        workers: Some(2),
        listeners: vec![
            Listener::new(tcp(8080)),
            Listener { mode: Some(0o660), ..Listener::new(Address::Unix("/run/app.sock".into())) },
        ],
        tcp: vec![
            TcpListener::new(tcp(5432), Some("db".into())),
            TcpListener {
                names: vec![NameRoute { pattern: "*.example.com".into(), cluster: "db".into() }],
                ..TcpListener::new(tcp(8444), Some("db".into()))
            },
        ],
        clusters: vec![
            Cluster::new("app", vec![endpoint(9001, 1), endpoint(9002, 2)]),
            Cluster::new("db", vec![endpoint(5433, 1)]),
        ],
        sites: vec![Site::new(
            vec!["*".into()],
            vec![
                api,
                Route::new(PathPattern::Prefix("/old/".into()), redirect),
                Route::new(PathPattern::Exact("/health".into()), respond),
                Route::new(PathPattern::Any, proxy()),
            ],
        )],
        access_log: AccessLog { target: LogTarget::Stdout, format: LogFormat::Json },
        drain_timeout: Duration::from_secs(30),
        ..Settings::default()
    };
    let control = Control::At("/run/ringway.sock".into());
    assert_eq!(read_text(EXAMPLE), Ok(Config { settings, log_level: LevelFilter::Info, control }));
}

#[test]
fn keys_that_are_not_built_yet_do_not_parse() {
    let cluster = |line: &str| with(&format!("cluster \"a\" {{ endpoint \"127.0.0.1:1\"; {line}; }}"));
    for (text, named) in [
        (with("handoff-timeout \"10s\""), "unknown key `handoff-timeout`"),
        (with("fips #false"), "unknown key `fips`"),
        (with("log { access \"syslog\"; }"), "`syslog`"),
        (
            with("listen \"127.0.0.1:8443\" { tls cert=\"a\" key=\"b\" { min-version \"1.2\"; }; }"),
            "unknown key `tls`",
        ),
        (with("listen \"127.0.0.1:1\" { protocols \"h2\"; }"), "unknown key `protocols`"),
        (cluster("tls sni=\"a\" ca=\"b\""), "unknown key `tls`"),
        (cluster("health path=\"/\" every=\"2s\""), "unknown key `health`"),
        (cluster("balance \"p2c\""), "`p2c`"),
        (cluster("balance \"least-request\""), "`least-request`"),
        (cluster("balance \"ewma\""), "`ewma`"),
        (cluster("balance \"random\""), "`random`"),
        (cluster("protocol \"h2\""), "`h2`"),
        (cluster("protocol \"h2c\""), "`h2c`"),
        (cluster("protocol \"auto\""), "`auto`"),
    ] {
        let errors = errors(&text);
        let line =
            errors.lines().find(|line| line.contains(named)).unwrap_or_else(|| panic!("{named}: {errors}"));
        assert!(line.contains("error: "), "{line}");
        assert!(errors.contains("not available in this version"), "{errors}");
    }
    assert!(errors(&cluster("balance \"ketama\" key=\"header:x-user\"")).contains("unknown property `key`"));
}

#[test]
fn names_and_proxies_that_make_no_sense_are_errors() {
    let tcp = |lines: &str| {
        with(&format!("cluster \"a\" {{ endpoint \"127.0.0.1:1\"; }}\ntcp \"127.0.0.1:1\" {{ {lines}; }}"))
    };
    for (text, named) in [
        (tcp("sni \"a.b\" { proxy \"x\"; }; proxy \"a\""), "there is no cluster \"x\""),
        (tcp("sni \"a.b\"; proxy \"a\""), "this name leads nowhere"),
        (tcp("sni \"A.b\" \"a.B\" { proxy \"a\"; }"), "name \"a.b\" is given twice"),
        (tcp("sni \"127.0.0.1\" { proxy \"a\"; }"), "not for addresses"),
        (tcp("sni \"[::1]\" { proxy \"a\"; }"), "not for addresses"),
        (tcp("sni \"a.*\" { proxy \"a\"; }"), "can only be the first label"),
        (tcp("proxy \"a\"; proxy-protocol"), "nobody is named"),
        (tcp("proxy \"a\"; proxy-protocol from=\"any\""), "is not a range"),
        (tcp("proxy \"a\"; proxy-protocol from=\"::1\" others=\"drop\""), "`drop` is not known here"),
        (tcp("proxy \"a\"; proxy-protocol from=\"::1\"; proxy-protocol from=\"::1\""), "given twice"),
        (with("cluster \"a\" { endpoint \"127.0.0.1:1\"; send-proxy \"v3\"; }"), "`v3` is not known here"),
    ] {
        let errors = errors(&text);
        assert!(errors.contains(named), "{named}: {errors}");
    }
}

#[test]
fn every_key_is_documented() {
    fn check(path: &str, spec: &Spec) {
        assert!(spec.name.is_empty() || spec.help.ends_with('.'), "{path} has no help");
        for property in spec.properties {
            assert!(property.help.ends_with('.'), "{path} {}= has no help", property.name);
            assert!(!property.value.is_empty());
        }
        spec.block().into_iter().for_each(|key| check(&format!("{path}/{}", key.name), key));
    }
    check("", &directive::ROOT);
}

#[test]
fn every_key_changes_something() {
    let whole = read_text(EVERY_KEY).expect("the file is right");
    let mut proved = BTreeSet::new();
    let document = KdlDocument::parse_v2(EVERY_KEY).expect("the file is right");
    for (path, without) in mutants(&document) {
        let changes = read_text(&without).as_ref() != Ok(&whole);
        // These have one value only in this version: `keys_that_are_not_built_yet_do_not_parse` shows that
        // another is refused, which is all that they can change.
        let has_one_value = path == "/cluster/balance" || path == "/cluster/protocol";
        assert!(changes != has_one_value, "taking {path} out changed {changes}");
        proved.insert(path);
    }
    let mut known = BTreeSet::new();
    collect_paths("", &directive::ROOT, &mut known);
    assert_eq!(proved, known, "the file has every key, and no others");
}

/// The path of each node and property of the file, with the text of the file without it.
fn mutants(document: &KdlDocument) -> Vec<(String, String)> {
    let mut found = Vec::new();
    cut_each("", document, &mut |path, shortened| found.push((path, shortened.to_string())));
    found
}

fn cut_each(path: &str, document: &KdlDocument, emit: &mut dyn FnMut(String, &KdlDocument)) {
    for (index, node) in document.nodes().iter().enumerate() {
        let path = format!("{path}/{}", node.name().value());
        let mut shortened = document.clone();
        shortened.nodes_mut().remove(index);
        emit(path.clone(), &shortened);
        for (at, entry) in node.entries().iter().enumerate() {
            let Some(name) = entry.name() else { continue };
            let mut shortened = document.clone();
            shortened.nodes_mut()[index].entries_mut().remove(at);
            emit(format!("{path} {}=", name.value()), &shortened);
        }
        let Some(children) = node.children() else { continue };
        cut_each(&path, children, &mut |path, shorter| {
            let mut shortened = document.clone();
            shortened.nodes_mut()[index].set_children(shorter.clone());
            emit(path, &shortened);
        });
    }
}

fn collect_paths(path: &str, spec: &Spec, known: &mut BTreeSet<String>) {
    for property in spec.properties {
        known.insert(format!("{path} {}=", property.name));
    }
    for key in spec.block() {
        let path = format!("{path}/{}", key.name);
        known.insert(path.clone());
        collect_paths(&path, key, known);
    }
}

#[test]
fn all_errors_come_in_one_pass_with_their_places() {
    let text = include_str!("../../tests/data/errors.kdl");
    let expected = include_str!("../../tests/data/errors.txt");
    let shown = read("errors.kdl", text, resolve_for_tests).expect_err("errors").to_string() + "\n";
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/errors.txt");
        std::fs::write(path, &shown).expect("the expected output is written");
        return;
    }
    assert_eq!(shown, expected, "UPDATE_EXPECT=1 regenerates the expected output");
}

#[test]
fn filters_that_make_no_sense_are_errors() {
    let route =
        |line: &str| format!("listen \"127.0.0.1:1\"\nsite \"*\" {{ route {{ {line}; respond; }}; }}");
    for (line, said) in [
        ("compress", "`compress` needs a value: CODING"),
        ("compress \"brotli\"", "did you mean \"br\"?"),
        ("compress \"gzip\" \"gzip\"", "`gzip` is given twice"),
        ("compress \"gzip\" \"off\"", "this has no effect with \"off\""),
        ("compress \"off\" min=\"1KiB\"", "this has no effect with \"off\""),
        ("compress \"gzip\" min=1", "`1` has no unit"),
        ("compress \"gzip\" mim=\"1KiB\"", "did you mean `min=`?"),
        ("compress \"gzip\" { types \"text\"; }", "`text` is not a type of content"),
        ("compress \"gzip\" { level gzip=10; }", "10 is not between 1 and 9"),
        ("compres \"gzip\"", "did you mean `compress`?"),
        ("decompress \"often\"", "`often` is not a time to decode"),
        ("request-limit 10", "`10` has no unit"),
        ("response-limit \"1MB\"", "did you mean \"1MiB\"?"),
        ("request-limit \"1MiB\"; request-limit \"2MiB\"", "`request-limit` is given twice"),
        ("rate-limit \"0/s\"", "a rate of nothing would refuse everything"),
        ("rate-limit \"100\"", "a rate is a whole number, a slash and a time"),
        ("rate-limit \"1/fortnight\"", "a rate is a whole number, a slash and a time"),
        ("rate-limit \"1/0s\"", "a rate is a whole number, a slash and a time"),
        ("rate-limit \"1/s\" by=\"clinet\"", "did you mean \"client\"?"),
        ("rate-limit \"1/s\" by=\"header\"", "write \"header:NAME\""),
        ("rate-limit \"1/s\" by=\"header:a b\"", "`a b` is not a field name"),
        ("rate-limit \"1/s\" delay=\"30s\"", "a request waits less than 30s"),
        ("rate-limit \"1/s\" burst=0", "0 is not between 1 and"),
        ("rate-limit \"1/s\" announce=\"\"", "`` is not a name of a limit"),
        (
            "rate-limit \"1/s\" announce=\"a\"; rate-limit \"9/m\" announce=\"a\"",
            "the limit \"a\" is announced twice",
        ),
        ("concurrency-limit 0", "0 is not between 1 and"),
    ] {
        let errors = errors(&route(line));
        assert!(errors.contains(said) && errors.ends_with("f: 1 error"), "{line}: {errors}");
    }
    for line in
        ["rate-limit \"1/s\"; rate-limit \"10/m\" by=\"all\"", "rate-limit \"1/500ms\"", "compress \"off\""]
    {
        assert!(read_text(&route(line)).is_ok(), "{line}");
    }
}

#[test]
fn one_mistake_is_one_error() {
    let clusters = "cluster \"a\" { endpoint \"127.0.0.1:1\"; }\n";
    for text in [
        format!("listen \"127.0.0.1:1\"\n{clusters}site \"*\" {{ route {{ prxy \"a\"; proxy \"a\"; }}; }}"),
        format!("listen \"127.0.0.1:1\"\n{clusters}sitee \"*\" {{ route {{ proxy \"a\"; }}; }}"),
        format!("lisen \"127.0.0.1:1\"\n{clusters}site \"*\" {{ route {{ proxy \"a\"; }}; }}"),
        format!("listen \"127.0.0.1:1\"\n{clusters}site \"*\" {{ route \"x\" {{ proxy \"a\"; }}; }}"),
        "listen \"127.0.0.1:1\"\nclster \"a\" { endpoint \"127.0.0.1:1\"; }\nsite \"*\" { route { proxy \"a\"; }; }"
            .into(),
        with("cluster \"b\" { endpoint 5; }; tcp \"127.0.0.1:1\" { proxy \"b\"; }"),
        with("workers"),
        with("workers 1 2"),
        with("workers \"1\""),
        with("limits { fields 10s=1; }").replace("10s=1", "0"),
        with("drain-timeout 30"),
    ] {
        let errors = errors(&text);
        assert!(errors.ends_with("f: 1 error"), "{errors}");
    }
}

#[test]
fn two_sites_cannot_have_one_host() {
    let errors =
        errors(&with("site \"a\" { route { respond; }; }\nsite \"b\" \"A\" { route { respond; }; }"));
    assert!(errors.contains("f:4:10: error: host \"a\" is given twice\n"), "{errors}");
    assert!(errors.contains("^^^\n  = earlier: f:3:6\n"), "{errors}");
}

#[test]
fn an_empty_file_has_nothing_to_listen_on() {
    assert!(errors("").contains("f:1:1: error: there is nothing to listen on"));
    assert!(errors("workers 1").contains("there is nothing to listen on"));
    assert!(errors("site \"*\" { route { respond; }; }").contains("no `listen` leads to this site"));
    assert!(errors("listen \"127.0.0.1:1\"").contains("there is no `site`"));
}

#[test]
fn a_name_gives_an_endpoint_for_each_address() {
    let text =
        with("cluster \"a\" { endpoint \"localhost:9\" weight=3; }; tcp \"127.0.0.1:1\" { proxy \"a\"; }");
    let config = read_text(&text).expect("right");
    let shown: Vec<_> =
        config.settings.clusters[0].endpoints.iter().map(|e| (e.address.to_string(), e.weight)).collect();
    assert_eq!(shown, [("[::1]:9".to_owned(), 3), ("127.0.0.1:9".to_owned(), 3)]);
}

#[test]
fn the_control_socket_can_be_off() {
    assert_eq!(read_text(&with("control \"off\"")).map(|config| config.control), Ok(Control::Off));
    assert_eq!(read_text(&with("")).map(|config| config.control), Ok(Control::Default));
}

#[test]
fn no_file_makes_the_reader_panic() {
    let words: Vec<&str> = EVERY_KEY.split_inclusive([' ', '\n']).collect();
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..3000 {
        let mut words = words.clone();
        for _ in 0..1 + random(4) {
            let (from, to) = (random(words.len()), random(words.len()));
            match random(3) {
                0 => drop(words.remove(from)),
                1 => words.swap(from, to),
                _ => words.insert(to, words[from]),
            }
        }
        if let Err(errors) = read_text(&words.concat()) {
            assert!(errors.contains(": error: "), "{errors}");
        }
    }
}
