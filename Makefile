# The two commands of the README, and their parts. Chores live in scripts/; this file only names
# them. The build's environment is fixed in scripts/env alone.

SHELL := /bin/bash
LISTEN ?= 127.0.0.1:8787

.PHONY: run build test bench setup

# Builds, then serves templates/hello.
run: build
	@. scripts/env && exec "$$CARGO_TARGET_DIR/release/mayfly" serve --config templates/hello/wrangler.jsonc --listen $(LISTEN)

# The two binaries: mayfly, and mayfly-guest beside it.
build: setup
	@. scripts/env && cargo build --release --locked -p mayfly -p mayfly-guest

# Everything that must hold before a change is merged.
test: setup
	@.ci/run

# Mayfly and its peers side by side, into bench/results; takes a quarter of an hour.
bench: build
	@. scripts/env && cargo build --release --locked -p mayfly-bench && mkdir -p bench/results && \
	  "$$CARGO_TARGET_DIR/release/mayfly-bench" compare \
	    --json bench/results/figures.json --markdown bench/results/table.md --svg bench/results/chart.svg

# Installs what the build needs and this machine lacks.
setup:
	@scripts/setup
