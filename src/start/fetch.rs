//! Fetches definitions from a web server, before there is a broker: a call that blocks.

use std::path::Path;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::base::limits::{FETCH_MS, FETCH_SIZE_MAX};
use crate::config::source::{ClientTls, Source};
use crate::io::StartError;
use crate::start::text_file;

/// Fetches the text at `url`.
///
/// # Errors
/// One sentence: it cannot be fetched, or a certificate cannot be read.
pub fn fetch(url: &str, tls: &ClientTls) -> Result<String, StartError> {
    let config = Agent::config_builder()
        .tls_config(tls_config(tls)?)
        .proxy(None)
        .timeout_global(Some(Duration::from_millis(FETCH_MS)))
        .user_agent(concat!("RingMQ/", env!("CARGO_PKG_VERSION")))
        .build();
    let text = Agent::from(config).get(url).call().and_then(|response| {
        let body = response.into_body().into_with_config();
        body.limit(FETCH_SIZE_MAX).read_to_string()
    });
    text.map_err(|error| StartError(format!("{} cannot be fetched: {error}", Source::Url(url.to_owned()))))
}

fn tls_config(tls: &ClientTls) -> Result<TlsConfig, StartError> {
    let roots = tls.ca.as_deref().map(|file| certificates(file).map(|roots| RootCerts::new_with_certs(&roots))).transpose()?;
    let identity = tls.identity.as_ref().map(|(certificate, key)| identity(certificate, key)).transpose()?;
    let config = TlsConfig::builder().client_cert(identity).disable_verification(tls.is_trusted);
    Ok(config.root_certs(roots.unwrap_or(RootCerts::WebPki)).build())
}

fn identity(certificate: &Path, key: &Path) -> Result<ClientCert, StartError> {
    let private_key = PrivateKey::from_pem(text_file::read(key)?.as_bytes())
        .map_err(|_| StartError(format!("{} has no private key in PEM", key.display())))?;
    Ok(ClientCert::new_with_certs(&certificates(certificate)?, private_key))
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, StartError> {
    let text = text_file::read(file)?;
    let certificates = parse_pem(text.as_bytes()).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = certificates.collect();
    if certificates.is_empty() {
        return Err(StartError(format!("{} has no certificate in PEM", file.display())));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::path::PathBuf;
    use std::sync::Arc;

    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::server::WebPkiClientVerifier;
    use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

    use super::*;
    use crate::io::scratch::Scratch;

    /// A certificate that vouches for itself, and its files.
    struct Identity {
        key: rcgen::CertifiedKey<rcgen::KeyPair>,
        files: Scratch,
    }

    impl Identity {
        fn new() -> Identity {
            let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
            let files = Scratch::new();
            files.file("cert.pem", &format!("\u{feff}{}", key.cert.pem()));
            files.file("key.pem", &key.signing_key.serialize_pem());
            Identity { key, files }
        }

        fn files(&self) -> (PathBuf, PathBuf) {
            (self.files.join("cert.pem"), self.files.join("key.pem"))
        }

        /// The TLS of a server with this certificate, which wants the same one of its clients if it
        /// is `strict`.
        fn server(&self, strict: bool) -> Arc<ServerConfig> {
            let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
            let builder = builder.with_safe_default_protocol_versions().expect("there are some");
            let mut roots = RootCertStore::empty();
            roots.add(self.key.cert.der().clone()).expect("a certificate");
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let strict = strict.then(|| WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a root"));
            let builder = match strict {
                Some(verifier) => builder.with_client_cert_verifier(verifier),
                None => builder.with_no_client_auth(),
            };
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.signing_key.serialize_der()));
            Arc::new(builder.with_single_cert(vec![self.key.cert.der().clone()], key).expect("they belong together"))
        }
    }

    /// Answers one request of one client, if it gets as far as that.
    fn serve(tls: Option<Arc<ServerConfig>>, answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            let (socket, _) = listener.accept().expect("a client");
            match tls {
                Some(config) => reply(StreamOwned::new(ServerConnection::new(config).expect("a server"), socket), answer),
                None => reply(socket, answer),
            }
        });
        address
    }

    fn reply(stream: impl Read + Write, answer: &str) {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while stream.read_line(&mut line).is_ok_and(|_| line.trim_end() != "") {
            line.clear();
        }
        let _ = stream.get_mut().write_all(answer.as_bytes());
    }

    fn fetched(address: SocketAddr, scheme: &str, tls: &ClientTls) -> Result<String, String> {
        fetch(&format!("{scheme}://u:secret@localhost:{}/d.json", address.port()), tls).map_err(|error| error.0)
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";

    #[test]
    fn a_server_is_known_by_its_certificate() {
        let identity = Identity::new();
        let (cert, key) = identity.files();
        let with_ca = ClientTls { ca: Some(cert.clone()), ..ClientTls::default() };
        assert_eq!(fetched(serve(Some(identity.server(false)), OK), "https", &with_ca), Ok("{}".into()));
        let address = serve(Some(identity.server(false)), OK);
        let refusal = fetched(address, "https", &ClientTls::default()).expect_err("nobody vouches for it");
        assert!(refusal.starts_with(&format!("https://localhost:{}/d.json cannot be fetched: ", address.port())), "{refusal}");
        let trusting = ClientTls { is_trusted: true, ..ClientTls::default() };
        assert_eq!(fetched(serve(Some(identity.server(false)), OK), "https", &trusting), Ok("{}".into()));
        let known = ClientTls { identity: Some((cert, key)), ..with_ca.clone() };
        assert_eq!(fetched(serve(Some(identity.server(true)), OK), "https", &known), Ok("{}".into()));
        assert!(fetched(serve(Some(identity.server(true)), OK), "https", &with_ca).is_err());
    }

    #[test]
    fn what_cannot_be_fetched_is_told() {
        let plain = |answer| fetched(serve(None, answer), "http", &ClientTls::default());
        assert_eq!(plain(OK), Ok("{}".into()));
        let refusal = plain("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").expect_err("nothing there");
        assert!(refusal.ends_with("cannot be fetched: http status: 404"), "{refusal}");
        let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("loopback");
        assert!(fetched(nobody, "https", &ClientTls::default()).expect_err("nobody there").contains("Connection refused"));
    }

    #[test]
    fn files_without_certificates_are_told() {
        let identity = Identity::new();
        let (cert, key) = identity.files();
        let refusal =
            |ca: Option<&PathBuf>, identity| tls_config(&ClientTls { ca: ca.cloned(), identity, is_trusted: false }).expect_err("no").0;
        assert_eq!(refusal(Some(&key), None), format!("{} has no certificate in PEM", key.display()));
        assert_eq!(refusal(None, Some((cert.clone(), cert.clone()))), format!("{} has no private key in PEM", cert.display()));
        assert!(refusal(Some(&identity.files.join("none")), None).contains("none cannot be used"));
    }
}
