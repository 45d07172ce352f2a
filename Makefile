# What people and CI call. `make help` lists it.
.PHONY: help test check packages demo stress crash fuzz bench bench-parts bench-peers bench-curves bench-replay
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

test: packages check ## everything that must hold before a change is handed in
	cargo test --locked

check: ## format, lints, documentation, licences: all without running anything
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check; else echo "cargo-deny is not here: licences and advisories are not checked"; fi

packages: ## the real clients of the tests (swaks, smtp-source, Dovecot, promtool, ...), unpacked into target/debian
	.ci/packages

demo: ## the whole product on loopback, with sample messages
	cargo run --release -- demo

stress: ## ten thousand clients, slow, large, hostile: half an hour, then a table (STRESS_ONLY=idle,slow chooses; needs 12 GB of disk)
	cargo build --locked --release
	STRESS_PROGRAM=$(CURDIR)/target/release/gatepost cargo test --locked --test it -- load::all_in_the_long_form --exact --ignored --nocapture

crash: ## kills, power cuts and failing calls by the hundred, as root: half an hour (CRASH_ONLY=power,moments and CRASH_COUNT=50 choose)
	cargo test --locked --test it -- crash::all_in_the_long_form --exact --ignored --nocapture

bench: bench-parts bench-peers ## what parts of a message's way cost, then Gatepost and its peers in turn

bench-parts: ## what authentication and deciding cost a message, with the DNS cached (release build)
	cargo bench --locked --bench authenticate --bench policy

# BENCH="compare --size 1048576 --messages 10 --write" chooses another setting; docs/performance.md has them all
BENCH ?= compare
bench-peers: ## Gatepost, Postfix with its filters, Exim, and a sink without checks, with the same messages (root; peers from Debian)
	benches/peers/packages target/tmp/peers/packages
	cargo bench --locked --bench peers -- $(BENCH)

bench-curves: ## how the figures change with connections, sizes, recipients, mailboxes, rules and full Maildirs (root)
	cargo bench --locked --bench peers -- curves --rounds 3

bench-replay: ## how long a replay of a million records takes, and how much memory (needs 3 GB of disk for a while)
	cargo bench --locked --bench replay

MINUTES ?= 10
JOBS ?= 1

fuzz: ## all fuzz targets, guided by coverage; MINUTES=60 each (10), TARGET=session only that one, JOBS=2 at a time (docs/fuzz.md)
	fuzz/run "$(MINUTES)" "$(TARGET)" "$(JOBS)"
