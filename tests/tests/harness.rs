//! The instruments themselves: a crowd that meets a healthy server counts no failure, one whose server dies counts some,
//! and a call that ran twice is found. Without this the other tests could pass by being blind.

use holdfast_tests::{
    Result,
    crowd::{Crowd, Mix, Target},
    fixture::{Fixture, Options},
    journal,
    mcp::{Client, Era},
};
use serde_json::json;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const MIX: Mix = Mix { plain: 4, legacy: 2, modern: 2, record: 4, record_ms: 5 };

/// The fixture itself, without a gateway.
fn directly(fixture: &Fixture) -> Target {
    Target { mcp: "/mcp".to_owned(), ..Target::gateway(fixture.address()) }
}

#[tokio::test]
async fn a_crowd_before_a_healthy_server_counts_what_the_server_did() -> Result {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("journal");
    let fixture = Fixture::start(Options::named("one").with_journal(&file)).await?;
    let crowd = Crowd::start(&directly(&fixture), MIX).await?;
    crowd.safe_requests(200, LIMIT).await?;
    let tallies = crowd.finish().await?;
    for tally in tallies.all() {
        assert!(tally.good() > 0 && tally.bad() == 0, "{}: {:?}", tally.name(), tally.failures());
    }
    let executed = journal::executed(&file)?;
    assert_eq!(executed.len() as u64, tallies.record.good());
    assert!(executed.values().all(|replica| replica == "one"));
    Ok(())
}

#[tokio::test]
async fn a_crowd_notices_that_its_server_died_and_came_back() -> Result {
    let mut fixture = Fixture::start(Options::named("one")).await?;
    let crowd = Crowd::start(&directly(&fixture), Mix { legacy: 0, record: 0, ..MIX }).await?;
    crowd.safe_requests(50, LIMIT).await?;
    fixture.kill()?;
    fixture.restart().await?;
    let good = crowd.tallies.safe_good();
    crowd.safe_requests(good + 50, LIMIT).await?;
    let tallies = crowd.finish().await?;
    assert!(tallies.plain.bad() > 0, "a dead server without a gateway must cost requests");
    assert!(!tallies.safe_failures().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_call_that_ran_on_two_replicas_is_found_in_the_journal() -> Result {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("journal");
    for name in ["one", "two"] {
        let fixture = Fixture::start(Options::named(name).with_journal(&file)).await?;
        let mut client = Client::new(fixture.address(), "/mcp", Era::Modern);
        client.tool("record", json!({"nonce": "n1"})).await?;
    }
    let found = journal::executed(&file).map_err(|why| why.to_string());
    assert_eq!(found, Err("n1 ran twice: on one and on two".to_owned()));
    Ok(())
}
