PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
LOWEST := tests/data tests/reporting tests/interop/test_sklearn*.py tests/test_cli*.py tests/test_progress.py

LOW := .venv-lowest/bin

.PHONY: demo test test-slow test-lowest fuzz crash lint bench docs clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[data,excel,show,tensorboard,dev]"
	touch $(READY)

demo: $(READY)  ## handwritten digits: fitted, sampled, and reported, with the tests of evaluate
	$(BIN)/python examples/digits.py demo/digits.npy
	$(BIN)/scorefield fit demo/digits.npy -o demo/run --minutes 2
	$(BIN)/scorefield sample demo/run -n 1000 -o demo/samples.npy --overwrite
	$(BIN)/scorefield report demo/run
	@echo "Look at demo/run/report.html"

test: lint  ## everything that must always hold; bytecode is kept, as tests start many processes
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-slow: $(READY)  ## what takes longer than the suite allows
	$(BIN)/python -m pytest -m slow --timeout 3600

.venv-lowest/ready: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	$(LOW)/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt \
		-e ".[data,excel,tensorboard]" pytest pytest-timeout pytest-xdist hypothesis
	touch $@

test-lowest: .venv-lowest/ready  ## what touches dependencies, with the oldest versions of them that pyproject.toml allows
	OMP_NUM_THREADS=1 $(LOW)/python -m pytest -n 2 $(LOWEST)

fuzz: $(READY)  ## damaged files, configurations and flags: SEED, CASES of each kind, MINUTES of all
	$(BIN)/python tests/fuzz/fuzz.py --seed $(or $(SEED),0) --cases $(or $(CASES),1000) --minutes $(or $(MINUTES),60)

crash: $(READY)  ## fresh processes killed at random moments: KILLS, SEED
	$(BIN)/python tests/stress/crash.py --kills $(or $(KILLS),200) --seed $(or $(SEED),0)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## speed next to peers, and a warning where it fell; see benchmarks/README.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/suite.py

.venv/docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $@

docs: .venv/docs  ## the site, in docs/_build; needs no network once .venv is there
	$(BIN)/python docs/notebooks.py
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build
	@echo "Open docs/_build/index.html"

clean:
	rm -rf .venv .venv-lowest demo docs/_build docs/_generated
