use crate::{
    server::{Act, Server},
    support::{Setup, fails, get, ok, until},
};
use holdfast_upstream::{Answer, BoxError, CallError, Resolve, Shared, Upstream};
use std::{
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Answers what it is told to, with the shortest time to live.
#[derive(Default)]
struct Told(Mutex<Option<Vec<IpAddr>>>);

impl Told {
    fn say(&self, addresses: &[&str]) {
        *self.0.lock().unwrap() = Some(addresses.iter().map(|text| text.parse().unwrap()).collect());
    }
}

struct Handle(Arc<Told>);

impl Resolve for Handle {
    fn resolve<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send + 'a>> {
        assert_eq!(name, "files.example");
        let addresses = self.0.0.lock().unwrap().clone();
        Box::pin(async move {
            let addresses = addresses.ok_or("no such name")?;
            Ok(Answer { addresses, ttl: Some(Duration::ZERO) })
        })
    }
}

fn named(setup: &mut Setup, port: u16, told: &Arc<Told>) -> Arc<Upstream> {
    setup.upstream.endpoints.truncate(1);
    setup.upstream.endpoints[0].url = format!("http://files.example:{port}");
    let handle = Arc::new(Handle(Arc::clone(told)));
    let shared = Shared::with_resolver(&setup.config, &setup.registry, handle);
    Upstream::build(&setup.upstream, &shared, None).unwrap()
}

#[tokio::test]
async fn a_name_becomes_as_many_endpoints_as_it_has_addresses_and_follows_its_changes() {
    let server = Server::always(Act::Answer(200, "", "found")).await;
    let told = Arc::<Told>::default();
    told.say(&["127.0.0.1", "127.0.0.2"]);
    let mut setup = Setup::of(&[&server]);
    let upstream = named(&mut setup, server.address.port(), &told);
    let _background = upstream.start(&tokio::runtime::Handle::current());
    // Waits for the first answer instead of failing.
    assert_eq!(ok(&upstream, get()).await.1, "found");
    assert_eq!(upstream.endpoints().len(), 2);
    let kept = upstream.endpoints()[0].key.clone();
    assert!(kept.as_str().contains("files.example") && kept.as_str().contains("127.0.0.1"), "{kept}");
    told.say(&["127.0.0.3", "127.0.0.1"]);
    until("the change is seen", || {
        upstream.endpoints().iter().any(|view| view.key.as_str().contains("127.0.0.3"))
    })
    .await;
    let views = upstream.endpoints();
    assert_eq!(views.len(), 2);
    assert_eq!(views[0].key, kept, "an endpoint that stays keeps its name");
    assert!(views[0].connections <= 1);
}

#[tokio::test]
async fn the_last_good_answer_outlives_a_failing_resolver() {
    let server = Server::always(Act::Answer(200, "", "found")).await;
    let told = Arc::<Told>::default();
    told.say(&["127.0.0.1"]);
    let mut setup = Setup::of(&[&server]);
    let upstream = named(&mut setup, server.address.port(), &told);
    let _background = upstream.start(&tokio::runtime::Handle::current());
    ok(&upstream, get()).await;
    *told.0.lock().unwrap() = None;
    until("a lookup has failed", || setup.metric(&["resolutions", "failed"]) > 0.0).await;
    assert_eq!(ok(&upstream, get()).await.1, "found");
    // A rebuilt upstream begins with what the old one knew.
    let shared = setup.shared();
    let rebuilt = Upstream::build(&setup.upstream, &shared, Some(&upstream)).unwrap();
    assert_eq!(ok(&rebuilt, get()).await.1, "found");
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn an_unknown_name_is_an_empty_set_and_no_hang() {
    let told = Arc::<Told>::default();
    let mut setup = Setup::new(["http://127.0.0.1:1"]);
    let upstream = named(&mut setup, 1, &told);
    let _background = upstream.start(&tokio::runtime::Handle::current());
    assert!(matches!(fails(&upstream, get()).await, CallError::NoEndpoint { .. }));
}

#[tokio::test]
async fn a_name_that_leads_to_the_metadata_service_is_not_followed() {
    let told = Arc::<Told>::default();
    told.say(&["169.254.169.254"]);
    let mut setup = Setup::new(["http://127.0.0.1:1"]);
    let upstream = named(&mut setup, 80, &told);
    let _background = upstream.start(&tokio::runtime::Handle::current());
    let error = fails(&upstream, get()).await;
    assert!(matches!(error, CallError::Forbidden { .. }), "{error}");
    assert_eq!(setup.metric(&["_connects_total", "blocked"]), 1.0);
}

#[tokio::test]
async fn localhost_works_without_a_resolver() {
    let server = Server::always(Act::Answer(200, "", "home")).await;
    let upstream = Setup::new([format!("http://localhost:{}", server.address.port())]).build();
    assert_eq!(upstream.endpoints().len(), 1);
    assert_eq!(ok(&upstream, get()).await.1, "home");
}
