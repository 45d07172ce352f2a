# What people and CI call. `make help` lists it.
.PHONY: help test check packages demo crash bench bench-replay
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

test: packages check ## everything that must hold before a change is handed in
	cargo test --locked

check: ## format, lints, documentation, licences: all without running anything
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check; else echo "cargo-deny is not here: licences and advisories are not checked"; fi

packages: ## the real clients of the tests (swaks, smtp-source, Dovecot, promtool, ...), unpacked into target/debian
	.ci/packages

demo: ## the whole product on loopback, with sample messages
	cargo run --release -- demo

crash: ## kills, power cuts and failing calls by the hundred, as root: half an hour (CRASH_ONLY=power,moments and CRASH_COUNT=50 choose)
	cargo test --locked --test it -- crash::all_in_the_long_form --exact --ignored --nocapture

bench: ## what authentication and deciding cost a message, with the DNS cached (release build)
	cargo bench --locked --bench authenticate --bench policy

bench-replay: ## how long a replay of a million records takes, and how much memory (needs 3 GB of disk for a while)
	cargo bench --locked --bench replay
