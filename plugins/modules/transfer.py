#!/usr/bin/python
# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This is a virtual module that is entirely implemented as an action plugin and runs on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: transfer
short_description: Copy a file or a tree from one place to another, only what differs
version_added: 0.1.0
author: manifold.core contributors (@manifold-core)
description:
  - Copies a file or a directory from any context to any other - this machine, an SSH host, a Kubernetes pod. What is
    copied streams through the controller and never touches its disk; lists of names do, in unnamed temporary files.
  - Compares first and sends only what differs. Keeps modes, times of change in whole seconds, symbolic and hard links,
    empty directories, and for root at the destination the numbers of owner and group.
  - What is sent gets its name only if it has the same checksum at both ends, where it was read and where it arrived;
    the archive that a tree is sent as (SHA-256 or BLAKE2b), or the file (SHA-256). A file appears whole or not at all;
    a tree does not appear at once, but file by file, or for a new directory as a whole.
  - Needs only a POSIX C(sh) with GNU C(tar) or busybox and the usual tools at both ends, no Python.
requirements:
  - C(ssh) on the controller, for SSH hosts.
  - C(kubectl) on the controller and the collection C(kubernetes.core), for pods.
attributes:
  check_mode:
    support: full
    description: Compares both ends and says what would be done.
  diff_mode:
    support: full
    description: Lists what is sent, linked, made, deleted, and what only gets other attributes.
  idempotent:
    support: full
    description: A second transfer of an unchanged source sends nothing and is not reported as changed.
options:
  src:
    description:
      - What to copy, as C(context:path), for a pod other than the context's own as C(context:pod:path) or
        C(context:pod/container:path), or as a mapping with the keys C(context), C(path), C(pod), C(container),
        C(become), C(become_user) and C(glob). A pod may also be a workload, as in C(context:deployment/web:path).
      - The context is the name of a host of the inventory, or V(local) for the controller.
      - A directory is copied into O(dest) under its own name; with a slash at the end of the path its content is, as
        with C(rsync). A symbolic link that is named here is followed, one below it is copied as a link.
      - The last part of the path may be a pattern of C(*), C(?) and C([...]), such as V(web:/var/log/nginx/*.gz). What
        it matches goes into the directory O(dest), which is made if it is missing; no match is an error. A name that
        begins with a dot has to be matched by a dot. Something that has exactly that name is taken instead, and with
        the key C(glob) of a mapping set to V(false) nothing else. Patterns elsewhere are refused, as is O(delete=true).
    type: raw
    required: true
  dest:
    description:
      - Where to copy to, written as O(src) is. A file goes into a directory that is there, or whose path ends with a
        slash; else the path is that of the file.
      - A relative path starts where commands start there, which over SSH is the home directory of the user, in a pod
        the working directory of the container, and for V(local) the directory of the playbook. A leading V(~/) is the
        home directory everywhere.
    type: raw
    required: true
  checksum:
    description:
      - Whether to compare files by their SHA-256 instead of by size and time of change.
      - What was sent of a tree is then read once more at both ends, too, and compared file by file.
    type: bool
    default: false
  delete:
    description:
      - Whether to remove from the directory at the destination what the source does not have. What is excluded stays.
        What came since it was listed stays, too.
    type: bool
    default: false
  allow_empty:
    description: Whether O(delete=true) may remove everything because the source is empty.
    type: bool
    default: false
  exclude:
    description:
      - Patterns of what to leave alone, at both ends. C(*) and C(?) do not match a slash, C(**) does, C([a-z]) matches
        one of the characters.
      - A pattern that begins with a slash is held to the root of the tree, any other one matches at every level. One
        that ends with a slash matches directories only. What is below a directory that is left alone is, too.
    type: list
    elements: str
    default: []
  include:
    description: Patterns of what not to leave alone although O(exclude) says so. They do not reach below a directory
      that is left alone.
    type: list
    elements: str
    default: []
  compress:
    description:
      - What compresses the archives of a tree on their way. V(zstd) and V(gzip) are an error where an end lacks them.
      - V(auto) chooses by what both ends have, how much is sent and how far away they are.
    type: str
    choices: [auto, zstd, gzip, none]
    default: auto
  create_parents:
    description: Whether to make the directory that the destination is in, and those above it.
    type: bool
    default: false
  resume:
    description:
      - Whether what has arrived of a file that is O(src) itself and has 64 MiB or more stays when its transfer is cut,
        beside the destination, readable for its owner only. The next transfer from the same source, in the same state,
        to the same destination makes sure by checksums at both ends which parts of it are right, and sends the others.
      - A run that is still at work keeps what is its own. What a controller that is not this one has left is taken over
        once nobody has written to it for five minutes.
    type: bool
    default: true
  streams:
    description:
      - How many parts of such a file are sent side by side, from 1 to 32. Over SSH they are channels of one connection;
        a server lets 10 of them through by default (C(MaxSessions)), more become connections of their own. It pays
        where the round trip is long.
    type: int
    default: 1
  bwlimit:
    description: Bytes a second that are sent at most, such as V(10M).
    type: str
  retries:
    description:
      - How often a transfer is tried again whose connection was lost, or whose stream was cut or stalled. It begins
        again with comparing, so what is in place is not sent again.
      - What another try would not change, such as a missing file, a refused login or a full disk, is not tried again.
    type: int
    default: 0
  retry_delay:
    description: Seconds before it is tried again. Each further time waits twice as long.
    type: float
    default: 5
  stall_timeout:
    description:
      - Seconds in which not a byte is sent before that is ended. The time in which both ends are listed and files are
        read back does not count.
      - Without it there is no limit.
    type: float
  timeout:
    description: Seconds for the whole transfer with all O(retries). Without it there is no limit.
    type: float
  connect_timeout:
    description: Seconds in which both ends have to be ready, for each step of the work.
    type: float
    default: 60
notes:
  - Devices, sockets and named pipes are listed in the result and left alone.
  - A file that changes while it is read is left as it was at the destination, and the task fails and names it, in a
    tree after everything else is in place.
  - The task says how far it is - the files and their bytes out of all that are sent, rate and time left, and what it
    does where nothing is sent; see M(manifold.core.pipeline) for where and how often.
seealso:
  - module: manifold.core.pipeline
"""

EXAMPLES = r"""
- name: Fetch the logs of a pod
  manifold.core.transfer:
    src: k8s-prod:/var/log/nginx/
    dest: local:./logs/

- name: Mirror a folder of a server to a pod, without caches
  manifold.core.transfer:
    src: backup-server:/srv/site/
    dest: k8s-staging:/usr/share/nginx/html/
    delete: true
    exclude: ["*.tmp", /cache/]

- name: Fetch the packed logs from whichever pod of a deployment is ready
  manifold.core.transfer:
    src: "k8s-prod:deployment/web:/var/log/nginx/*.gz"
    dest: local:./logs/
    retries: 3

- name: Copy a file as root
  manifold.core.transfer:
    src: local:./app.conf
    dest: {context: prod-server, path: /etc/app/app.conf, become: true}
"""

RETURN = r"""
operation_id:
  description: Identifies this run; part of the name of its temporary files.
  returned: always, once the arguments were understood
  type: str
  sample: 2026-01-14-170234-1f8a0c3e
duration_ms:
  description: Milliseconds from reaching the contexts to the end.
  returned: always, once the arguments were understood
  type: int
src:
  description: The source.
  returned: always, once the arguments were understood
  type: str
dest:
  description: The file or directory that was written, with its context.
  returned: always, once the arguments were understood
  type: str
files:
  description: How many files were sent, in check mode would be.
  returned: always, once the arguments were understood
  type: int
bytes:
  description: Their size in bytes.
  returned: always, once the arguments were understood
  type: int
rate:
  description: RV(bytes) a second, over the whole duration.
  returned: always, once the arguments were understood
  type: int
resumed:
  description: Bytes of a large file that were there of a transfer that was cut, and were proven. They are not among
    RV(bytes).
  returned: always, once the arguments were understood
  type: int
streams:
  description: How many parts of a file were sent side by side.
  returned: always, once the arguments were understood
  type: int
checksum:
  description: The SHA-256 of the file.
  returned: when O(src) is a file and was sent as a whole, in one stream, not within one context
  type: str
retries:
  description: How often it was tried again. Other numbers are those of the last time.
  returned: always, once the arguments were understood
  type: int
steps:
  description: What ran at both ends, the last one of each name, as RV(manifold.core.pipeline#module:steps) has it.
  returned: always, once the contexts were understood
  type: list
  elements: dict
compress:
  description: What compressed the archives of a tree, V(none) where nothing did.
  returned: always, once the arguments were understood
  type: str
links:
  description: How many symbolic links were sent, and further names of files made.
  returned: always, once the arguments were understood
  type: int
directories:
  description: How many directories were made.
  returned: always, once the arguments were understood
  type: int
attributes:
  description: How many files and directories were there and only got another mode, owner or time.
  returned: always, once the arguments were understood
  type: int
deleted:
  description: How many entries were removed.
  returned: always, once the arguments were understood
  type: int
unchanged:
  description: How many entries were already as they should be.
  returned: always, once the arguments were understood
  type: int
excluded:
  description: How many entries of the source were left alone because of a pattern, without what is below them.
  returned: always, once the arguments were understood
  type: int
special:
  description: The devices, sockets and named pipes of the source, at most 1000.
  returned: always, once the arguments were understood
  type: list
  elements: str
unstable:
  description: What changed in the source while it was read, or could not be read, at most 1000.
  returned: always, once the arguments were understood
  type: list
  elements: str
"""
