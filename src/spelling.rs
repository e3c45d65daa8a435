//! What a word with a slip of the fingers in it was probably meant to be.

/// As many suggestions are made.
pub const MOST: usize = 3;

/// At most three of `names` that a slip of the fingers could have turned into `word`, the nearest first.
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    // A plugin's name has at most 100 characters: a longer word is no slip.
    if word.is_empty() || word.len() > 200 {
        return Vec::new();
    }
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    let mut near: Vec<(usize, &str)> = names
        .map(|name| (if name.starts_with(word) { 1 } else { distance(word, name) }, name))
        // What has no letter in common is no slip.
        .filter(|(distance, name)| *distance <= allowed && *distance < name.chars().count())
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(MOST).map(|(_, name)| name.to_owned()).collect()
}

/// The question after what was meant, where something comes near; `meant` must be safe to show.
pub fn did_you_mean(meant: &[String]) -> Option<String> {
    let meant: Vec<String> = meant.iter().map(|one| format!("`{one}`")).collect();
    match meant.as_slice() {
        [] => None,
        [one] => Some(format!("did you mean {one}?")),
        [most @ .., last] => Some(format!("did you mean {} or {last}?", most.join(", "))),
    }
}

/// How many insertions, deletions, replacements and swaps of neighbours lie between `a` and `b`, without regard to case; only the
/// first 200 characters of each count.
pub fn distance(a: &str, b: &str) -> usize {
    let letters = |text: &str| text.chars().take(200).flat_map(char::to_lowercase).collect::<Vec<char>>();
    let (a, b) = (letters(a), letters(b));
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            let replaced = last[j] + usize::from(a[i] != b[j]);
            row[j + 1] = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                let swapped: usize = before_last[j - 1];
                row[j + 1] = row[j + 1].min(swapped + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("a", "", 1),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
            ("ca", "abc", 3),
            ("Diff", "diff", 0),
            ("v1", "v2", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn the_question_names_what_comes_near() {
        let names = ["hello", "help-desk", "secrets", "p"];
        for (word, expected) in [
            ("helo", Some("did you mean `hello`?")),
            ("secrest", Some("did you mean `secrets`?")),
            ("HELLO", Some("did you mean `hello`?")),
            ("hel", Some("did you mean `hello` or `help-desk`?")),
            ("q", None),
            ("qqqqq", None),
            ("", None),
        ] {
            assert_eq!(did_you_mean(&nearest(word, names.into_iter())).as_deref(), expected, "{word}");
        }
    }
}
