//! What can be sent to the drone's own socket: requests that could be read in two ways, ways around
//! the grants in path and query, and names of others.

use std::fmt::Write as _;

use super::hex::{hex, unhex};
use super::report::Report;
use super::scene::{Scene, tokens};

const ASK: &str = concat!(include_str!("prelude.pl"), include_str!("ask.pl"));
const REQUESTS: &str = include_str!("requests.txt");

/// Begins a request whose end can be read in two ways; it has no effect itself.
const POST: &str = "POST /v1/token/rejected HTTP/1.1\\r\\nHost: x\\r\\n";
/// What is hidden behind one: a token in the answer says that it was read.
const TOKEN: &str = "GET /token HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n";
/// Ends an ordinary request.
const END: &str = "\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n";

/// What an answer may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Most {
    /// A refusal: nothing that succeeds, and no token.
    Refusal,
    /// Tokens for the attacker's own repository, with its permissions.
    Own,
}

/// One request.
#[derive(Debug, Clone)]
struct Ask {
    kind: &'static str,
    name: &'static str,
    bytes: Vec<u8>,
    most: Most,
}

/// Sends all of it.
pub fn attempt(scene: &Scene<'_>, report: &mut Report) {
    let victims = scene.world.forge.tokens_of(scene.foreign.id());
    let asks = asks(scene);
    see_that_a_grant_is_seen(scene, &asks);
    for (ask, answer) in asks.iter().zip(answers(scene, &asks)) {
        report.add(ask.kind, ask.name, judge(scene, ask, &answer));
    }
    let touched = scene.world.forge.tokens_of(scene.foreign.id()) != victims;
    let got = touched.then(|| "the victim's tokens are others now".to_owned());
    report.add("requests that there are not", "touch the victim's tokens", got);
    let minted = scene.world.forge.tokens_of(scene.sibling.id());
    let got = (!minted.is_empty()).then(|| format!("{minted:?}"));
    report.add("more than the grant", "a token that none of the answers showed", got);
}

/// An honest request gets a token, and would be noticed if it must not.
fn see_that_a_grant_is_seen(scene: &Scene<'_>, asks: &[Ask]) {
    let bytes = unescape(&TOKEN.replace("\\r\\n\\r\\n", "\\r\\nConnection: close\\r\\n\\r\\n"));
    let honest = Ask { bytes, most: Most::Own, ..asks[0].clone() };
    let answer = answers(scene, std::slice::from_ref(&honest)).remove(0);
    assert_eq!(tokens(&answer).len(), 1, "an honest request: {answer}");
    assert_eq!(judge(scene, &honest, &answer), None);
    let dishonest = Ask { most: Most::Refusal, ..honest };
    assert!(judge(scene, &dishonest, &answer).is_some());
}

fn judge(scene: &Scene<'_>, ask: &Ask, answer: &str) -> Option<String> {
    let told = answer.split_once("\"drone\":\"").map(|(_, rest)| rest);
    if let Some(other) = told.filter(|name| !name.starts_with(scene.attacker.name())) {
        return Some(format!("an answer as another drone: {other}"));
    }
    let succeeded = answer.starts_with("HTTP/1.1 2") || !tokens(answer).is_empty();
    if succeeded && ask.most == Most::Refusal {
        return Some(answer.chars().take(200).collect());
    }
    scene.surplus(answer)
}

/// What came back for each, in order.
fn answers(scene: &Scene<'_>, asks: &[Ask]) -> Vec<String> {
    let mut input = String::new();
    for (at, ask) in asks.iter().enumerate() {
        let _ = writeln!(input, "{at}\t{}", hex(&ask.bytes));
    }
    let run = scene.perl(ASK, &[], &input);
    let (lines, end) = run.ok().rsplit_once('\n').expect("lines");
    assert_eq!(end, "end", "{}", run.report());
    let mut found = vec![None; asks.len()];
    for line in lines.lines() {
        let (at, answer) = line.split_once('\t').expect("two fields");
        let at: usize = at.parse().expect("a number");
        found[at] = Some(unhex(answer));
    }
    found.into_iter().map(|answer| answer.expect("each was asked")).collect()
}

/// Every request of the list.
fn asks(scene: &Scene<'_>) -> Vec<Ask> {
    let mut kind = "";
    let mut asks = vec![];
    for line in REQUESTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            kind = name.trim_end_matches(']');
            continue;
        }
        let fields: Vec<&str> = line.splitn(3, " | ").collect();
        let most = if fields[0] == "own" { Most::Own } else { Most::Refusal };
        let name = fields[1];
        let text = match fields.get(2) {
            Some(text) => (*text).to_owned(),
            None => format!("GET /v1/token?{name} HTTP/1.1{END}"),
        };
        asks.push(Ask { kind, name, bytes: unescape(&filled(scene, &text)), most });
    }
    asks
}

/// Puts in what the scene is called.
fn filled(scene: &Scene<'_>, text: &str) -> String {
    let digest = &scene.world.forge.tokens_of(scene.foreign.id())[0]["sha256"];
    let mut text = text.to_owned();
    for (name, value) in [
        ("{post}", POST.to_owned()),
        ("{token}", TOKEN.to_owned()),
        ("{end}", END.to_owned()),
        ("{own}", scene.own.name()),
        ("{owner}", scene.own.owner().to_owned()),
        ("{sibling}", scene.sibling.name()),
        ("{sibling_id}", scene.sibling.id().to_string()),
        ("{foreign}", scene.foreign.name()),
        ("{FOREIGN}", scene.foreign.name().to_uppercase()),
        ("{foreign_id}", scene.foreign.id().to_string()),
        ("{victim}", scene.victim.name().to_owned()),
        ("{victims_owner}", scene.foreign.owner().to_owned()),
        ("{victims_installation}", scene.foreign.installation().to_string()),
        ("{victims_digest}", digest.as_str().expect("a digest").to_owned()),
    ] {
        text = text.replace(name, &value);
    }
    // `{x*65536}`.
    while let Some((before, (repeated, after))) =
        text.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        && let Some((part, times)) = repeated.rsplit_once('*')
    {
        text = format!("{before}{}{after}", part.repeat(times.parse().expect("a number")));
    }
    text
}

/// `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH` as bytes.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut plain = vec![];
    while let Some(byte) = bytes.next() {
        plain.push(match (byte, (byte == b'\\').then(|| bytes.next()).flatten()) {
            (b'\\', Some(b'r')) => b'\r',
            (b'\\', Some(b'n')) => b'\n',
            (b'\\', Some(b't')) => b'\t',
            (b'\\', Some(b'0')) => 0,
            (b'\\', Some(b'x')) => {
                let digits = [bytes.next().expect("a digit"), bytes.next().expect("a digit")];
                u8::from_str_radix(&String::from_utf8_lossy(&digits), 16).expect("hex")
            }
            (_, Some(other)) => other,
            (byte, None) => byte,
        });
    }
    plain
}
