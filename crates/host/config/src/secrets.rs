//! Secrets that lie beside a wrangler file, so that they need not stand in it.
//!
//! The files are those that wrangler reads: `.dev.vars.NAME` for an environment, else `.dev.vars`;
//! where there is neither, `.env.NAME.local`, `.env.local`, `.env.NAME` and `.env`, the first that
//! has a name counting. What they hold takes the place of `vars` of the same name.
//!
//! Invariant: no message holds a value, or a line that could not be read: both may be secret.

use std::path::{Path, PathBuf};

use crate::config::{Binding, BindingValue, Config};
use crate::report::{ConfigError, Diagnostic, Position, read_text};

/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

impl Config {
    /// Adds the secrets of `files`, or of the files beside the configuration where none is given,
    /// and checks `secrets.required`. Returns which files were read.
    pub fn add_secrets(
        &mut self,
        environment: Option<&str>,
        files: &[PathBuf],
    ) -> Result<Vec<PathBuf>, ConfigError> {
        let files = match files {
            [] => beside(&self.root, environment),
            given => given.to_vec(),
        };
        // The first that has a name counts, and whatever is bound under it makes way.
        let mut secrets: Vec<Binding> = Vec::new();
        for file in &files {
            for secret in read(file)? {
                if !secrets.iter().any(|one| one.name == secret.name) {
                    secrets.push(secret);
                }
            }
        }
        let mut errors = Vec::new();
        for secret in &secrets {
            let bound = self.bindings.iter().find(|one| one.name == secret.name);
            if let Some(bound) = bound
                && !matches!(bound.value, BindingValue::Text(_) | BindingValue::Json(_))
            {
                let message = format!("is a binding of another kind at {}", bound.at);
                errors.push(Diagnostic::at(secret.at.clone(), &secret.name, message));
            }
        }
        self.bindings
            .retain(|one| !secrets.iter().any(|secret| secret.name == one.name));
        self.bindings.extend(secrets);
        for (name, at) in &self.required_secrets {
            if !self.bindings.iter().any(|one| one.name == *name) {
                let message = format!(
                    "the secret \"{name}\" is missing: put {name}=... into a file .dev.vars \
                     beside this one"
                );
                errors.push(Diagnostic::at(at.clone(), "secrets.required", message));
            }
        }
        match errors.is_empty() {
            true => Ok(files),
            false => Err(ConfigError { errors }),
        }
    }
}

/// The files that count, the strongest first.
fn beside(root: &Path, environment: Option<&str>) -> Vec<PathBuf> {
    let there = |name: String| Some(root.join(name)).filter(|path| path.is_file());
    let of =
        |start: &str, end: &str| environment.and_then(|name| there(format!("{start}.{name}{end}")));
    if let Some(only) = of(".dev.vars", "").or_else(|| there(".dev.vars".to_owned())) {
        return vec![only];
    }
    let all = [
        of(".env", ".local"),
        there(".env.local".to_owned()),
        of(".env", ""),
        there(".env".to_owned()),
    ];
    all.into_iter().flatten().collect()
}

fn read(path: &Path) -> Result<Vec<Binding>, ConfigError> {
    let at = |line: usize| Position {
        path: path.to_owned(),
        line,
        column: 1,
    };
    let text = read_text(path, FILE_BYTES_MAX)?;
    let mut secrets = Vec::new();
    for pair in dotenvy::from_read_iter(text.as_bytes()) {
        let (name, value) = pair.map_err(|error| match error {
            dotenvy::Error::LineParse(line, _) => {
                // Every text begins with an empty one.
                let is_it = |one: &str| !one.trim().is_empty() && line.starts_with(one.trim());
                let number = text.lines().position(is_it);
                let message = "is not of the form NAME=VALUE";
                Diagnostic::at(at(number.map_or(1, |index| index + 1)), "", message)
            }
            _ => Diagnostic::unreadable(path, "it is not text"),
        })?;
        let assigns = |line: &str| {
            let line = line.trim_start();
            let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
            let rest = line.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.trim_start().starts_with('='))
        };
        let number = text.lines().position(assigns);
        secrets.push(Binding {
            at: at(number.map_or(1, |index| index + 1)),
            value: BindingValue::Text(value),
            name,
        });
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRANGLER: &str = r#"{ "name": "w", "main": "w.js", "compatibility_date": "2026-08-01",
        "vars": { "A": "public", "B": 1 }, "secrets": { "required": ["KEY"] },
        "kv_namespaces": [{ "binding": "KV", "id": "kv" }],
        "env": { "staging": { "vars": { "A": "staged" } } } }"#;

    /// What `env` holds, as `NAME=value`, or the messages.
    fn bound(files: &[(&str, &str)], environment: Option<&str>) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::write(root.join("w.js"), "").unwrap();
        std::fs::write(root.join("w.json"), WRANGLER).unwrap();
        for (name, text) in files {
            std::fs::write(root.join(name), text).unwrap();
        }
        let (mut config, _) = Config::load_environment(&root.join("w.json"), environment).unwrap();
        config
            .add_secrets(environment, &[])
            .map_err(|error| error.to_string().replace(&*root.to_string_lossy(), ""))?;
        let texts = config.bindings.iter().filter_map(|one| match &one.value {
            BindingValue::Text(text) => Some(format!("{}={text}", one.name)),
            _ => None,
        });
        Ok(texts.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn secrets_take_the_place_of_variables() {
        let file = ".dev.vars";
        let text = "# comment\nKEY=\"s e\\ncret\"\nexport A='mine' # why\n";
        assert_eq!(
            bound(&[(file, text)], None).unwrap(),
            "KEY=s e\ncret A=mine"
        );
    }

    #[test]
    fn the_environments_file_comes_first() {
        let files = [
            (".dev.vars", "KEY=top"),
            (".dev.vars.staging", "KEY=staged"),
        ];
        assert_eq!(bound(&files, None).unwrap(), "A=public KEY=top");
        assert_eq!(
            bound(&files, Some("staging")).unwrap(),
            "A=staged KEY=staged"
        );
        let files = [
            (".env", "KEY=a\nX=b"),
            (".env.local", "KEY=c"),
            (".env.other", "KEY=d"),
        ];
        assert_eq!(bound(&files, None).unwrap(), "A=public KEY=c X=b");
        let both = [(".env", "X=b"), (".dev.vars", "KEY=a")];
        assert_eq!(bound(&both, None).unwrap(), "A=public KEY=a");
    }

    #[test]
    fn what_is_wrong_is_told_without_the_secret() {
        let missing = bound(&[], None).unwrap_err();
        assert!(missing.contains("w.json:2:"), "{missing}");
        assert!(
            missing.contains("the secret \"KEY\" is missing"),
            "{missing}"
        );
        let torn = bound(&[(".dev.vars", "\nKEY=a\n\nnot a pair: hunter2\n")], None).unwrap_err();
        assert_eq!(torn, "/.dev.vars:4:1: is not of the form NAME=VALUE");
        let taken = bound(&[(".dev.vars", "KEY=a\nKV=b")], None).unwrap_err();
        assert!(
            taken.starts_with("/.dev.vars:2:1: KV: is a binding of another kind"),
            "{taken}"
        );
    }
}
