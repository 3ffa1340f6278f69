# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What every Makefile.am includes.

AM_CPPFLAGS = -I$(top_srcdir)/lib
# Hidden, so that the compiler may inline what is global; what nbdkit needs is
# marked.  Thread-local variables are few and small: so they may be in the
# space that the C library reserves for those of libraries loaded later.
AM_CFLAGS = $(WARN_CFLAGS) $(SANITIZE_CFLAGS) \
	-fvisibility=hidden -ftls-model=initial-exec
AM_LDFLAGS = $(SANITIZE_CFLAGS)

# Manual pages are made from the .pod beside what they document.
SUFFIXES = .pod .1 .5 .7
POD2MAN_FLAGS = \
	--center="nbdkit-remap" \
	--release="$(PACKAGE)-$(VERSION)" \
	--errors=die \
	--utf8

.pod.1:
	$(AM_V_at)$(MKDIR_P) $(@D)
	$(AM_V_GEN)$(POD2MAN) $(POD2MAN_FLAGS) --section=1 \
	  --name=$(*F) $< $@.tmp && mv $@.tmp $@
.pod.5:
	$(AM_V_at)$(MKDIR_P) $(@D)
	$(AM_V_GEN)$(POD2MAN) $(POD2MAN_FLAGS) --section=5 \
	  --name=$(*F) $< $@.tmp && mv $@.tmp $@
.pod.7:
	$(AM_V_at)$(MKDIR_P) $(@D)
	$(AM_V_GEN)$(POD2MAN) $(POD2MAN_FLAGS) --section=7 \
	  --name=$(*F) $< $@.tmp && mv $@.tmp $@
