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

is "downloads a file" "$(cat "$here/files/examples/hello.txt")" "$("$program" '' '' '' '@scheme@://examples/hello.txt')"
is "passes over a query" "$(cat "$here/files/examples/hello.txt")" "$("$program" '' '' '' '@scheme@://examples/hello.txt?x#y')"
for bad in '@scheme@://examples/absent.txt' '@scheme@://../plugin.yaml' '@scheme@://examples/../hello.txt' '@scheme@://%2e%2e/plugin.yaml' '@scheme@://' 'hello.txt'; do
  found=$("$program" '' '' '' "$bad" 2>/dev/null)
  is "refuses $bad" "1 " "$? $found"
done

exit "$failed"
