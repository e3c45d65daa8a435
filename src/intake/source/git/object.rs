//! Tags and commits taken apart: what was signed, and the signature. Nothing is checked here but that a signed tag has the name
//! under which the remote gives it: else any signed release could be passed off as any other.

use super::GitError;
use super::program::Git;
use super::refs::ChosenRef;
use crate::intake::package::SignedObject;
use crate::text;

/// A tag or commit with a longer message is refused.
const OBJECT: usize = 1 << 20;

/// What opens a signature at the end of a tag.
const MARKS: [&[u8]; 2] = [b"-----BEGIN PGP SIGNATURE-----", b"-----BEGIN SSH SIGNATURE-----"];

/// The signed tag, else the signed commit, where there is one.
pub(super) fn signed(git: &Git, choice: &ChosenRef, commit: &str) -> Result<Option<SignedObject>, GitError> {
    if git.line(&["cat-file", "-t", super::WANTED])? == "tag" {
        let tag = bounded(git, git.output(&["cat-file", "tag", super::WANTED])?)?;
        if let Some((payload, signature)) = split_tag(&tag) {
            let own = header(payload, b"tag").map(String::from_utf8_lossy).unwrap_or_default();
            let name = choice.reference.as_ref().and_then(|reference| reference.tag());
            if let Some(name) = name
                && own != name
            {
                return Err(GitError::TagName {
                    reference: text::sanitized(name).into_owned(),
                    own: text::sanitized(&own).into_owned(),
                });
            }
            let what = format!("tag `{}`", text::sanitized(&own));
            return Ok(Some(SignedObject { what, payload: payload.to_vec(), signature: signature.to_vec() }));
        }
    }
    let bytes = bounded(git, git.output(&["cat-file", "commit", commit])?)?;
    let (payload, signature) = split_commit(&bytes);
    Ok((!signature.is_empty()).then(|| SignedObject { what: format!("commit {commit}"), payload, signature }))
}

fn bounded(git: &Git, object: Vec<u8>) -> Result<Vec<u8>, GitError> {
    if object.len() > OBJECT {
        return Err(GitError::TooLarge {
            url: git.shown().to_owned(),
            what: "a tag or a commit message",
            limit: OBJECT as u64,
        });
    }
    Ok(object)
}

/// A tag up to its signature, and the signature; the last line that opens one counts, as git has it.
fn split_tag(tag: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    let mut found = None;
    for line in tag.split_inclusive(|b| *b == b'\n') {
        if MARKS.iter().any(|mark| line.starts_with(mark)) {
            found = Some(at);
        }
        at += line.len();
    }
    tag.split_at_checked(found?)
}

/// A commit without its signature headers, and the signature of the first kind.
fn split_commit(commit: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut payload = Vec::with_capacity(commit.len());
    let mut signature = Vec::new();
    let mut rest = commit;
    // In which header we are: its continuation lines begin with a space.
    let mut within: Option<bool> = None;
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let (line, after) = rest.split_at(end + 1);
        if line == b"\n" {
            break;
        }
        match (within, line) {
            (Some(ours), [b' ', continued @ ..]) => {
                if ours {
                    signature.extend_from_slice(continued);
                }
            }
            _ if line.starts_with(b"gpgsig") => {
                let first = line.strip_prefix(b"gpgsig ").or_else(|| line.strip_prefix(b"gpgsig-sha256 "));
                let ours = first.is_some() && signature.is_empty();
                if let Some(first) = first.filter(|_| ours) {
                    signature.extend_from_slice(first);
                }
                within = Some(ours);
            }
            _ => {
                within = None;
                payload.extend_from_slice(line);
            }
        }
        rest = after;
    }
    payload.extend_from_slice(rest);
    (payload, signature)
}

/// The value of a header before the empty line.
fn header<'a>(object: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    object
        .split(|b| *b == b'\n')
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(b" "))
}

/// Part of [`crate::intake::source::read_foreign`].
pub(super) fn read_foreign(data: &[u8]) {
    let _ = split_tag(data).map(|(payload, _)| header(payload, b"tag"));
    let _ = split_commit(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_tags_come_apart_at_their_signature() {
        let tag = b"object 1\ntype commit\ntag v1.0.0\ntagger A <a> 1 +0\n\ntag v9\nmessage\n-----BEGIN PGP SIGNATURE-----\nx\n-----END PGP SIGNATURE-----\n";
        let (payload, signature) = split_tag(tag).unwrap();
        assert!(payload.ends_with(b"message\n") && signature.starts_with(b"-----BEGIN PGP"));
        assert_eq!(header(payload, b"tag"), Some(&b"v1.0.0"[..]));
        assert_eq!(header(b"a b\n\ntag v9\n", b"tag"), None, "what a message says is no header");
        assert!(split_tag(b"object 1\n\nno signature -----BEGIN PGP SIGNATURE-----\n").is_none());
    }

    #[test]
    fn v_commits_come_apart_at_their_signature_header() {
        let commit = b"tree 1\nparent 2\nauthor A\ngpgsig -----BEGIN SSH SIGNATURE-----\n abc\n -----END SSH SIGNATURE-----\ngpgsig-sha256 other\n more\nencoding x\n\nmessage\n gpgsig no\n";
        let (payload, signature) = split_commit(commit);
        assert_eq!(payload, b"tree 1\nparent 2\nauthor A\nencoding x\n\nmessage\n gpgsig no\n");
        assert_eq!(signature, b"-----BEGIN SSH SIGNATURE-----\nabc\n-----END SSH SIGNATURE-----\n");
        assert_eq!(split_commit(b"tree 1\n\ngpgsig no\n"), (b"tree 1\n\ngpgsig no\n".to_vec(), Vec::new()));
    }
}
