use super::*;
use std::future::pending;
use tokio::io::{DuplexStream, duplex};

const LIMITS: TunnelLimits = TunnelLimits {
    idle: Duration::from_mins(1),
    handshake: Duration::from_secs(1),
    spread: Duration::from_secs(1),
};

/// The far ends of a tunnel: the client's and the upstream's.
struct Ends {
    client: DuplexStream,
    upstream: DuplexStream,
    end: tokio::task::JoinHandle<(End, u64, u64)>,
}

fn open(closing: impl Future<Output = ()> + Send + 'static) -> Ends {
    let (client, near_client) = duplex(64);
    let (upstream, near_upstream) = duplex(64);
    let end = tokio::spawn(async move {
        let traffic = Traffic::default();
        let end = relay(near_client, near_upstream, LIMITS, closing, &traffic).await;
        (end, traffic.to_upstream.load(Relaxed), traffic.to_client.load(Relaxed))
    });
    Ends { client, upstream, end }
}

async fn read(stream: &mut DuplexStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    timeout(Duration::from_secs(30), stream.read_exact(&mut bytes)).await.unwrap().unwrap();
    bytes
}

#[tokio::test(start_paused = true)]
async fn both_directions_pass_and_each_can_end_alone() {
    let mut ends = open(pending());
    ends.client.write_all(b"hello").await.unwrap();
    assert_eq!(read(&mut ends.upstream, 5).await, b"hello");
    ends.client.shutdown().await.unwrap();
    assert_eq!(ends.upstream.read(&mut [0; 8]).await.unwrap(), 0, "the upstream sees the client's end");
    // More than the pipe holds: the writer has to wait for its reader.
    let answer = vec![7; 500];
    let (sent, got) = tokio::join!(ends.upstream.write_all(&answer), read(&mut ends.client, 500));
    sent.unwrap();
    assert_eq!(got, answer);
    ends.upstream.shutdown().await.unwrap();
    assert_eq!(ends.end.await.unwrap(), (End::Whole, 5, 500));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_tunnel_and_a_byte_renews_it() {
    let start = Instant::now();
    let mut ends = open(pending());
    sleep(LIMITS.idle / 2).await;
    ends.client.write_all(b"x").await.unwrap();
    assert_eq!(ends.end.await.unwrap().0, End::Idle);
    let lasted = start.elapsed();
    assert!(lasted >= LIMITS.idle * 3 / 2 && lasted < LIMITS.idle * 2, "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_side_that_breaks_ends_the_tunnel() {
    let Ends { client, upstream, end } = open(pending());
    drop(client);
    drop(upstream);
    assert_ne!(end.await.unwrap().0, End::Idle);
    let Ends { mut client, upstream, end } = open(pending());
    drop(upstream);
    // Nobody takes it: the pipe to the upstream is gone.
    let _ = client.write_all(&[0; 200]).await;
    assert_eq!(end.await.unwrap().0, End::UpstreamBroke);
}

#[tokio::test(start_paused = true)]
async fn a_drain_closes_between_two_frames_with_the_code_that_means_come_back() {
    let (drain, mut closing) = watch::channel(false);
    let mut ends = open(async move {
        let _ = closing.wait_for(|begun| *begun).await;
    });
    // Half a frame of four bytes is on its way to the client.
    ends.upstream.write_all(&[0x82, 4, 1, 2]).await.unwrap();
    assert_eq!(read(&mut ends.client, 4).await, [0x82, 4, 1, 2]);
    drain.send_replace(true);
    sleep(LIMITS.spread + Duration::from_millis(10)).await;
    // The rest of it and the beginning of the next: only the rest is passed, then the close frame.
    ends.upstream.write_all(&[3, 4, 0x82, 1, 9]).await.unwrap();
    assert_eq!(read(&mut ends.client, 6).await, [3, 4, 0x88, 2, 0x03, 0xf4]);
    let masked = read(&mut ends.upstream, 8).await;
    assert_eq!(masked[..2], [0x88, 0x82]);
    assert_eq!([masked[6] ^ masked[2], masked[7] ^ masked[3]], 1001u16.to_be_bytes());
    assert_eq!(ends.client.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(ends.end.await.unwrap(), (End::Drained, 0, 6));
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_never_ends_does_not_hold_up_a_drain() {
    let mut ends = open(std::future::ready(()));
    ends.upstream.write_all(&[0x82, 100, 1]).await.unwrap();
    let start = Instant::now();
    assert_eq!(ends.end.await.unwrap().0, End::Drained);
    assert!(start.elapsed() <= LIMITS.spread + CLOSE_GRACE);
}
