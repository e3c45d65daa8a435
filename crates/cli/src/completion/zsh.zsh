#compdef @NAME@

# zsh completion for @NAME@
_@FUNCTION@() {
    local program=${words[1]/#\~/$HOME} line value help
    local -i directive=0
    local -a answer items options
    answer=("${(@f)$("$program" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    for line in "${answer[@]}"; do
        if [[ $line == :<-> ]]; then
            directive=${line#:}
        elif [[ -n $line ]]; then
            value=${line%%$'\t'*}
            help=${line#"$value"}
            help=${help#$'\t'}
            # `_describe` splits at the first colon that is not escaped.
            items+=("${value//:/\\:}${help:+:$help}")
        fi
    done

    (( directive & 1 )) && return 1
    (( directive & 2 )) && options+=(-S '')
    (( directive & 8 )) && items=()
    if (( ${#items} )); then
        if (( directive & 32 )); then
            _describe -V '@NAME@' items "${options[@]}" && return 0
        else
            _describe '@NAME@' items "${options[@]}" && return 0
        fi
    fi
    (( directive & 4 )) && return 1
    if (( directive & 16 )); then
        _files -/
    else
        _files
    fi
}

# Called by the completion system where it lies on the function path; registered where it is sourced.
if [[ $funcstack[1] == _@FUNCTION@ ]]; then
    _@FUNCTION@ "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _@FUNCTION@ @NAME@
fi
