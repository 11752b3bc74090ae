//! What runs beside requests, and servers put together in code.

use super::*;
use crate::lifecycle::{Background, Life, Listen, Restart, ServerBuilder, StartError};
use crate::phase::Proxy;
use crate::service::Service;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::os::unix::fs::PermissionsExt;

struct Nothing;

impl Proxy for Nothing {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(
        &self,
        _: &mut crate::phase::Session,
        _: &mut (),
    ) -> crate::error::Result<crate::phase::Peer> {
        Ok(crate::phase::Peer::cluster("a"))
    }
}

fn nothing() -> Service {
    Service::proxy(|| Nothing)
}

/// A server of one simple shard.
fn builder() -> ServerBuilder {
    ServerBuilder::with_program(program(obey))
        .workers(1)
        .drain_timeout(Duration::from_secs(20))
        .listen("127.0.0.1:0", nothing())
}

/// Notes when it runs and when it ends.
fn noting(name: &str, notes: &Sender<String>) -> Background {
    let (own, notes) = (name.to_owned(), notes.clone());
    Background::from_fn(name, move |ready, shutdown| {
        notes.send(format!("{own} runs"))?;
        ready.notify();
        shutdown.wait();
        notes.send(format!("{own} ends"))?;
        Ok(())
    })
}

/// One that is never ready.
fn stuck(name: &str) -> Background {
    Background::from_fn(name, |_, shutdown| {
        shutdown.wait();
        Ok(())
    })
}

fn state(server: &Server, index: usize) -> &'static str {
    server.status().services[index].state
}

fn sorted(notes: &Receiver<String>) -> Vec<String> {
    let mut notes: Vec<String> = notes.try_iter().collect();
    notes.sort();
    notes
}

#[test]
fn services_start_in_the_order_of_what_they_need_and_all_are_told_to_end() {
    let (notes, noted) = unbounded();
    let server = builder()
        .background(noting("c", &notes).after("b").after("a"))
        .background(noting("b", &notes).after("a"))
        .background(noting("a", &notes))
        .start()
        .unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(noted.recv().unwrap(), format!("{name} runs"));
    }
    let names: Vec<String> = server.status().services.into_iter().map(|service| service.name).collect();
    assert_eq!(names, ["c", "b", "a"]);
    eventually("c is ready", || state(&server, 0) == "ready");
    assert_eq!(server.stop(Stop::Graceful), Stopped::Drained);
    assert_eq!(sorted(&noted), ["a ends", "b ends", "c ends"]);
    assert_eq!(state(&server, 1), "ended");
}

#[test]
fn listeners_open_when_what_they_depend_on_is_ready() {
    let dir = TempDir::new();
    let (told, known) = unbounded();
    let path = dir.path("s");
    let first = Background::from_fn("first", move |ready, _| {
        thread::sleep(Duration::from_millis(20));
        told.send(path.exists())?;
        ready.notify();
        Ok(())
    });
    let (notes, _noted) = unbounded();
    let server = builder()
        .listen(Listen::unix(dir.path("s")).mode(0o640), nothing())
        .background(noting("second", &notes).after("first").before_listening())
        .background(first)
        .start()
        .unwrap();
    assert_eq!(known.try_recv(), Ok(false));
    assert_eq!(fs::metadata(dir.path("s")).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(server.handle().life(), Life::Serving);
}

#[test]
fn a_service_that_nothing_depends_on_holds_up_nothing() {
    let server = builder().background(stuck("slow")).start().unwrap();
    assert_eq!((ask(&server, b'?'), state(&server, 0)), (b"0".to_vec(), "running"));
    assert_eq!(server.stop(Stop::Graceful), Stopped::Drained);
}

#[test]
fn one_that_is_not_ready_in_time_is_the_reason_given_and_the_others_end() {
    let (notes, noted) = unbounded();
    let slow = stuck("slow").ready_within(Duration::from_millis(20));
    let start = builder()
        .background(noting("other", &notes).before_listening())
        .background(noting("late", &notes).after("slow"))
        .background(slow.before_listening());
    let handle = start.handle();
    let error = start.start().unwrap_err();
    assert_eq!(error.to_string(), "background service \"slow\" was not ready within 20ms");
    assert_eq!(sorted(&noted), ["other ends", "other runs"]);
    assert_eq!(handle.wait_for(Life::Serving), Life::Stopped);
}

#[test]
fn one_that_fails_before_it_is_ready_is_the_reason_given() {
    let failing = || Background::from_fn("a", |_, _| Err("no route".into()));
    let error = builder().background(failing().before_listening()).start().unwrap_err();
    assert_eq!(error.to_string(), "background service \"a\" failed before it was ready: no route");
    // Here listeners are open already, and are closed again.
    let error = builder().background(failing()).background(stuck("b").after("a")).start().unwrap_err();
    assert!(matches!(error, StartError::Background { .. }), "{error}");
    let panicking = Background::from_fn("a", |_, _| panic!("as asked"));
    let error = builder().background(panicking.before_listening()).start().unwrap_err();
    assert!(error.to_string().ends_with("failed before it was ready: it panicked: as asked"), "{error}");
}

#[test]
fn one_that_is_done_is_ready() {
    let (notes, noted) = unbounded();
    let server = builder()
        .background(Background::from_fn("migration", |_, _| Ok(())).before_listening())
        .background(noting("next", &notes).after("migration"))
        .start()
        .unwrap();
    assert_eq!((noted.recv().unwrap().as_str(), state(&server, 0)), ("next runs", "ended"));
}

#[test]
fn a_failed_service_runs_again_where_that_was_said() {
    let mut runs = 0;
    let flaky = Background::from_fn("flaky", move |ready, shutdown| {
        runs += 1;
        match runs {
            1 => Err("not yet".into()),
            2 => panic!("as asked"),
            _ => {
                ready.notify();
                shutdown.wait();
                Ok(())
            }
        }
    });
    let soon = Duration::from_millis(1);
    let flaky = flaky.restart(Restart::OnFailure { delay: soon, delay_max: soon });
    let server = builder().background(flaky.before_listening()).start().unwrap();
    let status = server.status();
    let service = &status.services[0];
    assert_eq!((service.state, service.restarts, service.failures), ("ready", 2, 2));
    assert_eq!(status.counters.panics, 1);
    assert_eq!(server.stop(Stop::Graceful), Stopped::Drained);
    assert_eq!(server.status().services[0].state, "ended");
}

#[test]
fn the_server_goes_on_without_a_service_that_failed() {
    let failing = Background::from_fn("a", |ready, _| {
        ready.notify();
        Err("lost".into())
    });
    let server = builder().background(failing.before_listening()).start().unwrap();
    eventually("it has failed", || state(&server, 0) == "failed");
    assert_eq!(ask(&server, b'?'), b"0");
    assert_eq!(server.stop(Stop::Graceful), Stopped::Drained);
}

#[test]
fn a_stop_does_not_wait_for_a_restart() {
    let long = Duration::from_secs(3600);
    let failing = Background::from_fn("a", |_, _| Err("lost".into()));
    let failing = failing.restart(Restart::OnFailure { delay: long, delay_max: long });
    let server = builder().background(failing).start().unwrap();
    eventually("it has failed", || state(&server, 0) == "restarting");
    assert_eq!(server.stop(Stop::Graceful), Stopped::Drained);
}

#[test]
fn a_graceful_stop_waits_for_services_as_long_as_for_exchanges() {
    let (held, releases) = unbounded::<()>();
    let slow = Background::from_fn("slow", move |_, shutdown| {
        shutdown.wait();
        _ = releases.recv();
        Ok(())
    });
    let server = builder().background(slow).start().unwrap();
    server.begin_stop(Stop::Graceful);
    let handle = server.handle();
    assert_eq!(handle.wait_for(Life::Draining), Life::Draining);
    eventually("the shard has ended", || server.status().shards[0].state == "ended");
    assert_eq!(handle.wait_for_timeout(Life::Stopped, Duration::from_millis(5)), None);
    drop(held);
    assert_eq!(server.stop(Stop::Graceful), Stopped::Drained);
}

#[test]
fn a_service_that_does_not_end_is_left_behind() {
    let (held, releases) = unbounded::<()>();
    let deaf = Background::from_fn("deaf", move |_, _| Ok(_ = releases.recv()));
    let start = builder().drain_timeout(Duration::from_millis(20)).background(deaf);
    let server = start.start().unwrap();
    assert_eq!(server.stop(Stop::Graceful), Stopped::Abandoned);
    drop(held);
}

#[test]
fn a_server_is_stopped_and_watched_from_elsewhere() {
    let start = builder();
    let handle = start.handle();
    let stopper = start.handle();
    let watch = handle.watch();
    let stopping = Background::from_fn("stopping", move |_, shutdown| {
        stopper.wait_for(Life::Serving);
        assert!(!shutdown.is_requested());
        stopper.stop(Stop::Graceful);
        shutdown.wait();
        Ok(())
    });
    assert_eq!(handle.life(), Life::Starting);
    let server = start.background(stopping).start().unwrap();
    assert_eq!(watch.collect::<Vec<_>>(), [Life::Starting, Life::Serving, Life::Draining, Life::Stopped]);
    assert_eq!(server.stop(Stop::Graceful), Stopped::Drained);
    assert_eq!(handle.life(), Life::Stopped);
}

#[test]
fn a_server_that_is_told_to_stop_does_not_start() {
    let start = builder().background(stuck("a").before_listening());
    start.handle().stop(Stop::Graceful);
    let error = start.start().unwrap_err();
    assert_eq!(error.to_string(), "it was told to stop before it was ready");
    let start = builder();
    let handle = start.handle();
    drop(start);
    assert_eq!(handle.wait_for(Life::Serving), Life::Stopped);
}

#[test]
fn work_is_done_every_now_and_then() {
    let (told, known) = unbounded();
    let mut count = 0;
    let every = Background::every("ticks", Duration::from_millis(1), move || {
        count += 1;
        Ok(told.send(count)?)
    });
    let server = builder().background(every.before_listening()).start().unwrap();
    assert_eq!(known.iter().take(3).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(state(&server, 0), "ready");
}

#[test]
fn every_mistake_is_one_sentence_of_one_error() {
    let error = ServerBuilder::with_program(program(obey))
        .workers(0)
        .cluster("a", ["127.0.0.1:1", "127.0.0.1"])
        .cluster("a", ["unix:/a"])
        .cluster("b", [""; 0])
        .cluster_with("c", ["127.0.0.1:1"], |cluster| cluster.balance = "chance".into())
        .listen("localhost:80", nothing())
        .listen(Listen::from("127.0.0.1:80").mode(0o600), nothing())
        .listen("127.0.0.1:80", nothing())
        .tcp("127.0.0.1:0", "gone")
        .settings(|settings| settings.tcp.push(nowhere()))
        .background(stuck("x").after("y"))
        .background(stuck("y").after("x"))
        .start()
        .unwrap_err();
    let StartError::Settings(mistakes) = &error else { panic!("{error}") };
    let expected = [
        "a server needs at least one worker",
        "cluster \"a\": `127.0.0.1` has no port",
        "`localhost:80` is not an address to listen at",
        "127.0.0.1:80 is no file and has no mode",
        "127.0.0.1:80 is listened at twice",
        "cluster \"a\" is given twice",
        "cluster \"b\" has no endpoint",
        "there is no cluster \"gone\"",
        "127.0.0.1:7 leads nowhere: it has neither a cluster nor an app",
        "cluster \"c\": there is no balancing algorithm \"chance\"",
        "background services wait for each other: \"x\" after \"y\" after \"x\"",
    ];
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
    for (mistake, expected) in mistakes.iter().zip(expected) {
        assert!(mistake.starts_with(expected), "{mistake}");
    }
    assert_eq!(error.to_string().lines().count(), 1);
    let error = ServerBuilder::with_program(program(obey)).start().unwrap_err();
    assert_eq!(error.to_string(), "there is nothing to listen on");
}

#[test]
fn bound_addresses_are_those_of_the_listeners_in_order() {
    let dir = TempDir::new();
    let server = ServerBuilder::with_program(program(obey))
        .workers(2)
        .cluster("db", ["unix:/db"])
        .tcp("127.0.0.1:0", "db")
        .listen(format!("unix:{}", dir.path("s").display()), nothing())
        .listen(SocketAddr::from(([127, 0, 0, 1], 0)), nothing())
        .start()
        .unwrap();
    let schemes: Vec<_> = server.bound().iter().map(|bound| bound.scheme).collect();
    assert_eq!(schemes, ["http", "http", "tcp"]);
    let ports: Vec<_> = server
        .bound()
        .iter()
        .filter_map(|bound| match bound.address {
            Address::Tcp(address) => Some(address.port()),
            Address::Unix(_) => None,
        })
        .collect();
    assert!(ports.len() == 2 && !ports.contains(&0), "{ports:?}");
}
