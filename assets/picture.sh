#!/bin/sh
# picture.sh: README's picture, drawn by the program itself. Runs the demo in a state folder of its own, prints the
# live screen as SVG while its last stage trains, and lets the run finish. HONE_BUILD: the build folder.
cd "$(dirname "$0")/.." || exit 2
hone=$PWD/${HONE_BUILD:-build}/hone
home=$(mktemp -d)
HONE_HOME=$home; export HONE_HOME
"$hone" train profiles/demo.yaml --run-dir "$home/runs/demo" > "$home/log" 2>&1 &
until grep -qs '"kind":"step".*"stage":"replay"' "$home/runs/demo/events.jsonl"; do
    kill -0 $! 2> /dev/null || { cat "$home/log"; exit 1; }
    sleep 1
done
sleep "${SECONDS_INTO:-6}"
"$hone" --dump 100x30 --state "$home/runs/demo" --keys y --svg > assets/live.svg.new && mv assets/live.svg.new assets/live.svg
"$hone" --dump 100x30 --state "$home/runs/demo" --keys y
wait $!
rm -rf "$home"
