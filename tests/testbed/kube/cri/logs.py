# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log files that a CRI runtime writes."""

from __future__ import annotations


def parse_cri_log(data: bytes) -> bytes:
    """Return what a container wrote, out of lines of the form ``TIME STREAM TAGS TEXT``.

    A line that the runtime had to cut carries the tag ``P`` (partial); the end of a whole one ``F``
    (full). A last line without its newline is still being written and is left out.
    Format: the kubelet's CRI logging design, ``k8s.io/cri-client/pkg/logs``.
    """
    output = bytearray()
    for line in data.split(b"\n")[:-1]:
        _time, _stream, tags, text = line.split(b" ", 3)
        output += text
        if tags.split(b":")[0] == b"F":
            output += b"\n"
    return bytes(output)
