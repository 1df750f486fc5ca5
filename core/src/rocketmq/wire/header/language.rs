//! What peers are written in.

/// A language that RocketMQ has a number for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Language {
    /// Java, taken where a JSON header names none.
    #[default]
    Java,
    /// C++.
    Cpp,
    /// .NET.
    Dotnet,
    /// Python.
    Python,
    /// Delphi.
    Delphi,
    /// Erlang.
    Erlang,
    /// Ruby.
    Ruby,
    /// Any other: understood by old brokers, too.
    Other,
    /// HTTP.
    Http,
    /// Go.
    Go,
    /// PHP.
    Php,
    /// OpenMessaging.
    Oms,
    /// Rust; brokers before 4.9 don't know it.
    Rust,
    /// Node.js; brokers before 4.9 don't know it.
    NodeJs,
}

/// By code.
const ALL: [(Language, &str); 14] = [
    (Language::Java, "JAVA"),
    (Language::Cpp, "CPP"),
    (Language::Dotnet, "DOTNET"),
    (Language::Python, "PYTHON"),
    (Language::Delphi, "DELPHI"),
    (Language::Erlang, "ERLANG"),
    (Language::Ruby, "RUBY"),
    (Language::Other, "OTHER"),
    (Language::Http, "HTTP"),
    (Language::Go, "GO"),
    (Language::Php, "PHP"),
    (Language::Oms, "OMS"),
    (Language::Rust, "RUST"),
    (Language::NodeJs, "NODE_JS"),
];

impl Language {
    /// The language with that number, if there is one.
    #[inline]
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        ALL.get(usize::from(code)).map(|(language, _)| *language)
    }

    /// Its number in binary headers.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The language of that name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::from_name_bytes(name.as_bytes())
    }

    /// Peers write capitals: those are compared first.
    #[inline]
    pub(super) fn from_name_bytes(name: &[u8]) -> Option<Self> {
        match name {
            b"JAVA" => Some(Self::Java),
            b"GO" => Some(Self::Go),
            b"CPP" => Some(Self::Cpp),
            b"RUST" => Some(Self::Rust),
            _ => {
                let mut all = ALL.iter();
                let found = all.find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name));
                found.map(|(language, _)| *language)
            }
        }
    }

    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        ALL.get(usize::from(self.code())).map_or("OTHER", |(_, name)| name)
    }
}
