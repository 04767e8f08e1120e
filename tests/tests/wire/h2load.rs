//! HTTP/2 and HTTP/1.1, in clear text and over TLS, spoken by h2load.

use crate::Site;
use holdfast_tests::{Result, load, place, process, soak};
use std::{path::Path, process::Command, time::Duration};

/// Time for one run.
const LIMIT: Duration = Duration::from_mins(3);

fn requests() -> u32 {
    if soak() { 200_000 } else { 10_000 }
}

/// Runs h2load and requires that every request succeeded with a 2xx.
async fn run(url: &str, options: &[&str]) -> Result {
    let total = requests();
    let mut command = Command::new(place::program("h2load")?);
    command.args(["-n", &total.to_string(), "-c", "10"]).args(options).arg(url);
    let said = process::run_within(LIMIT, command).await?;
    let line = |start: &str| said.lines().find(|line| line.starts_with(start)).unwrap_or_default();
    let (requests, codes) = (line("requests:"), line("status codes:"));
    println!("h2load {} {url}: {}", options.join(" "), line("finished in"));
    load::total(&format!("wire, h2load {} {requests}", options.join(" ")));
    let good = format!("{total} succeeded, 0 failed, 0 errored, 0 timeout");
    assert!(requests.contains(&good), "{said}");
    assert!(codes.contains(&format!("{total} 2xx")), "{said}");
    Ok(())
}

/// A certificate for 127.0.0.1 in two files.
fn certificate(folder: &Path) -> Result<(String, String)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    std::fs::write(&chain, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    Ok((chain.display().to_string(), key.display().to_string()))
}

#[tokio::test]
async fn alone_clear_text_http2_and_http1_serve_h2load() -> Result {
    let site = Site::start(&[]).await?;
    run(&site.gateway.url("/plain/h2c"), &["-m", "20"]).await?;
    run(&site.gateway.url("/plain/h1"), &["--h1"]).await?;
    run(&site.gateway.url("/bytes/100000"), &["-m", "5", "-w", "20", "-W", "20"]).await
}

#[tokio::test]
async fn alone_tls_http2_and_http1_serve_h2load() -> Result {
    let folder = tempfile::tempdir()?;
    let (chain, key) = certificate(folder.path())?;
    let site = Site::start(&[&format!("tls: {{cert_file: {chain}, key_file: {key}}}")]).await?;
    let url = |path: &str| format!("https://{}{path}", site.gateway.address);
    run(&url("/plain/h2"), &["-m", "20"]).await?;
    run(&url("/plain/h1"), &["--h1"]).await
}
