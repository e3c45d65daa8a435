#!/bin/sh
# Puts a comment at the head of each document: reads from standard input, writes to standard output. The arguments are the comment.
set -eu

comment=$*
[ -n "$comment" ] || comment="rendered by ${HELM_PLUGIN_NAME:-@name@}"
if [ "$(printf '%s' "$comment" | tr '\r' '\n' | wc -l)" -gt 0 ]; then
  printf '%s: a comment has one line\n' "${HELM_PLUGIN_NAME:-@name@}" >&2
  exit 2
fi

# The environment hands the text over as it is; awk would read escapes in anything else.
COMMENT=$comment exec awk '
  function mark() { print "# " ENVIRON["COMMENT"] }
  # A line --- begins a document; the first one can do without.
  /^---[ \t\r]*$/ { print; mark(); next }
  NR == 1 { mark() }
  { print }
'
