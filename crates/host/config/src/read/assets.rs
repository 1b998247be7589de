//! `assets`: the files that are served besides the Worker.

use std::path::Path;

use crate::config::{Assets, HtmlHandling, NotFoundHandling, WorkerFirst};
use crate::fields::{Field, Reader};
use crate::nearest;
use crate::syntax::Value;

/// Patterns of `assets.run_worker_first`, as Cloudflare allows.
const WORKER_FIRST_PATHS_MAX: usize = 100;

const HTML_HANDLING: &[(&str, HtmlHandling)] = &[
    ("auto-trailing-slash", HtmlHandling::AutoTrailingSlash),
    ("force-trailing-slash", HtmlHandling::ForceTrailingSlash),
    ("drop-trailing-slash", HtmlHandling::DropTrailingSlash),
    ("none", HtmlHandling::None),
];

const NOT_FOUND_HANDLING: &[(&str, NotFoundHandling)] = &[
    ("none", NotFoundHandling::None),
    ("404-page", NotFoundHandling::NotFoundPage),
    (
        "single-page-application",
        NotFoundHandling::SinglePageApplication,
    ),
];

/// Reads the value of `assets`.
pub fn read(reader: &mut Reader<'_>, item: &Field<'_>, folder: &Path) -> Option<Assets> {
    let allowed = [
        "directory",
        "binding",
        "html_handling",
        "not_found_handling",
        "run_worker_first",
    ];
    let fields = reader.table_of(item, &allowed)?;
    let directory = reader.required_string(item, &fields, "directory")?;
    let directory = folder.join(directory);
    let place = fields.iter().find(|field| field.name() == "directory");
    if let Some(place) = place
        && !directory.is_dir()
    {
        let message = format!("there is no folder {}", directory.display());
        reader.error(place, message);
    }
    let html = one_of(reader, &fields, "html_handling", HTML_HANDLING);
    let not_found = one_of(reader, &fields, "not_found_handling", NOT_FOUND_HANDLING);
    Some(Assets {
        directory,
        at: reader.place_of(place),
        html_handling: html.unwrap_or_default(),
        not_found_handling: not_found.unwrap_or_default(),
        run_worker_first: read_worker_first(reader, &fields),
    })
}

/// One of a few words.
fn one_of<T: Copy>(
    reader: &mut Reader<'_>,
    fields: &[Field<'_>],
    name: &str,
    words: &[(&str, T)],
) -> Option<T> {
    let field = fields.iter().find(|field| field.name() == name)?;
    let given = reader.string(field)?;
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == given) {
        return Some(*meaning);
    }
    let near = nearest::among(&given, words.iter().map(|(word, _)| *word));
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let message = format!("is \"{given}\"{near}; allowed are {}", known.join(", "));
    reader.error(field, message);
    None
}

fn read_worker_first(reader: &mut Reader<'_>, fields: &[Field<'_>]) -> WorkerFirst {
    let Some(field) = fields
        .iter()
        .find(|field| field.name() == "run_worker_first")
    else {
        return WorkerFirst::Never;
    };
    match &field.node.value {
        Value::Bool(true) => WorkerFirst::Always,
        Value::Bool(false) => WorkerFirst::Never,
        Value::List(_) => {
            let items = reader.list(field).unwrap_or_default();
            if items.len() > WORKER_FIRST_PATHS_MAX {
                let message = format!("has more than {WORKER_FIRST_PATHS_MAX} patterns");
                reader.error(field, message);
            }
            let paths = items.iter().filter_map(|item| {
                let path = reader.string(item)?;
                let bare = path.strip_prefix('!').unwrap_or(&path);
                if !bare.starts_with('/') {
                    let message = format!("must begin with / or !/, not \"{path}\"");
                    reader.error(item, message);
                }
                Some(path)
            });
            WorkerFirst::Paths(paths.collect())
        }
        _ => {
            let message = "must be true, false or a list of patterns such as \"/api/*\"";
            reader.error(field, message.to_owned());
            WorkerFirst::Never
        }
    }
}
