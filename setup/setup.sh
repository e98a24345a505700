#!/bin/sh
# Sets the checkout up (run by setup/runtime.sh, with the checkout as its argument): the pinned Node with its headers in
# .runtime/node, the system libraries, the packages built for that Node, the collector's page, a warm compile cache. Each
# step looks first and does only what is missing, so a set-up that was killed is taken up again by the next start. All
# output is for the terminal. Exit code 1: a step failed (the end of its log is shown); 3: a step is not ours to do (what
# to do is said).

set -u
root=$1
. "$root/setup/runtime.sh"
umask 022 # another user than the one who sets up may run it

machine_node_major_min=20
log=$runtime_dir/setup.log
log_tail_lines=25

say() { printf 'imdswatch: %s\n' "$*"; }

# stop EXIT_CODE WHAT REMEDY-LINE…
stop() {
  stop_code=$1
  say "set-up stopped: $2"
  shift 2
  for remedy; do printf '  %s\n' "$remedy"; done
  exit "$stop_code"
}

# step LABEL COMMAND…: runs it with its output in the log, showing how long it took. Returns the command's status.
step() {
  step_label=$1
  shift
  printf 'imdswatch:   %s ... ' "$step_label"
  step_from=$(date +%s)
  printf '\n== %s: %s\n' "$step_label" "$*" >>"$log"
  "$@" >>"$log" 2>&1 </dev/null
  step_status=$?
  if [ "$step_status" -eq 0 ]; then
    printf '%s s\n' "$(($(date +%s) - step_from))"
  else
    printf 'failed (status %s)\n' "$step_status"
  fi
  return "$step_status"
}

show_log() {
  printf '  the last lines of %s:\n' "$log"
  tail -n "$log_tail_lines" "$log" | sed 's/^/  | /'
}

fail() {
  say "set-up failed: $1"
  show_log
  shift
  for remedy; do printf '  %s\n' "$remedy"; done
  exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }

# ---- what this machine is ----------------------------------------------------------------------------------------

find_platform() {
  kernel=$(uname -s)
  machine=$(uname -m)
  [ "$kernel" = Linux ] || stop 3 "imdswatch runs on Linux, this is $kernel." "Run it on the EC2 host itself."
  case $machine in
    x86_64) arch=x64 loader=/lib64/ld-linux-x86-64.so.2 ;;
    aarch64 | arm64) arch=arm64 loader=/lib/ld-linux-aarch64.so.1 ;;
    *) stop 3 "no pinned Node for the architecture $machine." "Supported: x86_64, aarch64." ;;
  esac
  [ -e "$loader" ] || stop 3 "this system has no glibc ($loader is missing; Alpine and others with musl are not supported)." \
    "Use a distribution with glibc 2.28 or newer: Debian, Ubuntu, Amazon Linux 2023, Fedora."
  if command -v apt-get >/dev/null 2>&1; then
    packager=apt
  elif command -v dnf >/dev/null 2>&1; then
    packager=dnf
  else
    packager=none
  fi
}

take_lock() {
  mkdir -p "$runtime_dir" 2>/dev/null && [ -w "$runtime_dir" ] && [ -w "$root" ] ||
    stop 3 "this user ($(id -un 2>/dev/null || id -u)) may not write to $root, where the runtime goes." \
      "Set it up once as the checkout's owner, after which any user can run it:" \
      "  sudo $root/bin/imdswatch --version"
  command -v flock >/dev/null 2>&1 ||
    stop 3 "the command flock is missing (it keeps two set-ups apart)." "Install the package util-linux."
  # Programs started from here inherit the lock, so what a killed set-up left running is waited for as well.
  exec 9>"$runtime_dir/lock"
  if ! flock -n 9; then
    say "another start is setting up this checkout; waiting for it"
    flock 9
  fi
}

# ---- system packages ---------------------------------------------------------------------------------------------

# Names of what is needed to compile cap and is not there. pcap.h is looked for as the compiler will.
missing_build_packages() {
  case $packager in
    dnf) cxx_package=gcc-c++ pcap_package=libpcap-devel ;;
    *) cxx_package=g++ pcap_package=libpcap-dev ;;
  esac
  missing=
  command -v make >/dev/null 2>&1 || missing="$missing make"
  command -v python3 >/dev/null 2>&1 || missing="$missing python3"
  command -v g++ >/dev/null 2>&1 || missing="$missing $cxx_package"
  printf '#include <pcap/pcap.h>\n' | g++ -E -x c++ - >/dev/null 2>&1 ||
    [ -e /usr/include/pcap/pcap.h ] || missing="$missing $pcap_package"
  printf '%s' "${missing# }"
}

install_command() {
  case $packager in
    apt) printf 'apt-get install -y %s' "$*" ;;
    dnf) printf 'dnf install -y %s' "$*" ;;
  esac
}

install_system_packages() {
  case $packager in
    apt)
      export DEBIAN_FRONTEND=noninteractive
      set -- apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
      ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || apt-get update
      # The second try is for lists that have grown old and for a dpkg that was interrupted.
      "$@" || { dpkg --configure -a; apt-get update && "$@"; }
      ;;
    dnf) dnf install -y "$@" ;;
  esac 9>&-
}

# need_system_packages WHY PACKAGE…: returns non-zero where the distribution could not give them.
need_system_packages() {
  need_why=$1
  shift
  [ "$packager" != none ] ||
    stop 3 "missing: $* ($need_why), and neither apt-get nor dnf is here to install it." \
      "Install it by hand. Debian and Ubuntu call the packages: libpcap-dev libbpf1 make g++ python3" \
      "Amazon Linux and Fedora: libpcap-devel libbpf make gcc-c++ python3" \
      "Then start imdswatch again."
  is_root ||
    stop 3 "missing: $* ($need_why), and only root may install it." \
      "Either run once as root:  sudo $root/bin/imdswatch --version" \
      "or by hand:               sudo $(install_command "$@")"
  step "$need_why: $*" install_system_packages "$@"
}

# ---- the pinned Node ---------------------------------------------------------------------------------------------

# is_wanted_node VERSION (as `node --version` prints it): the pinned major, and not older than the pinned one.
is_wanted_node() {
  printf '%s %s\n' "${1#v}" "$pinned_version" | {
    IFS='. ' read -r major minor patch pinned_major pinned_minor pinned_patch
    [ "$major" = "$pinned_major" ] && {
      [ "$minor" -gt "$pinned_minor" ] || { [ "$minor" -eq "$pinned_minor" ] && [ "$patch" -ge "$pinned_patch" ]; }
    }
  } 2>/dev/null
}

# The prefix of the machine's own Node where that is one to use: not older than the pinned one, of the same major (the one
# that is tested), not split into a shared library, and with its own headers beside it. Else nothing.
own_node_prefix() {
  is_wanted_node "$(node --version 2>/dev/null)" || return 0
  node -e '
    const { dirname, join } = require("node:path");
    const prefix = dirname(dirname(process.execPath));
    let header = "";
    try { header = require("node:fs").readFileSync(join(prefix, "include/node/node_version.h"), "utf8"); } catch {}
    const defined = (name) => header.match(new RegExp(`#define NODE_${name}_VERSION (\\d+)`))?.[1];
    const version = [defined("MAJOR"), defined("MINOR"), defined("PATCH")].join(".");
    if (version === process.versions.node && !process.config.variables.node_shared) console.log(prefix);
  ' 2>/dev/null
}

# Copied and not linked: the runtime that cap was built for must not change under us when the machine is upgraded.
copy_own_node() {
  mkdir -p "$fresh/bin" "$fresh/include" &&
    cp "$1/bin/node" "$fresh/bin/node" && cp -R "$1/include/node" "$fresh/include/node"
}

fetch_pinned_node() {
  mkdir -p "$fresh/npm" && cp "$root/setup/runtime/package.json" "$root/setup/runtime/package-lock.json" "$fresh/npm/" &&
    (cd "$fresh/npm" && npm ci --prefix "$fresh/npm" --ignore-scripts --include=optional --no-audit --no-fund) &&
    mv "$fresh/npm/node_modules/node-linux-$arch/bin" "$fresh/npm/node_modules/node-linux-$arch/include" \
      "$fresh/npm/node_modules/node-linux-$arch/LICENSE" "$fresh/" &&
    rm -rf "$fresh/npm"
}

need_npm() {
  command -v npm >/dev/null 2>&1 && command -v node >/dev/null 2>&1 ||
    stop 3 "npm is missing: $1 is installed with it." \
      "Install Node.js $machine_node_major_min or newer with npm (from your distribution, or from the Node.js project)" \
      "so that 'node' and 'npm' are in the PATH of this user, then start imdswatch again."
  machine_node=$(node --version 2>/dev/null)
  machine_node_major=${machine_node#v}
  machine_node_major=${machine_node_major%%.*}
  [ "${machine_node_major:-0}" -ge "$machine_node_major_min" ] 2>/dev/null ||
    stop 3 "the machine's Node is ${machine_node:-not working}, and npm needs $machine_node_major_min or newer to install $1." \
      "Install Node.js $machine_node_major_min or newer with npm, then start imdswatch again."
}

bring_node() {
  pinned_version=$(sed -n "s/.*\"node-linux-$arch\": \"\([0-9.]*\)\".*/\1/p" "$root/setup/runtime/package.json")
  if is_wanted_node "$("$runtime_node" --version 2>/dev/null)"; then return; fi
  fresh=$runtime_dir/node.new
  rm -rf "$fresh"
  own=$(own_node_prefix)
  if [ -n "$own" ]; then
    step "Node $(node --version) of this machine, copied" copy_own_node "$own" || fail "could not copy $own/bin/node."
  else
    need_npm "the pinned Node $pinned_version"
    step "Node $pinned_version" fetch_pinned_node ||
      fail "npm could not install node-linux-$arch $pinned_version." \
        "Check that npm reaches its registry (proxy, certificates: 'npm ping'), then start imdswatch again."
  fi
  # Only add-ons that call OpenSSL themselves need its headers; they are nine tenths of all headers.
  rm -rf "$fresh/include/node/openssl"
  fresh_version=$("$fresh/bin/node" --version 2>>"$log") && is_wanted_node "$fresh_version" ||
    fail "the new Node does not run here (${fresh_version:-no version printed})." \
      "Node 24 needs glibc 2.28 or newer: Debian 10, Ubuntu 20.04, Amazon Linux 2023 or later."
  rm -rf "$runtime_dir/node"
  mv "$fresh" "$runtime_dir/node"
}

# ---- packages and libraries --------------------------------------------------------------------------------------

check_modules() {
  "$runtime_node" "$root/setup/check_modules.mjs" "$root" >>"$log" 2>&1
}

# npm with the pinned Node first in PATH (npm and node-gyp start `node`) and its headers as nodedir. Two names, because
# npm 11 calls the first one an unknown setting while older node-gyp knows no other. cap is compiled with the same headers
# before its own source as for a package (agent/capture/cap_build). Neither node-gyp nor CXXFLAGS can cope with a space in a path, so there
# they are told names without one.
npm_for_runtime() {
  headers=$runtime_dir/node
  cap_build=$root/agent/capture/cap_build
  case $root in
    *[[:space:]]*)
      plain_dir=$(mktemp -d) && ln -s "$headers" "$plain_dir/node" && ln -s "$cap_build" "$plain_dir/cap_build" || return 1
      headers=$plain_dir/node
      cap_build=$plain_dir/cap_build
      ;;
    *) plain_dir= ;;
  esac
  (
    cd -- "$root" &&
      PATH=$runtime_dir/node/bin:$PATH \
        npm_config_nodedir=$headers npm_package_config_node_gyp_nodedir=$headers \
        CXXFLAGS="${CXXFLAGS:-}$(for header in "$cap_build"/*.h; do printf ' -include %s' "$header"; done)" \
        npm "$@" --foreground-scripts --no-audit --no-fund
  )
  npm_status=$?
  [ -z "$plain_dir" ] || rm -rf "$plain_dir"
  return "$npm_status"
}

bring_modules() {
  check_modules
  wanting=$?
  case $wanting in
    0) return ;;
    12) ;;
    *)
      missing=$(missing_build_packages)
      if [ -n "$missing" ]; then
        # shellcheck disable=SC2086 # a list of package names
        need_system_packages "to build cap (libpcap)" $missing || fail "the system packages could not be installed." \
          "By hand: $(install_command $missing)"
      fi
      need_npm "the packages of imdswatch"
      if [ "$wanting" -eq 11 ]; then
        step "cap and koffi, built anew for this Node" npm_for_runtime rebuild cap koffi ||
          fail "npm rebuild failed." "By hand: rm -r $root/node_modules, then start imdswatch again."
      else
        step "packages (npm ci)" npm_for_runtime ci --include=dev --include=optional ||
          fail "npm ci failed." "Check that npm reaches its registry (proxy, certificates: 'npm ping'), then start imdswatch again."
      fi
      check_modules
      wanting=$?
      ;;
  esac
  case $wanting in
    0) ;;
    12) bring_libbpf ;;
    *) fail "the packages do not load after they were installed." ;;
  esac
}

# The only part that imdswatch can do without, and some distributions (Ubuntu 22.04, Debian 11) have no libbpf 1.x.
bring_libbpf() {
  case $packager in
    dnf) libbpf_package=libbpf ;;
    *) libbpf_package=libbpf1 ;;
  esac
  if need_system_packages "to attribute exactly (libbpf 1.x)" "$libbpf_package" && check_modules; then return; fi
  say "this system has no libbpf 1.x: callers will be found by /proc only, less exactly (log: $log)."
}

build_page() {
  "$runtime_node" "$root/node_modules/vite/bin/vite.js" build "$root/web" \
    --config "$root/web/vite.config.ts" --logLevel warn
}

# Only the collector shows it to anybody: whatever is wrong with it, an agent must start. The directory says that it was tried,
# so that not every start tries again.
bring_page() {
  [ -d "$root/web/src" ] || return 0
  step "the collector's page" build_page && return
  mkdir -p "$root/web/dist"
  say "the page could not be built: the collector shows none, or the one from before (log: $log)."
  say "By hand: npm run build"
}

warm_compile_cache() {
  NODE_COMPILE_CACHE=$runtime_dir/compile-cache \
    "$runtime_node" --disable-warning=ExperimentalWarning "$root/cli/main.ts" --warm-compile-cache
}

# ------------------------------------------------------------------------------------------------------------------

find_platform
take_lock
if is_set_up; then exit 0; fi # by the one we waited for
setup_from=$(date +%s)
: >"$log"
say "setting up, once for this checkout (log: $log)"
bring_node
bring_modules
bring_page
step "compile cache" warm_compile_cache ||
  say "the compile cache is not warm: starts are slower and take more memory until it is (log: $log)."
key=$(setup_key)
printf '%s\n' "$key" >"$setup_stamp.new" && mv "$setup_stamp.new" "$setup_stamp" || fail "could not write $setup_stamp."
say "set up in $(($(date +%s) - setup_from)) s"
