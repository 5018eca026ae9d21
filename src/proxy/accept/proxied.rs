//! The PROXY protocol, version 2, as a trusted proxy may write it before anything else
//! (haproxy.org, proxy-protocol.txt, section 2.2).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The most bytes behind the fixed part; longer ones are no addresses.
const REST: usize = 2048;

/// The client's address, if the connection begins with a header that names one. What is none of it is not read.
pub(super) async fn announced(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut first = [0];
    // neither a request nor TLS begins like this
    if stream.peek(&mut first).await? == 0 || first != [b'\r'] {
        return Ok(None);
    }
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let (signature, [command, family, high, low]) = split(head);
    if signature != SIGNATURE {
        return Err(broken("no PROXY header of version 2"));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > REST {
        return Err(broken("a PROXY header that is too long"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    match command {
        // LOCAL: the proxy speaks for itself
        0x20 => Ok(None),
        0x21 => Ok(source(family, &rest)?),
        _ => Err(broken("a PROXY header of another version")),
    }
}

fn split(head: [u8; 16]) -> ([u8; 12], [u8; 4]) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, w, x, y, z] = head;
    ([a, b, c, d, e, f, g, h, i, j, k, l], [w, x, y, z])
}

fn source(family: u8, rest: &[u8]) -> io::Result<Option<IpAddr>> {
    let short = || broken("a PROXY header that is too short");
    match family {
        0x11 => {
            let address: [u8; 4] = *rest.first_chunk().ok_or_else(short)?;
            Ok(Some(Ipv4Addr::from(address).into()))
        }
        0x21 => {
            let address: [u8; 16] = *rest.first_chunk().ok_or_else(short)?;
            Ok(Some(IpAddr::from(Ipv6Addr::from(address)).to_canonical()))
        }
        _ => Ok(None),
    }
}

fn broken(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
