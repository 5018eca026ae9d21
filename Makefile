# `make` or `make help` lists the targets. Each fails where it cannot do what it says.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# More arguments for cargo test, e.g. make test ARGS='--test architecture'
ARGS ?=

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Show the main job: example server, proxy, 10 calls a minute; stays up
	cargo run --release -- demo

.PHONY: build
build: ## Build the release binary, target/release/toolgate
	cargo build --release --locked

.PHONY: test
test: test-deps ## Install what the tests need and is missing, then run every test
	@echo "==> building the tests (a first build takes some minutes)"
	cargo test --workspace --no-run
	@echo "==> running the tests"
	cargo test --workspace --no-fail-fast $(ARGS)

.PHONY: test-deps
test-deps: ## Install Redis and the pinned test clients where they are missing
	@echo "==> test dependencies"
	scripts/install-test-deps.sh

.PHONY: fmt
fmt: ## Format the sources
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml
	cargo fmt --manifest-path tests/clients/rust/Cargo.toml

.PHONY: lint
lint: ## Check format, lints, and what stands in the dependency tree
	@echo "==> format"
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo fmt --manifest-path tests/clients/rust/Cargo.toml --check
	@echo "==> lints"
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@echo "==> dependencies"
	scripts/cargo-deny.sh check bans licenses sources

.PHONY: advisories
advisories: ## Check the dependencies against the published advisories (needs the network)
	scripts/cargo-deny.sh check advisories

.PHONY: sbom
sbom: ## Write what the binary is made of, as CycloneDX, to target/sbom.cdx.json
	scripts/sbom.py target/sbom.cdx.json

.PHONY: containers
containers: ## Lint the Dockerfile and resolve docker-compose.yml
	scripts/check-containers.sh

.PHONY: try-compose
try-compose: ## Bring docker-compose.yml up (without Docker: by podman) and count what passes
	scripts/try-compose.sh

.PHONY: chart
chart: ## Check the Helm chart: lint, every pair of options, Kubernetes' schemas, rules, golden files
	scripts/install-kube-tools.sh
	cargo build --bin toolgate
	.tools/kube/venv/bin/python helm/tests/check.py $(ARGS)

.PHONY: chart-full
chart-full: ## The same for the whole product of the chart's options (about fifteen minutes)
	$(MAKE) chart ARGS=--all

.PHONY: chart-bless
chart-bless: ## Write the chart's README, golden files and the plain manifest anew; read the diff before you commit it
	$(MAKE) chart ARGS=--bless
	@git --no-pager diff --stat -- helm examples/kubernetes

.PHONY: mutants
mutants: test-deps ## Break the Lua scripts on purpose; the suite must turn red each time
	cargo test --test counters_mutations -- --nocapture

.PHONY: faults
faults: test-deps ## Run every scene of faults (or FAULTS_SCENE) for FAULTS_SECONDS=60; adds rows to docs/guarantees.md
	cargo test --profile long --test faults -- --ignored --exact long --nocapture

.PHONY: simulate
SEEDS ?= 100000
FIRST ?= 0
simulate: ## Run the store client against a simulated store and wire for SEEDS=100000 from FIRST=0 on; SEEDS=1 tells each step
	echo "$(SEEDS) $(FIRST)" | cargo test --profile long --lib -- --ignored --exact counters::redis::simulated::many_seeds --nocapture

.PHONY: reloads
reloads: test-deps ## Reload policies 1 000 times under load: no mix of two versions, no memory left behind
	cargo test --test operations -- --ignored --nocapture thousand_reloads

.PHONY: fuzz
fuzz: ## Fuzz each target for MINUTES=10 (TARGETS='…'); keeps the corpus, adds to docs/fuzzing.md
	scripts/fuzz.sh

.PHONY: fuzz-differential
fuzz-differential: test-deps ## Compare readings with Python and Node for MINUTES=10 (SEED=…); adds to docs/fuzzing.md
	scripts/fuzz-differential.sh

.PHONY: conformance
conformance: test-deps ## Run the official MCP suites directly and through toolgate; every check must be the same
	cargo test --test real_conformance

.PHONY: conformance-bless
conformance-bless: test-deps ## Write what the suites say directly anew; read the diff before you commit it
	cargo test --test real_conformance -- --ignored bless
	@git --no-pager diff --stat -- tests/conformance

.PHONY: soak
soak: ## Keep 2 000 streams open for MINUTES=30 with calls all the while; writes docs/soak.md
	MINUTES=$(or $(MINUTES),30) cargo test --test soak -- --ignored soak

.PHONY: screenshots
screenshots: test-deps ## Take the pictures of docs/images anew, of gates with real calls
	cargo test --test console -- --ignored --exact images::screenshots

.PHONY: bench
bench: ## Measure toolgate beside its peers on this machine; writes docs/performance.md
	scripts/bench.sh

.PHONY: bench-decide
bench-decide: ## Measure decisions by size of the policy; prints the tables of docs/performance-decisions.md
	cargo bench --bench decide

.PHONY: bench-store
bench-store: ## Measure what limits cost the store; writes docs/performance-store.md
	cargo bench --profile long --bench counters -- store

.PHONY: hostile
hostile: ## Measure working clients beside hostile ones; writes docs/hostile.md
	cargo bench --bench hostile

.PHONY: audit-load
audit-load: ## Write RATE=20000 decisions a second for LONG=60 seconds to an audit log; none may be missing
	cargo bench --bench audit -- $(or $(RATE),20000) $(or $(LONG),60)

.PHONY: schema
schema: ## Write schema/policy.schema.json anew
	scripts/write-schema.sh

.PHONY: scan-report
scan-report: ## Write the confusion matrices of docs/scan.md anew
	cargo test --test scan -- --ignored bless

.PHONY: bless
bless: schema ## Write the expected outputs of the tests anew; read the diff before you commit it
	cargo test --test policy -- --ignored bless | tee /dev/stderr | grep -q '1 passed'
	cargo test --test transcripts -- --ignored bless
	$(MAKE) scan-report
	@git --no-pager diff --stat
