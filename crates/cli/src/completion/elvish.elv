# elvish completion for @NAME@

use str

set edit:completion:arg-completer[@NAME@] = {|@words|
    var current = $words[-1]
    var directive = (num 0)
    var items = []
    try {
        for line [((external $words[0]) __complete (all $words[1..]) 2>/dev/null | from-lines)] {
            var parts = [(str:split &max=2 "\t" $line)]
            if (str:has-prefix $line ':') {
                set directive = (num (str:trim-prefix $line ':'))
            } elif (str:has-prefix $parts[0] $current) {
                set items = [$@items $parts]
            }
        }
    } catch e {
        set items = []
    }
    var suffix = ' '
    # The bit 2: no space after the word. The bit 4: no files.
    if (>= (% $directive 4) 2) { set suffix = '' }
    for parts $items {
        var shown = $parts[0]
        if (> (count $parts) 1) { set shown = $parts[0]' ('$parts[1]')' }
        edit:complex-candidate $parts[0] &display=$shown &code-suffix=$suffix
    }
    if (and (== (count $items) 0) (< (% $directive 8) 4)) {
        edit:complete-filename $@words
    }
}
