# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: forward
short_description: Tell where a forward listens
version_added: 0.1.0
author: manifold.core contributors (@manifold-core)
description:
  - Returns the address, as C(host:port), at which a forward of M(manifold.core.port_forward) can be reached from this
    machine. It fails if the forward does not run.
options:
  _terms:
    description: The names of forwards.
    type: list
    elements: str
    required: true
  port:
    description: The port of the target that is meant, by number or name; without it the first one of the forward.
    type: str
seealso:
  - module: manifold.core.port_forward
"""

EXAMPLES = r"""
- name: Show where the object store is
  ansible.builtin.debug:
    msg: "http://{{ lookup('manifold.core.forward', 'minio') }}/"

- name: Show where its console is, which is another port of the same forward
  ansible.builtin.debug:
    msg: "http://{{ lookup('manifold.core.forward', 'minio', port=9001) }}/"
"""

RETURN = r"""
_raw:
  description: An address for each name, such as V(127.0.0.1:9000).
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ..plugin_utils.forwards._errors import ForwardError
from ..plugin_utils.forwards._state import ForwardFolder, this_directory
from ..plugin_utils.forwards._task import address_of


class LookupModule(LookupBase):
    """Names in, addresses out."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        folder = ForwardFolder(this_directory())
        try:
            return [address_of(folder, str(term), self.get_option("port")) for term in terms]
        except ForwardError as exc:
            raise AnsibleError(str(exc)) from exc
