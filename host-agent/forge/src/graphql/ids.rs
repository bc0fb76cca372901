//! Node ids: opaque to callers, and enough for the forge to find the thing again.

/// What a node id names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeId {
    /// A repository.
    Repository(u64),
    /// A pull request, by repository and number.
    Pull(u64, u64),
    /// An issue, by repository and number.
    Issue(u64, u64),
    /// An account.
    Account(u64),
    /// A label of a repository, by name.
    Label(u64, String),
}

impl NodeId {
    /// The id as callers see it.
    pub fn encode(&self) -> String {
        match self {
            Self::Repository(id) => format!("R_{id}"),
            Self::Pull(repo, number) => format!("PR_{repo}_{number}"),
            Self::Issue(repo, number) => format!("I_{repo}_{number}"),
            Self::Account(id) => format!("U_{id}"),
            Self::Label(repo, name) => format!("LA_{repo}_{name}"),
        }
    }

    /// Reads one; `None` when no such id was ever given out.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('_')?;
        let pair = || {
            let (repo, number) = rest.split_once('_')?;
            Some((repo.parse().ok()?, number.parse().ok()?))
        };
        match kind {
            "R" => Some(Self::Repository(rest.parse().ok()?)),
            "U" => Some(Self::Account(rest.parse().ok()?)),
            "PR" => pair().map(|(repo, number)| Self::Pull(repo, number)),
            "I" => pair().map(|(repo, number)| Self::Issue(repo, number)),
            "LA" => {
                let (repo, name) = rest.split_once('_')?;
                Some(Self::Label(repo.parse().ok()?, name.to_owned()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back() {
        for id in [
            NodeId::Repository(7),
            NodeId::Pull(7, 1),
            NodeId::Issue(7, 2),
            NodeId::Account(9),
            NodeId::Label(7, "good first_issue".into()),
        ] {
            assert_eq!(NodeId::parse(&id.encode()), Some(id));
        }
        for text in ["", "R_", "R_x", "PR_7", "X_1", "IC_4"] {
            assert_eq!(NodeId::parse(text), None, "{text}");
        }
    }
}
