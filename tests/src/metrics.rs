//! Reading `/metrics`.

use crate::{Result, client::Caller};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use std::net::SocketAddr;

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    /// Asks the admin port at `admin`.
    pub async fn scrape(admin: SocketAddr) -> Result<Self> {
        let request =
            Request::get("/metrics").header("host", admin.to_string()).body(Full::<Bytes>::default())?;
        let reply = Caller::new(admin).send(request).await?;
        if reply.status != 200 {
            return Err(format!("/metrics answered {}", reply.status).into());
        }
        Ok(Self { text: String::from_utf8(reply.body.to_vec())? })
    }

    /// Sum of all series called `name` whose labels contain each of `labels`, written `key="value"`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.series(name, labels).map(|(_, value)| value).sum()
    }

    /// How many series are called `name`.
    pub fn count(&self, name: &str) -> usize {
        self.series(name, &[]).count()
    }

    /// The lines of counters and gauges that start with `prefix` and are not 0, for the story of a test.
    pub fn nonzero(&self, prefix: &str) -> String {
        let told =
            |line: &&str| line.starts_with(prefix) && !line.ends_with(" 0") && !line.contains("_bucket");
        self.text.lines().filter(told).collect::<Vec<_>>().join("\n")
    }

    /// The page itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn series<'a>(&'a self, name: &'a str, labels: &'a [&str]) -> impl Iterator<Item = (&'a str, f64)> {
        self.text.lines().filter(|line| !line.starts_with('#')).filter_map(move |line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            let fits = found == name && labels.iter().all(|label| rest.contains(label));
            fits.then(|| Some((series, value.parse().ok()?))).flatten()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_by_name_and_labels() {
        let text = "# TYPE a counter\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"2\",y=\"2\"} 4\nab_total 9\n"
            .to_owned();
        let metrics = Metrics { text };
        assert!((metrics.sum("a_total", &["y=\"2\""]) - 7.0).abs() < f64::EPSILON);
        assert!((metrics.sum("a_total", &["x=\"1\""]) - 3.0).abs() < f64::EPSILON);
        assert_eq!(metrics.count("a_total"), 2);
        assert!((metrics.sum("ab_total", &[]) - 9.0).abs() < f64::EPSILON);
    }
}
