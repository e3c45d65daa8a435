# PowerShell completion for @NAME@

Register-ArgumentCompleter -Native -CommandName '@NAME@', '@NAME@.exe' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $words = @($commandAst.CommandElements |
        Where-Object { $_.Extent.StartOffset -lt $cursorPosition } |
        ForEach-Object {
            $text = $_.Extent.Text
            $text.Substring(0, [Math]::Min($text.Length, $cursorPosition - $_.Extent.StartOffset)).Trim("'", '"')
        })
    $program = $words[0]
    $words = @($words | Select-Object -Skip 1)
    if ($wordToComplete -eq '') {
        # Older versions drop empty arguments unless they are quoted.
        $words += if ($PSVersionTable.PSVersion -lt [version]'7.3') { '""' } else { '' }
    }

    $directive = 0
    $items = @()
    foreach ($line in @(& $program __complete @words 2>$null)) {
        if ($line -match '^:(\d+)$') { $directive = [int]$Matches[1]; continue }
        $value, $help = $line -split "`t", 2
        if ($value -and $value.StartsWith($wordToComplete, [StringComparison]::Ordinal)) {
            if (-not $help) { $help = $value }
            $items += @{ Value = $value; Help = $help }
        }
    }
    if (($directive -band 1) -or ($directive -band 8)) { $items = @() }
    foreach ($item in $items) {
        $text = $item.Value
        if ($text -match '[\s''"`$(){};,|&<>@#]') { $text = "'" + $text.Replace("'", "''") + "'" }
        if (-not ($directive -band 2)) { $text += ' ' }
        [System.Management.Automation.CompletionResult]::new($text, $item.Value, 'ParameterValue', $item.Help)
    }
    # Where nothing is returned PowerShell offers files; an empty word is how not to.
    if ($items.Count -eq 0 -and ($directive -band 4)) { '' }
}
