//! One filter of a user, in both candidates: who asks is looked up elsewhere, told to the origin by name, and told
//! what is left of the quota.

use crate::model::{Answer, Hooks, Session, Verdict, Visit, one_turn};
use crate::{owned, pinned};
use ringway_engine::phase::{Phase, Rooms};
use ringway_proto::message::{InvalidField, Name, ResponseHead};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A service elsewhere.
struct Users;

struct User {
    name: String,
    quota: u32,
}

impl Users {
    async fn find(&self, token: &[u8]) -> Result<User, Verdict> {
        one_turn().await;
        let name = token.strip_prefix(b"Bearer ").ok_or(Verdict::Respond(403))?;
        Ok(User { name: String::from_utf8_lossy(name).into(), quota: 41 })
    }
}

struct Gate {
    users: Users,
}

impl pinned::Proxy for Gate {
    type Ctx = Option<User>;

    async fn request_filter(&self, session: &mut Session, user: &mut Option<User>) -> Verdict {
        let fields = &mut session.request.fields;
        let Some(token) = fields.get(Name::Authorization) else { return Verdict::Respond(401) };
        let found = match self.users.find(token).await {
            Ok(found) => found,
            Err(verdict) => return verdict,
        };
        fields.remove(Name::Authorization);
        let set = fields.set(b"X-User", found.name.as_bytes());
        *user = Some(found);
        verdict(set)
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHead,
        user: &mut Option<User>,
    ) -> Verdict {
        let Some(user) = user else { return Verdict::Continue };
        verdict(response.fields.set(b"X-Quota", user.quota.to_string().as_bytes()))
    }
}

impl owned::Proxy for Gate {
    type Ctx = Option<User>;

    fn request_filter(self: &Rc<Self>, mut state: owned::State<Option<User>>) -> owned::Flow<Option<User>> {
        let Some(token) = state.visit.session.request.fields.get(Name::Authorization) else {
            return owned::Flow::Done(state, Verdict::Respond(401));
        };
        let token = token.to_vec();
        let this = self.clone();
        owned::Flow::Wait(Box::pin(async move {
            let found = match this.users.find(&token).await {
                Ok(found) => found,
                Err(verdict) => return (state, verdict),
            };
            let fields = &mut state.visit.session.request.fields;
            fields.remove(Name::Authorization);
            let set = fields.set(b"X-User", found.name.as_bytes());
            state.ctx = Some(found);
            (state, verdict(set))
        }))
    }

    fn upstream_response_filter(
        self: &Rc<Self>,
        mut state: owned::State<Option<User>>,
    ) -> owned::Flow<Option<User>> {
        let Some(user) = &state.ctx else { return owned::Flow::Done(state, Verdict::Continue) };
        let set = state.visit.response.fields.set(b"X-Quota", user.quota.to_string().as_bytes());
        owned::Flow::Done(state, verdict(set))
    }
}

fn verdict(set: Result<(), InvalidField>) -> Verdict {
    set.map_or(Verdict::Respond(500), |()| Verdict::Continue)
}

/// Runs the hook of `phase` to its end, however often it waits.
fn finish(hooks: &mut dyn Hooks, phase: Phase, visit: Box<Visit>, context: &mut Context<'_>) -> Answer {
    let mut polled = hooks.visit(phase, visit, context);
    loop {
        match polled {
            Poll::Ready(answer) => return answer,
            Poll::Pending => polled = hooks.resume(context),
        }
    }
}

#[test]
fn both_candidates_do_the_same() {
    let gate = || Rc::new(Gate { users: Users });
    let pinned: Box<dyn Hooks> = Box::new(pinned::Adapter::new(gate(), Rooms::new()));
    let owned: Box<dyn Hooks> = Box::new(owned::Adapter::new(gate()));
    for mut hooks in [pinned, owned] {
        for (token, answer, user) in [("", 401, None), ("Basic a", 403, None), ("Bearer ada", 0, Some("ada"))]
        {
            let mut visit = Box::<Visit>::default();
            if !token.is_empty() {
                visit
                    .session
                    .request
                    .fields
                    .append(b"authorization", token.as_bytes())
                    .expect("a valid field");
            }
            hooks.renew();
            let context = &mut Context::from_waker(Waker::noop());
            let (visit, verdict) = finish(&mut *hooks, Phase::Request, visit, context);
            let expected = if answer == 0 { Verdict::Continue } else { Verdict::Respond(answer) };
            assert_eq!(verdict, expected, "{token}");
            assert_eq!(visit.session.request.fields.find(b"x-user"), user.map(str::as_bytes));
            if user.is_some() {
                let (visit, _) = finish(&mut *hooks, Phase::UpstreamResponse, visit, context);
                assert_eq!(visit.response.fields.find(b"x-quota"), Some(&b"41"[..]));
            }
        }
    }
}
