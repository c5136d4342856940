#!/bin/sh
# Takes one part of what pack.ts packed; with the last one it makes the checkout run here, looks at the machine, writes the
# models, and runs everything once in small, for which the driver compiles its kernels.
#
#   sh packages/engine/bench/accelerator/set-up.sh packed/accelerator/1 [SECONDS of the small run] [full|small]
set -eu
part=$1
seconds=${2:-150}
plan=${3:-full}
here=packages/engine/bench/accelerator
work=${INCIPIT_ACCELERATOR:-/tmp/incipit-accelerator}
cd "$(dirname "$0")/../../../.."
rm -f "$work/environment.sh"
python3 "$here/unpack.py" "$part" "$work"
[ -f "$work/environment.sh" ] || exit 0
. "$here/link.sh"
node packages/incipit/src/main.ts doctor
echo "writing the models"
node "$here/measure.ts" --write-only --plan "$plan" &
node "$here/measure.ts" --plan small --budget "$seconds" --out "$work/small"
wait
