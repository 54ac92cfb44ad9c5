//! The command that a misspelled one probably means.

/// Returns the command that is most similar to a word, if one is similar enough.
pub fn suggest<'a>(word: &str, commands: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let rated = commands.map(|command| (command, similarity(command, word)));
    let best = rated.max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    (best.1 >= SIMILAR).then_some(best.0)
}

/// Computes Jaro's similarity of two words: from 0, nothing in common, to 1, the same word.
fn similarity(one: &str, other: &str) -> f64 {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one == other {
        return 1.0;
    }
    let (from_one, from_other) = common_letters(&one, &other);
    if from_one.is_empty() {
        return 0.0;
    }
    let common = from_one.len() as f64;
    let moved = from_one.iter().zip(&from_other).filter(|(one, other)| one != other).count() as f64 / 2.0;
    (common / one.len() as f64 + common / other.len() as f64 + (common - moved) / common) / 3.0
}

/// Returns the letters that two words have at about the same places, in the order of each word.
fn common_letters(one: &[char], other: &[char]) -> (Vec<char>, Vec<char>) {
    let reach = (one.len().max(other.len()) / 2).saturating_sub(1);
    let mut is_taken = vec![false; other.len()];
    let mut from_one = Vec::new();
    for (at, letter) in one.iter().enumerate() {
        let near = at.saturating_sub(reach)..other.len().min(at + reach + 1);
        if let Some(place) = near.clone().find(|&place| !is_taken[place] && other[place] == *letter) {
            is_taken[place] = true;
            from_one.push(*letter);
        }
    }
    let from_other = other.iter().zip(&is_taken).filter(|(_, is_taken)| **is_taken).map(|(letter, _)| *letter).collect();
    (from_one, from_other)
}

/// The least similarity of a suggestion, as in Elixir.
const SIMILAR: f64 = 0.77;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similarity_is_jaros() {
        for (one, other, expected) in
            [("martha", "marhta", 0.944), ("dixon", "dicksonx", 0.767), ("same", "same", 1.0), ("abc", "xyz", 0.0), ("", "a", 0.0)]
        {
            assert!((similarity(one, other) - expected).abs() < 0.001, "{one} {other}: {}", similarity(one, other));
        }
    }

    #[test]
    fn suggests_the_most_similar_command() {
        let commands = ["list_queues", "list_users", "status", "list_policies"];
        for (word, expected) in
            [("list_queue", Some("list_queues")), ("list_policies_that_match", Some("list_policies")), ("nonsense", None), ("", None)]
        {
            assert_eq!(suggest(word, commands.into_iter()), expected, "{word}");
        }
    }
}
