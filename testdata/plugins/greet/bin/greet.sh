#!/bin/sh
# Greets its arguments in the user's language.
case "${LC_MESSAGES:-${LANG:-C}}" in
  de*) word="Guten Tag" ;;
  fr*) word="Bonjour" ;;
  *) word="Good day" ;;
esac
echo "$word, ${*:-everybody}!"
