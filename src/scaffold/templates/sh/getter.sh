#!/bin/sh
# Downloads @scheme@:// URLs. The host calls this with four words: a certificate, its key, the authorities to trust (paths of
# files, or empty) and the URL; a user name and a password are in HELM_PLUGIN_USERNAME and HELM_PLUGIN_PASSWORD. The content goes to
# standard output. Ending with a code other than 0 means that nothing came.
set -eu

# This one serves the files below `files/` of the plugin, or below the directory that GETTER_ROOT names.
here=${HELM_PLUGIN_DIR:-$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)}
root=${GETTER_ROOT:-$here/files}

fail() {
  printf '%s: %s\n' "${HELM_PLUGIN_NAME:-@name@}" "$1" >&2
  exit 1
}

[ "$#" -eq 4 ] || fail "expected CERTIFICATE KEY AUTHORITIES URL, as a host calls it"
url=$4
case $url in
  *://*) path=${url#*://} ;;
  *) fail "$url is no URL" ;;
esac
path=${path%%"?"*}
path=${path%%"#"*}

# Whatever climbs out of the directory, or could be read in two ways, is refused.
case /$path/ in
  *//* | */./* | */../* | *%* | *\\*) fail "$url names no file" ;;
esac
[ -f "$root/$path" ] || fail "there is no $path in $root"
exec cat "$root/$path"
