//! The programs that are compared: how each is started with one worker, configured as its users would for speed.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program under test, with its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contender {
    Ringway,
    RingwayTwoWorkers,
    BareRelay,
    Haproxy,
    /// Larger buffers and splicing, for large bodies.
    HaproxyTuned,
    Nginx,
}

/// Where the programs are.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) ringway: Option<PathBuf>,
    /// The directory of `origin` and `bare_relay`: where this program is.
    pub(super) tools: PathBuf,
    /// Descriptors that a process may open.
    pub(super) descriptor_limit: u64,
}

impl Contender {
    pub(super) const ALL: [Self; 6] = [
        Self::Ringway,
        Self::RingwayTwoWorkers,
        Self::BareRelay,
        Self::Haproxy,
        Self::HaproxyTuned,
        Self::Nginx,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ringway => "ringway",
            Self::RingwayTwoWorkers => "ringway, 2 workers",
            Self::BareRelay => "bare relay",
            Self::Haproxy => "HAProxy",
            Self::HaproxyTuned => "HAProxy tuned",
            Self::Nginx => "nginx",
        }
    }

    /// The cores it runs on; the load is always on the last one.
    pub(super) fn cores(self) -> &'static [usize] {
        match self {
            Self::RingwayTwoWorkers => &[0, 1],
            _ => &[0],
        }
    }

    /// Who it is, with the TLS library: even clear-text rows say what the binary is.
    ///
    /// # Errors
    /// When it is not installed.
    pub(super) fn version(self, programs: &Programs) -> io::Result<String> {
        match self {
            Self::Ringway | Self::RingwayTwoWorkers => {
                let path = programs.ringway.as_ref().ok_or_else(|| io::Error::other("left out"))?;
                // Not every revision knows --version; that it starts is checked when it is measured.
                let text = if path.is_file() { output(path, &["--version"])? } else { not_found(path)? };
                Ok(text
                    .lines()
                    .next()
                    .filter(|line| line.starts_with("ringway"))
                    .unwrap_or("ringway")
                    .to_owned())
            }
            Self::BareRelay => {
                Ok(format!("bare relay {}, io-uring crate 0.7, no TLS", env!("CARGO_PKG_VERSION")))
            }
            Self::Haproxy | Self::HaproxyTuned => {
                let text = output(Path::new(HAPROXY), &["-vv"])?;
                let version =
                    text.lines().next().unwrap_or("HAProxy").trim_end_matches(" - https://haproxy.org/");
                Ok(format!("{version}, {}", line_after(&text, "Running on OpenSSL version : ")))
            }
            Self::Nginx => {
                let text = output(Path::new(NGINX), &["-V"])?;
                let version = line_after(&text, "nginx version: ");
                Ok(format!("{version}, {}", line_after(&text, "built with ")))
            }
        }
    }

    /// The command that makes it listen at `listen` in front of `origin`; writes its configuration into `dir`.
    pub(super) fn command(
        self,
        listen: SocketAddr,
        origin: SocketAddr,
        programs: &Programs,
        dir: &Path,
    ) -> io::Result<Command> {
        let limit = programs.descriptor_limit;
        match self {
            Self::Ringway | Self::RingwayTwoWorkers => {
                let path = programs.ringway.as_ref().ok_or_else(|| io::Error::other("left out"))?;
                let workers = self.cores().len().to_string();
                let (listen, origin) = (listen.to_string(), origin.to_string());
                Ok(command(path, &["proxy", "--listen", &listen, "--workers", &workers, &origin]))
            }
            Self::BareRelay => {
                let path = programs.tools.join("bare_relay");
                Ok(command(&path, &[&listen.to_string(), &origin.to_string()]))
            }
            Self::Haproxy | Self::HaproxyTuned => {
                let tuned = if self == Self::HaproxyTuned { HAPROXY_TUNING } else { ["", ""] };
                let text = HAPROXY_CONFIG
                    // It wants twice as many descriptors as connections, for the case that each has its own
                    // upstream connection; ours share a few, so falling short is no reason not to start.
                    .replace("{maxconn}", &(limit - DESCRIPTORS_SPARE).min(MAXCONN_MAX).to_string())
                    .replace("{global}", tuned[0])
                    .replace("{defaults}", tuned[1]);
                let file = write(dir, "haproxy.cfg", &text, listen, origin)?;
                Ok(command(Path::new(HAPROXY), &["-db", "-f", &file]))
            }
            Self::Nginx => {
                let text = NGINX_CONFIG
                    .replace("{limit}", &limit.to_string())
                    // nginx closes idle connections when a sixteenth of these is left, descriptors or not.
                    .replace("{connections}", &(limit * 2).to_string())
                    .replace("{dir}", &dir.to_string_lossy());
                let file = write(dir, "nginx.conf", &text, listen, origin)?;
                let dir = dir.to_string_lossy();
                Ok(command(Path::new(NGINX), &["-p", &dir, "-e", "stderr", "-c", &file]))
            }
        }
    }
}

/// The text `name` prints, on either stream.
pub(super) fn output(program: &Path, args: &[&str]) -> io::Result<String> {
    let output = command(program, args).output()?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(format!("{out}{err}"))
}

fn command(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

fn write(dir: &Path, name: &str, text: &str, listen: SocketAddr, origin: SocketAddr) -> io::Result<String> {
    let file = dir.join(name);
    let text = text.replace("{listen}", &listen.to_string()).replace("{origin}", &origin.to_string());
    fs::write(&file, text)?;
    Ok(file.to_string_lossy().into_owned())
}

fn line_after<'t>(text: &'t str, prefix: &str) -> &'t str {
    text.lines().find_map(|line| line.strip_prefix(prefix)).unwrap_or("TLS library unknown").trim()
}

fn not_found(path: &Path) -> io::Result<String> {
    Err(io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display())))
}

const HAPROXY: &str = "/usr/sbin/haproxy";
const NGINX: &str = "/usr/sbin/nginx";
/// Upstream connections, listeners, files.
const DESCRIPTORS_SPARE: u64 = 500;
const MAXCONN_MAX: u64 = 60_000;

/// No access log, keep-alive on both sides, every idle upstream connection reused by anybody.
const HAPROXY_CONFIG: &str = "
global
    nbthread 1
    maxconn {maxconn}
    no strict-limits
    {global}
defaults
    mode http
    maxconn {maxconn}
    timeout connect 10s
    timeout client 300s
    timeout server 300s
    timeout http-keep-alive 300s
    http-reuse always
    {defaults}
frontend front
    bind {listen} backlog 65535
    default_backend back
backend back
    server origin {origin} pool-purge-delay 300s
";
/// What goes into the global section, and into the defaults.
const HAPROXY_TUNING: [&str; 2] = ["tune.bufsize 65536", "option splice-auto"];

/// One process and nothing else: the process measured is the one that does the work.
const NGINX_CONFIG: &str = "
daemon off;
master_process off;
worker_rlimit_nofile {limit};
pid {dir}/nginx.pid;
events { use epoll; worker_connections {connections}; }
http {
    access_log off;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
    # Enough for the bodies to stay out of temporary files; taken only when a body needs them.
    proxy_buffers 16 32k;
    proxy_busy_buffers_size 64k;
    proxy_max_temp_file_size 0;
    upstream origin {
        server {origin};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 300s;
    }
    server {
        listen {listen} backlog=65535;
        location / {
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }
    }
}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_have_no_blanks_left() {
        let dir = std::env::temp_dir().join(format!("ringway-contender-test-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let programs = Programs { ringway: None, tools: dir.clone(), descriptor_limit: 20_000 };
        for (contender, file) in [(Contender::HaproxyTuned, "haproxy.cfg"), (Contender::Nginx, "nginx.conf")]
        {
            contender.command(addr, addr, &programs, &dir).unwrap();
            let text = fs::read_to_string(dir.join(file)).unwrap();
            assert!(!text.contains("{listen}") && !text.contains("{max") && !text.contains("{dir}"));
            assert!(text.contains("127.0.0.1:1"));
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
