#!/bin/sh
# Installs, as root, the packages of the system that the lab and system tests use beyond the product itself. It lists them
# first. A test skips with a reason where its package is missing. `npm test` without arguments runs this.

set -u
root=$(cd -P -- "$(dirname -- "$0")/.." && pwd -P) || exit 1
cd -- "$root" || exit 1
say() { printf '%s\n' "$*" >&2; }

missing=
need() { # need COMMAND DEBIAN-PACKAGE FEDORA-PACKAGE
  command -v "$1" >/dev/null 2>&1 || missing="$missing $2:$3"
}
need ip iproute2 iproute
need nft nftables nftables
need tcpdump tcpdump tcpdump
need curl curl curl
need wget wget wget
need python3 python3 python3
# Runtimes of the snippets that are advised. Those of Go and Java take more than 100 MB: their snippets are tested where
# `go` and `javac` are there already.
need ruby ruby ruby
need php php-cli php-cli
need perl perl perl
python3 -c 'import requests' 2>/dev/null || missing="$missing python3-requests:python3-requests"
need cc gcc gcc
need clang clang clang
need llvm-strip llvm llvm
need git git git
need openssl openssl openssl
need chromium chromium chromium
[ -e /usr/include/bpf/bpf_helpers.h ] || missing="$missing libbpf-dev:libbpf-devel"
# The store of large fleets is tested on PostgreSQL. Debian 12 has 15, and others have what the tests find.
ls -d /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null 2>&1 ||
  missing="$missing postgresql-15:postgresql-server"
# A pooler in front of it, which must not harm unnoticed.
[ -x /usr/sbin/pgbouncer ] || missing="$missing pgbouncer:pgbouncer"
# Container engines and a bootable system have these names on Debian only. They take 27 s on a machine with nothing.
if command -v apt-get >/dev/null 2>&1; then
  need dockerd docker.io -
  need containerd containerd -
  need runc runc -
  need podman podman -
  need slirp4netns slirp4netns -
  need pasta passt -
  need tinyproxy tinyproxy-bin -
  need iptables iptables -
  need systemd-nspawn systemd-container -
  # These build and inspect packages, for both architectures.
  need rpmbuild rpm -
  need aarch64-linux-gnu-g++ g++-aarch64-linux-gnu -
  need qemu-aarch64-static qemu-user-static -
  need mandoc mandoc -
  need zsh zsh -
  need fish fish -
  # These render, run and check the files of docker/.
  need kubectl kubernetes-client -
  need docker-compose docker-compose -
  need shellcheck shellcheck -
  need promtool prometheus -
  need prometheus-alertmanager prometheus-alertmanager -
  # It makes the rules and dashboards from the mixin.
  need jsonnet jsonnet -
  need haproxy haproxy -
  need patroni patroni -
  need mmdebstrap mmdebstrap -
  # The unit tests run again with it, under other dates.
  need faketime faketime -
  [ -e /bin/busybox ] || missing="$missing busybox-static:-"
  [ -e /usr/lib/cni/bridge ] || missing="$missing containernetworking-plugins:-"
  [ -e /lib/systemd/systemd ] || missing="$missing systemd:-"
  [ -e /usr/bin/dbus-daemon ] || missing="$missing dbus:-"
  ls /usr/lib/*/security/pam_systemd.so >/dev/null 2>&1 || missing="$missing libpam-systemd:-"
fi

if [ -n "$missing" ]; then
  packages=
  log=.runtime/test_setup.log
  if command -v apt-get >/dev/null 2>&1; then
    for pair in $missing; do packages="$packages ${pair%%:*}"; done
    set_up() {
      export DEBIAN_FRONTEND=noninteractive
      ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || apt-get update
      install() { apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"; }
      # A distribution that lacks some of the packages still gets the others.
      one_by_one() { one_status=0; for package; do install "$package" || one_status=$?; done; return "$one_status"; }
      # The package of a container engine would start it as a service of this machine; the tests start their own.
      policy=/usr/sbin/policy-rc.d
      [ -e "$policy" ] && policy= || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"; }
      # shellcheck disable=SC2086 # a list of package names
      install $packages || { apt-get update && install $packages; } || one_by_one $packages
      installed=$?
      [ -z "$policy" ] || rm -f "$policy"
      return "$installed"
    }
  else
    for pair in $missing; do packages="$packages ${pair#*:}"; done
    # shellcheck disable=SC2086
    set_up() { dnf install -y $packages; }
  fi
  if [ "$(id -u)" -ne 0 ]; then
    say "setup: these packages are missing. Only root can install them, so the tests that need them skip:$packages"
  else
    say "setup: the lab and system tests use these packages of the system, which are installed now:$packages"
    say "setup: the log is $log. \"npm run test:unit\" installs nothing."
    if ! set_up >"$log" 2>&1 </dev/null; then
      say "setup: the installation failed, so the tests that need the packages skip. The last lines of $log:"
      tail -n 15 "$log" | sed 's/^/  | /' >&2
    fi
  fi
fi
