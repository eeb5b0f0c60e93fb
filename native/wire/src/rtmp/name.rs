//! From what encoders send as application and stream name to the two parts of a stream's key.
//!
//! People write one URL, `rtmp://host/live/inst/cam?token=x`, and each encoder cuts it elsewhere:
//! `live` + `inst/cam`, `live/inst` + `cam`, `live/inst/cam` + nothing, with the query on either
//! side. So the two are joined again and cut in one place: in front of the last part.

/// Cuts at the first `?`: the path and the query, which may be empty.
pub(super) fn split_query(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

/// `user:password` of `rtmp://user:password@host/app`; empty when there is none.
pub(super) fn userinfo(url: &str) -> &str {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or("", |(userinfo, _)| userinfo)
}

/// The path without leading, trailing and doubled slashes.
pub(super) fn tidy_path(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// The application and the stream of `app/name`; `None` when either would be empty.
pub(super) fn split_key(app: &str, name: &str) -> Option<(String, String)> {
    let path = tidy_path(&format!("{app}/{name}"));
    path.rsplit_once('/').map(|(app, stream)| (app.to_owned(), stream.to_owned()))
}

/// Both queries, the more specific first, so that the first of two equal parameters is the one of the name.
pub(super) fn join_queries(of_name: &str, of_app: &str) -> String {
    if of_name.is_empty() || of_name == of_app {
        return of_app.to_owned();
    }
    if of_app.is_empty() { of_name.to_owned() } else { format!("{of_name}&{of_app}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(app: &str, name: &str, expected: Option<(&str, &str)>) {
        let key = split_key(app, name);
        assert_eq!(key.as_ref().map(|(a, s)| (a.as_str(), s.as_str())), expected, "{app:?} + {name:?}");
    }

    #[test]
    fn key_is_cut_in_front_of_the_last_part_wherever_the_encoder_cut() {
        check("live", "cam", Some(("live", "cam")));
        check("live/", "/cam/", Some(("live", "cam")));
        check("/live", "cam", Some(("live", "cam")));
        check("live/inst", "cam", Some(("live/inst", "cam")));
        check("live", "inst/cam", Some(("live/inst", "cam")));
        check("live/cam", "", Some(("live", "cam")));
        check("live//x", "cam", Some(("live/x", "cam")));
    }

    #[test]
    fn key_without_two_parts_is_refused() {
        for (app, name) in [("", ""), ("live", ""), ("", "cam"), ("/", "/"), ("live/", "//")] {
            check(app, name, None);
        }
    }

    #[test]
    fn key_keeps_characters_for_the_engine_to_judge() {
        check("li ve", "..", Some(("li ve", "..")));
    }

    #[test]
    fn query_is_cut_at_the_first_question_mark() {
        assert_eq!(split_query("cam?a=1?b=/2"), ("cam", "a=1?b=/2"));
        assert_eq!(split_query("cam"), ("cam", ""));
        assert_eq!(split_query("?"), ("", ""));
    }

    #[test]
    fn userinfo_is_what_stands_in_front_of_the_host() {
        assert_eq!(userinfo("rtmp://me:secret@host:1935/live"), "me:secret");
        assert_eq!(userinfo("rtmps://me@x:p@host/live"), "me@x:p");
        for url in ["rtmp://host/a@b", "rtmp://host?x=a@b", "host/a@b", "", "rtmp://"] {
            assert_eq!(userinfo(url), "", "{url}");
        }
    }

    #[test]
    fn queries_are_joined_once_with_the_names_own_first() {
        assert_eq!(join_queries("t=1", "t=2"), "t=1&t=2");
        assert_eq!(join_queries("t=1", "t=1"), "t=1");
        assert_eq!(join_queries("", "t=2"), "t=2");
        assert_eq!(join_queries("t=1", ""), "t=1");
        assert_eq!(join_queries("", ""), "");
    }
}
