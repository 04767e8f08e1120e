use super::*;
use crate::channel::stream::PLAIN_MAX;
use proptest::prelude::*;
use tokio::io::{DuplexStream, duplex};

const PSK: Psk = [7; 32];

type Pair = (NoiseStream<DuplexStream>, NoiseStream<DuplexStream>);

async fn pair(buffer: usize) -> Pair {
    let (a, b) = duplex(buffer);
    let (initiator, responder) = tokio::join!(initiate(a, &PSK), respond(b, &[[1; 32], PSK]));
    let (responder, index) = responder.ok().unwrap();
    assert_eq!(index, 1, "the key that was used is named");
    (initiator.ok().unwrap(), responder)
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out_both_ways_whatever_the_pipe(
        sizes in prop::collection::vec(1usize..40_000, 1..8), buffer in 1usize..5_000, seed: u8,
    ) {
        run(async {
            let (mut a, mut b) = pair(buffer).await;
            let sent: Vec<Vec<u8>> = sizes.iter().map(|size| (0..*size).map(|i| (i as u8) ^ seed).collect()).collect();
            let whole = sent.concat();
            let write = async {
                for part in &sent {
                    a.write_all(part).await.unwrap();
                }
                a.shutdown().await.unwrap();
                let mut back = Vec::new();
                a.read_to_end(&mut back).await.unwrap();
                back
            };
            let echo = async {
                let mut got = Vec::new();
                b.read_to_end(&mut got).await.unwrap();
                b.write_all(&got).await.unwrap();
                b.shutdown().await.unwrap();
                drop(b);
                got
            };
            let (back, got) = tokio::join!(write, echo);
            assert!(got == whole && back == whole);
        });
    }

    /// A third party that changes, cuts or repeats anything is noticed before a byte of it comes out.
    #[test]
    fn a_frame_that_was_touched_does_not_open(at in 0usize..40, bit in 0u8..8) {
        run(async {
            let (a, mut wire_a) = duplex(1 << 16);
            let (mut wire_b, b) = duplex(1 << 16);
            let greet = async {
                let mut message = [0; 50];
                wire_a.read_exact(&mut message).await.unwrap();
                wire_b.write_all(&message).await.unwrap();
                wire_b.read_exact(&mut message).await.unwrap();
                wire_a.write_all(&message).await.unwrap();
            };
            let (a, b, ()) = tokio::join!(initiate(a, &PSK), respond(b, &[PSK]), greet);
            let (mut a, mut b) = (a.ok().unwrap(), b.ok().unwrap().0);
            a.write_all(&[1; 30]).await.unwrap();
            let mut frame = vec![0; 48];
            wire_a.read_exact(&mut frame).await.unwrap();
            frame[at] ^= 1 << bit;
            wire_b.write_all(&frame).await.unwrap();
            drop(wire_b);
            assert!(b.read(&mut [0; 64]).await.is_err());
        });
    }

    #[test]
    fn garbage_is_refused_and_gets_no_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        run(async {
            let (mut stranger, io) = duplex(1 << 16);
            stranger.write_all(&bytes).await.unwrap();
            stranger.shutdown().await.unwrap();
            assert!(respond(io, &[PSK]).await.is_err());
            assert_eq!(stranger.read(&mut [0; 64]).await.unwrap(), 0, "not a byte");
        });
    }
}

#[test]
fn another_key_is_refused_on_both_sides_and_named_as_such() {
    run(async {
        let (a, b) = duplex(4096);
        let (initiator, responder) = tokio::join!(initiate(a, &PSK), respond(b, &[[8; 32], [9; 32]]));
        assert!(matches!(initiator.err().unwrap(), ChannelError::Credential(_)));
        assert!(matches!(responder.err().unwrap(), ChannelError::Credential(_)));
    });
}

#[test]
fn a_first_message_that_is_played_again_gives_no_session() {
    run(async {
        let (a, mut wire) = duplex(4096);
        let initiator = tokio::spawn(async move { initiate(a, &PSK).await.is_ok() });
        let mut first = [0; 50];
        wire.read_exact(&mut first).await.unwrap();
        let (mut replay, io) = duplex(4096);
        replay.write_all(&first).await.unwrap();
        let (mut session, _) = respond(io, &[PSK]).await.ok().unwrap();
        // Whoever has only the recording does not know the keys: what it writes does not open.
        replay.write_all(&[0; 50]).await.unwrap();
        replay.write_all(&first).await.unwrap();
        assert!(session.read(&mut [0; 64]).await.is_err());
        drop(wire);
        assert!(!initiator.await.unwrap());
    });
}

#[test]
fn keys_change_on_the_way_and_the_stream_goes_on() {
    run(async {
        let (mut a, mut b) = pair(1 << 20).await;
        // More frames than a key is for.
        let frames = (1u32 << 20) + 10;
        let write = async {
            for n in 0..frames {
                a.write_all(&n.to_be_bytes()).await.unwrap();
            }
            a.flush().await.unwrap();
        };
        let read = async {
            let mut word = [0; 4];
            for n in 0..frames {
                b.read_exact(&mut word).await.unwrap();
                assert_eq!(u32::from_be_bytes(word), n);
            }
        };
        tokio::join!(write, read);
    });
}

/// snow's own cryptography at the other end: what ours computes is what the specification says.
#[test]
fn another_implementation_understands_ours() {
    run(async {
        let (a, mut b) = duplex(1 << 16);
        let ours = tokio::spawn(async move { initiate(a, &PSK).await.ok().unwrap() });
        let builder =
            Builder::new(PATTERN.parse().unwrap()).psk(0, &PSK).unwrap().prologue(PROLOGUE).unwrap();
        let mut theirs = builder.build_responder().unwrap();
        let (mut frame, mut out) = ([0; 50], [0; 256]);
        b.read_exact(&mut frame).await.unwrap();
        theirs.read_message(&frame[2..], &mut out).unwrap();
        assert_eq!(theirs.write_message(&[], &mut out).unwrap(), 48);
        b.write_all(&[0, 48]).await.unwrap();
        b.write_all(&out[..48]).await.unwrap();
        let mut ours = ours.await.unwrap();
        let mut theirs = theirs.into_transport_mode().unwrap();
        ours.write_all(b"from ours").await.unwrap();
        let mut frame = [0; 2 + 9 + 16];
        b.read_exact(&mut frame).await.unwrap();
        assert_eq!(theirs.read_message(&frame[2..], &mut out).unwrap(), 9);
        assert_eq!(&out[..9], b"from ours");
        theirs.rekey_incoming();
        theirs.rekey_outgoing();
        let len = theirs.write_message(b"to", &mut out).unwrap();
        b.write_all(&[0, len as u8]).await.unwrap();
        b.write_all(&out[..len]).await.unwrap();
        assert!(ours.read(&mut [0; 8]).await.is_err(), "a key that only one side changed opens nothing");
    });
}

#[test]
fn a_frame_is_never_longer_than_its_limit() {
    run(async {
        let (mut a, mut b) = pair(1 << 20).await;
        let big = vec![3; 3 * PLAIN_MAX + 5];
        assert_eq!(a.write(&big).await.unwrap(), PLAIN_MAX);
        a.write_all(&big[PLAIN_MAX..]).await.unwrap();
        a.flush().await.unwrap();
        let mut got = vec![0; big.len()];
        b.read_exact(&mut got).await.unwrap();
        assert_eq!(got, big);
    });
}
