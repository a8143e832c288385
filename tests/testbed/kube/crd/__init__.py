# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Custom resources as a real API server treats them: schemas, defaults, pruning, and rules in CEL."""

from testbed.kube.crd.definition import Definition, check_definition, definitions

__all__ = ["Definition", "check_definition", "definitions"]
