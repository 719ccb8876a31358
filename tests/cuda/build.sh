#!/bin/sh
# build.sh OUT KIND [FILE...]: the kernels (all of kernels/cuda/*.cu, or these) as C++ for the CPU, the shim
# and its tests, into OUT/operations. KIND is
#   plain  g++ -O2
#   asan   g++ with ASan and UBSan
#   race   clang with thread instrumentation in the kernels only, answered by race.cc
# An object is made again when a source or header is newer.
set -e
cd "$(dirname "$0")/../.."
out=$1 kind=$2; shift 2
mkdir -p "$out"
toolkit=${CUDA_HOME:-/usr/local/cuda}/include
[ -f "$toolkit/cuda_runtime_api.h" ] || toolkit=tests/cuda/include
include="${PLANT:+-I$PLANT} -I. -isystem $toolkit"
warn="-Wall -Wextra -Wshadow"
case $kind in
plain) cxx=g++; cc=gcc; kernel="-O2 -g1"; rest=$kernel; link=; runtime= ;;
asan) cxx=g++; cc=gcc; kernel="-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=undefined"
      rest="-O2 -g1"; link=$kernel; runtime= ;;
race) cxx=clang++; cc=clang; rest="-O2 -g1"; link=; runtime=-DRACE
      kernel="-O1 -g1 -fsanitize=thread -fno-builtin-memset -fno-builtin-memcpy" ;; # what they do is not seen
esac
old() { # old OBJECT SOURCE: whether it must be made
    [ ! -f "$1" ] || [ -n "$(find "$2" kernels/kernels.h kernels/cuda tests/cuda tests/kernels tests/test.h \
        -newer "$1" \( -name '*.h' -o -path "$2" \) -print -quit)" ]
}
objects=
make_one() { # make_one SOURCE COMMAND...
    source=$1; shift
    object=$out/$(basename "$source").o
    objects="$objects $object"
    if old "$object" "$source"; then "$@" -c "$source" -o "$object"; fi
}
compile="$cxx -std=c++17 $warn -fno-strict-aliasing $include"
for f in tests/cuda/shim.cc $([ "$kind" = race ] && echo tests/cuda/race.cc); do
    make_one "$f" $compile $rest $runtime
done
shim=$objects
make_one tests/cuda/faults.cc $compile $(echo "$kernel" | sed 's/-fsanitize=address,undefined//')
$cxx $shim "$object" $link -o "$out/faults" -ldl
objects=$shim
for f in kernels/cuda/*.cu; do
    if [ -n "$PLANT" ] && [ -f "$PLANT/$f" ]; then f=$PLANT/$f; fi
    make_one "$f" $compile $kernel -include tests/cuda/shim.h -x c++
done
for f in kernels/ref/*.c kernels/sizes.c kernels/load.c kernels/pool.c tests/cuda/stand.c tests/cuda/operations.c; do
    object=$out/$(echo "$f" | tr / _).o
    objects="$objects $object"
    if old "$object" "$f"; then $cc -std=c11 -D_GNU_SOURCE $warn $include $rest -c "$f" -o "$object"; fi
done
$cxx $objects $link -o "$out/operations" -lcmocka -ldl -lpthread -lm
