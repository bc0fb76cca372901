//! A Dockerfile's text as BuildKit splits it: logical lines, here-documents, flags.

/// An instruction and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Line of its first character, from 1.
    pub line: u32,
    /// Its text, continuation lines joined.
    pub text: String,
}

/// How the bodies of here-documents are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heredocs {
    /// As text, the way BuildKit does.
    Text,
    /// As instructions, the way the classic builder and the reference CLI's own look at a
    /// Dockerfile do.
    Instructions,
}

/// Every instruction of `text`.
pub fn instructions(text: &str, escape: char, heredocs: Heredocs) -> Vec<Instruction> {
    let lines: Vec<&str> = text.split('\n').map(|line| line.trim_end_matches('\r')).collect();
    let mut found = vec![];
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let first = at;
        at += 1;
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (mut text, mut open) = continued(line, escape);
        while let Some(next) = lines.get(at).filter(|_| open) {
            at += 1;
            // Comments and blank lines within a continued instruction vanish.
            let trimmed = next.trim_start();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let part;
            (part, open) = continued(next, escape);
            text.push_str(&part);
        }
        if heredocs == Heredocs::Text {
            at = after_heredocs(&text, &lines, at);
        }
        let line = u32::try_from(first + 1).unwrap_or(u32::MAX);
        found.push(Instruction { line, text });
    }
    found
}

/// A line without the character that continues it, and whether there was one. Only blanks and
/// tabs may stand behind it.
fn continued(line: &str, escape: char) -> (String, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(part) => (part.to_owned(), true),
        None => (line.to_owned(), false),
    }
}

/// The line behind the here-documents that `instruction` opens; one that never ends is none.
fn after_heredocs(instruction: &str, lines: &[&str], mut at: usize) -> usize {
    for heredoc in opened(instruction) {
        let ends = |line: &&str| {
            let line = if heredoc.tabs { line.trim_start_matches('\t') } else { line };
            line == heredoc.name
        };
        match lines.get(at..).and_then(|rest| rest.iter().position(ends)) {
            Some(end) => at += end + 1,
            None => return at,
        }
    }
    at
}

struct Heredoc {
    name: String,
    tabs: bool,
}

/// The here-documents that an instruction opens, outside of quotes.
fn opened(instruction: &str) -> Vec<Heredoc> {
    let word = |text: &str| text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    let verb = match word(instruction).as_str() {
        "ONBUILD" => word(instruction.trim_start().get("ONBUILD".len()..).unwrap_or_default()),
        _ => word(instruction),
    };
    if !matches!(verb.as_str(), "RUN" | "COPY" | "ADD") {
        return vec![];
    }
    let words = shell_words(instruction);
    words.iter().filter_map(|word| heredoc(word)).collect()
}

/// `[fd]<<[-]NAME`, the name perhaps in quotes.
fn heredoc(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (rest, tabs) = match rest.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let name: String = rest.chars().filter(|c| !matches!(c, '"' | '\'')).collect();
    (!name.is_empty() && !rest.contains('<')).then_some(Heredoc { name, tabs })
}

/// Words as a shell splits them, quotes left in.
fn shell_words(text: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word = String::new();
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, letter) if letter.is_whitespace() => words.push(std::mem::take(&mut word)),
            (Some(open), letter) if letter == open => {
                quote = None;
                word.push(letter);
            }
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.push(letter);
            }
            (None | Some('"'), '\\') => {
                word.push(letter);
                word.extend(letters.next());
            }
            (_, letter) => word.push(letter),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// The flags (`--name=value`) that an instruction's arguments begin with, quotes and escapes taken
/// out, and what stands behind them.
pub fn flags(arguments: &str) -> (Vec<String>, &str) {
    let mut found = vec![];
    let mut rest = arguments.trim_start();
    while rest.starts_with("--") {
        let (word, behind) = flag(rest);
        rest = behind.trim_start();
        if word == "--" {
            break;
        }
        found.push(word);
    }
    (found, rest)
}

fn flag(text: &str) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match (quote, letter) {
            (None, letter) if letter.is_whitespace() => {
                return (word, text.get(at..).unwrap_or_default());
            }
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), letter) if letter == open => quote = None,
            (_, '\\') => word.extend(letters.next().map(|(_, next)| next)),
            (_, letter) => word.push(letter),
        }
    }
    (word, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, heredocs: Heredocs) -> Vec<(u32, String)> {
        let found = instructions(text, '\\', heredocs);
        found.into_iter().map(|one| (one.line, one.text)).collect()
    }

    #[test]
    fn lines_are_joined_as_buildkit_joins_them() {
        let table: [(&str, &[(u32, &str)]); 6] = [
            ("FR\\\nOM a", &[(1, "FROM a")]),
            ("COPY\\\n --from=x a b\n", &[(1, "COPY --from=x a b")]),
            ("RUN a \\  \n\n # c\n  b\nUSER x\r\n", &[(1, "RUN a   b"), (5, "USER x")]),
            // Only blanks may stand behind the backslash: this one continues nothing.
            ("RUN a \\\u{c}\nFROM b", &[(1, "RUN a \\\u{c}"), (2, "FROM b")]),
            ("# x\n\n  FROM a", &[(3, "FROM a")]),
            ("RUN a \\", &[(1, "RUN a ")]),
        ];
        for (text, expected) in table {
            let expected: Vec<_> =
                expected.iter().map(|(line, text)| (*line, (*text).to_owned())).collect();
            assert_eq!(texts(text, Heredocs::Text), expected, "{text:?}");
        }
    }

    #[test]
    fn bodies_of_here_documents_are_text_and_instructions() {
        for (text, inside) in [
            ("RUN <<EOF\nFROM x\nEOF\nUSER y", true),
            ("RUN cat <<-'E' >/x 3<<\"F\"\nFROM x\n\tE\nFROM x\nF\nUSER y", true),
            ("ONBUILD COPY <<E /x\nFROM x\nE\nUSER y", true),
            ("RUN <<EOF\nFROM x\nUSER y", false),
            ("RUN echo \"<<EOF\"\nFROM x\nEOF\nUSER y", false),
            ("RUN echo 'a <<EOF b'\nFROM x\nEOF\nUSER y", false),
            ("RUN cat <<<EOF\nFROM x\nEOF\nUSER y", false),
            ("ENV A=<<EOF\nFROM x\nEOF\nUSER y", false),
        ] {
            let sees = |heredocs| texts(text, heredocs).iter().any(|(_, text)| text == "FROM x");
            assert_eq!(!sees(Heredocs::Text), inside, "{text:?}");
            assert!(sees(Heredocs::Instructions), "{text:?}");
        }
    }

    #[test]
    fn flags_are_found_behind_quotes_and_escapes() {
        let (found, rest) = flags(" --chown=\"a b\" --fr\\om='x y'z -- --c d");
        assert_eq!(found, ["--chown=a b", "--from=x yz"]);
        assert_eq!(rest, "--c d");
        assert_eq!(flags("a --from=x"), (vec![], "a --from=x"));
    }
}
