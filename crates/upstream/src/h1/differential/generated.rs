//! Responses nobody thought of.

use super::{End, Script, Told, run, tell};
use crate::h1::fault::Fault;
use http::Method;
use proptest::{collection::vec, prelude::*};

/// Faults of which hyper lets some through: see the table in `docs/decisions/0008`.
fn is_stricter(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::BareLf
            | Fault::LengthAndEncoding
            | Fault::DuplicateLength
            | Fault::BadLength
            | Fault::Encoding
            | Fault::ChunkExtension
            | Fault::Trailer
            | Fault::TooManyInterim
    )
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z][a-zA-Z0-9-]{0,6}: {0,2}[!-~]{0,8} ?\r\n",
        1 => (0_usize..12).prop_map(|length| format!("Content-Length: {length}\r\n")),
        2 => Just("Transfer-Encoding: chunked\r\n".to_owned()),
        1 => Just("Connection: close\r\n".to_owned()),
        1 => "[a-z:\t \n]{0,5}\r\n",
    ]
}

fn chunk() -> impl Strategy<Value = String> {
    let data = "[a-z\r\n]{1,12}";
    (data, prop_oneof![4 => Just(""), 1 => Just(";x"), 1 => Just(" "), 1 => Just("g")], 0_usize..8).prop_map(
        |(data, extra, off)| {
            let length = if off == 0 { data.len() + 1 } else { data.len() };
            format!("{length:x}{extra}\r\n{data}\r\n")
        },
    )
}

fn body() -> impl Strategy<Value = String> {
    let end = prop_oneof![4 => Just("0\r\n\r\n"), 1 => Just("0\r\nx-t: v\r\n\r\n"), 1 => Just(""), 1 => Just("0\r\n\n")];
    prop_oneof!["[a-z\r\n]{0,14}", (vec(chunk(), 0..4), end).prop_map(|(chunks, end)| chunks.concat() + end)]
}

fn response() -> impl Strategy<Value = String> {
    let status = prop_oneof![
        5 => Just("HTTP/1.1 200 OK\r\n"),
        1 => Just("HTTP/1.0 200 OK\r\n"),
        1 => Just("HTTP/1.1 204 X\r\n"),
        1 => Just("HTTP/1.1 500 \r\n"),
        1 => Just("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"),
        1 => Just("HTTP/1.1 20\r\n"),
    ];
    (status, vec(line(), 0..5), body())
        .prop_map(|(status, lines, body)| format!("{status}{}\r\n{body}", lines.concat()))
}

/// What ours lets through is what hyper lets through. What ours refuses is refused by hyper, or listed.
fn compare(hyper: &Told, ours: &Told, fault: Option<Fault>) -> Result<(), String> {
    if ours == hyper || (!ours.is_whole() && fault.is_some_and(is_stricter)) {
        return Ok(());
    }
    // Both break off; how much of the body came before is a matter of reads.
    if let (Told::Answer { head: a, end: End::Broken, .. }, Told::Answer { head: b, end: End::Broken, .. }) =
        (ours, hyper)
        && a == b
    {
        return Ok(());
    }
    Err(format!("hyper: {hyper:?}\nours: {ours:?}\n{fault:?}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn both_tell_the_same_of_any_response(
        text in response(),
        cuts in vec(0_usize..120, 0..6),
        head in prop::bool::weighted(0.1),
    ) {
        let method = if head { Method::HEAD } else { Method::GET };
        let (hyper, ours, fault) = run(tell(&Script::new(method, &text).cut(&cuts)));
        if let Err(difference) = compare(&hyper, &ours, fault) {
            return Err(TestCaseError::fail(difference));
        }
    }

    #[test]
    fn both_tell_the_same_of_a_response_with_one_wrong_byte(
        text in response(),
        at in 0_usize..200,
        byte in prop_oneof![any::<u8>(), prop::sample::select(&b"\r\n :;0\t"[..])],
    ) {
        let mut bytes = text.into_bytes();
        let at = at % bytes.len();
        // An empty line first is skipped by hyper and refused by ours: a case of its own.
        prop_assume!(at > 0 || !matches!(byte, b'\r' | b'\n'));
        bytes[at] = byte;
        let script = Script { method: Method::GET, writes: vec![bytes] };
        let (hyper, ours, fault) = run(tell(&script));
        if let Err(difference) = compare(&hyper, &ours, fault) {
            return Err(TestCaseError::fail(difference));
        }
    }
}
