//! The other ends of the network: echo over TCP, over TLS, over TLS that begins later, and WebSockets.
//! Each server is a thread on a free port of loopback; it ends with the test's process.

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use tungstenite::Message;
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::{HeaderValue, StatusCode};

/// Serves each connection in a thread of its own; gives the port.
pub fn tcp(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    port
}

/// A port where nobody listens.
pub fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub fn echo(stream: TcpStream) {
    let mut writer = stream.try_clone().unwrap();
    let _ = io::copy(&mut &stream, &mut writer);
    let _ = stream.shutdown(Shutdown::Write);
}

/// Echoes, chooses the first protocol, and does what the path says.
pub fn websocket(stream: TcpStream) {
    let mut path = String::new();
    let handshake = |request: &Request, mut response: Response| {
        path = request.uri().path().to_owned();
        if path == "/none" {
            let mut refusal = ErrorResponse::new(Some("no socket here".to_owned()));
            *refusal.status_mut() = StatusCode::NOT_FOUND;
            return Err(refusal);
        }
        if let Some(offered) = request.headers().get("sec-websocket-protocol") {
            let first = offered.to_str().unwrap().split(',').next().unwrap();
            let chosen = HeaderValue::from_str(first).unwrap();
            response
                .headers_mut()
                .insert("sec-websocket-protocol", chosen);
        }
        Ok(response)
    };
    let Ok(mut socket) = tungstenite::accept_hdr(stream, handshake) else {
        return;
    };
    match path.as_str() {
        "/cut" => return,
        // The reader leaves in the middle.
        "/huge" => drop(socket.send(Message::binary(vec![0; (32 << 20) + 1]))),
        _ => {}
    }
    while let Ok(message) = socket.read() {
        if message.is_text() || message.is_binary() {
            socket.send(message).unwrap();
        }
    }
}

/// A certificate for `localhost` and what serves with it.
pub struct Tls {
    config: Arc<ServerConfig>,
    file: PathBuf,
}

impl Tls {
    pub fn new() -> Self {
        let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let name = format!("mayfly-sockets-{}-{:p}.pem", std::process::id(), &key);
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, key.cert.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![key.cert.der().clone()],
                PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into()),
            )
            .unwrap();
        Self {
            config: Arc::new(config),
            file,
        }
    }

    /// Where the certificate stands.
    pub fn certificate(&self) -> &str {
        self.file.to_str().unwrap()
    }

    /// TLS from the first byte.
    pub fn at_once(&self) -> u16 {
        let config = self.config.clone();
        tcp(move |stream| secure_echo(&config, stream))
    }

    /// Says `ready`, and begins TLS when it is asked to.
    pub fn later(&self) -> u16 {
        let config = self.config.clone();
        tcp(move |mut stream| {
            stream.write_all(b"ready\n").unwrap();
            let mut line = String::new();
            let mut reader = BufReader::with_capacity(1, stream.try_clone().unwrap());
            reader.read_line(&mut line).unwrap();
            match line.as_str() {
                "starttls\n" => {
                    stream.write_all(b"go\n").unwrap();
                    secure_echo(&config, stream);
                }
                _ => stream.write_all(b"bye\n").unwrap(),
            }
        })
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

fn secure_echo(config: &Arc<ServerConfig>, stream: TcpStream) {
    let connection = ServerConnection::new(config.clone()).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    let mut bytes = [0; 4096];
    // A client that distrusts the certificate leaves with an error.
    while let Ok(count) = stream.read(&mut bytes) {
        if count == 0 {
            break;
        }
        stream.write_all(&bytes[..count]).unwrap();
        stream.flush().unwrap();
    }
    stream.conn.send_close_notify();
    let _ = stream.flush();
}
