# make demo    a real, measured call through the signaling server
# make test    the tests (no outside program, at most 90 s)
# make test-long  those that take minutes of virtual time, or many calls
# make check   format, lint, types, architecture
# make bench-voice  voice over many emulated networks, scored
# make bench-rate   voice on thin, stepping and shared links: rates, queues, scores
# make bench-receiver  what a receiver costs the processor
# make bench-engine  what both engines of a call cost it
# make bench-signaling  what the signaling server can carry, with Debian's ejabberd beside it (a quarter of an hour)
# make bench-strangers  what floods, idle connections, slow bodies and wrong logins cost others (two minutes)
# make voice-docs   measures what each part of the voice path is worth, rewrites docs/voice (a quarter of an hour)
# make fuzz    broken HTTP, WebSocket frames and XML against a real server: FUZZ_ARGS="--minutes 10 --seed 1"
# make docs    the API reference of media and signaling, build/api/index.html
# make devices, make postgres, make quality  install what only some need
# make interop installs and starts foreign parts (libwebrtc) and calls them
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q -c constraints.txt --only-binary :all: --no-binary opuslib --use-pep517
INTEROP := $(BIN)/python -m pytest -o addopts='--import-mode=importlib -q --strict-markers' --timeout 120
TALK ?= 10
DEMO_ARGS ?=
BENCH_ARGS ?=
FUZZ_ARGS ?=
# Bytecode is kept, whatever the shell says: else every process that a test or a sample starts would compile everything anew.
export PYTHONDONTWRITEBYTECODE :=
APT := sudo apt install git make python3-venv

.PHONY: demo test test-long check interop docs devices postgres quality fuzz format clean bench-voice bench-rate bench-engine bench-receiver bench-signaling bench-strangers voice-docs

demo: $(VENV)/.ready
	$(BIN)/python samples/measure_quality.py --talk $(TALK) --out build/demo $(DEMO_ARGS)

test: $(VENV)/.ready-test
	$(BIN)/python -m pytest -n 3 -m "not long"

test-long: $(VENV)/.ready-test
	$(BIN)/python -m pytest -n 3 -m "long or hypothesis" --hypothesis-profile thorough --timeout 240

check: $(VENV)/.ready-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

# Real peers on a real clock: what failed is tried once more, alone, and has to pass then.
interop: $(VENV)/.ready-interop
	$(INTEROP) tests/interop || { echo "Once more, what failed:"; $(INTEROP) --last-failed --last-failed-no-failures none tests/interop; }

# For microphone and loudspeaker; for postgresql+asyncpg://; for PESQ and ViSQOL. What is installed stays the checkout.
docs: $(VENV)/.ready
	@$(PIP) --editable '.[docs]'
	@$(BIN)/python docs/build_api.py

devices postgres: $(VENV)/.ready
	@$(PIP) --editable '.[$@]'

quality: $(VENV)/.ready-quality

fuzz: $(VENV)/.ready-test
	$(BIN)/python tests/fuzz/fuzz_signaling.py $(FUZZ_ARGS)

bench-voice: $(VENV)/.ready-test
	$(BIN)/python tests/bench/bench_voice.py $(BENCH_ARGS)

bench-rate: $(VENV)/.ready-test
	$(BIN)/python tests/bench/bench_rate.py $(BENCH_ARGS)

bench-engine: $(VENV)/.ready-test
	$(BIN)/python tests/bench/bench_engine.py $(BENCH_ARGS)

bench-receiver: $(VENV)/.ready-test
	$(BIN)/python tests/bench/bench_receiver.py $(BENCH_ARGS)

# ejabberd is a package of Debian's, so only root gets it; its own service is not wanted.
bench-signaling: $(VENV)/.ready-test
	@command -v ejabberdctl >/dev/null || [ -x /usr/sbin/ejabberdctl ] || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing ejabberd from Debian, to measure it too ..."; export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -q && apt-get install -q -y --no-install-recommends ejabberd || echo "That failed: ours is measured alone."; \
	  { systemctl disable --now ejabberd || service ejabberd stop || true; } 2>/dev/null; \
	else echo "No ejabberd here, and only root can install it (apt install ejabberd): ours is measured alone."; fi
	$(BIN)/python tests/bench/bench_signaling.py --out build/signaling.json $(BENCH_ARGS)

bench-strangers: $(VENV)/.ready-test
	$(BIN)/python tests/bench/strangers.py --out build/strangers.json $(BENCH_ARGS)

voice-docs: $(VENV)/.ready-quality
	$(BIN)/python tests/bench/voice_docs.py --measurements build/voice.jsonl $(BENCH_ARGS)

format: $(VENV)/.ready-test
	$(BIN)/ruff check --fix -q . || true
	$(BIN)/ruff format -q .

clean:
	rm -rf $(VENV) build

$(VENV)/bin/python:
	@command -v git >/dev/null || { echo "git is missing. Please run: $(APT)"; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is missing. Please run: $(APT)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, this is $$($(PYTHON) -V). Try: make PYTHON=python3.12 demo"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "python3-venv is missing. Please run: $(APT)"; exit 1; }
	@echo "Making a virtual environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing Ringline and what it needs into $(VENV) (once, about a minute) ..."
	@$(PIP) --editable '.'
	@touch $@

$(VENV)/.ready-test: $(VENV)/.ready
	@echo "Installing the test tools ..."
	@$(PIP) --editable '.[test,postgres]'
	@$(PIP) --editable '.[devices]' || echo "No wheels of the sound libraries for this machine: their tests are skipped."
	@touch $@

# pesq has no wheel; everything else in these extras has one.
$(VENV)/.ready-interop: $(VENV)/.ready-test
	@echo "Installing the foreign engines ..."
	@$(PIP) --editable '.[test,postgres,compare]'
	@touch $@

# PESQ, and the support vectors of ViSQOL, come as source and want a C and a C++ compiler.
$(VENV)/.ready-quality: $(VENV)/.ready-test
	@echo "Installing the speech metrics ..."
	@$(PIP) --no-binary pesq,libsvm-official --editable '.[test,quality]'
	@touch $@
