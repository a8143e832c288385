# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller of MultiNicNodeConfigs: kopf watches, a queue of our own calls ``reconcile``.

Run it with ``python -m ansible_collections.manifold.core.extensions.multinic_controller`` where the root of the
collections is in PYTHONPATH, or by the path of this folder: ``python .../extensions/multinic_controller``.
"""
