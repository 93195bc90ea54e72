#!/bin/sh
# Makes a clone ready to run: installs the dependencies when they are missing or older than the
# lockfile, and does nothing (in a few milliseconds) when they are there. `npm start`, `npm test` and
# .ci/run all begin here, so a fresh clone needs no other step. Runs on whatever Node and npm the
# machine has; the Node that Portico itself runs on comes with the dependencies.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"
installed=node_modules/.package-lock.json # npm writes this one last
node=node_modules/node/bin/node

# uWebSockets.js has to be prepared for an older glibc: scripts/prepare-uws.ts. Done once for each installation.
prepared=node_modules/.uws-prepared
prepare_uws() {
  if [ ! -e "$prepared" ] || [ "$installed" -nt "$prepared" ]; then
    # Without it one of the two engines is missing, and says so.
    if "$node" scripts/prepare-uws.ts; then : >"$prepared"; fi
  fi
}

# What config/tls.conf and config/websocket.conf show to their clients; made anew before it expires.
make_certificates() {
  if [ -z "$(find config/certificates -name client.crt -mtime -300 2>/dev/null)" ]; then
    "$node" scripts/make-certificates.ts >&2
  fi
}

if [ -e "$installed" ] && [ ! package-lock.json -nt "$installed" ] && [ -x "$node" ]; then
  prepare_uws
  make_certificates
  exit 0
fi

# `npm ci` begins by deleting node_modules: it must not itself be running on the Node in there, which
# npm has put first on the PATH of the script that called this one.
clean_path=
remaining=$PATH:
while [ -n "$remaining" ]; do
  entry=${remaining%%:*}
  remaining=${remaining#*:}
  [ "$entry" = "$root/node_modules/.bin" ] || clean_path=${clean_path:+$clean_path:}$entry
done
PATH=$clean_path
export PATH

echo "portico: installing dependencies (npm ci)" >&2
npm ci --loglevel=error --no-progress >&2

# The install script of the `node` package fetches the binary. Where npm is configured to run no
# install scripts (ignore-scripts), run that one by hand.
if [ ! -x "$node" ]; then
  (cd node_modules/node && node installArchSpecificPackage.js >&2)
fi
if [ ! -x "$node" ]; then
  echo "portico: npm installed no Node.js binary for this machine at $root/$node" >&2
  exit 1
fi

# That script fetches a whole distribution (headers, manuals) into node_modules/node/node_modules and
# hard-links the one file that is needed. The rest is 70 MB which `npm ls` calls extraneous.
rm -rf node_modules/node/node_modules

prepare_uws
make_certificates
