# Everything goes through here; `cargo test` alone tests the core. `make` lists what there is.

CARGO  ?= cargo
PYTHON ?= python3
PREFIX ?= /usr/local
SECONDS ?= 1800
FROM   ?= 1

# Where cargo builds, and with it all that is made here.
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
export CARGO_TARGET_DIR := $(TARGET)
export CARGO PYTHON

# The oldest Rust that compiles the library, as Cargo.toml states it.
MSRV := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

.PHONY: help demo test torture fuzz sanitize miri bench bench-instructions header install lint deps

help:
	@echo "make demo      C and Python on one connection manager, step by step"
	@echo "make test      all tests: Rust, C, C++, Python, examples"
	@echo "make torture   every scenario with every system call failing, and ended before every one"
	@echo "make fuzz      each kind of malformed input for SECONDS=$(SECONDS), the first case being FROM=$(FROM)"
	@echo "make sanitize  the C and C++ tests with the address, undefined-behaviour and thread sanitizers"
	@echo "make miri      unit tests of runtime, manager and cancel under Miri (needs a nightly toolchain)"
	@echo "make bench     the benchmarks, about 25 minutes: some of them with ROWS=\"tls chunks\", the names that they have"
	@echo "make bench-instructions  fails if a kind of work takes more instructions than benches/instructions.txt has, five minutes"
	@echo "make header    writes include/hangup.h from src/ffi"
	@echo "make install   installs the library for C and C++: PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)"
	@echo "make lint      rustfmt, clippy, rustdoc, and a check with the oldest Rust that is supported"
	@echo "make deps      installs the tools that are missing (apt-get; the others call it for what they need)"

deps:
	@sh tests/deps.sh demo test bench

demo:
	@sh tests/deps.sh demo
	@sh tests/venv.sh
	@sh examples/demo/run.sh

test:
	@sh tests/deps.sh demo test
	@sh tests/venv.sh pytest mypy uvloop trio anyio maturin wsproto
	HANGUP_PYTHON="$(TARGET)/venv/bin/python" $(CARGO) test
	RUSTFLAGS="--cfg loom" $(CARGO) test -p loom-tests --profile loom --target-dir "$(TARGET)/loom"
	$(CARGO) build --quiet -p testserver
	HANGUP_TESTSERVER="$(TARGET)/debug/hangup-testserver" "$(TARGET)/venv/bin/python" -m pytest -q tests/python

torture:
	@sh tests/deps.sh test
	HANGUP_TORTURE=all $(CARGO) test --test torture -- --nocapture --test-threads 2

fuzz:
	@sh tests/deps.sh test
	HANGUP_FUZZ_SECONDS=$(SECONDS) HANGUP_FUZZ_FROM=$(FROM) $(CARGO) test --test fuzz -- --nocapture

sanitize:
	@sh tests/deps.sh test
	@sh tests/sanitize.sh

miri:
	@sh tests/miri.sh

bench:
	@sh tests/deps.sh demo bench
	@sh benches/run.sh $(ROWS)
	@test -n "$(ROWS)" || sh benches/instructions.sh

bench-instructions:
	@sh tests/deps.sh bench
	@sh benches/instructions.sh $(ROWS)

header:
	UPDATE_HEADER=1 $(CARGO) test --test header
	$(PYTHON) bindings/python/generate_sys.py

install:
	@sh bindings/c/install.sh "$(PREFIX)" "$(DESTDIR)"

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps -p hangup
	@if rustup run $(MSRV) cargo --version >/dev/null 2>&1 || rustup toolchain install $(MSRV) --profile minimal --no-self-update; then \
		rustup run $(MSRV) cargo check --all-features --target-dir "$(TARGET)/msrv"; \
	else \
		echo "warning: not checked with Rust $(MSRV), the oldest supported version: rustup could not install it" >&2; \
	fi
