# redis-image: `make demo` shows it, `make test` proves it, `make help` lists everything.

PYTHON := .venv/bin/python
RELEASE := target/release/libredis_image.so
FEATURES := --features redis-image/test-switches
PORT ?= 6379
# Where rustup puts it, for a shell that does not know it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help demo cluster mall test test-servers test-asan coverage lint build dist models onnxruntime photos clients run bench clean prepare engine

help: ## Lists the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: prepare models engine photos ## Recognises real photos inside a redis-server of its own
	cargo build --release --package redis-image --package redis-image-annotate --lib --example draw
	@tools/demo "$(RELEASE)"

cluster: build models engine photos ## Sends photos through a cluster of six servers, one of which dies
	@tools/cluster "$(RELEASE)"

mall: build models engine photos ## Cameras of a mall, known people, a node that dies, a person who is forgotten
	@tools/mall "$(RELEASE)"

test: models onnxruntime photos clients ## Proves every promise on real servers (installs what is missing)
	cargo build --workspace --all-targets $(FEATURES)
	cargo test --workspace --all-targets $(FEATURES)

test-servers: models onnxruntime photos ## Runs the suite on Redis 7.0, 8.0 and 8.2, Valkey 8.1 and 9.1 (SERVER=… only one)
	cargo build --workspace --all-targets $(FEATURES)
	@tools/test-servers $(SERVER)

test-asan: models photos ## Runs the suite's parts on memory with the module built with AddressSanitizer
	@tools/test-asan

coverage: models onnxruntime photos ## Says how much of each room of the code the tests run
	@tools/coverage

lint: prepare ## Checks form and rules of the code
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(FEATURES) -- -D warnings
	tools/check-rules
	tools/check-rooms
	tools/cargo-tool deny check bans licenses sources

build: prepare ## Builds the module for use, target/release/libredis_image.so, and the tool redis-image
	cargo build --release --package redis-image --package redis-image-cli

dist: prepare photos ## Packs an archive with an installer, target/dist/redis-image-….tar.gz, and tries it
	cargo build --release --package redis-image --package redis-image-cli
	@tools/dist
	@tools/try-dist

models: prepare ## Fetches the models' weights and checks them; NAME=… only one
	@$(PYTHON) tools/fetch-models $(NAME)

onnxruntime: prepare ## Fetches onnxruntime's library, the faster engine, and checks it
	@$(PYTHON) tools/fetch-onnxruntime

# The same where it may fail: without it the module has tract.
engine: prepare
	@$(PYTHON) tools/fetch-onnxruntime || echo "without onnxruntime: the built-in engine tract runs the models"

clients: prepare ## Fetches the client libraries of examples/ into target/clients
	@tools/fetch-clients

photos: prepare ## Fetches real photos for the demo and the tests into target/photos
	@$(PYTHON) tools/fetch-photos

run: build models engine ## Runs a server with the module in the foreground, its data in run/; PORT=…
	@mkdir -p run
	redis-server redis.conf.example --port $(PORT) --bind 127.0.0.1 --dir run \
		--loadmodule "$(CURDIR)/$(RELEASE)" models-path "$(CURDIR)/models"

bench: build models onnxruntime photos ## Measures hits and misses, side by side, as ratios
	@$(PYTHON) benches/bench.py $(RELEASE)

clean: ## Removes what was built, and the photos; weights stay, as some may be your own
	cargo clean
	rm -rf .venv

prepare:
	@tools/prepare
