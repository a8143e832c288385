#!/bin/sh
# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# A transport that loses the end of its data and ends with success:
#   lying_transport.sh input|output BYTES PROGRAM [ARGUMENT...]
leg=$1 bytes=$2
shift 2
case " $* " in
*" -N "* | *" -O "*) exec "$@" ;; # ssh's master carries no data of its own
esac
# without its buffer head passes on at once what there is
limit() { stdbuf -o0 head -c "$bytes"; }
case $leg in
input) limit | "$@" ;;
output) "$@" | limit ;;
esac
exit 0
