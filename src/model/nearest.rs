/// The known word that `word` was probably meant to be: at most a third of it differs.
#[must_use]
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    close(word, known).into_iter().next()
}

/// All known words that `word` could have been meant to be, the likeliest first.
#[must_use]
pub fn close<'k>(word: &str, known: &[&'k str]) -> Vec<&'k str> {
    let word: Vec<char> = word.to_lowercase().chars().take(64).collect();
    let mut found: Vec<_> = known
        .iter()
        .map(|candidate| (distance(&word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .collect();
    found.sort_by_key(|(distance, _)| *distance);
    found.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Levenshtein's distance: insertions, deletions and replacements.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, above) in b.iter().zip(row.windows(2)) {
            let &[diagonal, up] = above else { continue };
            left = (diagonal + usize::from(x != y)).min(up + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::{close, nearest};

    #[test]
    fn a_slip_is_recognised_and_nonsense_is_not() {
        let known = ["authorized_keys", "password", "sftp"];
        assert_eq!(nearest("autorized_keys", &known), Some("authorized_keys"));
        assert_eq!(nearest("authorised-keys", &known), Some("authorized_keys"));
        assert_eq!(nearest("Password", &known), Some("password"));
        assert_eq!(nearest("stfp", &["sftp", "scp"]), None);
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(close("scpp", &["sftp", "scp", "scpx"]), ["scp", "scpx"]);
    }
}
