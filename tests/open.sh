#!/bin/sh
# open.sh: what `make run` ends with: the workbench on a terminal; elsewhere, what to type instead.
cd "$(dirname "$0")/.." || exit 2
if [ -t 0 ] && [ -t 1 ]; then exec build/hone; fi
echo "hone is built. There is no terminal here; on one, type:  build/hone"
echo "Without a terminal:  build/hone train profiles/demo.yaml      build/hone help"
