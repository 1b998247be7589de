//! A small HTTP/1.1 client that costs less than what it measures: one blocking connection, kept
//! alive. It understands what the peers send (`content-length` and chunked) and nothing else.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A request that takes longer than this has failed.
const REQUEST_MAX: Duration = Duration::from_secs(60);

/// A body larger than this is not one of ours.
const BODY_BYTES_MAX: usize = 256 << 20;

/// One connection, kept alive.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to a port of this machine.
    pub fn open(port: u16) -> Result<Self, String> {
        let stream =
            TcpStream::connect(("127.0.0.1", port)).map_err(|e| format!("connect: {e}"))?;
        let set_up = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(REQUEST_MAX)))
            .map_err(|e| e.to_string());
        set_up.map(|()| Self {
            stream: BufReader::new(stream),
        })
    }

    /// `GET path`; the body if the status is 200, and how long it took until its last byte.
    pub fn get(&mut self, path: &str) -> Result<(Vec<u8>, Duration), String> {
        self.ask(
            path,
            &format!("GET {path} HTTP/1.1\r\nHost: bench.test\r\n\r\n"),
        )
    }

    /// `POST path` with a JSON body, likewise.
    pub fn post(&mut self, path: &str, json: &str) -> Result<(Vec<u8>, Duration), String> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: bench.test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            json.len()
        );
        self.ask(path, &(head + json))
    }

    fn ask(&mut self, path: &str, request: &str) -> Result<(Vec<u8>, Duration), String> {
        let began = Instant::now();
        self.stream
            .get_mut()
            .write_all(request.as_bytes())
            .map_err(|e| format!("write: {e}"))?;
        let (status, body) = self.read_answer()?;
        if status == 200 {
            Ok((body, began.elapsed()))
        } else {
            Err(format!(
                "{path}: {status} {}",
                String::from_utf8_lossy(&body)
            ))
        }
    }

    fn read_line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err("the server closed the connection".to_owned()),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) => Err(format!("read: {error}")),
        }
    }

    fn read_answer(&mut self) -> Result<(u16, Vec<u8>), String> {
        let first = self.read_line()?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| format!("not a status line: {first}"))?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.read_line()?.to_ascii_lowercase();
            match line.split_once(':') {
                None => break,
                Some(("content-length", value)) => {
                    length = value
                        .trim()
                        .parse()
                        .map_err(|e| format!("content-length: {e}"))?;
                }
                Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
                Some(_) => {}
            }
        }
        let mut body = Vec::new();
        if chunked {
            self.read_chunks(&mut body)?;
        } else {
            self.read_exactly(length, &mut body)?;
        }
        Ok((status, body))
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) -> Result<(), String> {
        loop {
            let line = self.read_line()?;
            let size = usize::from_str_radix(&line, 16).map_err(|e| format!("chunk size: {e}"))?;
            self.read_exactly(size, body)?;
            self.read_line()?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn read_exactly(&mut self, count: usize, body: &mut Vec<u8>) -> Result<(), String> {
        if body.len() + count > BODY_BYTES_MAX {
            return Err(format!("a body of more than {BODY_BYTES_MAX} bytes"));
        }
        let start = body.len();
        body.resize(start + count, 0);
        self.stream
            .read_exact(&mut body[start..])
            .map_err(|e| format!("read body: {e}"))
    }
}
