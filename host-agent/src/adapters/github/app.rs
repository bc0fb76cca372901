//! The App on one forge: what it can ask for there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hatchery_protocol::wire::{GitIdentity, Permissions};
use hatchery_protocol::{ForgeHost, RepoName};
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use tokio::sync::OnceCell;

use super::SetUpError;
use super::answer::{AppAnswer, InstallationAnswer, Repository, TokenAnswer, TokenRequest, User};
use super::error::{Trouble, date, trouble};
use super::http::{Answer, Http, NoAnswer};
use super::jwt::Signer;
use super::limit::{Account, Limits};
use super::pages;
use crate::config::ForgeConfig;
use crate::credentials::forge::{
    ForgeError, ForgeRepository, Installation, InstallationId, MintRequest, Minted,
};
use crate::credentials::permissions::includes;
use crate::secret::Token;

/// What every token has, whether it was asked for or not.
const METADATA: (&str, &str) = ("metadata", "read");
/// After a failure to learn the bot's name, it is asked for again no sooner than this.
const BOT_PAUSE: Duration = Duration::from_secs(300);
/// Attempts with a token that the forge just made, and may not know everywhere yet.
const YOUNG_ATTEMPTS: u32 = 3;
/// Wait between them.
const YOUNG_PAUSE: Duration = Duration::from_secs(1);

/// Items of a list that are asked for at once: GitHub's most.
const PAGE: u32 = 100;
/// A request that anybody can make.
const NOBODY: (Option<Account>, Option<&Token>) = (Some(Account::Address), None);

/// One forge's App.
#[derive(Debug)]
pub struct App {
    host: ForgeHost,
    git_url: String,
    http: Http,
    signer: Signer,
    limits: Limits,
    known: OnceCell<AppAnswer>,
    bot: OnceCell<GitIdentity>,
    bot_failed_at: Mutex<Option<Instant>>,
}

impl App {
    /// Reads key and certificates; connects nowhere.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn load(forge: &ForgeConfig) -> Result<Self, SetUpError> {
        Ok(Self {
            host: forge.host.clone(),
            git_url: forge.git_url.clone(),
            http: Http::new(forge)?,
            signer: Signer::load(&forge.app)?,
            limits: Limits::default(),
            known: OnceCell::new(),
            bot: OnceCell::new(),
            bot_failed_at: Mutex::default(),
        })
    }

    /// See [`crate::credentials::Forge::installation`]. By the address that a renamed repository's
    /// redirect leads to; by name where the forge does not know that one.
    pub async fn installation(&self, id: u64, name: &RepoName) -> Result<Installation, ForgeError> {
        let path = format!("/repositories/{id}/installation");
        match self.as_app(Account::App, Method::GET, &path, Vec::new()).await {
            Ok(answer) => self.usable(&answer),
            Err(Trouble::NotFound(_)) => match self.discover(name).await? {
                (installation, leads_to) if leads_to.is_none_or(|to| to == id) => Ok(installation),
                // The name is another repository's former one.
                _ => Err(self.not_found(name).await),
            },
            Err(trouble) => Err(self.error(trouble)),
        }
    }

    /// The installation, and the id of a repository that was renamed: the redirect has it.
    async fn discover(&self, repo: &RepoName) -> Result<(Installation, Option<u64>), ForgeError> {
        let path = format!("/repos/{}/{}/installation", repo.owner(), repo.repo());
        let answer = match self.as_app(Account::App, Method::GET, &path, Vec::new()).await {
            Ok(answer) => answer,
            Err(Trouble::NotFound(_)) => return Err(self.not_found(repo).await),
            Err(trouble) => return Err(self.error(trouble)),
        };
        let installation = self.usable(&answer)?;
        let id = answer.path.split('/').skip_while(|part| *part != "repositories").nth(1);
        Ok((installation, id.and_then(|id| id.parse().ok())))
    }

    /// The installation in an answer, unless its owner suspended it.
    fn usable(&self, answer: &Answer) -> Result<Installation, ForgeError> {
        let found: InstallationAnswer = self.parse(answer)?;
        if found.suspended_at.is_some() {
            return Err(ForgeError::Suspended { host: self.host.clone() });
        }
        Ok(Installation { id: InstallationId(found.id), permissions: found.permissions })
    }

    /// See [`crate::credentials::Forge::repository`]. Asks with a token that opens this repository's
    /// metadata and nothing else, and is taken back at once.
    pub async fn repository(&self, repo: &RepoName) -> Result<ForgeRepository, ForgeError> {
        let (installation, moved_to) = self.discover(repo).await?;
        let permissions = Permissions::from([(METADATA.0.to_owned(), METADATA.1.to_owned())]);
        let ids = moved_to.map(|id| [id]);
        let request = TokenRequest {
            repository_ids: ids.as_ref().map(<[u64; 1]>::as_slice),
            repositories: ids.is_none().then_some([repo.repo()]),
            permissions: &permissions,
        };
        let (answer, _) = self.access_token(installation.id, &request).await?;
        let token = Token::new(answer.token);
        let found = match <[Repository; 1]>::try_from(answer.repositories.unwrap_or_default()) {
            Ok([one]) if includes(&permissions, &answer.permissions) => {
                self.describe(one, installation.id, &token).await
            }
            _ => Err(ForgeError::Surplus { host: self.host.clone() }),
        };
        if let Err(error) = self.revoke(&token).await {
            tracing::debug!(host = %self.host, %error, "a metadata token is left to end by itself");
        }
        let (found, default_branch) = found?;
        Ok(ForgeRepository {
            id: found.id,
            name: found.full_name,
            default_branch,
            installation: installation.id,
            installation_permissions: installation.permissions,
        })
    }

    /// The repository with its default branch, which a mint's answer may leave out.
    async fn describe(
        &self,
        repo: Repository,
        installation: InstallationId,
        token: &Token,
    ) -> Result<(Repository, String), ForgeError> {
        if let Some(branch) = repo.default_branch.clone() {
            return Ok((repo, branch));
        }
        let path = format!("/repositories/{}", repo.id);
        let bearer = (Some(Account::Installation(installation)), Some(token));
        let mut attempt = 1;
        let answer = loop {
            match self.ask(Method::GET, &path, bearer, Vec::new()).await {
                Ok(answer) => break answer,
                Err(Trouble::Unauthorized(_) | Trouble::NotCovered(_))
                    if attempt < YOUNG_ATTEMPTS =>
                {
                    attempt += 1;
                    tokio::time::sleep(YOUNG_PAUSE).await;
                }
                Err(trouble) => return Err(self.error(trouble)),
            }
        };
        let described: Repository = self.parse(&answer)?;
        let branch = described.default_branch.unwrap_or_default();
        if described.id != repo.id || branch.is_empty() {
            return Err(self.odd("it describes another repository than the one asked for"));
        }
        Ok((repo, branch))
    }

    /// See [`crate::credentials::Forge::mint`].
    pub async fn mint(&self, request: &MintRequest) -> Result<Minted, ForgeError> {
        if request.repositories.is_empty() || request.permissions.is_empty() {
            // To the forge an empty list means everything.
            return Err(ForgeError::Surplus { host: self.host.clone() });
        }
        let body = TokenRequest {
            repository_ids: Some(&request.repositories),
            repositories: None,
            permissions: &request.permissions,
        };
        let (answer, expires_at) = self.access_token(request.installation, &body).await?;
        let token = Token::new(answer.token);
        let opened: BTreeMap<u64, RepoName> = answer
            .repositories
            .unwrap_or_default()
            .into_iter()
            .map(|repo| (repo.id, repo.full_name))
            .collect();
        let verdict = self.compare(request, &opened, &answer.permissions);
        if let Err(error) = verdict {
            if let Err(kept) = self.revoke(&token).await {
                tracing::error!(host = %self.host, error = %kept,
                    "a token that must not be used could not be taken back");
            }
            return Err(error);
        }
        Ok(Minted { token, expires_at, repositories: opened, permissions: answer.permissions })
    }

    /// Compares what a token opens with what it was asked for. An empty list means everything.
    fn compare(
        &self,
        request: &MintRequest,
        opened: &BTreeMap<u64, RepoName>,
        permissions: &Permissions,
    ) -> Result<(), ForgeError> {
        let asked: BTreeSet<u64> = request.repositories.iter().copied().collect();
        let mut allowed = request.permissions.clone();
        allowed.entry(METADATA.0.to_owned()).or_insert_with(|| METADATA.1.to_owned());
        let wider = opened.keys().any(|id| !asked.contains(id));
        if wider || opened.is_empty() || !includes(&allowed, permissions) {
            return Err(ForgeError::Surplus { host: self.host.clone() });
        }
        if opened.len() < asked.len() {
            let message = "a token for fewer repositories than asked for".to_owned();
            return Err(ForgeError::InstallationGone { host: self.host.clone(), message });
        }
        Ok(())
    }

    async fn access_token(
        &self,
        installation: InstallationId,
        request: &TokenRequest<'_>,
    ) -> Result<(TokenAnswer, OffsetDateTime), ForgeError> {
        let path = format!("/app/installations/{}/access_tokens", installation.0);
        let body = serde_json::to_vec(request).expect("ids and strings always serialize");
        let account = Account::Installation(installation);
        let answer = self.as_app(account, Method::POST, &path, body).await.map_err(|trouble| {
            let host = self.host.clone();
            match trouble {
                Trouble::NotFound(message) => ForgeError::InstallationGone { host, message },
                other => self.error(other),
            }
        })?;
        let minted: TokenAnswer = self.parse(&answer)?;
        // Its end by our clock: what counts is how long it lives, not what the forge calls now.
        let skew = date(&answer.headers).map(|theirs| theirs - OffsetDateTime::now_utc());
        let expires_at = minted.expires_at - skew.unwrap_or_default();
        let expires_at = expires_at.replace_nanosecond(0).unwrap_or(expires_at);
        Ok((minted, expires_at))
    }

    /// See [`crate::credentials::Forge::revoke`].
    pub async fn revoke(&self, token: &Token) -> Result<(), ForgeError> {
        // Which installation's it is, the one who took it over from another host agent cannot know.
        let bearer = (None, Some(token));
        match self.ask(Method::DELETE, "/installation/token", bearer, Vec::new()).await {
            Ok(_) | Err(Trouble::Unauthorized(_) | Trouble::NotFound(_)) => Ok(()),
            Err(trouble) => Err(self.error(trouble)),
        }
    }

    /// See [`crate::credentials::Forge::bot_identity`].
    pub async fn bot_identity(&self) -> Result<GitIdentity, ForgeError> {
        let failed_at =
            *self.bot_failed_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.bot.get().is_none() && failed_at.is_some_and(|at| at.elapsed() < BOT_PAUSE) {
            return Err(self.odd("it did not name the App's bot a moment ago"));
        }
        let bot = self.bot.get_or_try_init(|| self.ask_for_bot()).await.cloned();
        if bot.is_err() {
            *self.bot_failed_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                Some(Instant::now());
        }
        bot
    }

    async fn ask_for_bot(&self) -> Result<GitIdentity, ForgeError> {
        let slug = self.slug().await?;
        // Public, and the App's JWT is not taken here.
        let path = format!("/users/{slug}%5Bbot%5D");
        let asked = self.ask(Method::GET, &path, NOBODY, Vec::new()).await;
        let answer = asked.map_err(|trouble| self.error(trouble))?;
        let user: User = self.parse(&answer)?;
        let name = format!("{slug}[bot]");
        // Not the App's id: the forge links commits by the bot's.
        let email = format!("{}+{name}@users.noreply.{}", user.id, self.host);
        Ok(GitIdentity { name, email })
    }

    async fn slug(&self) -> Result<&str, ForgeError> {
        Ok(&self.known().await?.slug)
    }

    /// The App itself, as the forge knew it when it was first asked.
    async fn known(&self) -> Result<&AppAnswer, ForgeError> {
        self.known.get_or_try_init(|| self.own()).await
    }

    /// The App itself, as the forge knows it: the shortest proof that id, key and clock are right.
    pub async fn own(&self) -> Result<AppAnswer, ForgeError> {
        let answer = self.as_app(Account::App, Method::GET, "/app", Vec::new()).await;
        self.parse(&answer.map_err(|trouble| self.error(trouble))?)
    }

    /// The App's installations, as many as one answer holds.
    pub async fn installations(&self) -> Result<Vec<InstallationAnswer>, ForgeError> {
        let path = format!("/app/installations?per_page={PAGE}");
        let answer = self.as_app(Account::App, Method::GET, &path, Vec::new()).await;
        self.parse(&answer.map_err(|trouble| self.error(trouble))?)
    }

    /// With the page where the App gets the repository, which is what to do next. The App may lack
    /// the whole account, or an account that has it may not have chosen this repository.
    async fn not_found(&self, repo: &RepoName) -> ForgeError {
        let path = format!("/users/{}/installation", repo.owner());
        let of_account = self.as_app(Account::App, Method::GET, &path, Vec::new()).await.ok();
        let of_account: Option<InstallationAnswer> =
            of_account.and_then(|answer| self.parse(&answer).ok());
        let (installed, install_url) = match of_account {
            Some(found) => {
                let page = found.html_url.filter(|url| pages::is_on(&self.git_url, url));
                (true, page)
            }
            None => (false, self.install_page(repo.owner()).await),
        };
        ForgeError::NotFound { host: self.host.clone(), repo: repo.clone(), installed, install_url }
    }

    /// The page where the App is installed on an account.
    async fn install_page(&self, account: &str) -> Option<String> {
        let own = self.known().await.ok()?;
        let path = format!("/users/{account}");
        let found = self.ask(Method::GET, &path, NOBODY, Vec::new()).await.ok();
        let found: Option<User> = found.and_then(|answer| self.parse(&answer).ok());
        let page = own.html_url.as_deref();
        Some(pages::install(&self.git_url, page, &own.slug, found.map(|account| account.id)))
    }

    /// Asks as the App, on one of its accounts. A refusal of our time is answered by taking over the
    /// forge's, once.
    async fn as_app(
        &self,
        account: Account,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Answer, Trouble> {
        let first = self.sign_and_ask(account, method.clone(), path, body.clone()).await;
        let Err(Trouble::Clock { forge_time: Some(theirs), .. }) = first else { return first };
        self.signer.correct(theirs);
        tracing::warn!(host = %self.host, offset_s = self.signer.offset(),
            "the forge's clock differs from this machine's; set the clock (NTP)");
        self.sign_and_ask(account, method, path, body).await
    }

    async fn sign_and_ask(
        &self,
        account: Account,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Answer, Trouble> {
        let unsigned = || Trouble::Unauthorized("the App's private key does not sign".to_owned());
        let jwt = self.signer.sign().await.ok_or_else(unsigned)?;
        self.ask(method, path, (Some(account), Some(&jwt)), body).await
    }

    /// Asks with a credential, on an account as far as that is known.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        (account, bearer): (Option<Account>, Option<&Token>),
        body: Vec<u8>,
    ) -> Result<Answer, Trouble> {
        if let Some(wait) = self.limits.left(account, Instant::now()) {
            return Err(Trouble::Held(wait));
        }
        let started = Instant::now();
        let sent = self.http.send(method.clone(), path, bearer, body).await;
        let answer = sent.map_err(|NoAnswer(reason)| Trouble::Odd(reason))?;
        tracing::debug!(host = %self.host, %method, path, status = answer.status.as_u16(),
            took_ms = started.elapsed().as_millis(), "asked the forge");
        if matches!(answer.status, StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT) {
            self.limits.lift(account, Instant::now());
            return Ok(answer);
        }
        match trouble(&answer, OffsetDateTime::now_utc()) {
            Trouble::Limited(reach, wait) => {
                let wait = self.limits.impose(reach, account, wait, Instant::now());
                Err(Trouble::Limited(reach, wait))
            }
            other => Err(other),
        }
    }

    fn parse<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, ForgeError> {
        // serde's own words may quote the answer, which may hold a token.
        serde_json::from_slice(&answer.body)
            .map_err(|_| self.odd("its answer is not what GitHub's API answers"))
    }

    fn odd(&self, message: &str) -> ForgeError {
        ForgeError::Unreachable { host: self.host.clone(), message: message.to_owned() }
    }

    fn error(&self, trouble: Trouble) -> ForgeError {
        let host = self.host.clone();
        match trouble {
            Trouble::Clock { message, .. } => {
                let message = format!("{message}; set this machine's clock (NTP)");
                ForgeError::BadApp { host, message }
            }
            Trouble::Unauthorized(message) => ForgeError::BadApp { host, message },
            Trouble::Suspended => ForgeError::Suspended { host },
            Trouble::Limited(_, retry_after) => {
                ForgeError::RateLimited { host, retry_after, asked: true }
            }
            Trouble::Held(retry_after) => {
                ForgeError::RateLimited { host, retry_after, asked: false }
            }
            Trouble::NotCovered(message) => ForgeError::InstallationGone { host, message },
            Trouble::NotFound(message) | Trouble::Odd(message) => {
                ForgeError::Unreachable { host, message }
            }
        }
    }
}
