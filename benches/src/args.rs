//! Command lines of the load tools: flags in any order, the rest positional, anything unknown an error.

use std::fmt::Display;
use std::str::FromStr;

/// The arguments that have not been asked for yet.
#[derive(Debug)]
pub struct Args(Vec<String>);

impl Args {
    /// The arguments of this process.
    pub fn of_process() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// Whether the flag `name` was given.
    pub fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|arg| arg != name);
        self.0.len() != before
    }

    /// The value of `name`, in either form: `--name value` or `--name=value`.
    ///
    /// # Errors
    /// When the value is missing or does not parse.
    pub fn value<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<Option<T>, String> {
        let joined = format!("{name}=");
        let Some(at) = self.0.iter().position(|arg| arg == name || arg.starts_with(&joined)) else {
            return Ok(None);
        };
        let first = self.0.remove(at);
        let text = match first.strip_prefix(&joined) {
            Some(text) => text.to_owned(),
            None if at < self.0.len() => self.0.remove(at),
            None => return Err(format!("{name} needs a value")),
        };
        text.parse().map(Some).map_err(|error| format!("{name} {text}: {error}"))
    }

    /// Every value of a flag that may repeat.
    ///
    /// # Errors
    /// When a value is missing.
    pub fn values(&mut self, name: &str) -> Result<Vec<String>, String> {
        let mut all = Vec::new();
        while let Some(value) = self.value(name)? {
            all.push(value);
        }
        Ok(all)
    }

    /// The next positional argument; ask for flags first.
    ///
    /// # Errors
    /// When there is none, or it does not parse.
    pub fn positional<T: FromStr<Err: Display>>(&mut self, what: &str) -> Result<T, String> {
        if self.0.is_empty() {
            return Err(format!("{what} is missing"));
        }
        let text = self.0.remove(0);
        text.parse().map_err(|error| format!("{what} {text}: {error}"))
    }

    /// Ends the parsing.
    ///
    /// # Errors
    /// When arguments are left that nobody asked for.
    pub fn finish(self) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some(arg) => Err(format!("unknown argument {arg}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &str) -> Args {
        Args(words.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn flags_and_positionals_mix() {
        let mut args = args("a:1 --core 3 --quick --only=x b:2 --only y");
        assert_eq!(args.value::<usize>("--core"), Ok(Some(3)));
        assert!(args.flag("--quick"));
        assert_eq!(args.values("--only"), Ok(vec!["x".to_owned(), "y".to_owned()]));
        assert_eq!(args.positional::<String>("first").as_deref(), Ok("a:1"));
        assert_eq!(args.positional::<String>("second").as_deref(), Ok("b:2"));
        assert!(args.finish().is_ok());
    }

    #[test]
    fn what_nobody_asked_for_is_an_error() {
        assert!(args("--cores 3").finish().is_err());
        assert!(args("--core").value::<usize>("--core").is_err());
        assert!(args("--core x").value::<usize>("--core").is_err());
    }
}
