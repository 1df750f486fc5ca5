//! What a client takes: `Accept` and `Accept-Encoding` (RFC 9110, sections 12.4.2, 12.5.1, 12.5.3).

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING};

/// The forms in which numbers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Prometheus,
    OpenMetrics,
    Json,
}

impl Form {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Json => "application/json",
        }
    }
}

/// The form that the client likes best; Prometheus' text for who does not say.
pub(super) fn form(headers: &HeaderMap) -> Form {
    let mut best = (0, Form::Prometheus);
    for (kind, quality) in offers(headers, &ACCEPT) {
        let form = match kind {
            "application/openmetrics-text" => Form::OpenMetrics,
            "application/json" => Form::Json,
            "text/plain" | "text/*" | "*/*" => Form::Prometheus,
            _ => continue,
        };
        if quality > best.0 {
            best = (quality, form);
        }
    }
    best.1
}

/// Whether the client is a browser: likes HTML better than JSON.
pub(in super::super) fn prefers_html(headers: &HeaderMap) -> bool {
    let quality = |wanted| {
        let own = offers(headers, &ACCEPT).filter(|(kind, _)| *kind == wanted);
        own.map(|(_, quality)| quality).max().unwrap_or(0)
    };
    quality("text/html") > quality("application/json")
}

/// Whether the client takes gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut any = 0;
    for (coding, quality) in offers(headers, &ACCEPT_ENCODING) {
        match coding {
            "gzip" | "x-gzip" => return quality > 0,
            "*" => any = quality,
            _ => {}
        }
    }
    any > 0
}

/// What a header lists, each with its quality in thousandths.
fn offers<'h>(
    headers: &'h HeaderMap,
    name: &'static http::HeaderName,
) -> impl Iterator<Item = (&'h str, u32)> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let quality =
            parts.find_map(|part| part.strip_prefix('q').or_else(|| part.strip_prefix('Q')));
        let quality = quality.and_then(|rest| rest.strip_prefix('='));
        (kind, quality.map_or(1_000, thousandths))
    })
}

/// A weight such as `0.75`; 0 for what is none.
fn thousandths(weight: &str) -> u32 {
    match weight.trim().parse::<f64>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1_000.0) as u32,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: &'static http::HeaderName, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn clients_get_what_they_like_best() {
        for (accept, expected) in [
            ("", Form::Prometheus),
            ("*/*", Form::Prometheus),
            ("text/html", Form::Prometheus),
            ("application/json", Form::Json),
            ("application/json;q=0.2, text/plain;q=0.5", Form::Prometheus),
            ("application/json;q=0", Form::Prometheus),
            ("application/json;q=2, text/plain;q=0.1", Form::Prometheus),
            // What Prometheus 2.42 sends.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                 version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Form::OpenMetrics,
            ),
        ] {
            assert_eq!(form(&headers(&ACCEPT, accept)), expected, "{accept}");
        }
        assert_eq!(form(&HeaderMap::new()), Form::Prometheus);
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (accept, expected) in [
            ("gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip;q=0, *", false),
            ("*;q=0.1", true),
            ("br", false),
            ("gzip;q=x", false),
        ] {
            assert_eq!(takes_gzip(&headers(&ACCEPT_ENCODING, accept)), expected, "{accept}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
