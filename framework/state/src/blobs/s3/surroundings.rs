//! What a store on S3 takes from its surroundings, and what is said when they do not suffice: plain text, no requests.

/// What gives credentials; one of them is enough.
const CREDENTIALS: [&str; 4] =
    ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];

/// What names a server that is not Amazon's, the strongest first.
const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];

/// More of what a server answers helps nobody.
const MOST_CHARACTERS: usize = 300;

/// What the environment lacks, and what can be done about it. `variable` gives the value of one that is set.
pub fn missing(variable: impl Fn(&str) -> Option<String>) -> Option<(String, String)> {
    let (key, secret) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    for (there, absent) in [(key, secret), (secret, key)] {
        if variable(there).is_some() && variable(absent).is_none() {
            return Some((format!("{there} is set and {absent} is not"), format!("set {absent}")));
        }
    }
    let (name, endpoint) = ENDPOINTS.iter().find_map(|name| Some((name, variable(name)?)))?;
    let allowed =
        variable("AWS_ALLOW_HTTP").is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on"));
    if endpoint.starts_with("http://") && !allowed {
        let help = "use an endpoint with https://, or set AWS_ALLOW_HTTP=true where nobody can read along";
        return Some((format!("{name} is {endpoint}, which is not encrypted"), help.to_owned()));
    }
    // A machine of Amazon gives credentials by itself, and no variable says so; a server elsewhere takes none of those.
    if CREDENTIALS.iter().all(|name| variable(name).is_none()) {
        return Some((format!("{key} and {secret} are not set"), format!("set both to the credentials for {endpoint}")));
    }
    None
}

/// A failure in one line: of the page that a server answers with, its code and message.
pub fn told(error: &object_store::Error, innermost: &str) -> String {
    if is_of_the_machine(error) {
        return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, and this machine has no credentials of its own".to_owned();
    }
    match (between(innermost, "<Code>", "</Code>"), between(innermost, "<Message>", "</Message>")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => {
            let line = innermost.split_whitespace().collect::<Vec<_>>().join(" ");
            line.chars().take(MOST_CHARACTERS).collect()
        }
    }
}

/// What can be done about a failure.
pub fn help(error: &object_store::Error, told: &str) -> Option<String> {
    use object_store::Error::{PermissionDenied, Unauthenticated};
    if is_of_the_bucket(told) {
        return Some("make the bucket first, or name one that is there".to_owned());
    }
    if matches!(error, PermissionDenied { .. } | Unauthenticated { .. }) {
        return Some(
            "the credentials of the AWS_* variables must be allowed to list the bucket and to get, put and delete objects".to_owned(),
        );
    }
    is_of_the_machine(error).then(|| "set both, or run it where the machine or container has a role".to_owned())
}

/// Whether a server says that there is no such bucket, rather than no such object.
pub fn is_of_the_bucket(answer: &str) -> bool {
    answer.contains("NoSuchBucket")
}

/// Whether it was the machine's own address for credentials that did not answer.
fn is_of_the_machine(error: &object_store::Error) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(cause) = next {
        if cause.to_string().contains("169.254.") {
            return true;
        }
        next = cause.source();
    }
    false
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing_of(set: &[(&str, &str)]) -> Option<String> {
        missing(|name| set.iter().find(|(there, _)| *there == name).map(|(_, value)| (*value).to_owned())).map(|(what, _)| what)
    }

    #[test]
    fn what_is_not_set_is_named() {
        let (key, secret) = (("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s"));
        let (plain, tls) = (("AWS_ENDPOINT_URL", "http://box:9000"), ("AWS_ENDPOINT_URL", "https://box"));
        assert_eq!(missing_of(&[]), None, "the machine may have a role");
        assert_eq!(missing_of(&[key]).unwrap(), "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not");
        assert_eq!(missing_of(&[secret]).unwrap(), "AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not");
        assert_eq!(missing_of(&[tls]).unwrap(), "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set");
        assert_eq!(missing_of(&[key, secret, plain]).unwrap(), "AWS_ENDPOINT_URL is http://box:9000, which is not encrypted");
        assert_eq!(missing_of(&[key, secret, plain, ("AWS_ALLOW_HTTP", "true")]), None);
        assert_eq!(missing_of(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "x"), tls]), None);
    }

    #[test]
    fn a_page_of_xml_becomes_a_line() {
        let page = "Server returned non-2xx status code: 404 Not Found: <?xml?>\n<Error><Code>NoSuchBucket</Code><Message>No bucket</Message></Error>";
        let error = object_store::Error::Generic { store: "S3", source: page.into() };
        let line = told(&error, page);
        assert_eq!(line, "NoSuchBucket: No bucket");
        assert_eq!(help(&error, &line).unwrap(), "make the bucket first, or name one that is there");
        assert_eq!(told(&error, &format!("a\n  b {}", "c".repeat(1_000))).len(), MOST_CHARACTERS);
        let machine = object_store::Error::Generic { store: "S3", source: "Error performing PUT http://169.254.169.254/latest".into() };
        assert!(told(&machine, "timed out").starts_with("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"));
    }
}
