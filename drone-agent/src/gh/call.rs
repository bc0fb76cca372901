//! What a gh command line is about, as far as the choice of a token depends on it.
//!
//! gh's flags are not all known here. A flag read wrongly can only name another granted
//! repository: what a token may open is decided by the host agent.

use std::ffi::OsString;

/// Flags that take their value as the next argument, so that it is no positional argument.
const VALUED: [&str; 52] = [
    "add-assignee",
    "add-label",
    "add-project",
    "add-reviewer",
    "add-topic",
    "app",
    "assignee",
    "author",
    "author-email",
    "base",
    "body",
    "body-file",
    "branch",
    "cache",
    "color",
    "comment",
    "commit",
    "default-branch",
    "description",
    "event",
    "field",
    "head",
    "header",
    "homepage",
    "hostname",
    "input",
    "jq",
    "json",
    "label",
    "limit",
    "match-head-commit",
    "method",
    "milestone",
    "name",
    "notes",
    "notes-file",
    "preview",
    "project",
    "raw-field",
    "reason",
    "ref",
    "repo",
    "reviewer",
    "search",
    "source",
    "state",
    "subject",
    "target",
    "template",
    "title",
    "upstream-remote-name",
    "workflow",
];

/// Commands that ask nobody.
const OFFLINE: [&str; 5] = ["alias", "completion", "config", "help", "version"];

/// A parsed command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    /// Arguments that are neither flags nor their values; the command's words first.
    pub(super) words: Vec<String>,
    /// `-R`, `--repo`.
    pub(super) repo: Option<String>,
    /// `--hostname`.
    pub(super) host: Option<String>,
    /// `-H`, `--head` of `pr create`.
    pub(super) head: Option<String>,
    /// `-f head_repo=` of `api`: the repository that a new pull request's branch is in.
    pub(super) head_repo: Option<String>,
    watches: bool,
    wants_help: bool,
}

impl Call {
    /// Reads gh's arguments.
    pub(super) fn parse(args: &[OsString]) -> Self {
        let mut call = Self::default();
        let mut args = args.iter().map(|arg| arg.to_string_lossy().into_owned());
        while let Some(arg) = args.next() {
            if arg == "--" {
                call.words.extend(args.by_ref());
            } else if let Some(long) = arg.strip_prefix("--") {
                call.take_long(long, &mut args);
            } else if arg.len() > 1 && arg.starts_with('-') {
                call.take_short(&arg, &mut args);
            } else {
                call.words.push(arg);
            }
        }
        call
    }

    fn take_long(&mut self, flag: &str, rest: &mut impl Iterator<Item = String>) {
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None if VALUED.contains(&flag) => (flag, rest.next()),
            None => (flag, None),
        };
        match name {
            "repo" => self.repo = value,
            "hostname" => self.host = value,
            "head" => self.head = value,
            "field" | "raw-field" => self.take_field(value.as_deref()),
            "watch" => self.watches = value.as_deref() != Some("false"),
            "help" | "version" => self.wants_help = true,
            _ => {}
        }
    }

    /// `-R x`, `-Rx`, `-R=x`. Only the first letter of a cluster is looked at: whether a later one
    /// is a flag or part of a value depends on the command.
    fn take_short(&mut self, arg: &str, rest: &mut impl Iterator<Item = String>) {
        let mut letters = arg.trim_start_matches('-').chars();
        let Some(letter) = letters.next() else { return };
        if !self.valued_letters().contains(letter) {
            return;
        }
        let attached = letters.as_str();
        let value = match attached.strip_prefix('=').unwrap_or(attached) {
            "" if attached.is_empty() => rest.next(),
            value => Some(value.to_owned()),
        };
        match (letter, self.command()) {
            ('R', _) => self.repo = value,
            ('H', ("pr", "create" | "new")) => self.head = value,
            ('f' | 'F', ("api", _)) => self.take_field(value.as_deref()),
            _ => {}
        }
    }

    fn take_field(&mut self, field: Option<&str>) {
        if let Some(repo) = field.and_then(|field| field.strip_prefix("head_repo=")) {
            self.head_repo = Some(repo.to_owned());
        }
    }

    /// Short flags with a value; before the command's words are known: `-R` alone.
    fn valued_letters(&self) -> &'static str {
        match self.command().0 {
            "" => "R",
            "api" => "XfFHqtp",
            "repo" => "RbqtLsudh",
            _ => "RbtBHarlmpFTqLSsAcfewnjoDk",
        }
    }

    /// The first two words.
    pub(super) fn command(&self) -> (&str, &str) {
        let word = |index: usize| self.words.get(index).map_or("", String::as_str);
        (word(0), word(1))
    }

    /// Whether it works without the forge.
    pub(super) fn is_offline(&self) -> bool {
        self.wants_help || self.words.is_empty() || OFFLINE.contains(&self.command().0)
    }

    /// Whether it waits for something to end.
    pub(super) fn is_long(&self) -> bool {
        self.watches || self.command() == ("run", "watch")
    }

    /// The word that may name a repository: `api`'s endpoint is not one.
    pub(super) fn named(&self) -> Option<&str> {
        let word = self.words.get(2)?.as_str();
        let is_url = word.starts_with("https://");
        match self.command() {
            ("api" | "search", _) => None,
            ("repo", "create" | "list" | "rename") => None,
            ("repo", _) if is_url || word.contains('/') => Some(word),
            ("extension" | "ext" | "gist" | "org", _) => None,
            _ if is_url => Some(word),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(line: &str) -> Call {
        Call::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn each_spelling_of_the_repository_flag_is_read() {
        for line in [
            "pr list -R acme/web",
            "pr list -Racme/web",
            "pr list -R=acme/web",
            "pr list --repo acme/web",
            "pr list --repo=acme/web",
            "-R acme/web pr list",
            "pr -R acme/web list",
        ] {
            let call = call(line);
            assert_eq!(call.repo.as_deref(), Some("acme/web"), "{line}");
            assert_eq!(call.command(), ("pr", "list"), "{line}");
        }
    }

    #[test]
    fn a_value_is_neither_a_flag_nor_a_word() {
        let create = call("pr create --title -R --body https://x.test/a/b -H acme:fix -tRelease");
        assert_eq!((create.repo.as_deref(), create.head.as_deref()), (None, Some("acme:fix")));
        assert_eq!(create.words, ["pr", "create"]);
        let api = call("api -H Accept:x -X POST -f a=b repos/acme/web/issues");
        assert_eq!(api.words, ["api", "repos/acme/web/issues"]);
        for field in ["-f head_repo=x", "-Fhead_repo=x", "--raw-field head_repo=x"] {
            let api = call(&format!("api repos/acme/web/pulls {field} -f head=fix"));
            assert_eq!(api.head_repo.as_deref(), Some("x"), "{field}");
        }
        assert_eq!(call("pr comment -- -R x").words, ["pr", "comment", "-R", "x"]);
    }

    #[test]
    fn what_needs_no_forge_and_what_needs_it_for_long_is_known() {
        for line in
            ["", "--version", "help pr", "pr create --help", "completion -s bash", "version"]
        {
            assert!(call(line).is_offline() || line.is_empty(), "{line}");
        }
        assert!(Call::parse(&[]).is_offline());
        assert!(!call("pr list").is_offline());
        for line in ["run watch 1", "pr checks --watch", "pr checks 3 --watch=true"] {
            assert!(call(line).is_long(), "{line}");
        }
        assert!(!call("pr checks --watch=false").is_long());
    }

    #[test]
    fn a_repository_may_be_named_by_a_word() {
        let named = |line: &str| call(line).named().map(str::to_owned);
        assert_eq!(named("repo view acme/web").as_deref(), Some("acme/web"));
        assert_eq!(named("repo view -b a/b acme/web").as_deref(), Some("acme/web"));
        let url = "https://github.com/acme/web/pull/3";
        assert_eq!(named(&format!("pr view {url}")).as_deref(), Some(url));
        for line in
            ["pr view 3", "repo view", "api repos/a/b", "search code a/b", "repo create a/b"]
        {
            assert_eq!(named(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_command_line_makes_it_panic(words in proptest::collection::vec("[-R=a-z/é]{0,6}", 0..6)) {
            Call::parse(&words.iter().map(OsString::from).collect::<Vec<_>>()).named();
        }
    }
}
