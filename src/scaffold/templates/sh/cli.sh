#!/bin/sh
# The command `@name@`: gets the user's arguments, standard streams and working directory as they are. Under every host the
# variables HELM_PLUGIN_NAME and HELM_PLUGIN_DIR say what the plugin is called and where its files are.
set -eu

here=${HELM_PLUGIN_DIR:-$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)}
name=${HELM_PLUGIN_NAME:-@name@}

usage() {
  cat <<END
Usage: $name COMMAND

Commands:
  hello [--loud] [WHO]   Greet somebody
  info                   Show what this plugin knows of itself

Flags:
  -h, --help      Show this help
  -V, --version   Show the version
END
}

# Ends with the exit code of a wrong command line.
wrong() {
  printf '%s: %s; see "%s --help"\n' "$name" "$1" "$name" >&2
  exit 2
}

# The version has one home, the manifest.
version() {
  sed -n 's/^version:[[:space:]]*//p' "$here/plugin.yaml"
}

hello() {
  loud=false
  who=
  for arg in "$@"; do
    case $arg in
      --loud) loud=true ;;
      -*) wrong "unknown flag $arg" ;;
      *)
        [ -z "$who" ] || wrong "hello greets one at a time"
        who=$arg
        ;;
    esac
  done
  greeting="Hello, ${who:-world}!"
  if [ "$loud" = true ]; then
    printf '%s\n' "$greeting" | tr '[:lower:]' '[:upper:]'
  else
    printf '%s\n' "$greeting"
  fi
}

case ${1:-help} in
  hello)
    shift
    hello "$@"
    ;;
  info)
    [ "$#" -eq 1 ] || wrong "info takes no arguments"
    printf 'name: %s\nversion: %s\ndirectory: %s\n' "$name" "$(version)" "$here"
    ;;
  -V | --version) version ;;
  -h | --help | help) usage ;;
  *) wrong "unknown command $1" ;;
esac
