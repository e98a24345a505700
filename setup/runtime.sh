# Sourced by bin/imdswatch and bin/node, with $root set to the checkout: decides whether this checkout is set up, has
# setup/setup.sh do it where it is not, and names the runtime. A start that finds all in place spawns two short processes.

runtime_dir=$root/.runtime
runtime_node=$runtime_dir/node/bin/node
# Inside node_modules, so that whatever replaces the packages (`npm ci`) takes the stamp away with them.
setup_stamp=$root/node_modules/.imdswatch-set-up

# All that the collector's page is built from.
page_sources() {
  cat web/*.* web/public/* web/src/*.* web/src/*/*.* 2>/dev/null
}

# Prints what a finished set-up was made from: the project's packages, the pinned Node, how cap is built, the page's sources and
# the architecture.
setup_key() {
  # shellcheck disable=SC2046 # split on purpose: "hash name hash name hash - hash - machine"
  set -- $(cd -- "$root" && sha256sum package-lock.json setup/runtime/package-lock.json &&
    cat agent/capture/cap_build/*.h | sha256sum && page_sources | sha256sum && uname -m)
  printf '%s %s %s %s %s' "$1" "$3" "$5" "$7" "$9"
}

# True where the stamp was made from the same key, cap has not been built anew (for some other Node) since, and the page was
# built, or was tried to be.
is_set_up() {
  [ -x "$runtime_node" ] && [ -r "$setup_stamp" ] || return 1
  IFS= read -r stamped <"$setup_stamp"
  [ "$stamped" = "$(setup_key)" ] && ! [ "$root/node_modules/cap/build/Release/cap.node" -nt "$setup_stamp" ] &&
    { [ -d "$root/web/dist" ] || ! [ -d "$root/web/src" ]; }
}

# Node keeps one compile cache per user id below the directory, so a user who may not write beside the checkout has one
# of their own. Root takes none from a home that is not root's: a cache is code.
choose_compile_cache() {
  [ -z "${NODE_COMPILE_CACHE:-}" ] && [ -z "${NODE_DISABLE_COMPILE_CACHE:-}" ] || return 0
  if [ -w "$runtime_dir" ]; then
    NODE_COMPILE_CACHE=$runtime_dir/compile-cache
  elif [ -n "${CACHE_DIRECTORY:-}" ]; then
    NODE_COMPILE_CACHE=${CACHE_DIRECTORY%%:*}/compile-cache # systemd's CacheDirectory=
  elif [ -n "${HOME:-}" ] && [ -O "$HOME" ] && [ -w "$HOME" ]; then
    NODE_COMPILE_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/imdswatch/compile-cache
  else
    return 0
  fi
  export NODE_COMPILE_CACHE
}

bring_up_runtime() {
  is_set_up || sh "$root/setup/setup.sh" "$root" >&2 || exit $?
  choose_compile_cache
}
