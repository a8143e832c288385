"""A real MariaDB with a data directory of its own, and the tables that users have."""
# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from testbed.mariadb.schema import Account, Schema
from testbed.mariadb.server import MariaDb, MariaDbError

__all__ = ["Account", "MariaDb", "MariaDbError", "Schema"]
