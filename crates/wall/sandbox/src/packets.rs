//! Packets with descriptors: the control socket between the host and a zygote.
//!
//! `SOCK_SEQPACKET` keeps message borders, so one packet is one control message and no length
//! prefix is needed. It does not know what the bytes mean and never blocks longer than its socket
//! does: on a nonblocking socket every call may fail with `WouldBlock`.
//!
//! Invariant: every descriptor that arrives is owned at once and close-on-exec; a packet that was
//! cut, or that brought more descriptors than fit, is an error and loses none of them.

use crate::{check_io, check_long, retry};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Bytes of the longest packet: a `Ready` with every layer's reason is about 2 KiB.
pub const PACKET_BYTES_MAX: usize = 16 * 1024;

/// Descriptors that one packet may bring: a guest's socket, its pidfd and its mailbox.
pub const PACKET_DESCRIPTORS_MAX: usize = 3;

/// Room for the ancillary data of [`PACKET_DESCRIPTORS_MAX`] descriptors, in words so that it is
/// aligned as `cmsghdr` asks.
const CONTROL_WORDS: usize = 8;

// SAFETY: `CMSG_SPACE` is arithmetic on its argument.
const CONTROL_BYTES: usize =
    unsafe { libc::CMSG_SPACE((PACKET_DESCRIPTORS_MAX * size_of::<RawFd>()) as u32) } as usize;
const _: () = assert!(CONTROL_BYTES <= CONTROL_WORDS * size_of::<u64>());

/// One packet as it arrived.
#[derive(Debug)]
pub struct Packet {
    /// The message.
    pub bytes: Vec<u8>,
    /// What came with it, in the order it was sent.
    pub descriptors: Vec<OwnedFd>,
}

/// A connected pair of blocking, close-on-exec packet sockets.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends: [RawFd; 2] = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `ends` has room for the two descriptors that the call writes.
    check_io(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so both descriptors are open and nobody else knows them.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Makes later calls on `socket` fail with `WouldBlock` rather than wait.
pub fn set_nonblocking(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_GETFL and F_SETFL touch no memory of ours.
    let flags = check_io(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFL) })?;
    let flags = flags | libc::O_NONBLOCK;
    // SAFETY: as above.
    check_io(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, flags) })?;
    Ok(())
}

/// Sends one packet whole, with copies of `descriptors`.
pub fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    if bytes.len() > PACKET_BYTES_MAX || descriptors.len() > PACKET_DESCRIPTORS_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "packet above its bound",
        ));
    }
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let mut control = [0u64; CONTROL_WORDS];
    // SAFETY: all zeroes is a valid `msghdr`: null pointers with zero lengths.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !descriptors.is_empty() {
        attach(&mut message, &mut control, descriptors);
    }
    retry(|| {
        // SAFETY: `message` points at `part` (which points at `bytes`) and `control`, all alive
        // here; the call only reads them.
        check_long(unsafe {
            libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
                as libc::c_long
        })
    })?;
    Ok(())
}

fn attach(
    message: &mut libc::msghdr,
    control: &mut [u64; CONTROL_WORDS],
    descriptors: &[BorrowedFd<'_>],
) {
    let payload_bytes = descriptors.len() * size_of::<RawFd>();
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: `CMSG_SPACE` and `CMSG_LEN` are arithmetic on their argument.
    let (space, length) = unsafe {
        (
            libc::CMSG_SPACE(payload_bytes as u32),
            libc::CMSG_LEN(payload_bytes as u32),
        )
    };
    message.msg_controllen = space as _;
    // SAFETY: `msg_control` is aligned for `cmsghdr` and has `CONTROL_BYTES`, at least `space`
    // since there are at most PACKET_DESCRIPTORS_MAX descriptors (checked by `send`). So the first
    // header is not null and its data has room for all of them.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = length as _;
        let data: *mut RawFd = libc::CMSG_DATA(header).cast();
        for (index, descriptor) in descriptors.iter().enumerate() {
            ptr::write_unaligned(data.add(index), descriptor.as_raw_fd());
        }
    }
}

/// Receives one packet; `None` when the other end is closed.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<Packet>> {
    let mut bytes = vec![0u8; PACKET_BYTES_MAX];
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let mut control = [0u64; CONTROL_WORDS];
    // SAFETY: all zeroes is a valid `msghdr`: null pointers with zero lengths.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_BYTES as _;
    let length = retry(|| {
        // SAFETY: `message` points at `part` (which points at `bytes`) and `control`, each as long
        // as it says, alive and not borrowed elsewhere.
        check_long(unsafe {
            libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC)
                as libc::c_long
        })
    })?;
    // Descriptors are owned before anything can fail, so that none leaks.
    let descriptors = detach(&message);
    if message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "packet above its bound",
        ));
    }
    // No packet of ours is empty, so zero bytes mean the end.
    if length == 0 {
        return Ok(None);
    }
    bytes.truncate(usize::try_from(length).unwrap_or(0));
    Ok(Some(Packet { bytes, descriptors }))
}

fn detach(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: `recvmsg` filled `message`'s control buffer and set its length, so walking it with
    // the CMSG macros stays inside; the buffer outlives this function's borrow of `message`.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: `header` is not null, so it is a whole header inside the control buffer.
        let (level, kind, length) = unsafe {
            (
                (*header).cmsg_level,
                (*header).cmsg_type,
                (*header).cmsg_len as usize,
            )
        };
        if level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS {
            // SAFETY: arithmetic on its argument.
            let head_bytes = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = length.saturating_sub(head_bytes) / size_of::<RawFd>();
            for index in 0..count {
                // SAFETY: the kernel put `count` open descriptors behind this header, new ones
                // that nothing else in the process knows.
                let descriptor = unsafe {
                    let data: *const RawFd = libc::CMSG_DATA(header).cast();
                    OwnedFd::from_raw_fd(ptr::read_unaligned(data.add(index)))
                };
                descriptors.push(descriptor);
            }
        }
        // SAFETY: `header` came from this `message`.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    descriptors
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    #[test]
    fn a_packet_brings_its_bytes_and_descriptors() {
        let (near, far) = pair().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        send(near.as_fd(), b"hello", &[writer.as_fd(), reader.as_fd()]).unwrap();
        drop((reader, writer));
        let packet = receive(far.as_fd()).unwrap().unwrap();
        assert_eq!(packet.bytes, b"hello");
        let [writer, reader]: [OwnedFd; 2] = packet.descriptors.try_into().unwrap();
        File::from(writer).write_all(b"through").unwrap();
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[test]
    fn the_end_of_the_socket_is_none_and_an_empty_one_would_block() {
        let (near, far) = pair().unwrap();
        set_nonblocking(far.as_fd()).unwrap();
        let error = receive(far.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(near);
        assert!(receive(far.as_fd()).unwrap().is_none());
    }

    #[test]
    fn a_packet_above_its_bound_is_refused() {
        let (near, _far) = pair().unwrap();
        let error = send(near.as_fd(), &vec![0; PACKET_BYTES_MAX + 1], &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
