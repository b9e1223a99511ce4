# The PV test kernels on Debian's Xen 4.17, and their answers (ANSWER lines) next to those on ours.
PEER := $(BUILD)/peer
PEER_TABLE := tests/guests/peer.tsv# what does not run there, and what is in `make test`
PEER_RUN = $(SYSTEM)/system_tests -j $(TEST_JOBS) -l $(BUILD)/logs-peer -n "$(TEST_NAME)" -x $(PEER_TABLE)
PEER_ARGS = $(SYSTEM)/peer.iso guests tests/guests/guests.tsv $(GUEST_ELFS)
PEER_COMPARE = tests/guests/compare.sh $(if $(TEST_NAME),-n "$(TEST_NAME)") $(BUILD)/logs $(BUILD)/logs-peer

$(PEER)/stamp: tests/system/fetch-peer.sh
	$(Q)tests/system/fetch-peer.sh $(PEER) </dev/null
$(PEER)/xen-4.17.gz $(PEER)/xen-4.17.map: $(PEER)/stamp ;

$(SYSTEM)/peer.iso: $(PEER)/xen-4.17.gz $(GUEST_ELFS) $(GUEST_RAMDISKS) tests/system/mkiso.sh $(SYSTEM)/settings
	@echo "  ISO     $@"
	$(Q)$(MKISO) -t -o $@ -x $(PEER)/xen-4.17.gz -c "$(RUN_HV_CMDLINE)" \
	    $(addprefix -f ,$(GUEST_ELFS) $(GUEST_RAMDISKS))

.PHONY: test-peer test-peer-quick peer-run
peer-run: $(SYSTEM)/system_tests $(SYSTEM)/peer.iso tests/guests/guests.tsv $(PEER_TABLE)
	$(Q)$(PEER_RUN) $(GUEST_LINES) $(PEER_ARGS)

#: test-peer      the PV test kernels on Debian's Xen and on ours; all differences are to be listed
test-peer:
	+$(Q)$(if $(TEST_NAME),,rm -rf $(BUILD)/logs-peer;) failed=0; \
	for step in peer-run test-guests; do $(MAKE) --no-print-directory GUEST_LINES=-a $$step || failed=1; done; \
	$(PEER_COMPARE) && exit $$failed

# The part of it that `make test` has; the logs of ours are test-guests'.
test-peer-quick: $(SYSTEM)/system_tests $(SYSTEM)/peer.iso tests/guests/guests.tsv $(PEER_TABLE)
	$(Q)rm -rf $(BUILD)/logs-peer
	$(Q)$(PEER_RUN) -q $(PEER_ARGS)
	$(Q)$(PEER_COMPARE)
