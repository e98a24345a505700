#!/bin/sh
# Installs imdswatch's agent on a plain EC2 host and starts it: Amazon Linux 2 and 2023 (rpm), Ubuntu and Debian (deb). Run as
# root, by user data (user-data.yaml), by Systems Manager (ssm-document.yaml) or by hand. Safe to run again,
# which changes and restarts nothing where nothing is new; an upgrade is the same with another package. What it needs comes in the environment:
#
#   IMDSWATCH_PACKAGE_URL       https:// URL of the package for this distribution and architecture
#   IMDSWATCH_PACKAGE_SHA256    its SHA-256, from SHA256SUMS of the release
#   IMDSWATCH_COLLECTOR_URL     wss://…
#   IMDSWATCH_TOKEN_PARAMETER   name of the SecureString in Parameter Store with the enrolment token; the instance's role
#                               must be allowed to read it. Not needed once the host has a credential of its own.
#
# Exit code 0: installed, and its unit runs. 1: a step failed. 2: something above is missing or wrong.
set -eu

configuration=${IMDSWATCH_CONFIGURATION:-/etc/imdswatch}

fail() {
  code=$1
  shift
  printf 'imdswatch install: %s\n' "$*" >&2
  exit "$code"
}

check() {
  case ${IMDSWATCH_PACKAGE_URL:-} in
    https://*.deb | https://*.rpm) ;;
    *) fail 2 "IMDSWATCH_PACKAGE_URL is \"${IMDSWATCH_PACKAGE_URL:-}\": must be an https:// URL of a .deb or .rpm" ;;
  esac
  case ${IMDSWATCH_PACKAGE_SHA256:-} in
    *[!0-9a-f]* | '') fail 2 "IMDSWATCH_PACKAGE_SHA256 is \"${IMDSWATCH_PACKAGE_SHA256:-}\": must be 64 hexadecimal digits" ;;
  esac
  [ "${#IMDSWATCH_PACKAGE_SHA256}" -eq 64 ] || fail 2 "IMDSWATCH_PACKAGE_SHA256 must be 64 hexadecimal digits"
  case ${IMDSWATCH_COLLECTOR_URL:-} in
    wss://*[!A-Za-z0-9.:/_-]*) fail 2 "IMDSWATCH_COLLECTOR_URL is \"$IMDSWATCH_COLLECTOR_URL\": no URL" ;;
    wss://?*) ;;
    *) fail 2 "IMDSWATCH_COLLECTOR_URL is \"${IMDSWATCH_COLLECTOR_URL:-}\": must be wss://…" ;;
  esac
}

install_package() {
  [ "$(cat "$configuration/.installed" 2>/dev/null)" != "$IMDSWATCH_PACKAGE_SHA256" ] || return 0
  changed=yes
  file=$work/${IMDSWATCH_PACKAGE_URL##*/}
  curl --fail --silent --show-error --location --proto '=https' --retry 5 --max-time 300 \
    --output "$file" "$IMDSWATCH_PACKAGE_URL" || fail 1 "$IMDSWATCH_PACKAGE_URL could not be fetched"
  printf '%s  %s\n' "$IMDSWATCH_PACKAGE_SHA256" "$file" | sha256sum --check --status ||
    fail 1 "$IMDSWATCH_PACKAGE_URL is not what IMDSWATCH_PACKAGE_SHA256 says: not installed"
  case $file in
    *.deb)
      export DEBIAN_FRONTEND=noninteractive
      apt-get -o DPkg::Lock::Timeout=300 install --quiet --yes --no-install-recommends "$file"
      ;;
    *.rpm)
      # Amazon Linux 2 has yum only.
      installer=$(command -v dnf || command -v yum)
      "$installer" install --quiet --assumeyes "$file"
      ;;
  esac || fail 1 "the package could not be installed"
  printf '%s\n' "$IMDSWATCH_PACKAGE_SHA256" >"$configuration/.installed"
}

# The token goes from Parameter Store into the file, and through no argument of any process.
write_token() {
  [ -n "${IMDSWATCH_TOKEN_PARAMETER:-}" ] || return 0
  # Ubuntu has it as a snap only.
  command -v aws >/dev/null || { command -v snap >/dev/null && snap install aws-cli --classic; } ||
    fail 1 "the aws command is missing, which reads $IMDSWATCH_TOKEN_PARAMETER"
  umask 077
  aws ssm get-parameter --name "$IMDSWATCH_TOKEN_PARAMETER" --with-decryption \
    --query Parameter.Value --output text >"$work/token" || fail 1 "$IMDSWATCH_TOKEN_PARAMETER could not be read"
  install -m 0640 -g imdswatch-agent "$work/token" "$configuration/enrolment-token"
}

# These two settings; what the operator wrote beside them stays.
configure() {
  file=$configuration/agent.yaml
  set_key collector_url "$IMDSWATCH_COLLECTOR_URL"
  [ ! -e "$configuration/enrolment-token" ] || set_key agent_token_file "$configuration/enrolment-token"
}

# set_key KEY VALUE: in place where the key is set, else at the end.
set_key() {
  ! grep -Fqx "$1: $2" "$file" 2>/dev/null || return 0
  changed=yes
  if grep -q "^$1:" "$file" 2>/dev/null; then
    sed -i "s|^$1:.*|$1: $2|" "$file"
  else
    printf '%s: %s\n' "$1" "$2" >>"$file"
  fi
}

start() {
  systemctl enable --quiet imdswatch-agent
  # A restart is a gap in what is watched.
  [ "$changed" = yes ] && verb=restart || verb=start
  systemctl "$verb" imdswatch-agent || fail 1 "the agent does not start: systemctl status imdswatch-agent"
}

changed=no
check
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
install_package
write_token
configure
start
