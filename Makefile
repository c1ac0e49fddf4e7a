# Two commands do all the set-up: `make demo` and `make test`.
BIN := .venv/bin
export OPENBLAS_NUM_THREADS := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1

.PHONY: demo test lint lock reference screenshots clean

demo: .venv/installed
	$(BIN)/larisma demo

# Two processes on two cores: threads within them would only wait for each other.
test: export OMP_NUM_THREADS := 1
test: lint
	$(BIN)/pytest -n 2 --dist loadgroup

# Everything that can go wrong while messages are sent, in full: kills, faults, races. `make test` has a sample of it.
faults: export OMP_NUM_THREADS := 1
faults: export LARISMA_FAULTS := full
faults: .venv/installed
	$(BIN)/pytest -n 2 --dist loadgroup --basetemp $(firstword $(wildcard /dev/shm) /tmp)/larisma-faults \
	  tests/faults tests/campaigns/channels tests/flows/delivering/test_killed.py

# Of what sending rests on, every branch is taken by its own tests.
coverage: .venv/installed
	$(BIN)/coverage run --branch --source campaigns.ledger,campaigns.channels -m pytest -q \
	  tests/campaigns/channels tests/campaigns/ledger tests/campaigns/test_ledger.py
	$(BIN)/coverage report --show-missing --fail-under 100

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/installed: requirements.lock pyproject.toml
	python3 -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# Needs uv. Writes names, versions and hashes, and no index host.
lock:
	uv pip compile --quiet --python-version 3.11 --all-extras --generate-hashes --no-header pyproject.toml -o requirements.lock

clean:
	rm -rf .venv larisma-demo

# The pages made from the code: every key of a campaign file, and the JSON Schema for editors.
reference: .venv/installed
	$(BIN)/python -c "from campaigns.reference import reference_page; print(reference_page(), end='')" > docs/campaign-reference.md
	$(BIN)/larisma campaign schema --print > docs/campaign.schema.json

# Needs Chromium: what every preset's messages look like, for docs/messages.md.
screenshots: .venv/installed
	$(BIN)/python docs/screenshots.py
