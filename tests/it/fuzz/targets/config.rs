//! gatepost.toml: it is taken whole or every mistake is told.

use std::sync::Arc;

use gatepost::config::Config;
use gatepost::problem::Source;
use gatepost::recipients::is_safe_component;

use super::{Target, check_problems, outcome, project};

pub const TARGET: Target = Target {
    name: "config",
    run,
    seeds: &["testdata/fuzz/config", "testdata/configs", "deploy/gatepost.toml"],
    words: &[
        b"[smtp]\n",
        b"[smtp.tls]\n",
        b"[dns]\n",
        b"[maildir]\n",
        b"[domains.\"example.com\"]\n",
        b"[policy]\n",
        b"[http]\n",
        b"[journal]\n",
        b"[security]\n",
        b"[limits]\n",
        b"[state]\n",
        b"[log]\n",
        b"[[block_lists]]\n",
        b"hostname = \"mx.example.com\"\n",
        b"listen = [\"[::]:25\"]\n",
        b"mailboxes = [\"alice\"]\n",
        b"aliases = { a = [\"b\"] }\n",
        b"catch_all = \"alice\"\n",
        b"root = \"mail\"\n",
        b"keep = \"14d\"\n",
        b"servers = [\"tls://9.9.9.9#dns.quad9.net\"]\n",
        b"trusted = [\"192.0.2.0/24\"]\n",
        b"= \"10m\"\n",
        b"= \"50MB\"\n",
        b"= true\n",
        b"= [\n",
        b"policy = \"policy.toml\"\n",
        b"postmaster = \"alice@example.com\"\n",
        b"2001:db8::/32",
        b"'''",
        b"\"\"\"",
        b"mailbox.\"alice\"",
    ],
    longest: 3000,
    briefly: 500,
};

fn run(text: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(text).into_owned();
    let source = Arc::new(Source { name: "gatepost.toml".to_owned(), text });
    let base = project().join("testdata/configs/every-key");
    match Config::parse(source, &base) {
        Err(problems) => check_problems(&problems),
        Ok(config) => {
            for mailbox in config.directory.mailboxes() {
                assert!(
                    is_safe_component(&mailbox.name, 64) && is_safe_component(mailbox.domain.as_str(), 253),
                    "{mailbox}"
                );
            }
            assert!(
                config.losses(&config).is_empty() && config.restart_keys(&config).is_empty(),
                "no reload changes what is the same"
            );
            assert!(!config.authserv_id.chars().any(char::is_control));
            outcome(&(config.directory.mailboxes().count().min(8), config.smtp.listen.len(), config.block_lists.len()))
        }
    }
}
