# `make` lists what there is. Anything longer than a line is a script in scripts/.

SHELL := bash
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

# Always the whole workspace, also for one binary: cargo unifies the features of what it is asked to build, and would
# otherwise compile most crates a second time.
release := cargo build --release --workspace

.PHONY: help setup run build test check fmt sqlx bench soak-chat clean

help: ## list these targets
	@awk -F ': .*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing on this machine (Debian, Ubuntu)
	@scripts/setup.sh test

run: ## start the whole platform here; ARGS="--port 9000" for plaza's flags
	@scripts/setup.sh run
	@$(release) --bin plaza
	@exec target/release/plaza up $(ARGS)

build: ## the program as it is shipped, in target/dist; optimized as one whole, which takes half an hour
	@scripts/setup.sh build
	cargo build --profile dist --workspace --bin plaza

test: ## every test; ARGS="forum" for some
	@scripts/setup.sh test
	@scripts/test.sh $(ARGS)

check: ## format, contracts, dependencies, .sqlx and clippy; cheapest first
	@scripts/setup.sh test
	cargo fmt --all --check
	.plaza/tools/buf lint
	scripts/buf-breaking.sh
	scripts/duplicates.sh
	scripts/with-services.sh scripts/sqlx.sh --check
	cargo clippy --workspace --all-targets -- -D warnings

fmt: ## format the code
	cargo fmt --all

sqlx: ## renew .sqlx after a query or a migration changed
	@scripts/setup.sh run
	scripts/with-services.sh scripts/sqlx.sh

bench: ## measure, and write RESULTS.md, LISTS.md and CHAT.md in bench/; ARGS="lists --scale 0.1" for a part
	@scripts/setup.sh run
	@scripts/bench.sh $(ARGS)

soak-chat: ## kill processes under a million chat messages and look for lost ones; ARGS="--messages 10000"
	@scripts/setup.sh run
	@scripts/soak-chat.sh $(ARGS)

clean: ## remove what was built; the data in .plaza stays
	cargo clean
