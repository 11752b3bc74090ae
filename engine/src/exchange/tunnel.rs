//! Opaque bytes both ways, after a 101 or on a raw TCP listener.

use super::state::{Half, State, Tunnel};
use super::{Action, Env, Exchange, Goal, Outcome, Part, Side};

impl Exchange {
    /// Both connections are there, and everything that comes is for the other side.
    pub(super) fn begin_tunnel(&mut self, env: &mut Env<'_>) {
        env.actions.push_back(Action::Tunnel);
        self.state = State::Tunneling(Tunnel { downstream: Half::Open, upstream: Half::Open });
    }

    /// User code has no more use for its stream, whose connection others may have.
    pub fn on_released(&mut self, env: &mut Env<'_>) {
        if matches!(self.state, State::Tunneling(_)) {
            // Streams to a cluster are not kept: what is idle there speaks HTTP.
            let is_kept = matches!(self.goal, Goal::Place(_));
            env.actions.push_back(if is_kept { Action::Keep } else { Action::Release });
            self.state = State::Flushing(Outcome::TunnelClosed);
        }
    }

    /// One side said that nothing more comes: the other is told the same once it has everything that came
    /// before. The tunnel ends when both have finished.
    pub(super) fn on_tunnel_end(&mut self, side: Side, env: &mut Env<'_>) {
        let State::Tunneling(tunnel) = &mut self.state else { return };
        let other = match side {
            Side::Downstream => {
                tunnel.downstream = Half::Ended;
                Side::Upstream
            }
            Side::Upstream => {
                tunnel.upstream = Half::Ended;
                Side::Downstream
            }
        };
        env.outlets.send(other, Part::End);
        if tunnel.downstream == Half::Ended && tunnel.upstream == Half::Ended {
            env.actions.push_back(Action::Release);
            self.state = State::Flushing(Outcome::TunnelClosed);
        }
    }
}
