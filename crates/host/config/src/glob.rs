//! The globs of `rules` and `migrations_pattern`: `*` within a folder, `**` across folders, everything else literal.
//!
//! That is all wrangler gives them, so a file named `[id].js` is matched by its own name, which
//! richer globs would read as a set of characters.

/// Whether `path` (with `/`, relative) matches all of `glob`.
pub fn matches(glob: &str, path: &str) -> bool {
    let glob: Vec<&str> = glob.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    folders(&glob, &path)
}

/// Walks folder by folder, remembering the last `**` to go back to: linear in practice, and never
/// more than the product of both lengths.
fn folders(glob: &[&str], path: &[&str]) -> bool {
    let (mut g, mut p) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if glob.get(g) == Some(&"**") {
            if g + 1 == glob.len() {
                // At the end `**` is whatever is left, but a folder is not a file.
                return p < path.len();
            }
            retry = Some((g, p));
            g += 1;
        } else if g < glob.len() && p < path.len() && segment(glob[g], path[p]) {
            (g, p) = (g + 1, p + 1);
        } else if g == glob.len() && p == path.len() {
            return true;
        } else if let Some((star, from)) = retry.filter(|(_, from)| *from < path.len()) {
            retry = Some((star, from + 1));
            (g, p) = (star + 1, from + 1);
        } else {
            return false;
        }
    }
}

/// One name against one part of a glob; `*` is any number of characters.
fn segment(glob: &str, name: &str) -> bool {
    let mut parts = glob.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_wranglers_do() {
        let check = |glob: &str, path: &str, expect: bool| {
            assert_eq!(matches(glob, path), expect, "{glob} on {path}");
        };
        check("**/*.js", "a.js", true);
        check("**/*.js", "a/b/c.js", true);
        check("**/*.js", "a.jsx", false);
        check("*.js", "a/b.js", false);
        check("a/**/z.txt", "a/z.txt", true);
        check("a/**/z.txt", "a/b/c/z.txt", true);
        check("a/**/z.txt", "b/z.txt", false);
        check("**/a/**/b", "x/a/y/a/b", true);
        check("**", "a/b", true);
        check("a/**", "a", false);
        check("a/**", "a/b", true);
        check("a.js", "a.js", true);
        check("a.js", "aXjs", false);
        check("[id].js", "[id].js", true);
        check("a?b{c}", "a?b{c}", true);
        check("a*b*c", "aXbYbc", true);
        check("a*a", "a", false);
        check("ab**c", "abXc", true);
        check("", "a", false);
    }
}
