#!/usr/bin/env bash
# Makes the throw-away keys of the tour and the end-to-end tests. Everybody knows their secret parts: trust them with nothing.
# Needs gpg. Run it again only to replace the keys; what they signed has to be made anew then.
set -euo pipefail
cd "$(dirname "$0")"
export GNUPGHOME
GNUPGHOME=$(mktemp -d)
trap 'gpgconf --kill all; rm -rf "$GNUPGHOME"' EXIT

make() { # make NAME "USER ID"
  gpg --quiet --batch --pinentry-mode loopback --passphrase '' --faked-system-time 20260101T000000! \
    --quick-generate-key "$2" ed25519 sign never
  gpg --quiet --armor --export "$2" > "$1.asc"
  gpg --quiet --armor --batch --pinentry-mode loopback --passphrase '' --export-secret-keys "$2" > "$1.sec.asc"
}
make tour "Tour (throw-away key) <tour@example.com>"
make stranger "A Stranger (throw-away key) <stranger@example.com>"
rm stranger.sec.asc
