//! OpenSSL.

use super::{Read, openssl_ffi};
use crate::tls::failure::Failure;
use crate::tls::session::Facts;
use crate::tls::wire::Wire;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    self, AlpnError, ErrorCode, NameType, ShutdownState, Ssl, SslContext, SslContextBuilder, SslMethod,
    SslMode, SslOptions, SslSessionCacheMode, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::verify::X509CheckFlags;
use std::fmt;
use std::net::IpAddr;

/// A connection in the library's hands.
#[derive(Debug)]
pub(in crate::tls) struct Stream(SslStream<Wire>);

/// What sessions of one kind have in common: certificates, trust, versions and ciphers. Cheap to clone; may be used by
/// every shard.
#[derive(Clone, Debug)]
pub struct Context(SslContext);

/// Makes a [`Context`].
pub struct ContextBuilder(SslContextBuilder);

/// A certificate with its chain and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    chain: Vec<X509>,
    key: PKey<Private>,
}

impl Identity {
    /// Reads a certificate, followed by those that lead to its root, and its key, both as PEM.
    ///
    /// # Errors
    /// When there is no certificate, something is not PEM, the key is encrypted, or is another certificate's.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Failure> {
        let chain = X509::stack_from_pem(chain).map_err(|error| internal("certificate", &error))?;
        let Some(leaf) = chain.first() else {
            return Err(Failure::Internal("no certificate in the file".into()));
        };
        // The library would ask at the terminal for what unlocks the key.
        let mut is_encrypted = false;
        let key = PKey::private_key_from_pem_callback(key, |_| {
            is_encrypted = true;
            Ok(0)
        });
        let key = match key {
            Ok(key) => key,
            Err(_) if is_encrypted => {
                return Err(Failure::Internal("the key is encrypted, and nobody could unlock it".into()));
            }
            Err(error) => return Err(internal("key", &error)),
        };
        let public = leaf.public_key().map_err(|error| internal("certificate", &error))?;
        if !public.public_eq(&key) {
            return Err(Failure::Internal("the key is not that of the certificate".into()));
        }
        Ok(Self { chain, key })
    }
}

impl ContextBuilder {
    /// For servers. It has no certificate yet.
    ///
    /// # Errors
    /// When the library cannot be used.
    pub fn server() -> Result<Self, Failure> {
        let mut builder = Self::new(SslMethod::tls_server())?;
        builder.0.set_options(SslOptions::CIPHER_SERVER_PREFERENCE | SslOptions::PRIORITIZE_CHACHA);
        // Sessions are kept by clients, in tickets, not by us.
        builder.0.set_session_cache_mode(SslSessionCacheMode::OFF);
        // Few clients open many connections anew at once; each ticket costs as much as a small response.
        builder.0.set_num_tickets(1).map_err(|error| internal("tickets", &error))?;
        builder.0.set_verify(SslVerifyMode::NONE);
        Ok(builder)
    }

    /// For clients, which trust nobody yet and accept no certificate but of who they trust.
    ///
    /// # Errors
    /// When the library cannot be used.
    pub fn client() -> Result<Self, Failure> {
        let mut builder = Self::new(SslMethod::tls_client())?;
        builder.0.set_verify(SslVerifyMode::PEER);
        Ok(builder)
    }

    fn new(method: SslMethod) -> Result<Self, Failure> {
        let set_up = || -> Result<SslContextBuilder, ErrorStack> {
            let mut builder = SslContextBuilder::new(method)?;
            builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
            builder.set_cipher_list(CIPHERS_TLS12)?;
            builder.set_ciphersuites(CIPHERS_TLS13)?;
            builder.set_groups_list(GROUPS)?;
            builder.set_options(
                SslOptions::NO_RENEGOTIATION | SslOptions::NO_COMPRESSION | SslOptions::NO_QUERY_MTU,
            );
            // Our wire takes everything at once.
            builder.set_mode(SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER);
            builder.set_max_early_data(0)?;
            Ok(builder)
        };
        set_up().map(Self).map_err(|error| internal("set up", &error))
    }

    /// Serves, or presents to servers, this certificate; besides one of another kind of key that was given before.
    ///
    /// # Errors
    /// When the library does not take it: its key is too weak, most likely.
    pub fn identity(&mut self, identity: &Identity) -> Result<(), Failure> {
        let mut set = || -> Result<(), ErrorStack> {
            let Some((leaf, others)) = identity.chain.split_first() else { return Ok(()) };
            self.0.set_certificate(leaf)?;
            self.0.set_private_key(&identity.key)?;
            others.iter().try_for_each(|other| self.0.add_extra_chain_cert(other.clone()))?;
            self.0.check_private_key()
        };
        set().map_err(|error| internal("certificate", &error))
    }

    /// Trusts those whose certificates these are, as PEM.
    ///
    /// # Errors
    /// When something is not PEM.
    pub fn trust(&mut self, authorities: &[u8]) -> Result<(), Failure> {
        let mut add = || -> Result<(), ErrorStack> {
            for authority in X509::stack_from_pem(authorities)? {
                self.0.cert_store_mut().add_cert(authority)?;
            }
            Ok(())
        };
        add().map_err(|error| internal("authorities", &error))
    }

    /// Offers these protocols, or chooses the first of them that a client offers (RFC 7301); a client that offers none of
    /// them is refused.
    ///
    /// # Errors
    /// When a name is empty or longer than 255 bytes.
    pub fn protocols(&mut self, protocols: &[&[u8]]) -> Result<(), Failure> {
        let mut wire = Vec::new();
        for name in protocols {
            let len = u8::try_from(name.len()).ok().filter(|len| *len > 0);
            wire.push(len.ok_or_else(|| Failure::Internal("a protocol's name has 1 to 255 bytes".into()))?);
            wire.extend_from_slice(name);
        }
        self.0.set_alpn_protos(&wire).map_err(|error| internal("protocols", &error))?;
        let ours: Vec<Box<[u8]>> = protocols.iter().map(|name| (*name).into()).collect();
        self.0.set_alpn_select_callback(move |_, offered| {
            let chosen = ours.iter().find_map(|name| names(offered).find(|other| *other == &**name));
            chosen.ok_or(AlpnError::ALERT_FATAL)
        });
        Ok(())
    }

    /// The context.
    pub fn build(self) -> Context {
        Context(self.0.build())
    }
}

/// The names in a list of protocols (RFC 7301 section 3.1), which the library has checked.
fn names(mut list: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&len, rest) = list.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(len))?;
        list = rest;
        Some(name)
    })
}

impl fmt::Debug for ContextBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextBuilder").finish_non_exhaustive()
    }
}

/// A server's side of a connection.
pub(in crate::tls) fn accept(context: &Context, wire: Wire) -> Result<Stream, Failure> {
    let mut ssl = Ssl::new(&context.0).map_err(|error| internal("session", &error))?;
    ssl.set_accept_state();
    stream(ssl, wire)
}

/// A client's side of a connection to the server of this name.
pub(in crate::tls) fn connect(context: &Context, name: &str, wire: Wire) -> Result<Stream, Failure> {
    let set_up = || -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&context.0)?;
        ssl.set_connect_state();
        let param = ssl.param_mut();
        if let Ok(ip) = name.parse::<IpAddr>() {
            param.set_ip(ip)?;
        } else {
            param.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
            param.set_host(name)?;
            ssl.set_hostname(name)?;
        }
        Ok(ssl)
    };
    if name.is_empty() {
        // The library would accept a certificate for any name.
        return Err(Failure::Internal("a server needs a name".into()));
    }
    stream(set_up().map_err(|error| internal("server name", &error))?, wire)
}

fn stream(ssl: Ssl, wire: Wire) -> Result<Stream, Failure> {
    SslStream::new(ssl, wire).map(Stream).map_err(|error| internal("session", &error))
}

/// Takes the handshake on. Whether it is complete; else it takes more of the peer's records.
pub(in crate::tls) fn shake(stream: &mut Stream) -> Result<bool, Failure> {
    match stream.0.do_handshake() {
        Ok(()) => Ok(true),
        Err(error) if error.code() == ErrorCode::WANT_READ => Ok(false),
        Err(error) => Err(failure(stream, &error)),
    }
}

/// Reads content.
#[inline]
pub(in crate::tls) fn read(stream: &mut Stream, into: &mut [u8]) -> Result<Read, Failure> {
    match stream.0.ssl_read(into) {
        Ok(len) => Ok(Read::Content(len)),
        Err(error) => match error.code() {
            ErrorCode::WANT_READ => Ok(Read::WantsMore),
            ErrorCode::ZERO_RETURN => Ok(Read::End),
            _ => Err(failure(stream, &error)),
        },
    }
}

/// Writes content. Says how much of it.
#[inline]
pub(in crate::tls) fn write(stream: &mut Stream, from: &[u8]) -> Result<usize, Failure> {
    stream.0.ssl_write(from).map_err(|error| failure(stream, &error))
}

/// Says our own end.
pub(in crate::tls) fn finish(stream: &mut Stream) {
    // It is written at once; whether the peer said its own is of no interest here.
    _ = stream.0.shutdown();
}

/// Bytes of a record that is open and not read to its end.
#[inline]
pub(in crate::tls) fn pending(stream: &Stream) -> usize {
    stream.0.ssl().pending()
}

/// Where the library reads and writes.
#[inline]
pub(in crate::tls) fn wire(stream: &Stream) -> &Wire {
    stream.0.get_ref()
}

/// Where the library reads and writes.
#[inline]
pub(in crate::tls) fn wire_mut(stream: &mut Stream) -> &mut Wire {
    stream.0.get_mut()
}

/// What was agreed upon.
pub(in crate::tls) fn facts(stream: &Stream) -> Facts {
    let ssl = stream.0.ssl();
    Facts {
        version: ssl.version_str(),
        cipher: ssl.current_cipher().map_or("", |cipher| cipher.name()).into(),
        group: openssl_ffi::group(ssl).unwrap_or_default().into(),
        alpn: ssl.selected_alpn_protocol().map(Into::into),
        server_name: ssl.servername(NameType::HOST_NAME).map(Into::into),
        is_resumed: ssl.session_reused(),
    }
}

/// What the library says, in our words.
fn failure(stream: &Stream, error: &ssl::Error) -> Failure {
    let Some(first) = error.ssl_error().and_then(|stack| stack.errors().first()) else {
        return Failure::Internal("the library gave up without a word".into());
    };
    let code = first.reason_code();
    // An alert's reason is its number and a thousand.
    if let Some(alert) = code.checked_sub(1000).and_then(|alert| u8::try_from(alert).ok()) {
        return Failure::Alert(alert);
    }
    let reason = first.reason().unwrap_or("unknown reason");
    if code == CERTIFICATE_VERIFY_FAILED {
        return Failure::Certificate(stream.0.ssl().verify_result().error_string().into());
    }
    Failure::Protocol(reason.into())
}

fn internal(what: &str, error: &ErrorStack) -> Failure {
    let reason = error.errors().first().and_then(|first| first.reason());
    Failure::Internal(format!("{what}: {}", reason.unwrap_or("the library gave up without a word")).into())
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Else the library takes a connection that just ends for an attack, and its session is never resumed.
        self.0.set_shutdown(ShutdownState::SENT | ShutdownState::RECEIVED);
    }
}

/// `SSL_R_CERTIFICATE_VERIFY_FAILED`.
const CERTIFICATE_VERIFY_FAILED: i32 = 134;
/// Groups, the preferred one first: what a quantum computer cannot read later, where the peer can do it.
const GROUPS: &str = "X25519MLKEM768:X25519:P-256:P-384";
/// Suites of TLS 1.3.
const CIPHERS_TLS13: &str = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
/// Suites of TLS 1.2: forward secret and authenticated, nothing else.
const CIPHERS_TLS12: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
    ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
