# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The extra NICs of a node: their names, addresses and MTU, changed safely.

This runs on the node: Python 3.8 and its standard library, nothing else.
"""
