# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads the test bed's fixtures for every test.

Properties are tried with a moderate number of examples, without a clock: the machine may be busy.
"""

from __future__ import annotations

from hypothesis import settings

pytest_plugins = ["testbed.fixtures"]
settings.register_profile("ours", deadline=None, max_examples=60, database=None)
settings.load_profile("ours")
