PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test test-slow fuzz lint bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[data,show,tensorboard,dev]"
	touch $(READY)

demo: $(READY)  ## handwritten digits: fitted, sampled, evaluated, reported
	$(BIN)/python examples/digits.py demo/digits.npy
	$(BIN)/scorefield fit demo/digits.npy -o demo/run --minutes 2
	$(BIN)/scorefield sample demo/run -n 1000 -o demo/samples.npy
	$(BIN)/scorefield evaluate demo/run
	$(BIN)/scorefield report demo/run
	@echo "Look at demo/run/report.html"

test: lint  ## everything that must always hold
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-slow: $(READY)  ## what takes longer than the suite allows
	$(BIN)/python -m pytest -m slow --timeout 3600

fuzz: $(READY)  ## damaged files, configurations and flags: SEED, CASES of each kind, MINUTES of all
	$(BIN)/python tests/fuzz/fuzz.py --seed $(or $(SEED),0) --cases $(or $(CASES),1000) --minutes $(or $(MINUTES),60)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## speed and quality; see benchmarks/README.md
	$(BIN)/python benchmarks/loop.py
	$(BIN)/python benchmarks/sampling.py

clean:
	rm -rf .venv demo
