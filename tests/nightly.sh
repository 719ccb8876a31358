#!/bin/sh
# nightly.sh - the long versions of the tests, in parts that each close with a line, and one that adds them up. N: only
# these parts (promises, fuzz, sabotage, mutants). HONE_MORE: how many times the random points of the tests.
cd "$(dirname "$0")/.." || exit 2
B=${B:-build}; log=$(mktemp); passed=0; failed=0; skipped=0
trap 'rm -f "$log"' EXIT
export HONE_NIGHTLY=1 HONE_MORE="${HONE_MORE:-10}" SECONDS_MAX=14400

part() { # part NAME COMMAND...: runs it, shows it, adds its closing line
    name=$1; shift
    case " ${N:-promises fuzz sabotage mutants} " in *" $name "*) ;; *) return ;; esac
    echo "== $name"
    { "$@" 2>&1; echo "status $?"; } | tee "$log"
    line=$(grep -aE '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$log" | tail -n 1)
    rc=$(sed -n 's/^status //p' "$log" | tail -n 1)
    if [ -z "$line" ]; then failed=$((failed + 1)); echo "$name printed no result"; return; fi
    # shellcheck disable=SC2046
    set -- $(echo "$line" | tr -dc '0-9 \n')
    passed=$((passed + $1)); failed=$((failed + $2)); skipped=$((skipped + ${3:-0}))
    [ "$rc" = 0 ] || [ "$2" -gt 0 ] || failed=$((failed + 1))
}
kept="${T:-/t_faults /t_lives /t_crash /t_damage /t_start /t_exact /t_resume /t_stop /t_limits /t_disk /t_engine /t_viewers /t_memory}"
tests() { make -s B="$B" tests T="$kept" && B=$B T="$kept" sh tests/run.sh; }
part promises tests
part fuzz make -s B="$B" fuzz S="${S:-600}"
part sabotage make -s B="$B" sabotage
part mutants make -s B="$B" mutants
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
