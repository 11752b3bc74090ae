//! The end of the queue of tasks that are ready.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Lets a task go behind all others that are ready. It cannot do so alone: monoio puts a task that wakes itself at the
/// front of the queue, where it would keep all others from running. So another task wakes it, behind them.
#[derive(Default)]
pub(super) struct Rear {
    waiting: RefCell<Vec<Waker>>,
    /// The one that wakes; none while it is on its way.
    usher: RefCell<Option<Waker>>,
}

impl Rear {
    /// Until all tasks that are ready now have run.
    pub(super) async fn others_first(&self) {
        let mut has_waited = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut has_waited, true) {
                return Poll::Ready(());
            }
            self.wake_behind_others(cx.waker());
            Poll::Pending
        })
        .await;
    }

    /// Wakes a task when all that are ready now have run.
    pub(super) fn wake_behind_others(&self, task: &Waker) {
        self.waiting.borrow_mut().push(task.clone());
        if let Some(usher) = self.usher.borrow_mut().take() {
            usher.wake();
        }
    }
}

/// Wakes those who wait for the others.
pub(super) async fn usher(rear: Rc<Rear>) {
    poll_fn(|cx| {
        *rear.usher.borrow_mut() = Some(cx.waker().clone());
        rear.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use monoio::{LegacyDriver, RuntimeBuilder};

    #[test]
    fn tasks_that_let_others_go_first_take_turns() {
        let order = Rc::new(RefCell::new(String::new()));
        let seen = Rc::clone(&order);
        let mut runtime = RuntimeBuilder::<LegacyDriver>::new().build().unwrap();
        runtime.block_on(async move {
            let rear = Rc::new(Rear::default());
            monoio::spawn(usher(Rc::clone(&rear)));
            let tasks = ["a", "b", "c"].map(|name| {
                let (rear, seen) = (Rc::clone(&rear), Rc::clone(&seen));
                monoio::spawn(async move {
                    for _ in 0..3 {
                        seen.borrow_mut().push_str(name);
                        rear.others_first().await;
                    }
                })
            });
            for task in tasks {
                task.await;
            }
        });
        assert_eq!(*order.borrow(), "abcabcabc");
    }
}
