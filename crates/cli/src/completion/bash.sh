# bash completion for @NAME@

__@FUNCTION@_complete() {
    # Bash splits words at `=` and `:` too. Put those together again that no space separates, up to the cursor.
    local rest=${COMP_LINE:0:COMP_POINT} before word i
    local -a words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        before=$rest
        rest=${rest#"${rest%%[![:space:]]*}"}
        word=${COMP_WORDS[i]}
        ((i == COMP_CWORD)) && word=$rest
        if ((i == 0)) || [[ $rest != "$before" ]]; then
            words+=("$word")
        else
            words[${#words[@]} - 1]+=$word
        fi
        rest=${rest#"$word"}
    done
    local current=${words[${#words[@]} - 1]}
    # What stands before the last such character, bash keeps.
    local kept=
    [[ $current == *[=:]* ]] && kept=${current%"${current##*[=:]}"}

    local program=${words[0]/#\~/$HOME} answer value help directive=0
    answer=$("$program" __complete "${words[@]:1}" 2>/dev/null) || return
    COMPREPLY=()
    while IFS=$'\t' read -r value help; do
        if [[ $value =~ ^:([0-9]+)$ ]]; then
            directive=${BASH_REMATCH[1]}
        elif [[ -n $value && $value == "$current"* ]]; then
            printf -v value %q "${value#"$kept"}"
            COMPREPLY+=("$value")
        fi
    done <<<"$answer"

    if ((directive & 1)); then
        COMPREPLY=()
        return
    fi
    # The bash of macOS has no compopt.
    local options=:
    type compopt &>/dev/null && options=compopt
    ((directive & 2)) && "$options" -o nospace
    ((directive & 32)) && ((BASH_VERSINFO[0] > 4 || BASH_VERSINFO[0] == 4 && BASH_VERSINFO[1] >= 4)) && "$options" -o nosort
    if ((directive & 8)); then
        # The candidates were extensions.
        COMPREPLY=()
        directive=0
    fi
    if ((${#COMPREPLY[@]} == 0 && !(directive & 4))); then
        if ((directive & 16)); then
            "$options" -o dirnames
        else
            "$options" -o default
        fi
    fi
    return 0
}

complete -F __@FUNCTION@_complete @NAME@
