use super::*;
use crate::duplex;
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

/// A conversation: the connection's far end, the Worker's end, and the task between them.
fn conversation(role: Role) -> (DuplexStream, Duplex, JoinHandle<()>) {
    let (near, far) = tokio::io::duplex(1 << 20);
    let (worker, ours) = duplex();
    let task = tokio::spawn(converse(near, role, ours, std::future::pending()));
    (far, worker, task)
}

fn parcel(kind: Kind, more: bool, payload: &[u8]) -> Bytes {
    let length = u32::try_from(payload.len()).unwrap();
    let mut bytes = Header { kind, more, length }.encode().to_vec();
    bytes.extend_from_slice(payload);
    bytes.into()
}

async fn frame(stream: &mut DuplexStream) -> (u8, Vec<u8>) {
    let first = stream.read_u8().await.unwrap();
    let second = stream.read_u8().await.unwrap();
    let length = match second & 0x7f {
        126 => usize::from(stream.read_u16().await.unwrap()),
        127 => usize::try_from(stream.read_u64().await.unwrap()).unwrap(),
        short => usize::from(short),
    };
    let mut mask = [0; 4];
    if second & 0x80 != 0 {
        stream.read_exact(&mut mask).await.unwrap();
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.unwrap();
    unmask(&mut payload, Some(mask), 0);
    (first, payload)
}

/// What the Worker hears, each parcel by itself, until a close or a failure.
async fn hear(reader: &mut BodyReader) -> Result<Vec<(Header, Vec<u8>)>, Failure> {
    let mut bytes = BytesMut::new();
    let mut heard = Vec::new();
    loop {
        while let Some(header) = bytes.first_chunk::<HEADER_BYTES>() {
            let header = Header::decode(*header).unwrap();
            let end = HEADER_BYTES + header.length as usize;
            if bytes.len() < end {
                break;
            }
            let parcel = bytes.split_to(end);
            heard.push((header, parcel[HEADER_BYTES..].to_vec()));
            if header.kind == Kind::Close {
                return Ok(heard);
            }
        }
        bytes.extend_from_slice(&reader.next().await.expect("a close comes first")?);
    }
}

#[tokio::test]
async fn a_long_message_is_sent_in_pieces_that_end_between_characters() {
    let (mut far, worker, task) = conversation(Role::Server);
    let text = "\u{1f980}".repeat(100_000);
    // The parcels cut characters, too.
    tokio::spawn(async move {
        let Duplex {
            reader: _keep,
            writer,
        } = worker;
        for (at, piece) in bytes_in(&text, 50_001) {
            let more = at + piece.len() < text.len();
            writer
                .write(parcel(Kind::Text, more, &piece))
                .await
                .unwrap();
        }
        writer.write(parcel(Kind::Close, false, b"")).await.unwrap();
        std::future::pending::<()>().await;
    });
    let mut whole = Vec::new();
    let mut frames = 0;
    loop {
        let (first, payload) = frame(&mut far).await;
        assert_eq!(first & 0x0f, if frames == 0 { 1 } else { 0 });
        std::str::from_utf8(&payload).unwrap();
        whole.extend_from_slice(&payload);
        frames += 1;
        if first & 0x80 != 0 {
            break;
        }
    }
    assert!(frames > 1);
    assert_eq!(whole.len(), 400_000);
    assert_eq!(frame(&mut far).await, (0x88, vec![]));
    far.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    task.await.unwrap();
}

fn bytes_in(text: &str, size: usize) -> Vec<(usize, Vec<u8>)> {
    let pieces = text.as_bytes().chunks(size).enumerate();
    pieces
        .map(|(index, piece)| (index * size, piece.to_vec()))
        .collect()
}

#[tokio::test]
async fn a_client_masks_what_it_sends_and_takes_no_masks() {
    let (mut far, worker, _task) = conversation(Role::Client);
    worker
        .writer
        .write(parcel(Kind::Binary, false, b"abc"))
        .await
        .unwrap();
    let mut head = [0; 2];
    far.read_exact(&mut head).await.unwrap();
    assert_eq!(head, [0x82, 0x83]);
    far.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'x'])
        .await
        .unwrap();
    let mut reader = worker.reader;
    let failure = hear(&mut reader).await.unwrap_err();
    assert!(matches!(failure.kind, FailureKind::Limit {}), "{failure:?}");
}

#[tokio::test]
async fn a_worker_that_speaks_nonsense_loses_the_connection() {
    for nonsense in [
        Bytes::from_static(&[9, 0, 0, 0, 0]),
        parcel(Kind::Text, false, &[0xff]),
        parcel(Kind::Text, false, &[0xc3]),
        [
            parcel(Kind::Text, true, &[b'x'; 60_000]),
            parcel(Kind::Close, false, &[0xe8, 3, 0xff]),
        ]
        .concat()
        .into(),
    ] {
        let (mut far, worker, task) = conversation(Role::Server);
        worker.writer.write(nonsense).await.unwrap();
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).await.unwrap();
        task.await.unwrap();
    }
}

#[tokio::test]
async fn both_ends_say_goodbye_once() {
    let (mut far, worker, task) = conversation(Role::Server);
    let mut words = vec![0xa1, 0x0f];
    words.extend_from_slice(b"bye");
    // 4001 in the order of the wire, masked with zeros.
    far.write_all(&[0x88, 0x85, 0, 0, 0, 0, 0x0f, 0xa1])
        .await
        .unwrap();
    far.write_all(b"bye").await.unwrap();
    let Duplex { mut reader, writer } = worker;
    let heard = hear(&mut reader).await.unwrap();
    assert_eq!(heard.last().unwrap().1, words);
    writer
        .write(parcel(Kind::Close, false, &words))
        .await
        .unwrap();
    let (first, payload) = frame(&mut far).await;
    assert_eq!((first, &payload[..2]), (0x88, &[0x0f, 0xa1][..]));
    task.await.unwrap();
    assert!(reader.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_silent_side_is_asked_and_then_given_up() {
    let (mut far, worker, task) = conversation(Role::Server);
    let began = tokio::time::Instant::now();
    // It answers once, and is asked again.
    for answered in [true, false] {
        assert_eq!(frame(&mut far).await, (0x89, vec![]));
        if answered {
            far.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await.unwrap();
        }
    }
    let mut reader = worker.reader;
    let failure = hear(&mut reader).await.unwrap_err();
    assert!(
        matches!(failure.kind, FailureKind::Network {}),
        "{failure:?}"
    );
    assert!(began.elapsed() >= SILENCE_MAX * 3);
    task.await.unwrap();
}
