//! Every key of devcontainer.json and its verdict. The staged file has only what passed, so a key
//! that is not here asks for nothing: it goes, with a notice.

/// What happens to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Confined to the drone, or of no concern to the host: staged, variables substituted.
    Keep,
    /// Needless here.
    Strip(&'static str),
    /// Reaches the host, and nothing permits it.
    Refuse(&'static str),
    /// Judged by its content.
    Judge,
}

const LEGACY: Rule = Rule::Strip("it belongs below customizations.vscode, for years");

/// The table, by name; the specification's `devContainer.base.schema.json` and what editors knew.
const KEYS: [(&str, Rule); 47] = [
    ("$schema", Rule::Strip("it is for editors")),
    ("name", Rule::Keep),
    ("image", Rule::Judge),
    ("build", Rule::Judge),
    ("dockerFile", Rule::Judge),
    ("context", Rule::Judge),
    ("dockerComposeFile", Rule::Judge),
    ("service", Rule::Judge),
    ("runServices", Rule::Judge),
    ("features", Rule::Judge),
    ("overrideFeatureInstallOrder", Rule::Judge),
    ("initializeCommand", Rule::Refuse("it runs on the server, as whoever runs Hatchery")),
    ("onCreateCommand", Rule::Keep),
    ("updateContentCommand", Rule::Keep),
    ("postCreateCommand", Rule::Keep),
    ("postStartCommand", Rule::Keep),
    ("postAttachCommand", Rule::Keep),
    ("waitFor", Rule::Keep),
    ("userEnvProbe", Rule::Keep),
    ("remoteUser", Rule::Judge),
    ("containerUser", Rule::Judge),
    ("updateRemoteUserUID", Rule::Keep),
    ("containerEnv", Rule::Judge),
    ("remoteEnv", Rule::Judge),
    ("overrideCommand", Rule::Keep),
    ("shutdownAction", Rule::Keep),
    ("init", Rule::Keep),
    ("privileged", Rule::Judge),
    ("capAdd", Rule::Judge),
    ("securityOpt", Rule::Judge),
    ("mounts", Rule::Judge),
    ("runArgs", Rule::Judge),
    ("workspaceMount", Rule::Judge),
    ("workspaceFolder", Rule::Judge),
    ("appPort", Rule::Strip("ports are not published: the tailnet reaches every port")),
    ("forwardPorts", Rule::Keep),
    ("portsAttributes", Rule::Keep),
    ("otherPortsAttributes", Rule::Keep),
    ("hostRequirements", Rule::Judge),
    ("customizations", Rule::Keep),
    ("secrets", Rule::Keep),
    ("extensions", LEGACY),
    ("settings", LEGACY),
    ("devPort", LEGACY),
    ("codespaces", Rule::Strip("it is for Codespaces")),
    ("composeFile", Rule::Strip("the key is dockerComposeFile")),
    ("entrypoint", Rule::Strip("entrypoints belong to features")),
];

/// The verdict on a key.
pub fn rule(key: &str) -> Rule {
    KEYS.iter()
        .find(|(name, _)| *name == key)
        .map_or(Rule::Strip("not a key that the policy knows"), |(_, rule)| *rule)
}
