use crate::{
    server::{Act, Decide, Server},
    support::{Setup, get, ok, until},
};
use holdfast_config::ProbeKind;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

fn quick(mut setup: Setup) -> Setup {
    let check = &mut setup.upstream.policy.health_check;
    check.enabled = true;
    check.interval = Duration::from_millis(20);
    check.timeout = Duration::from_millis(200);
    setup
}

#[tokio::test]
async fn an_endpoint_goes_out_after_three_failed_probes_and_returns_after_two_good_ones() {
    let well = Arc::new(AtomicBool::new(true));
    let health = Arc::clone(&well);
    let sick = Server::start(move |_, seen| {
        let is_probe = seen.head.starts_with("GET /up ");
        if is_probe && !health.load(Ordering::SeqCst) {
            Act::Answer(500, "", "")
        } else {
            Act::Answer(200, "", "a")
        }
    })
    .await;
    let other = Server::always(Act::Answer(200, "", "b")).await;
    let mut setup = quick(Setup::of(&[&sick, &other]));
    setup.upstream.policy.health_check.kind = ProbeKind::Http { path: "/up".to_owned() };
    setup.upstream.policy.panic_threshold = holdfast_config::Ratio(0.0);
    let upstream = setup.build();
    let _background = upstream.start(&tokio::runtime::Handle::current());
    well.store(false, Ordering::SeqCst);
    until("out", || !upstream.endpoints()[0].state.healthy).await;
    assert!(setup.metric(&["probes", "failed"]) >= 3.0, "{}", setup.registry.render());
    for _ in 0..20 {
        assert_eq!(ok(&upstream, get()).await.1, "b");
    }
    well.store(true, Ordering::SeqCst);
    until("back", || upstream.endpoints()[0].state.healthy).await;
}

#[tokio::test]
async fn a_connect_is_enough_for_a_tcp_probe() {
    let address = Server::refused().await;
    let mut setup = quick(Setup::new([format!("http://{address}")]));
    setup.upstream.policy.health_check.kind = ProbeKind::Tcp;
    let upstream = setup.build();
    let _background = upstream.start(&tokio::runtime::Handle::current());
    until("out", || !upstream.endpoints()[0].state.healthy).await;
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let decide: Decide = Arc::new(|_, _| Act::Answer(200, "", "here"));
    let server = Server::on(listener, decide);
    until("back", || upstream.endpoints()[0].state.healthy).await;
    assert_eq!(server.requests(), 0, "a probe is no request");
}

#[tokio::test]
async fn probes_end_with_their_background() {
    let server = Server::always(Act::Answer(200, "", "")).await;
    let mut setup = quick(Setup::of(&[&server]));
    setup.upstream.policy.health_check.kind = ProbeKind::Http { path: "/up".to_owned() };
    let upstream = setup.build();
    let background = upstream.start(&tokio::runtime::Handle::current());
    until("probed", || server.requests() >= 2).await;
    drop(background);
    until("no connection is left", || server.open() == 0).await;
    let requests = server.requests();
    tokio::task::yield_now().await;
    assert_eq!(server.requests(), requests);
    assert_eq!(Arc::strong_count(&upstream), 1, "nothing keeps the upstream alive");
}
