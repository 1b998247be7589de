//! `mayfly state`: what an operator does with stored state while no server runs.
//!
//! The folder's lock is taken first, so nothing here meets a database that is in use.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use mayfly_store::{Namespace, NamespaceInfo, ObjectId, Place, Product, Store, StoreError};

use crate::args::{StateCommand, StateCommandArgs};
use crate::exit::Exit;
use crate::state::explain;

/// Does it.
pub fn operate(arguments: &StateCommandArgs) -> Result<(), Exit> {
    if !arguments.state.join("index.sqlite").is_file() {
        let folder = arguments.state.display();
        return Err(Exit::State(format!(
            "{folder} holds no state (--state names another folder)"
        )));
    }
    let store = Store::open(&arguments.state).map_err(|error| explain(&error))?;
    match &arguments.command {
        StateCommand::List => list(&store),
        StateCommand::Export { namespace, rest } => match target(namespace, rest)? {
            Target::Object(id, folder) => export(&store, namespace, id, folder),
            Target::Kept(product, name, folder) => {
                absent(folder)?;
                let count = store.export_kept(product, name, folder);
                let count = count.map_err(|error| explain(&error))?;
                eprintln!("mayfly: {count} files are in {}", folder.display());
                Ok(())
            }
        },
        StateCommand::Import { namespace, rest } => match target(namespace, rest)? {
            Target::Object(id, folder) => import(&store, namespace, id, folder),
            Target::Kept(product, name, folder) => {
                if store.has_kept(product, name) {
                    return Err(Exit::Refused(format!(
                        "there is a {namespace} already; delete it first"
                    )));
                }
                let count = store.import_kept(product, name, folder);
                let count = count.map_err(|error| explain(&error))?;
                eprintln!("mayfly: {count} files are in {namespace}");
                Ok(())
            }
        },
        StateCommand::Delete { namespace, id, yes } => match Product::parse(namespace) {
            None => delete(&store, namespace, id.as_deref(), *yes),
            Some(_) if id.is_some() => Err(Exit::Refused(format!(
                "{namespace} is deleted as a whole: leave the id out"
            ))),
            Some((product, name)) => delete_kept(&store, product, name, *yes),
        },
    }
}

/// What `export` and `import` are about.
enum Target<'a> {
    Object(&'a str, &'a Path),
    Kept(Product, &'a str, &'a Path),
}

fn target<'a>(namespace: &'a str, rest: &'a [String]) -> Result<Target<'a>, Exit> {
    match (Product::parse(namespace), rest) {
        (Some((product, name)), [folder]) => Ok(Target::Kept(product, name, Path::new(folder))),
        (None, [id, folder]) => Ok(Target::Object(id, Path::new(folder))),
        (Some(_), _) => Err(Exit::Refused(format!(
            "{namespace} has no ids: name only a folder"
        ))),
        (None, _) => Err(Exit::Refused(format!(
            "{namespace} is no kv:ID, d1:ID or r2:BUCKET, so an id and a folder have to follow"
        ))),
    }
}

fn absent(folder: &Path) -> Result<(), Exit> {
    match folder.exists() {
        true => Err(Exit::Refused(format!(
            "{} exists already",
            folder.display()
        ))),
        false => Ok(()),
    }
}

fn delete_kept(store: &Store, product: Product, name: &str, yes: bool) -> Result<(), Exit> {
    let kept = store.kept().map_err(|error| explain(&error))?;
    let found = kept
        .into_iter()
        .find(|kept| kept.product == product && kept.name == name)
        .ok_or_else(|| Exit::State(format!("there is no {product}:{name}")))?;
    let entries = product.entry();
    let what = format!("{product}:{name} with its {} {entries}", found.entries);
    if !yes && !confirmed(&what)? {
        return Err(Exit::Refused("nothing was deleted".to_owned()));
    }
    store
        .delete_kept(product, name)
        .map_err(|error| explain(&error))?;
    eprintln!("mayfly: deleted {what}");
    Ok(())
}

fn list(store: &Store) -> Result<(), Exit> {
    let mut text = String::new();
    for NamespaceInfo {
        worker,
        class,
        namespace,
    } in store.namespaces().map_err(|error| explain(&error))?
    {
        let kind = if namespace.sql {
            "SQLite"
        } else {
            "without SQL"
        };
        text.push_str(&format!("{worker}/{class} ({kind})\n"));
        let objects = store
            .objects(&namespace.folder)
            .map_err(|error| explain(&error))?;
        for object in objects {
            let facets = match object.facets {
                0 => String::new(),
                count => format!(", {count} facets"),
            };
            text.push_str(&format!(
                "  {}  {} bytes{facets}\n",
                object.id, object.bytes
            ));
        }
    }
    for kept in store.kept().map_err(|error| explain(&error))? {
        text.push_str(&format!(
            "{}:{}  {} {}, {} bytes\n",
            kept.product,
            kept.name,
            kept.entries,
            kept.product.entry(),
            kept.bytes
        ));
    }
    // A reader that has seen enough (`| head`) is no error.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(())
}

fn export(store: &Store, namespace: &str, id: &str, folder: &Path) -> Result<(), Exit> {
    let namespace = find(store, namespace)?;
    let id = id_of(&namespace, id)?;
    absent(folder)?;
    let count = store
        .export(&namespace, &id, folder)
        .map_err(|error| explain(&error))?;
    eprintln!("mayfly: {count} databases are in {}", folder.display());
    Ok(())
}

fn import(store: &Arc<Store>, namespace: &str, id: &str, folder: &Path) -> Result<(), Exit> {
    let namespace = find(store, namespace)?;
    let id = id_of(&namespace, id)?;
    if store.exists(&Place::object(&namespace.folder, &id)) {
        return Err(Exit::Refused(format!(
            "there is an object {} already; delete it first",
            id.hex()
        )));
    }
    let count = store
        .import(&namespace, &id, folder)
        .map_err(|error| explain(&error))?;
    eprintln!("mayfly: {count} databases are in object {}", id.hex());
    Ok(())
}

fn delete(store: &Store, name: &str, id: Option<&str>, yes: bool) -> Result<(), Exit> {
    let namespace = find(store, name)?;
    let ids = match id {
        Some(id) => {
            let id = id_of(&namespace, id)?;
            if !store.exists(&Place::object(&namespace.folder, &id)) {
                return Err(Exit::State(format!("there is no object {}", id.hex())));
            }
            vec![id]
        }
        None => store
            .objects(&namespace.folder)
            .map_err(|error| explain(&error))?
            .iter()
            .filter_map(|object| ObjectId::from_hex(&object.id))
            .collect(),
    };
    let what = match ids.as_slice() {
        [one] => format!("object {} of {name}", one.hex()),
        several => format!("all {} objects of {name}", several.len()),
    };
    if !yes && !confirmed(&what)? {
        return Err(Exit::Refused("nothing was deleted".to_owned()));
    }
    for id in &ids {
        store
            .delete_object(&namespace, id)
            .map_err(|error| explain(&error))?;
    }
    eprintln!("mayfly: deleted {what}");
    Ok(())
}

fn confirmed(what: &str) -> Result<bool, Exit> {
    let mut input = std::io::stdin().lock();
    if !std::io::stdin().is_terminal() {
        return Err(Exit::Refused(format!(
            "deleting {what} cannot be undone: say --yes, or run this on a terminal"
        )));
    }
    eprint!("Delete {what}? This cannot be undone. Type yes: ");
    let mut answer = String::new();
    input
        .read_line(&mut answer)
        .map_err(|error| Exit::Internal(format!("cannot read the answer: {error}")))?;
    Ok(answer.trim() == "yes")
}

fn find(store: &Store, name: &str) -> Result<Namespace, Exit> {
    let found = match name.split_once('/') {
        Some((worker, class)) => store.namespace(worker, class),
        None => Ok(None),
    };
    found
        .map_err(|error: StoreError| explain(&error))?
        .ok_or_else(|| {
            Exit::State(format!(
                "there is no namespace {name:?}; `mayfly state list` shows them"
            ))
        })
}

fn id_of(namespace: &Namespace, text: &str) -> Result<ObjectId, Exit> {
    if let Some(name) = text.strip_prefix("name:") {
        return Ok(ObjectId::of_name(name, &namespace.key));
    }
    ObjectId::from_hex(text)
        .filter(|id| id.is_in(&namespace.key))
        .ok_or_else(|| Exit::State(format!("{text:?} is no id of this namespace")))
}
