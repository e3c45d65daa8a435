#!/bin/sh
# A plugin of the type test/v1: greets whom its argument names.
set -eu
printf 'Hello, %s!\n' "${1:-world}"
