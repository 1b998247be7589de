//! Byte connections that Workers open: `connect()`.
//!
//! A connection is one task that moves bytes both ways until both directions have ended. TLS is
//! rustls, from the start or later: a connection asked for with `Secure::Later` gives a service that
//! takes one more `Connect`, and goes on under TLS once the plain direction outward has ended.
//!
//! Deliberately absent: half-open rules, which are the Worker's; where it may go (`egress`).
//!
//! Invariant: no plain byte leaves once TLS was asked for.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use mayfly_exchange::{
    BodyReader, BodyWriter, BoxFuture, Connect, Connected, Duplex, Failure, FailureKind, Request,
    Response, Secure, Service, SharedService,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::counted::CountedStream;
use crate::network::{Network, SOCKETS_MAX};

/// Bytes of one read.
const READ_BYTES: usize = 32 * 1024;

/// Time for a TLS handshake.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

fn failed(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Network {}, "Error", message)
}

/// Opens a connection to `host:port`.
pub async fn open(network: Network, connect: Connect) -> Result<Connected, Failure> {
    let (host, port) = parse(&connect.authority)?;
    let Ok(place) = network.sockets.clone().try_acquire_owned() else {
        let message = format!("too many sockets are open: the limit is {SOCKETS_MAX}");
        return Err(Failure::new(FailureKind::Limit {}, "Error", message));
    };
    let dialed = network.connector.dial(&host, port).await;
    let stream = dialed.map_err(|error| failed(error.to_string()))?;
    match connect.secure {
        Secure::Off {} => {
            tokio::spawn(async move {
                carry(stream, connect.socket, None).await;
                drop(place);
            });
            Ok(Connected::default())
        }
        Secure::On {} => {
            let stream = handshake(&network.tls(), &host, stream).await?;
            tokio::spawn(async move {
                carry(stream, connect.socket, None).await;
                drop(place);
            });
            Ok(Connected::default())
        }
        Secure::Later {} => {
            let (asks, asked) = mpsc::channel(1);
            tokio::spawn(carry_twice(
                stream,
                connect.socket,
                asked,
                network.tls(),
                place,
            ));
            let upgrade: SharedService = Arc::new(Upgrade { asks });
            Ok(Connected {
                upgrade: Some(upgrade),
            })
        }
    }
}

/// A host as the URL standard reads it (so that `0x7f.1` is an address and not a name), and a port.
fn parse(authority: &str) -> Result<(String, u16), Failure> {
    let wrong = |what: &str| failed(format!("{authority:?} is no address: {what}"));
    let (host, port) = authority
        .rsplit_once(':')
        .ok_or_else(|| wrong("it has no port"))?;
    let port = port
        .parse()
        .map_err(|_| wrong("its port is no number below 65536"))?;
    if port == 0 {
        return Err(wrong("port 0 cannot be connected to"));
    }
    let host = url::Host::parse(host).map_err(|error| wrong(&error.to_string()))?;
    Ok((host.to_string(), port))
}

async fn handshake(
    tls: &TlsConnector,
    host: &str,
    stream: CountedStream,
) -> Result<tokio_rustls::client::TlsStream<CountedStream>, Failure> {
    let wrong = |what: String| failed(format!("TLS with {host} failed: {what}"));
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|error| wrong(error.to_string()))?;
    match timeout(HANDSHAKE_WAIT, tls.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(wrong(error.to_string())),
        Err(_) => Err(wrong(format!(
            "no handshake within {} s",
            HANDSHAKE_WAIT.as_secs()
        ))),
    }
}

/// The wish to go on under TLS.
struct Ask {
    /// The name that the certificate must have.
    host: String,
    socket: Duplex,
    answer: oneshot::Sender<Result<Connected, Failure>>,
}

/// Takes one [`Ask`]. When it is dropped the connection stays plain.
struct Upgrade {
    asks: mpsc::Sender<Ask>,
}

impl Service for Upgrade {
    fn fetch(&self, _: Request) -> BoxFuture<Result<Response, Failure>> {
        let message = "a connection takes no requests";
        let failure = Failure::new(FailureKind::Exception {}, "TypeError", message);
        Box::pin(std::future::ready(Err(failure)))
    }

    fn connect(&self, connect: Connect) -> BoxFuture<Result<Connected, Failure>> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask {
            host: connect.authority,
            socket: connect.socket,
            answer,
        };
        let taken = self.asks.try_send(ask);
        Box::pin(async move {
            let gone = || failed("the connection was closed before TLS could begin");
            taken.map_err(|_| gone())?;
            answered.await.unwrap_or_else(|_| Err(gone()))
        })
    }

    fn reaches_out(&self) -> bool {
        true
    }
}

async fn carry_twice(
    stream: CountedStream,
    plain: Duplex,
    mut asked: mpsc::Receiver<Ask>,
    tls: TlsConnector,
    place: OwnedSemaphorePermit,
) {
    let Some((stream, ask)) = carry(stream, plain, Some(&mut asked)).await else {
        return;
    };
    match handshake(&tls, &ask.host, stream).await {
        Ok(stream) => {
            if ask.answer.send(Ok(Connected::default())).is_ok() {
                carry(stream, ask.socket, None).await;
            }
        }
        // A caller that left hears nothing.
        Err(failure) => drop(ask.answer.send(Err(failure))),
    }
    drop(place);
}

/// Moves bytes both ways, until both directions have ended, one has broken, or TLS is to begin.
async fn carry<S>(
    stream: S,
    socket: Duplex,
    asked: Option<&mut mpsc::Receiver<Ask>>,
) -> Option<(S, Ask)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Duplex { reader, writer } = socket;
    let (mut read_half, mut write_half) = tokio::io::split(stream);
    let ended = {
        let mut saying = pin!(say(&mut write_half, reader, asked));
        let mut hearing = pin!(hear(&mut read_half, &writer));
        let (mut said, mut heard) = (false, false);
        loop {
            let broken = tokio::select! {
                result = saying.as_mut(), if !said => match result {
                    Ok(None) => { said = true; None }
                    Ok(Some(ask)) => break Ok(Some(ask)),
                    Err(error) => Some(error),
                },
                result = hearing.as_mut(), if !heard => match result {
                    Ok(()) => { heard = true; None }
                    Err(error) => Some(error),
                },
            };
            match broken {
                Some(error) => break Err(error),
                None if said && heard => break Ok(None),
                None => {}
            }
        }
    };
    match ended {
        Ok(Some(ask)) => Some((read_half.unsplit(write_half), ask)),
        Ok(None) => None,
        Err(error) => {
            let failure = failed(format!("the connection was lost: {error}"));
            writer.fail(failure).await;
            None
        }
    }
}

/// The Worker's bytes go out; gives the wish for TLS that follows them, if one does.
async fn say<W: AsyncWrite + Unpin>(
    stream: &mut W,
    mut reader: BodyReader,
    asked: Option<&mut mpsc::Receiver<Ask>>,
) -> io::Result<Option<Ask>> {
    while let Some(piece) = reader.next().await {
        // The Worker is gone, or said that its bytes are cut: so is the connection.
        let bytes = piece.map_err(|failure| io::Error::other(failure.message))?;
        stream.write_all(&bytes).await?;
        stream.flush().await?;
    }
    if let Some(asked) = asked
        && let Some(ask) = asked.recv().await
    {
        return Ok(Some(ask));
    }
    stream.shutdown().await?;
    Ok(None)
}

async fn hear<R: AsyncRead + Unpin>(stream: &mut R, writer: &BodyWriter) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ_BYTES);
        let mut room = (&mut buffer).limit(READ_BYTES);
        let read = tokio::select! {
            read = stream.read_buf(&mut room) => read?,
            // Nobody listens; what is said may still go out.
            () = writer.closed() => return Ok(()),
        };
        if read == 0 {
            writer.clone().finish().await;
            return Ok(());
        }
        if writer.write(buffer.split().freeze()).await.is_err() {
            return Ok(());
        }
    }
}
