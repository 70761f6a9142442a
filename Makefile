# SPDX-FileCopyrightText: netops.ephemeral_ports contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# `make` lists the targets. Everything is set up inside the checkout: .venv, build and .ansible. PYTHON=... chooses the
# interpreter (otherwise scripts/setup does), SCENARIO=... and SUITES=... what Molecule runs, HOST=... which host
# `make look` diagnoses.

PYTHON ?=
SCENARIO ?=
# Not that of the environment, where some shells keep the name of this machine.
HOST =

# Molecule, ansible-lint and ansible-test call their companions by name.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_HOME := $(CURDIR)/.ansible
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/build
export PYTHON
# Hundreds of interpreters start: what one has compiled the others read, and it lies where nobody looks for sources.
export PYTHONPYCACHEPREFIX := $(CURDIR)/build/pycache
unexport PYTHONDONTWRITEBYTECODE

COLLECTION := build/ansible_collections/netops/ephemeral_ports
HOST_CODE := plugins/modules plugins/module_utils

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo look test check lint types docs site drawings unit integration galaxy sanity images images-ahead \
	molecule mutate matrix bench bench-conntrack bench-dead-hosts bench-fleet bench-namespaces bench-simulation bench-watch \
	system owner clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: owner .venv/demo.stamp $(COLLECTION)  ## watch ports run out, see the fix, and see it rolled back (no root needed)
	@.venv/bin/python scripts/demo.py

look: owner .venv/demo.stamp $(COLLECTION)  ## diagnose this machine, or HOST=web1.example.net over SSH; changes nothing, needs no root
	@scripts/look $(if $(HOST),'$(HOST)')

# Elsewhere a test that lacks something that has to be fetched first is skipped.
test: export TEST_EVERYTHING := 1
# The quickest one shows that scenarios notice.
test: export MUTATE := two_hosts
test: system $(COLLECTION)  ## everything, in real containers too (installs what is missing on Debian and Ubuntu, as root or with sudo)
	@$(MAKE) --no-print-directory --jobs=2 .venv/site.stamp images-ahead
	@python scripts/stages.py "lint types docs site galaxy unit sanity" integration "molecule mutate"

check: .venv/test.stamp $(COLLECTION)  ## the quick inner loop: ruff, mypy, yamllint, unit tests
	ruff check .
	mypy
	yamllint --strict .
	pytest --quiet --numprocesses=auto tests/unit

lint: .venv/test.stamp $(COLLECTION)  ## ruff, vermin, yamllint, ansible-lint, shellcheck, actionlint
	ruff check .
	vermin --quiet --no-tips --violations --eval-annotations --target=3.6- $(HOST_CODE)
	yamllint --strict .
	python scripts/ansible_lint.py
	scripts/shell_lint
	actionlint .github/workflows/*.yml

types: .venv/test.stamp $(COLLECTION)  ## mypy, strict
	mypy

docs: .venv/test.stamp $(COLLECTION)  ## what ansible-doc and Galaxy show, and the changelog
	@mkdir -p build
	HOME="$(CURDIR)/build" antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck .
	antsibull-changelog lint

site: .venv/site.stamp $(COLLECTION)  ## the documentation as web pages, in build/site/html; warnings, dead links, what axe-core finds are errors
	python scripts/build_site.py
	pytest --quiet tests/pages

drawings:  ## draw the pictures of docs/images anew
	@$(or $(PYTHON),python3) scripts/draw_images.py

unit: .venv/test.stamp $(COLLECTION)  ## unit tests, and the host side's imports under Python 3.6 where there is one
	pytest tests/unit
	scripts/check_python36 $(HOST_CODE)

integration: .venv/test.stamp $(COLLECTION)  ## tests against the real kernel, in private namespaces
	pytest --numprocesses=auto tests/integration

galaxy: .venv/test.stamp  ## the tarball as Galaxy, ansible-galaxy and ansible-builder see it, and licences (REUSE)
	reuse lint --lines
	scripts/galaxy

sanity: .venv/test.stamp  ## ansible-test sanity, with nothing ignored
	scripts/ansible_test sanity

images: system  ## the container images that Molecule uses
	scripts/container_images

# While pip has one processor; what fails here says so in `make molecule`.
images-ahead:
	-@scripts/container_images

molecule: .venv/test.stamp $(COLLECTION)  ## real containers; SCENARIO=default SUITES="bookworm trixie" narrows it down
	scripts/molecule $(SCENARIO)

mutate: .venv/test.stamp $(COLLECTION)  ## the same without the fix: tests must fail (about four minutes)
	python scripts/mutate.py $(or $(SCENARIO),$(MUTATE))

matrix: .venv/test.stamp $(COLLECTION)  ## every ansible-core and managed Python, as a table; CORE=2.16 STAGE=units narrows it
	@scripts/system_packages matrix
	@python scripts/matrix.py $(addprefix --stage=,$(STAGE)) $(CORE)

bench:  ## what asking for sockets costs, side by side (about ten minutes; wants gcc)
	@$(or $(PYTHON),python3) tests/benchmark/observe.py

bench-conntrack: .venv/test.stamp  ## what it costs to read connection tracking, beside the kernel's own dump (a minute, as root)
	@PYTHONPATH=scripts .venv/bin/python tests/benchmark/conntrack.py

bench-namespaces:  ## what each network namespace costs, beside nsenter and ss (some minutes, as root; wants gcc)
	@$(or $(PYTHON),python3) tests/benchmark/namespaces.py

bench-watch:  ## what a run of timewait_monitor costs (a minute, as root; wants gcc)
	@$(or $(PYTHON),python3) tests/benchmark/watch.py

bench-simulation: .venv/test.stamp $(COLLECTION)  ## what up to 50,000 hosts cost the report, and merging 100,000 (some minutes)
	@.venv/bin/python tests/benchmark/fleet_simulation.py
	@.venv/bin/python tests/benchmark/slices_simulation.py

bench-dead-hosts: .venv/test.stamp $(COLLECTION)  ## how long a run waits for silent hosts (a quarter of an hour, as root)
	@.venv/bin/python tests/benchmark/dead_hosts.py

bench-fleet: .venv/test.stamp $(COLLECTION)  ## what a fleet costs over real SSH, side by side (a quarter of an hour, as root)
	@.venv/bin/python tests/benchmark/ssh_fleet.py

system:
	@scripts/system_packages

owner:
	@scripts/check_owner

clean:  ## remove what the targets above made, containers and images too
	@scripts/molecule --clean-images
	rm -rf .ansible .venv build .*_cache .hypothesis

# One environment serves all. A stamp is older than the requirements it was made from when those have changed.
.venv/demo.stamp: requirements/demo.txt
	@scripts/setup requirements/demo.txt
	@touch $@

.venv/test.stamp: requirements/demo.txt requirements/matrix.txt requirements/test.txt
	@scripts/setup requirements/test.txt
	@touch .venv/demo.stamp $@

.venv/site.stamp: requirements/demo.txt requirements/matrix.txt requirements/test.txt requirements/docs.txt
	@scripts/setup requirements/docs.txt
	@touch .venv/demo.stamp .venv/test.stamp $@

# Ansible finds the collection by its path, whatever the checkout is called.
$(COLLECTION):
	@mkdir -p $(@D)
	@ln -sfn ../../.. $@
