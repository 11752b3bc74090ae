//! Round robin over two origins, which expect another `Host` than the client asked for.
//!
//! ```sh
//! cargo run -p ringway-engine --example load_balancer -- 127.0.0.1:8080 127.0.0.1:9001 127.0.0.1:9002
//! curl -i http://127.0.0.1:8080/
//! ```

use ringway_engine::prelude::*;

struct Balancer;

impl Proxy for Balancer {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("origins"))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHead,
        (): &mut (),
    ) -> Result<()> {
        Ok(request.fields.set("host", "one.example")?)
    }
}

fn main() -> Result<(), StartError> {
    let mut args = std::env::args().skip(1);
    let mut arg = |default: &str| args.next().unwrap_or(default.into());
    Server::builder()
        .listen(arg("127.0.0.1:8080"), Service::proxy(|| Balancer))
        .cluster("origins", [arg("127.0.0.1:9001"), arg("127.0.0.1:9002")])
        .announce()
        .run()?;
    Ok(())
}
