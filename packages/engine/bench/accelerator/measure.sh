#!/bin/sh
# Measures, after set-up.sh: all options are those of measure.ts.
#
#   sh packages/engine/bench/accelerator/measure.sh --budget 500 --out FOLDER
set -eu
cd "$(dirname "$0")/../../../.."
work=${INCIPIT_ACCELERATOR:-/tmp/incipit-accelerator}
. packages/engine/bench/accelerator/link.sh
exec node packages/engine/bench/accelerator/measure.ts "$@"
