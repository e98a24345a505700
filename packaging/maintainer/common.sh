# Part of every maintainer script, of both families of packages.

services='imdswatch-agent.service imdswatch-collector.service'

# make_user NAME: a system user with a group of the same name, who cannot log in.
make_user() {
  if getent passwd "$1" >/dev/null; then return; fi
  getent group "$1" >/dev/null || groupadd --system "$1"
  useradd --system --gid "$1" --no-create-home --home-dir "/var/lib/imdswatch/${1#imdswatch-}" \
    --shell /usr/sbin/nologin --comment "imdswatch ${1#imdswatch-}" "$1"
}

make_users() {
  make_user imdswatch-agent
  make_user imdswatch-collector
}

# The directory of both lets both through; what is in it is each one's own.
make_state_directories() {
  [ -d /var/lib/imdswatch ] || install -d -m 0755 /var/lib/imdswatch
  for of in agent collector; do
    [ -d "/var/lib/imdswatch/$of" ] ||
      install -d -m 0700 -o "imdswatch-$of" -g "imdswatch-$of" "/var/lib/imdswatch/$of"
  done
}

# drop_in UNIT NAME BEFORE: the drop-in NAME of the unit is there if systemd is older than release BEFORE.
drop_in() {
  drop=/usr/lib/systemd/system/$1.d/$2
  if [ "$systemd_release" -lt "$3" ]; then
    install -D -m 0644 "/usr/lib/imdswatch/systemd/$2" "$drop"
  else
    remove_drop_in "$drop"
  fi
}

remove_drop_in() {
  rm -f "$1"
  if [ -d "${1%/*}" ]; then rmdir --ignore-fail-on-non-empty "${1%/*}"; fi
}

# Makes the units fit an old systemd. The drop-ins say why.
fit_units() {
  command -v systemctl >/dev/null || return 0
  systemd_release=$(systemctl --version | sed -n '1s/^systemd \([0-9][0-9]*\).*/\1/p')
  [ -n "$systemd_release" ] || return 0
  for unit in $services; do drop_in "$unit" old-systemd-filter.conf 239; done
  drop_in imdswatch-agent.service old-systemd-root.conf 229
  fit_kernel
  if [ "$systemd_release" -lt 229 ]; then chown -R root:root /var/lib/imdswatch/agent; fi
}

# Before Linux 5.8 there is neither CAP_PERFMON (38) nor CAP_BPF (39): the agent's unit gets CAP_SYS_ADMIN there, and only
# there. systemd before 229 allows what all lines of CapabilityBoundingSet= name, not what any of them names: the drop-in
# would take every capability away, and the agent could not start.
fit_kernel() {
  drop=/usr/lib/systemd/system/imdswatch-agent.service.d/kernel-before-5.8.conf
  last_capability=$(cat /proc/sys/kernel/cap_last_cap 2>/dev/null || echo 39)
  if [ "$systemd_release" -ge 229 ] && [ "$last_capability" -lt 39 ]; then
    install -D -m 0644 /usr/lib/imdswatch/systemd/kernel-before-5.8.conf "$drop"
  else
    remove_drop_in "$drop"
  fi
}

unfit_units() {
  for unit in $services; do
    for name in old-systemd-filter.conf old-systemd-root.conf kernel-before-5.8.conf; do
      remove_drop_in "/usr/lib/systemd/system/$unit.d/$name"
    done
  done
}

systemd_runs() { [ -d /run/systemd/system ]; }

# service VERB UNIT…, as this machine's policy for services allows.
service() {
  if command -v deb-systemd-invoke >/dev/null; then deb-systemd-invoke "$@"; else systemctl "$@"; fi
}

# Only what runs: nothing is started that the operator did not start.
restart_running() {
  systemd_runs || return 0
  systemctl daemon-reload
  for unit in $services; do
    if systemctl --quiet is-active "$unit" && ! service try-restart "$unit"; then
      echo "imdswatch: $unit did not start again. Why: systemctl status $unit" >&2
    fi
  done
}

stop_running() {
  systemd_runs || return 0
  for unit in $services; do
    if systemctl --quiet is-active "$unit"; then service stop "$unit"; fi
  done
}

# The demo installs two SDKs into its cache when it is run; the package manager does not know them.
remove_demo_packages() { rm -rf /var/cache/imdswatch/demo; }

say_next_step() {
  echo 'imdswatch is installed and not started. To watch this host: set collector_url in /etc/imdswatch/agent.yaml, then'
  echo '  systemctl enable --now imdswatch-agent'
}
