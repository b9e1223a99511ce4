# xen-like: one flat Makefile, out of tree in build/. `make help` lists the targets.
BUILD := build
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
DEBUG ?= y# n: no ASSERT
Q := $(if $(V),,@)# V=1: show commands

.PHONY: help all clean
.DEFAULT_GOAL := all

help:
	@sed -n 's/^#: *//p' $(MAKEFILE_LIST)

#: all            build build/xen-like.gz, build/hypervisor/xen-like and build/guests/*.elf
all: hypervisor

include hypervisor/hypervisor.mk
include tests/unit/unit.mk
-include tests/guests/guests.mk tests/system/system.mk

#: clean          remove build/
clean:
	rm -rf $(BUILD)
