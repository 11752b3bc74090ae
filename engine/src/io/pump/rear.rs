//! The end of the queue of tasks that are ready.

use super::Core;
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
pub(super) async fn usher(core: Rc<Core>) {
    poll_fn(|cx| {
        *core.rear.usher.borrow_mut() = Some(cx.waker().clone());
        core.rear.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        Poll::Pending
    })
    .await
}
