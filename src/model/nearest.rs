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

/// Optimal string alignment: insertions, deletions, replacements, and two neighbours that changed places.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut above = row.clone();
    for (i, x) in a.iter().enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for (j, y) in b.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let replaced = cell(&row, j) + usize::from(x != y);
            left = replaced.min(cell(&row, j + 1) + 1).min(left + 1);
            if let (Some(i), Some(j)) = (i.checked_sub(1), j.checked_sub(1))
                && a.get(i) == Some(y)
                && b.get(j) == Some(x)
            {
                left = left.min(cell(&above, j) + 1);
            }
            next.push(left);
        }
        above = std::mem::replace(&mut row, next);
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
        assert_eq!(nearest("stfp", &["sftp", "scp"]), Some("sftp"));
        assert_eq!(nearest("strat", &["stop", "start", "stats"]), Some("start"));
        assert_eq!(nearest("pfst", &["sftp", "scp"]), None);
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(close("scpp", &["sftp", "scp", "scpx"]), ["scp", "scpx"]);
    }
}
