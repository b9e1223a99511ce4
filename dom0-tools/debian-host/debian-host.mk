# A Debian package that installs the hypervisor on a host.
DEB_VERSION ?= 0.6
DEB := $(BUILD)/xen-like_$(DEB_VERSION)_amd64.deb
DEB_SOURCES := $(wildcard dom0-tools/debian-host/* dom0-tools/adopt/*)

.PHONY: deb
#: deb            a Debian package: image, kernel hooks, entries for update-grub
deb: $(DEB)
$(DEB): $(BUILD)/xen-like.gz $(ADOPT) $(DEB_SOURCES) LICENSE
	@echo "  DEB     $@"
	$(Q)dom0-tools/debian-host/mkdeb.sh -v $(DEB_VERSION) -x $(BUILD)/xen-like.gz -a $(ADOPT) $@
