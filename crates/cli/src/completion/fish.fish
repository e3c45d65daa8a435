# fish completion for @NAME@

function __@FUNCTION@_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~' $HOME -- $words[1])
    set -e words[1]
    set -l directive 0
    set -l items
    for line in (command $program __complete $words "$current" 2>/dev/null)
        if string match -qr '^:[0-9]+$' -- $line
            set directive (string sub -s 2 -- $line)
        else
            set -a items $line
        end
    end

    # Fish has no bits in all of its versions: divide and look whether the rest is odd.
    test (math "floor($directive / 1) % 2") = 1; and return
    test (math "floor($directive / 8) % 2") = 1; and set items
    set -l fitting
    for item in $items
        if test (string sub -l (string length -- "$current") -- $item) = "$current"
            set -a fitting $item
        end
    end
    if set -q fitting[1]
        printf '%s\n' $fitting
    else if test (math "floor($directive / 4) % 2") = 0
        if test (math "floor($directive / 16) % 2") = 1
            __fish_complete_directories "$current"
        else
            __fish_complete_path "$current"
        end
    end
end

complete -c @NAME@ -f -a '(__@FUNCTION@_complete)'
