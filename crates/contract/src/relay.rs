//! A relay in front of the mock provider that loses responses: it breaks connections, which a mock cannot do.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::panics::Faults;

/// Response header that tells the relay how to lose the response. The adapter never receives it.
pub(crate) const FAULT: &str = "x-contract-fault";

/// Way in which a response is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is reset before the first byte.
    Reset,
    /// The connection ends in the middle of the body.
    Truncated,
}

impl Fault {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Truncated => "truncated",
        }
    }
}

/// Relays connections to `to`, one exchange each, and returns the URL that it listens on.
pub(crate) async fn relay(to: std::net::SocketAddr, faults: Faults) -> String {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port to listen on");
    let address = listener.local_addr().expect("the port's number");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // The client sees an exchange that breaks off; the relay has nothing to report.
            let faults = faults.clone();
            tokio::spawn(async move { drop(exchange(client, to, &faults).await) });
        }
    });
    format!("http://{address}")
}

async fn exchange(
    client: TcpStream,
    to: std::net::SocketAddr,
    faults: &Faults,
) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut answers, mut requests) = TcpStream::connect(to).await?.into_split();
    let sending = tokio::spawn(async move {
        drop(tokio::io::copy(&mut from_client, &mut requests).await);
        (from_client, requests)
    });
    // Every response closes its connection, so it ends with the stream.
    let mut answer = Vec::new();
    answers.read_to_end(&mut answer).await?;
    let end_of_head = find(&answer, b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end_of_head]).to_ascii_lowercase();
    let status = String::from_utf8_lossy(&answer[..end_of_head]);
    let status = status.split("\r\n").next().unwrap_or_default();
    let lost = [Fault::Reset, Fault::Truncated].map(Fault::as_str);
    let lost = lost
        .into_iter()
        .find(|fault| head.contains(&format!("{FAULT}: {fault}")));
    let lost = lost.map_or_else(String::new, |fault| format!(" ({fault} on its way)"));
    let body = answer.get(end_of_head + 4..).unwrap_or_default();
    faults.answered(&format!("{status}{lost} {}", String::from_utf8_lossy(body)));
    if head.contains(&format!("{FAULT}: {}", Fault::Reset.as_str())) {
        sending.abort();
        to_client.as_ref().set_zero_linger()?;
        return Ok(());
    }
    if head.contains(&format!("{FAULT}: {}", Fault::Truncated.as_str())) {
        let body = answer.len().saturating_sub(end_of_head + 4);
        answer.truncate(end_of_head + 4 + body / 2);
    }
    to_client.write_all(&answer).await?;
    to_client.shutdown().await?;
    sending.abort();
    Ok(())
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}
