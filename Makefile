# Every target works on a fresh Debian 12 or 13, as root or as a user with sudo, and installs what it needs.

# Debian's Python, which has Debian's modules; python3 on PATH may be another.
PYTHON := /usr/bin/python3
# Installs missing packages. 'make NEED=true ...' goes on without looking.
NEED := tests/need
DESTDIR :=
PREFIX := /usr/local

RUFF := 0.17.6
MYPY := 2.4.1
LINT := build/lint-ruff-$(RUFF)-mypy-$(MYPY)
ATHERIS_VERSION := 3.0.0
ATHERIS := build/fuzz-atheris-$(ATHERIS_VERSION)
FUZZ_SECONDS := 300
PYTEST := $(PYTHON) -m pytest
# Directories of tests with a list of packages of their own need root and network namespaces.
NOT_QUICK := $(patsubst %/packages,%,$(wildcard tests/*/packages))

# Nothing for root, else sudo; without either, make stops here.
SUDO = $(if $(filter-out 0,$(shell id -u)),$(or $(shell command -v sudo 2>&1),$(error \
	make $@ has to run as root, or as a user with sudo, and sudo is not installed)))
AS_ROOT = $(SUDO) env PYTHONDONTWRITEBYTECODE=1 CI=$(CI)

export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help demo test check autopkgtest fuzz soak bench lint man install uninstall clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

demo: ## boot virtual machines over the network, and show how it goes
	@$(NEED) tests/packages tests/boot/packages
	@$(AS_ROOT) $(PYTHON) -m tests.demo

test: lint ## lint and every test, the ones that need root too
	@$(NEED) $(wildcard tests/packages tests/*/packages)
	@$(AS_ROOT) $(PYTEST)

check: ## the quick tests: no root, no network
	@$(NEED) tests/packages
	@$(PYTEST) $(NOT_QUICK:%=--ignore=%)

autopkgtest: ## the tests of the packages, debian/tests, on Debian 12 and 13; a quarter of an hour
	@$(NEED) $(wildcard tests/packages tests/*/packages)
	@$(AS_ROOT) $(PYTHON) -m tests.system.testbed

fuzz: ## random datagrams, then coverage-guided ones, for half an hour
	@$(NEED) tests/packages
	@PTFTPD_FUZZ=1000000 $(PYTEST) tests/fuzz --override-ini timeout=3000
	@$(MAKE) --no-print-directory $(ATHERIS)/ready
	@for target in dhcp requests transfers; do \
		$(ATHERIS)/bin/python -m tests.fuzz.guided $$target -max_total_time=$(FUZZ_SECONDS) || exit; \
	done

$(ATHERIS)/ready:
	@$(NEED) tests/packages
	@echo 'getting atheris $(ATHERIS_VERSION) from PyPI'
	@$(PYTHON) -m venv --clear --system-site-packages $(@D)
	@$(@D)/bin/pip --quiet --disable-pip-version-check install --only-binary :all: atheris==$(ATHERIS_VERSION) || { \
		echo 'make fuzz: there is no atheris $(ATHERIS_VERSION) to be had for this Python and processor (above):' \
			'the random half is done, the coverage-guided one is not' >&2; exit 1; }
	@touch $@

soak: ## serve for half an hour, and see that nothing grows
	@$(NEED) $(wildcard tests/packages tests/*/packages)
	@$(AS_ROOT) $(PYTHON) -m tests.faults.soak

bench: ## this and other servers and clients side by side, into build/bench; half an hour
	@$(NEED) tests/packages tests/bench/packages tests/system/packages
	@$(AS_ROOT) $(PYTHON) -m tests.bench

lint: $(LINT)/ready ## ruff and mypy, pinned versions
	@failed=0; \
	for tool in 'ruff check --quiet' 'ruff format --check --quiet --output-format concise' mypy; do \
		$(LINT)/bin/$$tool || { echo "make lint: $$tool failed" >&2; failed=1; }; \
	done; \
	exit $$failed

$(LINT)/ready:
	@$(NEED) tests/packages
	@echo 'getting ruff $(RUFF) and mypy $(MYPY) from PyPI'
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/pip --quiet --disable-pip-version-check install ruff==$(RUFF) mypy==$(MYPY)
	@touch $@

man: ## the manual pages, into build/man
	@$(NEED) tests/packages
	@$(PYTHON) -m ptftpd.programs.manual man build/man

include packaging.mk

# For other systems than Debian, which has packages.
LIBRARY := $(PREFIX)/lib/ptftpd
PROGRAMS := sbin/ptftpd=tftpd sbin/pdhcpd=dhcpd sbin/pbootpd=bootpd sbin/pxed=pxed bin/ptftp=tftp bin/tftp=tftp

install: install-data ## copy everything below DESTDIR, programs to PREFIX
	@for module in $$(find ptftpd -name '*.py'); do \
		install -D --mode=644 "$$module" "$(DESTDIR)$(LIBRARY)/$$module" || exit; \
	done
	@$(PYTHON) -m compileall -q -s "$(DESTDIR)/" -p / "$(DESTDIR)$(LIBRARY)" # no service may write there
	@for program in $(PROGRAMS); do \
		file="$(DESTDIR)$(PREFIX)/$${program%=*}"; \
		install -D --mode=755 /dev/null "$$file" || exit; \
		printf '%s\n' '#!$(PYTHON) -I' 'import sys' '' 'sys.path.insert(0, "$(LIBRARY)")' \
			"from ptftpd.programs.$${program#*=} import main" '' 'sys.exit(main())' >"$$file" || exit; \
	done
	@ln -sf ptftp.1 "$(DESTDIR)$(DATA)/man/man1/tftp.1"
	@ln -sf ptftp "$(DESTDIR)$(DATA)/bash-completion/completions/tftp"
	@ln -sf ptftp.fish "$(DESTDIR)$(DATA)/fish/vendor_completions.d/tftp.fish"
	@[ "$(DESTDIR)" ] || echo 'Now let systemd know: systemd-sysusers;' \
		'systemd-tmpfiles --create $(PREFIX)/lib/tmpfiles.d/ptftpd.conf; systemctl daemon-reload'

uninstall: ## remove what install has copied; settings, leases and the user stay
	@all=$$(mktemp -d) && $(MAKE) --no-print-directory install DESTDIR="$$all" PREFIX=$(PREFIX) >/dev/null && \
		(cd "$$all" && find . ! -type d ! -path './etc/ptftpd/*') | while read -r file; do \
			rm -f "$(DESTDIR)/$$file" || exit; \
		done && rm -rf "$$all" "$(DESTDIR)$(LIBRARY)"

clean: ## remove what the other targets made
	rm -rf build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
