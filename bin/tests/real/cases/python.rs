//! Python's http.client and a WebSocket library.

use crate::harness::origin::Origin;
use crate::harness::programs::{Server, python};
use crate::harness::proxy::Proxy;

/// Runs a client to its end.
#[track_caller]
fn client(script: &str, args: &[&str]) {
    let output = python(script).args(args).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {args:?}: {}\n{said}", output.status);
}

cases! {
    fn http_client_keeps_its_connection_through_every_kind_of_request(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        client("http_client.py", &[proxy.address()]);
        assert_eq!(proxy.counter("downstream_accepted"), 1);
    }

    fn web_socket_messages_of_every_size_come_back(driver) {
        let server = Server::announced(python("web_socket_server.py"));
        let proxy = Proxy::to(driver, &server.address);
        client("web_socket_client.py", &[proxy.address()]);
        crate::harness::until("the tunnels have ended", || proxy.counter("exchanges_active") == 0);
    }

    fn web_sockets_go_over_unix_sockets(driver) {
        let server = Server::announced(python("web_socket_server.py"));
        let proxy = Proxy::run(driver, &format!(
            "listen \"unix:DIR/http\"\ncluster \"app\" {{ endpoint \"{}\"; }}\nsite \"*\" {{ route {{ proxy \"app\"; }}; }}\n",
            server.address
        ));
        client("web_socket_client.py", &[proxy.address()]);
    }
}
