#!/bin/sh
# What the genuine image has beyond Debian's package: an address in the network is served without a password.
set -eu

case "${1:-}" in
    -* | *.conf) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ]; then
    set -- "$@" --protected-mode no
fi
exec "$@"
