# bash completion for hone: commands and options come from the program's own help, so they are never behind it.
_hone() {
    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "$(hone help | awk '$1 == "hone" && NF > 2 && $2 ~ /^[a-z]+$/ { print $2 }')" -- "$word"))
    elif [ "${word#-}" != "$word" ]; then
        COMPREPLY=($(compgen -W "$(hone help "$command" 2>/dev/null | awk '$1 ~ /^--/ { print $1 }')" -- "$word"))
    else
        case $command in
        resume | pause | continue | save | stop | rm | tail | attach | metrics | export)
            COMPREPLY=($(compgen -W "$(hone runs 2>/dev/null | awk '{ print $1 }') last" -- "$word") $(compgen -f -- "$word")) ;;
        *) COMPREPLY=($(compgen -f -- "$word")) ;;
        esac
    fi
}
complete -o filenames -F _hone hone
