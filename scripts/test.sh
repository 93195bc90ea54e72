#!/bin/sh
# Runs the tests: all of them, or the files, patterns and `node --test` options given as arguments
# (npm test -- test/config/*.test.ts --test-name-pattern=include).
#
# Two files at a time: the smallest machine we care for has two cores, and the tests that start the
# real program use more than one each. A test that takes over a minute has hung and fails;
# test-deadline.ts does the same for a file that does not end.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"

# As npm does; so that this script runs by itself, too.
PATH=$root/node_modules/.bin:$PATH
export PATH

# Absolute, because tests start programs in other directories.
NODE_COMPILE_CACHE=${NODE_COMPILE_CACHE:-$root/node_modules/.cache/portico}
export NODE_COMPILE_CACHE

files_given=no
for argument in "$@"; do
  case $argument in
    -*) ;;
    *) files_given=yes ;;
  esac
done
[ "$files_given" = yes ] || set -- "$@" 'test/**/*.test.ts'

exec node --import "$root/scripts/test-deadline.ts" --test --test-reporter=spec \
  --test-concurrency=2 --test-timeout=60000 "$@"
