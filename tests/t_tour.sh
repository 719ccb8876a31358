#!/bin/sh
# The tour of README under tmux, key by key: open, pick, check, look at the data, launch, watch, leave, come back,
# chat, stop. Each wait is for a text on the screen, never for a time; a text that does not come in two minutes fails.
cd "$(dirname "$0")/.." || exit 2
hone=$PWD/${HONE_BUILD:-build}/hone
if ! command -v tmux > /dev/null; then echo "ok 1 - the tour # SKIP tmux is not installed"; echo 1..1; exit 0; fi
if [ ! -d assets/small-world ]; then echo "ok 1 - the tour # SKIP the shipped model is not there (assets/small-world)"; echo 1..1; exit 0; fi
home=$(mktemp -d); socket=tour.$$; n=0
t() { tmux -L "$socket" "$@"; }
shown() { t capture-pane -p -t 0; }
finish() { # an engine outlives the screen: it is asked to stop, and the folder goes when it has
    t kill-server 2> /dev/null
    for r in "$home"/runs/*/; do [ -d "$r" ] && HONE_HOME=$home "$hone" stop "$(basename "$r")" > /dev/null 2>&1; done
    for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$home" 2> /dev/null && break; sleep 1; done
}
trap finish EXIT

# sees WHAT PATTERN: the pattern is on the screen, within two minutes.
sees() {
    n=$((n + 1)); tries=0
    until shown | grep -q -- "$2"; do
        tries=$((tries + 1))
        if [ $tries -gt 600 ]; then
            echo "not ok $n - $1"; shown | sed 's/^/# /'; echo "1..$n"; exit 1
        fi
        sleep 0.2
    done
    echo "ok $n - $1"
}
key() { t send-keys -t 0 "$@"; }

env -u TMUX HONE_HOME="$home" XDG_CONFIG_HOME="$home/config" LANG=C.UTF-8 \
    tmux -L "$socket" -f /dev/null new-session -d -x 100 -y 30 'sh' || exit 2
key "PS1='shell> '; clear; '$hone'" Enter
sees "the workbench opens on the models" 'Base models'
sees "the shipped model is the first row" 'small-world.*yes'
key v
sees "v says what is missing before there are data" 'a profile says which'
key i
sees "i shows all that is known of the model" 'heads'
key i o
sees "o lists the folders that are looked into" 'shipped .*assets'
key Escape
sees "Esc closes the list" 'Enter use it'
key 1 Enter
sees "Enter uses it and lists the presets" 'Start from'
key Enter
sees "the demo opens as a form" 'base_model'
sees "its plan says what it needs" 'peak .* of '
sees "and how long it takes" 'about '
key / ; key -l '3 replay'; key Enter
sees "/ finds a stage" 'a adds a stage after it'
key a Enter
sees "a adds a stage after it" '4 stage-4 '
key '<'
sees "< moves it up" '3 stage-4 '
key u u u
sees "u takes all of it back" 'nothing to take back'
key m
sees "m turns the mouse on" 'mouse clicks'
key -l "$(printf '\033[<0;12;1M')"
sees "a click on a place goes there" 'Base models'
key -l "$(printf '\033[<0;23;1M')"
sees "and on another" 'base_model'
key m
sees "m gives it back" "terminal's again"
key v
sees "the data are shown as the model sees them" 'are trained and shown'
key Escape
sees "Esc goes back to the profile" 'inject'
key r
sees "r launches and the live screen opens" 'memory'
sees "the log says on what it runs" 'started on'
sees "the first steps come" 'tok/s [0-9]'
key '?'
sees "? explains the keys" 'Pauses the run'
key Escape
t resize-window -t 0 -x 40 -y 10
sees "a small terminal shows the numbers" 'tok/s'
t resize-window -t 0 -x 39 -y 9
sees "a smaller one says what is needed" 'hone needs 40x10'
t resize-window -t 0 -x 100 -y 30
sees "a larger one shows all of it" 'HFU'
key q
sees "leaving asks while a run lives" 'leave it running'
key d
sees "the run goes on without the screen" 'goes on. Come back with'
key "clear; '$hone'" Enter
sees "coming back shows it from its first step" 'step .*[0-9]'
sees "with its whole log" 'started on\|order\|quiz'
key c
sees "c opens a chat with the weights in training" 'ready'
key '红色的房子里住着谁？' Enter
sees "the answer comes while it trains" '[0-9] tok/s .* [0-9]*/[0-9]'
kept=$(grep -l 红色的房子 "$home"/runs/*/chat/*.jsonl 2> /dev/null); n=$((n + 1))
if [ -n "$kept" ] && [ "$(stat -c %a $kept)" = 600 ]; then echo "ok $n - the conversation is kept in the run's folder, for the user alone"
else echo "not ok $n - the conversation is kept in the run's folder, for the user alone"; fi
key '/clear' Enter
sees "/clear begins a new one" 'a new conversation'
key '/history' Enter
sees "/history lists what was said" 'Conversations'
key Enter
sees "and Enter reopens it" 'you *红色的房子里住着谁'
key Escape
sees "Esc leaves the text field" 'i goes back to typing'
key 3
sees "3 goes back to the run" 'HFU'
key p
sees "p pauses between two steps" 'paused'
key p
sees "and goes on" 'continued'
key S
sees "S saves and stops" 'stopped'
key C
sees "C lists the checkpoints" 'newest'
key Enter
sees "Enter chats with one" 'ready'
key -l 'Who lives in the red house?'; key Enter
sees "it answers" '[0-9] tok/s'
key Escape
sees "Esc leaves the field" 'i goes back to typing'
key q
sees "nothing is asked when no run lives" 'shell>'
key "clear; '$hone'" Enter 3
sees "the list of runs holds it" 'stopped'
key q
sees "the screen is given back" 'shell>'
echo "1..$n"
