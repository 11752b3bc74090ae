//! The executor alone, with a clock by hand; then on simulated shards.

use super::*;
use crate::observe::Counters;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

/// A shard that has nothing but an executor.
struct Stage {
    local: Rc<Local>,
    counters: Arc<Counters>,
    /// How often the pump would have been woken.
    rings: Arc<AtomicUsize>,
    now: Cell<Instant>,
}

impl Stage {
    fn new() -> Self {
        let counters = Arc::new(Counters::new(&[]));
        let rings = Arc::new(AtomicUsize::new(0));
        let rung = Arc::clone(&rings);
        let local = Local::new(Arc::clone(&counters), move || _ = rung.fetch_add(1, Ordering::Relaxed));
        local.enter(Instant::ZERO);
        Self { local, counters, rings, now: Cell::new(Instant::ZERO) }
    }

    /// A turn that ends when nobody is woken. Returns the exchanges that were.
    fn turn(&self) -> Vec<usize> {
        self.local.enter(self.now.get());
        let mut exchanges = Vec::new();
        while let Some(wakee) = self.local.poll_woken() {
            match wakee {
                Wakee::Task(key) => self.local.run(key),
                Wakee::Exchange(index) => exchanges.push(index),
                Wakee::Desk => {}
            }
        }
        exchanges
    }

    /// Sleeps until another thread rings, and answers.
    fn answered(&self) {
        while !self.local.is_called() {
            std::thread::yield_now();
        }
        self.local.answer();
        self.turn();
    }

    fn after(&self, time: Duration) {
        self.now.set(self.now.get() + time);
        self.local.enter(self.now.get());
        self.local.on_timeout(self.now.get());
        self.turn();
    }

    fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
        self.local.enter(self.now.get());
        let task = self.local.spawn(future);
        self.turn();
        task
    }

    fn panics(&self) -> u64 {
        self.counters.panics.get()
    }
}

/// Waits until it is opened, and counts the polls.
#[derive(Default)]
struct Gate {
    is_open: Cell<bool>,
    polls: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

impl Gate {
    async fn pass(self: Rc<Self>) {
        std::future::poll_fn(|cx| {
            self.polls.set(self.polls.get() + 1);
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            if self.is_open.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn waker(&self) -> Waker {
        self.waker.borrow().clone().expect("somebody waits")
    }
}

/// Does something when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_task_runs_when_its_spawner_has_returned() {
    let order = simulate(async {
        let order = Rc::new(RefCell::new(vec!["begun"]));
        let seen = Rc::clone(&order);
        let task = spawn(async move { seen.borrow_mut().push("task") });
        order.borrow_mut().push("spawned");
        task.await.unwrap();
        order.borrow().clone()
    });
    assert_eq!(order, ["begun", "spawned", "task"]);
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    let woken = simulate(async {
        let woken = Rc::new(RefCell::new(Vec::new()));
        let sleepers = [30, 10, 20].map(|secs| {
            let woken = Rc::clone(&woken);
            spawn(async move {
                sleep(secs * SECOND).await;
                woken.borrow_mut().push((secs, now().as_millis()));
            })
        });
        for sleeper in sleepers {
            sleeper.await.unwrap();
        }
        woken.take()
    });
    assert_eq!(woken, [(10, 10_000), (20, 20_000), (30, 30_000)]);
}

#[test]
fn the_time_is_that_of_the_turn() {
    let stage = Stage::new();
    stage.after(SECOND);
    let task = stage.spawn(async { now() });
    assert_eq!(task.packet().take(), Some(Ok(Instant::from_millis(1_000))));
}

#[test]
fn a_time_out_costs_a_timer_only_while_it_waits() {
    let stage = Stage::new();
    stage.spawn(timeout(SECOND, async {}));
    assert!(!stage.local.is_timed());
    let gate = Rc::new(Gate::default());
    let task = stage.spawn(timeout(SECOND, Rc::clone(&gate).pass()));
    assert!(stage.local.is_timed());
    gate.is_open.set(true);
    gate.waker().wake();
    stage.turn();
    assert_eq!(task.packet().take(), Some(Ok(Ok(()))));
    assert!(!stage.local.is_timed());
    assert_eq!(stage.local.poll_timeout(), None);
}

#[test]
fn a_time_out_ends_what_takes_too_long() {
    let stage = Stage::new();
    let gate = Rc::new(Gate::default());
    let task = stage.spawn(timeout(SECOND, Rc::clone(&gate).pass()));
    stage.after(SECOND - Duration::from_millis(1));
    assert!(!task.is_finished());
    stage.after(Duration::from_millis(1));
    assert_eq!(task.packet().take(), Some(Ok(Err(Elapsed))));
    assert_eq!(Rc::strong_count(&gate), 1, "what was waited for is dropped");
}

#[test]
fn a_sleeper_that_moves_to_another_task_wakes_that() {
    let stage = Stage::new();
    stage.local.enter(Instant::ZERO);
    let mut sleeper = Box::pin(sleep(SECOND));
    let nobody = &mut std::task::Context::from_waker(Waker::noop());
    assert!(sleeper.as_mut().poll(nobody).is_pending());
    let task = stage.spawn(sleeper);
    stage.after(SECOND);
    assert!(task.is_finished());
}

#[test]
fn what_is_woken_twice_is_polled_once() {
    let stage = Stage::new();
    let gate = Rc::new(Gate::default());
    stage.spawn(Rc::clone(&gate).pass());
    let waker = gate.waker();
    waker.wake_by_ref();
    waker.wake_by_ref();
    stage.turn();
    assert_eq!(gate.polls.get(), 2);
    waker.wake();
    stage.turn();
    assert_eq!(gate.polls.get(), 3, "a wake after the poll counts again");
    assert_eq!(stage.rings.load(Ordering::Relaxed), 0, "a shard need not call itself");
}

#[test]
fn another_thread_rings_once_until_it_is_answered() {
    let stage = Stage::new();
    let gates = [Rc::new(Gate::default()), Rc::new(Gate::default())];
    for gate in &gates {
        stage.spawn(Rc::clone(gate).pass());
    }
    for round in 1..=2 {
        let wakers = gates.clone().map(|gate| gate.waker());
        std::thread::spawn(move || wakers.map(Waker::wake)).join().unwrap();
        assert!(stage.local.is_called());
        assert_eq!(stage.rings.load(Ordering::Relaxed), round);
        stage.local.answer();
        stage.turn();
        assert!(!stage.local.is_called());
        assert_eq!(gates.clone().map(|gate| gate.polls.get()), [round + 1; 2]);
    }
}

#[test]
fn a_panic_ends_its_task_and_nothing_else() {
    let stage = Stage::new();
    let broken = stage.local.spawn(async { panic!("as the test wants it") });
    let sound = stage.local.spawn(async { 1 });
    stage.turn();
    assert_eq!(broken.packet().take(), Some(Err::<(), _>(JoinError::Panicked)));
    assert_eq!(sound.packet().take(), Some(Ok(1)));
    assert_eq!((stage.panics(), stage.local.tasks()), (1, 0));
}

#[test]
fn an_aborted_task_is_dropped_where_it_waits() {
    let stage = Stage::new();
    let gate = Rc::new(Gate::default());
    let task = stage.spawn(Rc::clone(&gate).pass());
    let waker = gate.waker();
    task.abort();
    assert_eq!((Rc::strong_count(&gate), stage.local.tasks()), (1, 0));
    assert_eq!(task.packet().take(), Some(Err(JoinError::Cancelled)));
    // Its place has another tenant, whom an old waker does not mean.
    stage.spawn(Rc::clone(&gate).pass());
    let polls = gate.polls.get();
    waker.wake();
    stage.turn();
    assert_eq!(gate.polls.get(), polls);
}

#[test]
fn a_task_that_aborts_itself_ends_when_it_waits() {
    let stage = Stage::new();
    let own = Rc::new(RefCell::new(None::<JoinHandle<()>>));
    let (handle, has_gone_on) = (Rc::clone(&own), Rc::new(Cell::new(false)));
    let goes_on = Rc::clone(&has_gone_on);
    let task = stage.local.spawn(async move {
        handle.borrow().as_ref().expect("put there before the first poll").abort();
        yield_now().await;
        goes_on.set(true);
    });
    own.replace(Some(task));
    stage.turn();
    let task = own.take().expect("still there");
    assert_eq!(task.packet().take(), Some(Err(JoinError::Cancelled)));
    assert_eq!((has_gone_on.get(), stage.local.tasks()), (false, 0));
}

#[test]
fn a_finished_task_cannot_be_aborted() {
    let stage = Stage::new();
    let task = stage.spawn(async { 1 });
    task.abort();
    assert_eq!(task.packet().take(), Some(Ok(1)));
}

#[test]
fn a_dropped_handle_leaves_its_task_alone() {
    let stage = Stage::new();
    let gate = Rc::new(Gate::default());
    drop(stage.spawn(Rc::clone(&gate).pass()));
    assert_eq!(stage.local.tasks(), 1);
    gate.is_open.set(true);
    gate.waker().wake();
    stage.turn();
    assert_eq!(stage.local.tasks(), 0);
}

#[test]
fn a_stop_drops_every_task_whatever_its_destructors_do() {
    let stage = Stage::new();
    let gate = Rc::new(Gate::default());
    let spawned = Rc::new(Cell::new(None));
    for is_first in [true, false] {
        let (gate, spawned) = (Rc::clone(&gate), Rc::clone(&spawned));
        stage.spawn(async move {
            let _last = OnDrop(move || match is_first {
                true => panic!("as the test wants it"),
                false => spawned.set(Some(spawn(async {}))),
            });
            gate.pass().await;
        });
    }
    stage.local.stop();
    assert_eq!((stage.local.tasks(), stage.panics(), Rc::strong_count(&gate)), (0, 1, 1));
    let late = spawned.take().expect("the second destructor ran");
    assert_eq!(late.packet().take(), Some(Err(JoinError::Cancelled)));
    gate.waker().wake();
    assert_eq!(stage.turn(), []);
}

#[test]
fn tasks_that_yield_take_turns() {
    let seen = simulate(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let tasks = ["a", "b"].map(|name| {
            let seen = Rc::clone(&seen);
            spawn(async move {
                for _ in 0..2 {
                    seen.borrow_mut().push(name);
                    yield_now().await;
                }
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        seen.take()
    });
    assert_eq!(seen, ["a", "b", "a", "b"]);
}

#[test]
fn an_exchange_has_one_waker_for_each_place() {
    let stage = Stage::new();
    let mut wakers = stage.local.wakers();
    stage.turn();
    wakers.of(2).wake_by_ref();
    wakers.of(0).wake_by_ref();
    let kept = wakers.of(2).clone();
    assert!(wakers.of(2).will_wake(&kept));
    kept.wake();
    assert!(stage.local.has_woken());
    assert_eq!(stage.turn(), [2, 0]);
    assert!(!stage.local.has_woken());
}

#[test]
fn two_shards_of_a_thread_are_told_apart() {
    let (one, other) = (Stage::new(), Stage::new());
    let gate = Rc::new(Gate::default());
    let task = one.spawn(Rc::clone(&gate).pass());
    other.after(SECOND);
    gate.is_open.set(true);
    gate.waker().wake();
    assert!(!other.local.is_called());
    assert!(one.local.is_called() && !one.local.has_woken());
    one.local.answer();
    one.turn();
    assert!(task.is_finished());
    assert_eq!(one.spawn(async { now() }).packet().take(), Some(Ok(Instant::ZERO)));
}

#[test]
fn a_waker_may_outlive_its_shard() {
    let gate = Rc::new(Gate::default());
    let stage = Stage::new();
    stage.spawn(Rc::clone(&gate).pass());
    let waker = gate.waker();
    drop(stage);
    assert_eq!(Rc::strong_count(&gate), 1);
    waker.wake();
}

#[test]
fn outside_of_a_shard_a_sentence_says_what_is_wrong() {
    std::thread::spawn(|| {
        let calls: [fn(); 3] = [|| _ = now(), || _ = sleep(SECOND), || _ = spawn(async {})];
        for call in calls {
            let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("there is no shard here");
            let text = panic.downcast_ref::<String>().expect("a sentence");
            assert!(text.contains("work on the thread of a shard only"), "{text}");
        }
    })
    .join()
    .unwrap();
}

#[test]
fn ticks_keep_to_their_times_and_leave_out_what_was_missed() {
    let ticks = simulate(async {
        let mut interval = interval(SECOND);
        let mut ticks = Vec::new();
        for work in [0, 300, 2_500, 0] {
            ticks.push(interval.tick().await.as_millis());
            sleep(Duration::from_millis(work)).await;
        }
        ticks
    });
    // The tick of the third second is late, and stands for the fourth and the fifth.
    assert_eq!(ticks, [1_000, 2_000, 3_000, 4_000]);
}

#[test]
fn offloaded_work_comes_back() {
    let stage = Stage::new();
    let task = stage.spawn(offload(|| std::thread::current().name().map(str::to_owned)));
    stage.answered();
    let name = task.packet().take().unwrap().unwrap().unwrap().unwrap();
    assert!(name.starts_with("offload-"), "{name}");
}

#[test]
fn a_panic_of_offloaded_work_is_an_error() {
    let stage = Stage::new();
    let task = stage.spawn(offload(|| panic!("as the test wants it")));
    stage.answered();
    assert_eq!(task.packet().take(), Some(Ok(Err::<(), _>(OffloadError::Panicked))));
    let simulated = simulate(async { offload(|| panic!("as the test wants it")).await });
    assert_eq!(simulated, Err::<(), _>(OffloadError::Panicked));
}

#[test]
fn a_result_that_nobody_waits_for_any_more_is_dropped() {
    let stage = Stage::new();
    let (go, gone) = crossbeam_channel::bounded::<()>(0);
    let (dropped, drops) = crossbeam_channel::bounded(1);
    let (begin, begun) = crossbeam_channel::bounded(1);
    let task = stage.spawn(offload(move || {
        begin.send(()).unwrap();
        _ = gone.recv();
        OnDrop(move || dropped.send(()).unwrap())
    }));
    begun.recv().unwrap();
    task.abort();
    drop(go);
    drops.recv().unwrap();
    assert_eq!(stage.turn(), []);
}

#[test]
fn in_a_simulation_work_is_done_on_the_spot() {
    let threads =
        simulate(async { (offload(|| std::thread::current().id()).await, std::thread::current().id()) });
    assert_eq!(threads.0, Ok(threads.1));
}

#[test]
fn a_simulated_name_is_looked_up_in_a_table() {
    let found = simulate(async {
        local::current().set_name("Origin.example", &[[192, 0, 2, 7].into()]);
        let origin = resolve("origin.EXAMPLE", 80).await;
        (origin, resolve("localhost", 81).await, resolve("::1", 82).await, resolve("elsewhere", 83).await)
    });
    assert_eq!(found.0, Ok(vec![([192, 0, 2, 7], 80).into()]));
    assert_eq!(found.1.map(|addresses| addresses.len()), Ok(2));
    assert_eq!(found.2.map(|addresses| addresses[0].to_string()), Ok("[::1]:82".into()));
    assert_eq!(found.3, Err(ResolveError::Failed("nobody has that name".into())));
}

#[test]
fn a_drain_tells_who_waits_for_it_once() {
    let stage = Stage::new();
    let before = stage.spawn(shutdown());
    let aborted = stage.spawn(shutdown());
    aborted.abort();
    assert_eq!(stage.spawn(async { is_draining() }).packet().take(), Some(Ok(false)));
    stage.local.drain();
    stage.turn();
    assert!(before.is_finished());
    assert!(stage.spawn(shutdown()).is_finished());
    assert_eq!(stage.spawn(async { is_draining() }).packet().take(), Some(Ok(true)));
}

#[test]
fn one_notice_is_for_one_and_who_leaves_passes_it_on() {
    let stage = Stage::new();
    let notify = Rc::new(Notify::new());
    let wait = || {
        let notify = Rc::clone(&notify);
        async move { notify.notified().await }
    };
    let tasks = [stage.spawn(wait()), stage.spawn(wait()), stage.spawn(wait())];
    notify.notify_one();
    tasks[0].abort();
    stage.turn();
    assert_eq!(tasks.each_ref().map(JoinHandle::is_finished), [true, true, false]);
    notify.notify_all();
    stage.turn();
    assert!(tasks[2].is_finished());
    // Nobody waits: the next one need not.
    notify.notify_one();
    notify.notify_one();
    assert!(stage.spawn(wait()).is_finished());
    assert!(!stage.spawn(wait()).is_finished());
}

mod simulated {
    use super::*;
    use crate::io::sim::{Conditions, Notice, Simulation, Step};
    use crate::settings::{Address, Settings};

    fn simulation(seed: u64) -> Simulation {
        let address = |last| Address::Tcp(([192, 0, 2, last], 80).into());
        let mut settings = Settings::reverse_proxy(address(1), vec![address(2)]);
        settings.workers = Some(1);
        Simulation::new(settings, Conditions::calm(), seed)
    }

    fn until_quiet(simulation: &mut Simulation) {
        while simulation.step() != Step::Quiet {}
    }

    #[test]
    fn an_hour_passes_at_once() {
        let mut simulation = simulation(1);
        let task = simulation.shard(0).spawn(async {
            sleep(3600 * SECOND).await;
            now()
        });
        until_quiet(&mut simulation);
        let end = task.packet().take().unwrap().unwrap();
        let late = end - (Instant::ZERO + 3600 * SECOND);
        assert!(late <= Duration::from_millis(1), "{late:?}");
        assert_eq!(simulation.leaks(), [""; 0]);
    }

    #[test]
    fn a_shard_is_called_from_outside_of_its_turns() {
        let mut simulation = simulation(1);
        let gate = Rc::new(Gate::default());
        let task = simulation.shard(0).spawn(Rc::clone(&gate).pass());
        until_quiet(&mut simulation);
        gate.is_open.set(true);
        gate.waker().wake();
        until_quiet(&mut simulation);
        assert!(task.is_finished());
    }

    #[test]
    fn a_task_that_wakes_itself_for_ever_starves_nobody() {
        let mut simulation = simulation(1);
        let network = simulation.network();
        let busy = simulation.shard(0).spawn(async {
            loop {
                yield_now().await;
            }
        });
        let client = network.connect(simulation.peer(), &Address::Tcp(([192, 0, 2, 1], 80).into()));
        network.set_alarm(SECOND, 1);
        let (mut is_answered, mut received) = (false, [0; 4096]);
        while !is_answered {
            match simulation.step() {
                // Nobody listens at the origin's, so the answer is ours.
                Step::Notice(Notice::Ready(socket)) if socket == client => {
                    _ = network.send(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    let len = network.receive(client, &mut received).unwrap_or(0);
                    is_answered = received[..len].starts_with(b"HTTP/1.1 502 ");
                }
                Step::Notice(Notice::Alarm(_)) => break,
                Step::Quiet => panic!("the task goes on"),
                _ => {}
            }
        }
        assert!(is_answered);
        busy.abort();
        simulation.shard(0).stop(Instant::ZERO + 2 * SECOND);
    }

    #[test]
    fn a_drain_does_not_wait_for_tasks() {
        let mut simulation = simulation(1);
        let task = simulation.shard(0).spawn(async {
            loop {
                sleep(SECOND).await;
            }
        });
        let end = simulation.clock().now() + 10 * SECOND;
        while simulation.step_until(end) != Step::Quiet {}
        assert_eq!(simulation.shard(0).rt().tasks(), 1);
        simulation.drain(0, 3600 * SECOND);
        until_quiet(&mut simulation);
        assert_eq!(simulation.clock().now(), end);
        assert_eq!(task.packet().take(), Some(Err(JoinError::Cancelled)));
        assert_eq!(simulation.leaks(), [""; 0]);
    }
}

#[test]
fn what_is_dropped_with_its_shard_may_ask_for_the_time() {
    struct Asks(Rc<Cell<Option<Instant>>>);
    impl Drop for Asks {
        fn drop(&mut self) {
            self.0.set(Some(super::now()));
        }
    }
    let asked = Rc::new(Cell::new(None));
    let [first, last] = [(); 2].map(|()| Local::simulated(Arc::new(Counters::new(&[]))));
    last.enter(Instant::ZERO);
    let asks = Asks(Rc::clone(&asked));
    drop(last.spawn(async move {
        let _asks = asks;
        std::future::pending::<()>().await;
    }));
    // The shard whose turn it was last is gone.
    first.enter(Instant::ZERO);
    drop(first);
    drop(last);
    assert!(asked.get().is_some());
}
