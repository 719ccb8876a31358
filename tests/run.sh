#!/bin/sh
# Runs the test programs (cmocka, one a public header) and the test scripts (TAP), each under a
# timeout, and adds them up. B: the build folder. T: only names that contain it. SECONDS_MAX: the timeout.
cd "$(dirname "$0")/.." || exit 2
B=${B:-build}; log=$B/test.log; passed=0; failed=0; skipped=0
export CUDA_VISIBLE_DEVICES= # what is tested is the same with a GPU and without
export HONE_BUILD="$B" CMOCKA_MESSAGE_OUTPUT=tap ASAN_OPTIONS=detect_leaks=1 LC_ALL=C.UTF-8
: > "$log"

one() { # one NAME COMMAND...: runs it and counts the lines of its TAP
    name=$1; shift
    timeout -k 5 "${SECONDS_MAX:-900}" "$@" > "$log.one" 2>&1; rc=$?
    bad=$(grep -ac '^not ok' "$log.one"); skip=$(grep -aci '^\(not \)\{0,1\}ok .*# *skip' "$log.one")
    oldskip=$(grep -aci '^not ok .*# *skip' "$log.one"); bad=$((bad - oldskip))
    good=$(grep -ac '^ok' "$log.one"); good=$((good - skip + oldskip))
    if [ $rc -ne 0 ] && [ $bad -eq 0 ]; then bad=1; echo "not ok $name ended with status $rc" >> "$log.one"; fi
    if [ $bad -eq 0 ] && [ $((good + skip)) -eq 0 ]; then bad=1; echo "not ok $name ran no test" >> "$log.one"; fi
    passed=$((passed + good)); failed=$((failed + bad)); skipped=$((skipped + skip))
    printf '%-28s %4d passed %s%s\n' "$name" "$good" "$([ $bad -gt 0 ] && echo " $bad FAILED")" "$([ "$skip" -gt 0 ] && echo " $skip skipped")"
    [ $bad -gt 0 ] && tail -n 40 "$log.one"
    grep -ai '^\(not \)\{0,1\}ok .*# *skip' "$log.one" | sed 's/^/    /'
    cat "$log.one" >> "$log"
}
for t in tests/*/t_*.c tests/t_*.sh; do
    [ -f "$t" ] || continue
    if [ -n "$T" ]; then
        wanted=0
        for w in $T; do case $t in *"$w"*) wanted=1 ;; esac; done
        [ $wanted = 1 ] || continue
    fi
    n=$(basename "$t"); n=${n#t_}
    case $t in *.c) one "${n%.c}" "$B/${t%.c}" ;; *.sh) one "${n%.sh}" sh "$t" ;; esac
done
rm -f "$log.one"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
