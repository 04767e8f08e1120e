//! The configuration that command-line flags stand for, as text: so flags and files take one way, and `serve` can print it.

use crate::{Source, explain::quote};
use std::{collections::BTreeMap, net::SocketAddr};

/// Name of the source in messages.
const NAME: &str = "<command line>";

/// `serve --mcp NAME=URL... --mcp NAME=COMMAND... --http PREFIX=URL... --listen ADDRESS` as YAML. A name or prefix that is given several times
/// has several endpoints. What has no `http://`, `https://`, `ws://` or `wss://` in front is a command, split into words as a shell would. Session tokens are sealed by a key of this process. Nothing is checked here: [`crate::load()`] does.
pub fn config_from_flags(
    mcp: &[(String, String)],
    http: &[(String, String)],
    listen: Option<SocketAddr>,
) -> Source {
    let mut text = String::new();
    if let Some(address) = listen {
        let host = quote(&address.ip().to_string());
        put!(text, "server:\n  host: {host}\n  port: {}\n", address.port());
    }
    if !mcp.is_empty() {
        text.push_str("sessions:\n  ephemeral_key: true\nmcp:\n  servers:\n");
        for (name, urls) in grouped(mcp) {
            put!(text, "    - name: {}\n", quote(name));
            let (urls, commands): (Vec<_>, Vec<_>) = urls.into_iter().partition(|text| is_url(text));
            for command in commands {
                put!(text, "      command: [{}]\n", words(command).join(", "));
            }
            if !urls.is_empty() {
                text.push_str("      endpoints:\n");
                endpoints(&mut text, &urls);
            }
        }
    }
    if !http.is_empty() {
        text.push_str("apis:\n");
        let mut taken: Vec<String> = mcp.iter().map(|(name, _)| name.clone()).collect();
        for (prefix, urls) in grouped(http) {
            let name = api_name(prefix, &taken);
            put!(text, "  - name: {}\n    path_prefix: {}\n    endpoints:\n", quote(&name), quote(prefix));
            endpoints(&mut text, &urls);
            taken.push(name);
        }
    }
    Source::Text { name: NAME.into(), text }
}

fn is_url(text: &str) -> bool {
    ["http://", "https://", "ws://", "wss://"].iter().any(|scheme| text.starts_with(scheme))
}

/// The words of a command as a shell would split it: quotes and backslashes are honoured and nothing else is, no variable and no
/// pattern. `None` for a quote without its other half.
pub fn split_command(command: &str) -> Option<Vec<String>> {
    shell_words::split(command).ok()
}

/// As YAML. What cannot be split is one word.
fn words(command: &str) -> Vec<String> {
    let words = split_command(command).unwrap_or_else(|| vec![command.to_owned()]);
    words.iter().map(|word| quote(word)).collect()
}

/// Values by first occurrence of their name.
fn grouped(pairs: &[(String, String)]) -> Vec<(&str, Vec<&str>)> {
    let mut at: BTreeMap<&str, usize> = BTreeMap::new();
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, url) in pairs {
        let index = *at.entry(name).or_insert_with(|| {
            groups.push((name, Vec::new()));
            groups.len() - 1
        });
        groups[index].1.push(url);
    }
    groups
}

fn endpoints(text: &mut String, urls: &[&str]) {
    for url in urls {
        put!(text, "        - {}\n", quote(url));
    }
}

/// A legal name made from a prefix: `/api/orders` is `api-orders`.
fn api_name(prefix: &str, taken: &[String]) -> String {
    const LONGEST: usize = 48;
    let words = prefix.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut name: String = words.collect::<Vec<_>>().join("-");
    name.truncate(LONGEST);
    if name.is_empty() {
        name.push_str("root");
    }
    if !taken.contains(&name) {
        return name;
    }
    (2..=taken.len() + 2).map(|n| format!("{name}-{n}")).find(|name| !taken.contains(name)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Role, load};

    fn pair(name: &str, url: &str) -> (String, String) {
        (name.into(), url.into())
    }

    #[test]
    fn flags_alone_are_a_configuration_that_serves() {
        let mcp = [pair("files", "http://127.0.0.1:1/mcp"), pair("files", "http://127.0.0.1:2/mcp")];
        let http = [
            pair("/", "http://127.0.0.1:3"),
            pair("/api/v1", "http://127.0.0.1:4"),
            pair("/api-v1", "http://127.0.0.1:5"),
        ];
        let source = config_from_flags(&mcp, &http, "[::1]:0".parse().ok());
        let config =
            load(&[source], &BTreeMap::new(), Role::Serve).map_err(|r| r.render(false)).unwrap().config;
        assert_eq!(config.mcp.servers[0].upstream.endpoints.len(), 2);
        assert!(config.sessions.ephemeral_key);
        assert_eq!(
            config.apis.iter().map(|api| api.name.as_str()).collect::<Vec<_>>(),
            ["root", "api-v1", "api-v1-2"]
        );
        assert_eq!(config.listeners[0].host, "::1".parse::<std::net::IpAddr>().unwrap());
    }

    #[test]
    fn a_command_is_split_into_words_and_no_further() {
        let mcp = [pair("run", r#"python3 "my server.py" --name='a ${HOME}' \"q"#)];
        let source = config_from_flags(&mcp, &[], None);
        let config = load(&[source], &BTreeMap::new(), Role::Serve).unwrap().config;
        let command = config.mcp.servers[0].command.clone().unwrap();
        assert_eq!(command.program, "python3");
        assert_eq!(command.args, ["my server.py", "--name=a ${HOME}", "\"q"]);
        assert!(config.mcp.servers[0].upstream.endpoints.is_empty());
    }

    #[test]
    fn a_flag_cannot_smuggle_keys_in() {
        for evil in ["a\nadmin: {enabled: false}", "x: y", "- z", "#c", "${HOME}", "\"", "{a: b}"] {
            let source = config_from_flags(&[pair(evil, "http://127.0.0.1:1")], &[], None);
            let report = load(&[source], &BTreeMap::new(), Role::Any).unwrap_err();
            assert!(report.errors().all(|e| e.path == "mcp.servers[0].name"), "{evil}: {report:?}");
        }
    }
}
