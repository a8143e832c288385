# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The extra NICs of a cluster's nodes: a MultiNicNodeConfig per node, a Job per change, a status that tells the truth.

Python 3.8 and its standard library; only :mod:`_api` needs the Kubernetes client, when it is used.
"""
