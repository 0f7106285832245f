# What is installed beside the programs, and Debian's packages.

DATA := $(PREFIX)/share
UNITDIR := $(PREFIX)/lib/systemd/system
SANDBOXED := ptftpd ptftpd@ pdhcpd@ pbootpd@ pxed@
COPY := install -D --mode=644
# Where zsh looks, for packages and for what is installed beside them.
ZSH := $(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)

.PHONY: install-data deb

# Units name programs below /usr. Settings that are there already are kept.
install-data: man
	@for kind in bash zsh fish; do $(PYTHON) -m ptftpd.programs.manual $$kind build/$$kind || exit; done
	@copy() { $(COPY) "$$1" "$(DESTDIR)$$2" || exit; }; \
	for unit in systemd/*.service systemd/*.socket systemd/*.target; do \
		copy "$$unit" "$(UNITDIR)/$${unit##*/}"; \
	done; \
	sed --in-place 's:=/usr/sbin/:=$(PREFIX)/sbin/:' "$(DESTDIR)$(UNITDIR)"/p*d*.service "$(DESTDIR)$(UNITDIR)"/p*d*.socket || exit; \
	for service in $(SANDBOXED); do \
		copy systemd/10-sandbox.conf "$(UNITDIR)/$$service.service.d/10-sandbox.conf"; \
	done; \
	for kind in sysusers tmpfiles; do copy systemd/$$kind.conf "$(PREFIX)/lib/$$kind.d/ptftpd.conf"; done; \
	install -D --mode=755 systemd/generator "$(DESTDIR)$(PREFIX)/lib/systemd/system-generators/ptftpd-generator" || exit; \
	copy systemd/ptftpd.catalog "$(PREFIX)/lib/systemd/catalog/ptftpd.catalog"; \
	for file in systemd/examples/*; do copy "$$file" "$(DATA)/doc/ptftpd/examples/$${file##*/}"; done; \
	for page in build/man/*.[1-8]; do copy "$$page" "$(DATA)/man/man$${page##*.}/$${page##*/}"; done; \
	for file in build/bash/*; do copy "$$file" "$(DATA)/bash-completion/completions/$${file##*/}"; done; \
	for file in build/zsh/*; do copy "$$file" "$(DATA)/zsh/$(ZSH)/$${file##*/}"; done; \
	for file in build/fish/*; do copy "$$file" "$(DATA)/fish/vendor_completions.d/$${file##*/}"; done; \
	install -d "$(DESTDIR)/etc/ptftpd/pxed.conf.d"; \
	copy etc/ufw/applications.d/ptftpd /etc/ufw/applications.d/ptftpd; \
	for file in etc/ptftpd/*.conf; do [ -e "$(DESTDIR)/$$file" ] || copy "$$file" "/$$file"; done

# In a copy of the source, which debhelper may fill with files; by Debian's programs, not others on PATH.
SOURCE := build/deb/source
BUILD := env PATH=/usr/sbin:/usr/bin:/sbin:/bin dpkg-buildpackage

deb: ## Debian packages, into build/deb
	@$(NEED) debian/packages
	@rm -rf build/deb
	@mkdir -p $(SOURCE)
	@tar --create --exclude=./build --exclude=./.git --exclude=__pycache__ . | tar --extract --directory=$(SOURCE)
	@cd $(SOURCE) && $(BUILD) --build=binary --unsigned-source --unsigned-changes
	@rm -rf $(SOURCE)
	@echo 'Install them: apt install ./build/deb/*.deb'
