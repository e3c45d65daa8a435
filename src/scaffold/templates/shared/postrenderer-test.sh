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

lines() {
  printf '%s\n' "$@"
}
is "marks a document" "$(lines '# rendered by @name@' 'a: 1')" "$(lines 'a: 1' | "$program")"
is "marks each document" "$(lines --- '# x y' 'a: 1' --- '# x y' 'b: 2')" "$(lines --- 'a: 1' --- 'b: 2' | "$program" x y)"
is "leaves nothing as it is" "" "$("$program" </dev/null)"
lines 'a: 1' | "$program" "x
y: 2" >/dev/null 2>&1
is "refuses a comment of two lines" 2 "$?"

exit "$failed"
