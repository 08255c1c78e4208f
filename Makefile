PYTEST := .venv/bin/python -m pytest
REPORTS ?= reports
# more processes than cores: several selftests start programs and wait for them
SELFTEST := $(PYTEST) tests/selftest tests/proof/selftest -q -n 3 --dist worksteal --junitxml=$(REPORTS)/selftest/junit.xml
PROOF := $(PYTEST) tests/proof --ignore=tests/proof/selftest -q --junitxml=$(REPORTS)/proof/junit.xml
# vLLM gives up an endless picture after 1, 4 and 16 s, not after 5, 20 and 80
SHORT_FETCH := --vlm-set=engine.env.VLLM_IMAGE_FETCH_TIMEOUT=1

TARGET_PROFILES := control-cpu control-spm

.PHONY: smoke test selftest fuzz proof check catalogue messages control target-smoke $(TARGET_PROFILES:%=target-%) target-venv target-proof venv browser screenshots tools lock release wheelhouse clean

smoke: venv  ## accept the control, served by the real engine on this machine's CPU
	$(PYTEST) -m smoke --vlm-profile control-cpu

test: venv  ## the project's own tests: selftests, a part of the proof, smoke and slow (a short soak) on the control, smoke on control-spm
	$(SELFTEST)
	PROOF_REPORTS=$(REPORTS)/proof $(PROOF) -m part
	$(PYTEST) -m "smoke or slow" --vlm-profile control-cpu --vlm-soak-s=30 $(SHORT_FETCH) --vlm-reports=$(REPORTS)/control
	$(PYTEST) -m smoke --vlm-profile control-spm $(SHORT_FETCH) --vlm-reports=$(REPORTS)/control-spm

selftest: venv  ## tests of src/ alone: no engine
	$(SELFTEST)

fuzz: venv  ## 10,000 wrong files of every format that is read; CASES=N for another number; some 40 minutes
	FUZZ_CASES=$(or $(CASES),10000) $(PYTEST) tests/selftest/fuzz -q -o timeout=0 --junitxml=$(REPORTS)/fuzz/junit.xml

proof: venv  ## every planted fault, each refused by the check meant for it; FULL=1: by the whole suite, hours; FIRST_DAY=1: with nothing known but the reference
	PROOF_FULL=$(FULL) PROOF_FIRST_DAY=$(FIRST_DAY) PROOF_REPORTS=$(REPORTS)/proof $(PROOF)

check: tools  ## format, lint, types, selftests
	.venv-tools/bin/ruff format --check .
	.venv-tools/bin/ruff check .
	.venv-tools/bin/mypy
	$(MAKE) selftest

catalogue: venv  ## write docs/checks.md and the keys of docs/profiles.md again
	.venv/bin/python scripts/catalogue.py
	.venv/bin/python scripts/key_reference.py

control: venv  ## train both controls again from their pictures, and keep each only if every answer is right
	.venv/bin/python fixtures/control/recipe/train.py --out fixtures/control
	.venv/bin/python fixtures/control/recipe/talking.py --start fixtures/control/model --out fixtures/control
	.venv/bin/python fixtures/control/recipe/train.py --out fixtures/control_spm --variant control-spm
	.venv/bin/python fixtures/control/recipe/baseline.py

target-smoke: $(TARGET_PROFILES:%=target-%)  ## smoke and slow (a short soak) of both controls on vLLM 0.18.0, the target's; 11 GB of disk

$(TARGET_PROFILES:%=target-%): target-%: target-venv
	env $$(cat .venv-target/env) $(PYTEST) -m "smoke or slow" --vlm-profile $* --vlm-soak-s=30 $(SHORT_FETCH) --vlm-engine-python=.venv-target/bin/python --vlm-reports=$(REPORTS)/target/$*

# without its tiles a picture ends this engine, which counts their tokens elsewhere: no-tiling is the same fault there;
# its CPU engine takes no cache of 8 bits
target-proof: target-venv  ## mutants of the control and the simulated card, on vLLM 0.18.0
	env $$(cat .venv-target/env) PATH="$(CURDIR)/.venv-target/bin:$$PATH" PROOF_REPORTS=$(REPORTS)/target/proof \
		$(PYTEST) tests/proof/test_mutants.py tests/proof/test_npu_walk.py -k "not tiles-dropped" -q --junitxml=$(REPORTS)/target/proof/junit.xml

target-venv: venv
	@scripts/prepare_target.sh

messages: tools  ## collect the texts for people into the Chinese catalogue, list what is not translated, compile it
	.venv-tools/bin/python scripts/messages.py

venv:
	@scripts/prepare_venv.sh

browser:  ## install Chromium and what its selftests need, with apt-get; without them these tests are skipped, in CI errors
	@scripts/prepare_browser.sh

screenshots: venv browser  ## pictures of the pages of REPORTS, on a phone and a desk, light, dark and printed, in OUT
	.venv/bin/python scripts/screenshots.py $(REPORTS) --out $(or $(OUT),$(REPORTS)/screenshots)

tools: venv
	@scripts/prepare_tools.sh

lock: tools  ## write constraints/*.txt again: the versions and hashes of all that is installed here
	@scripts/lock.sh

release: tools  ## dist/: sources, wheel, its bill of materials (CycloneDX) and checksums; and docs/licences.md
	@scripts/release.sh

wheelhouse:  ## DIR=folder: the suite's wheel and what a vllm-ascend container lacks, for a machine without network
	@scripts/wheelhouse.sh $(or $(DIR),dist/wheelhouse)

clean:
	rm -rf .venv .venv-target .venv-tools .venv-release dist reports/runs reports/*.xml
