//! The status page: the same data as `/status`, for a person. No script, no foreign resource.

use serde_json::Value;
use std::fmt::Write as _;

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=2>\
<title>Holdfast</title><style>\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1c2330;background:#f7f8fa}\
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}\
table{border-collapse:collapse;width:100%;background:#fff;box-shadow:0 1px 2px #0002}\
th,td{padding:.4rem .7rem;text-align:left;border-bottom:1px solid #e6e9ee}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
.ok{color:#0a7a3d}.bad{color:#b3261e;font-weight:600}.mid{color:#9a6700}.facts span{margin-right:1.6rem;color:#4a5568}\
@media(prefers-color-scheme:dark){body{background:#14181f;color:#dfe5ee}table{background:#1b212b}th,td{border-color:#2b3442}.facts span{color:#9aa7b8}\
.ok{color:#4cc38a}.bad{color:#ff7b72}.mid{color:#e3b341}}\
</style>";

/// Renders the status object.
pub(crate) fn render(status: &Value) -> String {
    let mut page = String::from(HEAD);
    let phase = status["phase"].as_str().unwrap_or_default();
    let class = if phase == "serving" { "ok" } else { "mid" };
    page.push_str("<h1>Holdfast</h1><p class=facts>");
    fact(&mut page, "phase", &format!("<b class={class}>{}</b>", escape(phase)));
    for name in ["version", "generation", "uptime_seconds", "pid"] {
        fact(&mut page, name, &cell(&status[name]));
    }
    page.push_str("</p>");
    for upstream in status["upstreams"].as_array().into_iter().flatten() {
        render_upstream(&mut page, upstream);
    }
    page.push_str("</html>\n");
    page
}

fn render_upstream(page: &mut String, upstream: &Value) {
    let name = cell(&upstream["name"]);
    let kind = cell(&upstream["kind"]);
    // Writing into a String cannot fail.
    let _ = write!(page, "<h2>{name} <small>{kind}</small></h2><table><tr><th>endpoint<th>breaker<th>health");
    page.push_str("<th class=n>in flight<th class=n>weight<th class=n>latency ms</tr>");
    for endpoint in upstream["endpoints"].as_array().into_iter().flatten() {
        let breaker = endpoint["breaker"].as_str().unwrap_or_default();
        let health = endpoint["health"].as_str().unwrap_or_default();
        let _ = write!(
            page,
            "<tr><td>{}<td class={}>{}<td class={}>{}<td class=n>{}<td class=n>{}<td class=n>{}</tr>",
            cell(&endpoint["endpoint"]),
            class(breaker),
            escape(breaker),
            class(health),
            escape(health),
            cell(&endpoint["in_flight"]),
            cell(&endpoint["weight"]),
            cell(&endpoint["latency_ms"]),
        );
    }
    page.push_str("</table>");
}

fn class(state: &str) -> &'static str {
    match state {
        "closed" | "healthy" | "unknown" => "ok",
        "half_open" => "mid",
        _ => "bad",
    }
}

fn fact(page: &mut String, name: &str, value: &str) {
    let _ = write!(page, "<span>{} {value}</span>", escape(&name.replace('_', " ")));
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => escape(text),
        Value::Number(number) if number.is_f64() => format!("{:.1}", number.as_f64().unwrap_or_default()),
        other => escape(&other.to_string()),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_comes_from_outside_is_escaped() {
        let page = render(&json!({ "phase": "serving", "upstreams": [{ "name": "<script>", "kind": "mcp",
            "endpoints": [{ "endpoint": "http://a/\"&", "breaker": "open", "health": "unhealthy" }] }] }));
        assert!(!page.contains("<script>"));
        assert!(page.contains("&lt;script&gt;") && page.contains("http://a/&quot;&amp;"));
        assert!(page.contains("<td class=bad>open"));
    }
}
