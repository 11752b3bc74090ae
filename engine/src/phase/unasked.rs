//! Which hooks somebody wrote. The default of a hook returns [`Unasked`]; [`asks`] looks whether that is the type.

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::cell::Hook;

/// The future of a hook that nobody wrote: ready, and answers what changes nothing.
pub struct Unasked<O>(PhantomData<fn() -> O>);

/// An answer that changes nothing.
pub trait Neutral {
    /// That answer.
    fn neutral() -> Self;
}

impl Neutral for () {
    fn neutral() -> Self {}
}

impl<T> Neutral for Option<T> {
    fn neutral() -> Self {
        None
    }
}

impl<A: Default, E> Neutral for Result<A, E> {
    fn neutral() -> Self {
        Ok(A::default())
    }
}

impl<O> Unasked<O> {
    /// For the body of a hook's default method.
    #[inline]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<O> Default for Unasked<O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<O> fmt::Debug for Unasked<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unasked")
    }
}

impl<O: Neutral> Future for Unasked<O> {
    type Output = O;

    /// Run all the same when a hook that somebody wrote passes the question on to a default.
    #[inline]
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<O> {
        Poll::Ready(O::neutral())
    }
}

/// Whether somebody wrote `hook`. Known when the program is compiled.
#[inline]
pub fn asks<T: 'static, R, H>(hook: H) -> bool
where
    H: for<'a> Hook<'a, T, R>,
{
    let _ = hook;
    is_asked::<<H as Hook<'static, T, R>>::Future>()
}

fn is_asked<F: Future + 'static>() -> bool {
    TypeId::of::<F>() != TypeId::of::<Unasked<F::Output>>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    trait Proxy: Sized + 'static {
        fn request(&mut self) -> impl Future<Output = Result<u32, String>> {
            Unasked::new()
        }

        fn response(&mut self) -> impl Future<Output = ()> {
            Unasked::new()
        }
    }

    struct Nothing;
    impl Proxy for Nothing {}

    struct Both;
    impl Proxy for Both {
        async fn request(&mut self) -> Result<u32, String> {
            Ok(7)
        }

        fn response(&mut self) -> impl Future<Output = ()> {
            std::future::poll_fn(|_| Poll::Ready(()))
        }
    }

    #[test]
    fn what_is_left_to_its_default_is_not_asked() {
        assert!(!asks::<Nothing, Result<u32, String>, _>(Proxy::request));
        assert!(!asks::<Nothing, (), _>(Proxy::response));
        assert!(asks::<Both, Result<u32, String>, _>(Proxy::request));
        assert!(asks::<Both, (), _>(Proxy::response));
    }

    #[test]
    fn a_default_that_is_run_all_the_same_changes_nothing() {
        let mut context = Context::from_waker(Waker::noop());
        let mut nothing = Nothing;
        let answer = std::pin::pin!(nothing.request()).poll(&mut context);
        assert_eq!(answer, Poll::Ready(Ok(0)));
    }
}
