#!/bin/sh
# install.sh build|test: installs by package name what is missing, and only that. A library counts as
# there when a four-line program with its header compiles and links, whoever installed it.
# HONE_NO_INSTALL=1 forbids installing: then the missing names are printed.
cd "$(dirname "$0")/.." || exit 2
mkdir -p build
what=${1:-build}; stamp=build/.installed-$what
[ "$stamp" -nt tests/install.sh ] && exit 0
missing=""
need() { # need PACKAGE HEADER LIBRARY
    printf '#include <stddef.h>\n#include <stdio.h>\n#include <stdarg.h>\n#include <stdint.h>\n#include <setjmp.h>\n#define PCRE2_CODE_UNIT_WIDTH 8\n#include <%s>\nint main(void) { return 0; }\n' "$2" > build/.probe.c
    cc -o build/.probe build/.probe.c $3 2>/dev/null || missing="$missing $1"
}
tool() { command -v "$2" >/dev/null 2>&1 || missing="$missing $1"; }
command -v cc >/dev/null 2>&1 && command -v gcc >/dev/null 2>&1 || missing="$missing gcc"
tool make make
if command -v cc >/dev/null 2>&1; then
    need libc6-dev stdlib.h ""; need libncurses-dev curses.h -lncursesw; need libyaml-dev yaml.h -lyaml
    need libjansson-dev jansson.h -ljansson; need libpcre2-dev pcre2.h -lpcre2-8
    need libutf8proc-dev utf8proc.h -lutf8proc; need libxxhash-dev xxhash.h -lxxhash
    [ "$what" = test ] && { need libcmocka-dev cmocka.h -lcmocka; need libvterm-dev vterm.h -lvterm; need libdnnl-dev dnnl.h -ldnnl; }
else
    missing="$missing libc6-dev libncurses-dev libyaml-dev libjansson-dev libpcre2-dev libutf8proc-dev libxxhash-dev"
    [ "$what" = test ] && missing="$missing libcmocka-dev libvterm-dev libdnnl-dev"
fi
if [ "$what" = test ]; then
    for t in tmux clang strace mandoc python3 unzip; do tool $t $t; done
    python3 -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
    command -v pip3 >/dev/null 2>&1 || missing="$missing python3-pip"
fi
rm -f build/.probe build/.probe.c
if [ -z "$missing" ]; then touch "$stamp"; exit 0; fi
command="apt-get install -y --no-install-recommends$missing"
if [ -n "$HONE_NO_INSTALL" ]; then echo "missing:$missing"; echo "type: sudo $command"; exit 1; fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "hone needs these packages (named as Debian names them):$missing"; exit 1
fi
if [ "$(id -u)" = 0 ]; then sudo=""
elif sudo -n true 2>/dev/null; then sudo="sudo -n"
else echo "hone needs packages that are missing. Type:"; echo "  sudo $command"; exit 1; fi
echo "installing:$missing"
apt() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >build/install.log 2>&1; }
apt install -y --no-install-recommends $missing || { apt update && apt install -y --no-install-recommends $missing; } ||
    { tail -n 5 build/install.log; echo "could not install$missing; see build/install.log"; exit 1; }
[ -n "$HONE_INSTALLED" ] && { echo "installed$missing, and still something is missing; see build/install.log"; exit 1; }
HONE_INSTALLED=1 exec sh "$0" "$what"
