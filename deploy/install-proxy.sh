#!/bin/sh
# Makes sure that HAProxy is here for test/deploy/proxy.test.ts: as root on Debian or Ubuntu it installs it.
set -eu
if command -v haproxy >/dev/null 2>&1 || [ -x /usr/sbin/haproxy ]; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "HAProxy is not installed. Install it (Debian: apt-get install haproxy) to run test/deploy/proxy.test.ts." >&2
  exit 0
fi
apt-get update -q
# The package starts a service of its own; what we want is the program.
DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends haproxy
