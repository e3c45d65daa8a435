#!/bin/sh
# Runs the plugin's program as a host does, and compares what comes out.
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
HELM_PLUGIN_NAME=@name@
HELM_PLUGIN_DIR=$here
export HELM_PLUGIN_NAME HELM_PLUGIN_DIR
program=$here/bin/@name@
failed=0

# is WHAT EXPECTED FOUND
is() {
  if [ "$2" = "$3" ]; then
    printf 'ok      %s\n' "$1"
  else
    printf 'FAILED  %s\n  expected: %s\n  found:    %s\n' "$1" "$2" "$3"
    failed=1
  fi
}

is "greets" "Hello, world!" "$("$program")"
is "greets by name" "Hello, Ann Lee!" "$("$program" "Ann Lee")"

exit "$failed"
