# The door: `make help` lists what can be done.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find native src arcly -name '*.rs' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.h' -o -name '*.py' -o -name '*.js' -o -name '*.toml' | grep -v '/target/')
BENCH := target/bench-venv
MEDIA_BENCH := target/bench-media-venv
CARGO ?= cargo
export PIP_DISABLE_PIP_VERSION_CHECK := 1

FUZZ := CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true \
	$(CARGO) run --quiet --release --target-dir $${CARGO_TARGET_DIR:-target}/fuzz -p arcly-fuzz --
# A target is a file: the list cannot forget one.
FUZZ_TARGETS = $(filter-out mod,$(basename $(notdir $(wildcard native/fuzz/src/targets/*.rs))))

.DEFAULT_GOAL := help
.PHONY: help run test test-rust test-foreign test-python lint format develop loom miri fuzz fuzz-sweep fuzz-coverage load soak bench-bus bench-python bench-media bench-load bench-http bench-glass bench-rtsp bench-srt bench-webrtc bench-udp docs whip-gstreamer rtsp-retina srt-peers obs package-test demo-clip tools clean

help:  ## list what can be done
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: tools $(VENV)/serve.stamp  ## install into .venv and serve the demo stream; open the page it prints
	$(BIN)/arcly serve --demo $(ARGS)

test: tools lint test-rust test-foreign test-python  ## everything quick: lint, Rust and Python tests, real clients and a browser

test-rust: tools  ## the tests of the native core
	$(CARGO) test --workspace --exclude arcly-python --no-fail-fast
	$(CARGO) test --manifest-path bench/load/Cargo.toml

test-foreign: develop  ## what the muxers write, read by a newer FFmpeg than the system's (that of imageio-ffmpeg)
	ARCLY_FFMPEG="$$($(BIN)/python -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')" $(CARGO) test -p arcly-pack --lib -- --ignored new_ffmpeg

test-python: develop  ## the tests of the package, with real ffmpeg and Chromium
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: develop  ## formatting, clippy, the links of the docs, ruff, mypy, stubs against the module
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --workspace --no-deps
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest arcly._native arcly.capi --allowlist tests/style/stubtest.allow --ignore-unused-allowlist

format:  ## put all code into form
	$(CARGO) fmt --all
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

develop: tools $(VENV)/test.stamp  ## build both native halves in place, for work on arcly
	@. $(BIN)/activate && maturin develop --quiet

loom:  ## the log of the bus under a model checker
	RUSTFLAGS="--cfg loom" $(CARGO) test --release -p arcly-bus --test loom_log --target-dir $${CARGO_TARGET_DIR:-target}/loom

miri:  ## the unsafe code of the bus under Miri; needs: rustup +nightly component add miri
	MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) +nightly miri test -p arcly-bus --test log --target-dir $${CARGO_TARGET_DIR:-target}/miri

fuzz:  ## mutated input for every parser; INPUTS=1000000 SEED=7 TARGET=rtmp_conn
	$(FUZZ) $(TARGET) $(if $(INPUTS),--inputs $(INPUTS)) $(if $(FIRST),--first $(FIRST)) $(if $(SEED),--seed $(SEED))

fuzz-sweep:  ## the long sweep (hours): 10^8 inputs for every parser, its lines kept in native/fuzz/sweep.log
	@for target in $(or $(TARGET),$(FUZZ_TARGETS)); do \
	  echo "sweeping $$target ..."; \
	  line=$$($(FUZZ) $$target --inputs $(or $(INPUTS),100000000) --first $(or $(FIRST),0) --seed $(or $(SEED),1) | tee /dev/stderr) || exit 1; \
	  echo "$$(date -u +%F) $$(git rev-parse --short HEAD) $$line" >> native/fuzz/sweep.log; \
	done

fuzz-coverage:  ## libFuzzer on every parser, guided by coverage; SECONDS_EACH=60 TARGET=h264 (needs a C++ compiler)
	@SECONDS_EACH=$(or $(SECONDS_EACH),60) CARGO=$(CARGO) native/fuzz/coverage/run $(or $(TARGET),$(FUZZ_TARGETS))

load: develop  ## 50 publishers with one viewer each for 60 s: every one plays without a gap
	$(BIN)/python tests/load/many_publishers.py $(ARGS)

soak: develop  ## 100 000 publishes (half an hour): memory, descriptors and tasks return to where they were; CYCLES=100000
	ARCLY_SOAK_CYCLES=$(or $(CYCLES),100000) $(BIN)/python -m pytest -n 0 tests/faults/test_viewers.py -k hundreds_of_publishes

bench-bus:  ## the log of the bus beside arcly-stream's: deliveries, waking, memory; JSON=1 for one JSON object
	@$(CARGO) run --quiet --release --manifest-path bench/bus/Cargo.toml -- $(if $(JSON),--json)

bench-python: $(BENCH)/stamp  ## calls over the Python border, the C API, asyncio: what they cost; JSON=1 for one JSON object
	@$(BENCH)/bin/python bench/python/bench_border.py $(if $(JSON),--json)

bench-media: $(MEDIA_BENCH)/stamp  ## containers beside arcly-stream, libavformat and memcpy; JSON=1 for one JSON object
	@$(CARGO) run --quiet --release --manifest-path bench/media/Cargo.toml -- --python $(MEDIA_BENCH)/bin/python $(if $(JSON),--json)

# QUICK=1: two minutes. SECONDS=10: each measurement longer. ONLY=viewers|many|streams|idle|memory|stalled.
bench-http: $(BENCH)/glass.stamp  ## HLS beside nginx, waiting players, packaging, glass to glass; QUICK=1 JSON=1 ONLY=files
	@$(CARGO) run --quiet --release --manifest-path bench/http/Cargo.toml -- --venv $(BENCH) $(if $(JSON),--json) $(if $(QUICK),--quick) \
	  $(if $(ONLY),--only $(ONLY))

bench-glass: $(BENCH)/glass.stamp  ## how old a picture is when Chromium shows it: LL-HLS, WHEP, WHIP; WAYS=rtmp-hls SECONDS=20 JSON=1
	@$(BENCH)/bin/python bench/glass/bench_glass.py $(if $(JSON),--json) $(if $(WAYS),--ways $(WAYS)) $(if $(SECONDS),--seconds $(SECONDS))

bench-rtsp: $(BENCH)/stamp  ## RTSP viewers and cameras beside bare writes, RTP packets beside arcly-stream; QUICK=1 JSON=1
	@$(CARGO) run --quiet --release --manifest-path bench/rtsp/Cargo.toml -- --arcly $(BENCH)/bin/arcly \
	  $(if $(JSON),--json) $(if $(QUICK),--quick)

bench-load: $(BENCH)/stamp  ## hundreds of viewers, CPU per Gbit beside nginx-rtmp and bare writes; QUICK=1 JSON=1
	@$(CARGO) run --quiet --release --manifest-path bench/load/Cargo.toml -- --arcly $(BENCH)/bin/arcly \
	  $(if $(JSON),--json) $(if $(QUICK),--quick) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(ONLY),--only $(ONLY))

bench-srt: $(BENCH)/stamp  ## SRT viewers and publishers beside libsrt's srt-live-transmit and bare writes; VIEWERS=100 SECONDS=5 JSON=1
	@$(CARGO) run --quiet --release --manifest-path bench/srt/Cargo.toml -- --python $(BENCH)/bin/python \
	  $(if $(JSON),--json) $(if $(VIEWERS),--connections $(VIEWERS)) $(if $(SECONDS),--seconds $(SECONDS))

bench-webrtc: $(BENCH)/glass.stamp  ## 100 and 300 WHEP viewers: CPU per Gbit, memory, answers; glass to glass; QUICK=1 JSON=1
	@$(CARGO) run --quiet --release --manifest-path bench/webrtc/Cargo.toml -- --arcly $(BENCH)/bin/arcly --python $(BENCH)/bin/python \
	  $(if $(JSON),--json) $(if $(QUICK),--quick)

bench-udp:  ## datagrams many a call beside one a call, both ways; JSON=1 for one JSON object
	@$(CARGO) run --quiet --release --manifest-path bench/udp/Cargo.toml -- $(if $(JSON),--json)

docs:  ## write the reference of all classes and functions to target/docs, from the docstrings
	@$(PYTHON) docs/reference.py target/docs
	@echo "target/docs/README.md"

whip-gstreamer:  ## build GStreamer's whipsink and whepsrc for the tests (needs the headers of GStreamer)
	$(CARGO) build --quiet --release --manifest-path tests/interop/gstreamer/Cargo.toml --target-dir $${CARGO_TARGET_DIR:-target}/whip-gstreamer
	mkdir -p target/gstreamer && cp $${CARGO_TARGET_DIR:-target}/whip-gstreamer/release/libwhip.so target/gstreamer/libgstwebrtchttp.so

rtsp-retina:  ## build a player of retina, an RTSP client in Rust, for the tests
	$(CARGO) build --quiet --manifest-path tests/interop/retina/Cargo.toml --target-dir target/rtsp-retina

srt-peers:  ## build gosrt's client and sapflow-srt's examples for the tests (needs Go)
	cd tests/interop/gosrt && go build -o $(CURDIR)/target/srt-peers/bin/gosrt github.com/datarhei/gosrt/contrib/client
	$(CARGO) install --quiet --locked --no-track --force --version 0.1.0 sapflow-srt --examples --root target/srt-peers --target-dir $${CARGO_TARGET_DIR:-target}/srt-peers

obs:  ## install OBS Studio and a display without a screen for the tests (Debian)
	apt-get install -y -qq --no-install-recommends obs-studio xvfb

package-test: tools  ## build wheel and sdist, install each into a fresh venv, check size and import time
	$(PYTHON) tests/package/check.py

demo-clip:  ## make the built-in demo clip anew (needs ffmpeg with libx264)
	demo/make-demo-clip.sh

clean:  ## remove what was built
	rm -rf target $(VENV) arcly/*.so

tools:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv   (or set PYTHON=python3.12)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is needed: apt-get install python3-venv"; exit 1; }
	@command -v $(CARGO) >/dev/null || { echo "Rust is needed: curl --proto '=https' -sSf https://sh.rustup.rs | sh   (then open a new shell)"; exit 1; }
	@command -v cc >/dev/null || { echo "A C compiler is needed: apt-get install build-essential   (macOS: xcode-select --install)"; exit 1; }

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# What the server needs, built for speed. Again whenever a source has changed.
$(VENV)/serve.stamp: $(BIN)/python $(SOURCES) pyproject.toml
	@echo "Building arcly (the first time some minutes: Rust is compiled with all optimisations) ..."
	$(BIN)/pip install --quiet '.[server]'
	@$(BIN)/pip install --quiet --only-binary av 'av>=14.0' || echo "There is no wheel of PyAV for this Python: WebRTC plays the demo without its sound."
	@touch $@

$(VENV)/test.stamp: $(BIN)/python pyproject.toml
	@echo "Installing what the tests need ..."
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/python tests/requirements.py | $(BIN)/pip install --quiet -r /dev/stdin
	@touch $@

# arcly as users have it, built for speed. Again whenever a source has changed.
$(BENCH)/stamp: $(SOURCES) pyproject.toml
	@$(MAKE) --no-print-directory tools
	@echo "Building arcly for the bench ..." >&2
	@test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/pip install --quiet '.[server]' pytest pytest-benchmark cython setuptools uvloop >&2
	@touch $@

# The glass bench encodes by PyAV and looks through a browser.
$(BENCH)/glass.stamp: $(BENCH)/stamp
	@$(BENCH)/bin/pip install --quiet 'av>=18.0' playwright >&2
	@touch $@

# libavformat, by way of PyAV.
$(MEDIA_BENCH)/stamp:
	@$(MAKE) --no-print-directory tools
	@test -x $(MEDIA_BENCH)/bin/python || $(PYTHON) -m venv $(MEDIA_BENCH)
	@$(MEDIA_BENCH)/bin/pip install --quiet 'av>=18.0' >&2
	@touch $@
