//! `durable_objects` and `migrations`: which classes a Worker binds, and what became of its own.

use super::warn_of_others;
use crate::config::{ActorsTarget, Migration, MigrationStep};
use crate::fields::{Field, Reader};

/// The longest name of a class: JavaScript knows no bound, a name in a list of them should.
const CLASS_BYTES_MAX: usize = 256;

/// `durable_objects.bindings`: each with its place and its name.
pub fn bindings<'a>(
    reader: &mut Reader<'_>,
    objects: Option<&Field<'a>>,
) -> Vec<(Field<'a>, String, ActorsTarget)> {
    let fields = objects.and_then(|field| reader.table_of(field, &["bindings"]));
    let list = fields
        .and_then(|fields| fields.into_iter().next())
        .and_then(|field| reader.list(&field))
        .unwrap_or_default();
    let mut found = Vec::new();
    for item in list {
        let allowed = ["name", "class_name", "script_name", "environment", "remote"];
        let Some(fields) = reader.table_of(&item, &allowed) else {
            continue;
        };
        warn_of_others(reader, &fields, &["environment", "remote"]);
        let name = reader.required_string(&item, &fields, "name");
        let class = reader.required_string(&item, &fields, "class_name");
        let script = reader.optional_string(&fields, "script_name");
        let place = ["script_name", "class_name"]
            .iter()
            .find_map(|key| fields.iter().find(|field| field.name() == *key));
        let at = reader.place_of(place);
        let (Some(name), Some(class), Some(script)) = (name, class, script) else {
            continue;
        };
        if check_class(reader, &item, &class) {
            found.push((item, name, ActorsTarget { class, script, at }));
        }
    }
    found
}

/// `migrations`.
pub fn migrations(reader: &mut Reader<'_>, entries: &[Field<'_>]) -> Vec<Migration> {
    let mut all: Vec<Migration> = Vec::new();
    for item in entries {
        let allowed = [
            "tag",
            "new_classes",
            "new_sqlite_classes",
            "renamed_classes",
            "deleted_classes",
            "transferred_classes",
        ];
        let Some(fields) = reader.table_of(item, &allowed) else {
            continue;
        };
        let Some(tag) = reader.required_string(item, &fields, "tag") else {
            continue;
        };
        if all.iter().any(|one| one.tag == tag) {
            reader.error(item, format!("there is already a migration \"{tag}\""));
            continue;
        }
        let mut steps = Vec::new();
        for field in fields.iter().filter(|field| field.name() != "tag") {
            steps.extend(read_steps(reader, field));
        }
        let at = reader.place_of(Some(item));
        all.push(Migration { tag, steps, at });
    }
    all
}

fn read_steps(reader: &mut Reader<'_>, field: &Field<'_>) -> Vec<MigrationStep> {
    let mut steps = Vec::new();
    for item in reader.list(field).unwrap_or_default() {
        let step = match field.name() {
            "new_classes" => class(reader, &item).map(|class| MigrationStep::New {
                class,
                sqlite: false,
            }),
            "new_sqlite_classes" => class(reader, &item).map(|class| MigrationStep::New {
                class,
                sqlite: true,
            }),
            "deleted_classes" => class(reader, &item).map(|class| MigrationStep::Deleted { class }),
            "renamed_classes" => moved(reader, &item, &["from", "to"])
                .map(|(from, to, _)| MigrationStep::Renamed { from, to }),
            _ => moved(reader, &item, &["from", "from_script", "to"]).and_then(
                |(from, to, script)| {
                    Some(MigrationStep::Transferred {
                        script: script?,
                        from,
                        to,
                    })
                },
            ),
        };
        steps.extend(step);
    }
    steps
}

fn class(reader: &mut Reader<'_>, item: &Field<'_>) -> Option<String> {
    let class = reader.string(item)?;
    check_class(reader, item, &class).then_some(class)
}

fn moved(
    reader: &mut Reader<'_>,
    item: &Field<'_>,
    keys: &[&str],
) -> Option<(String, String, Option<String>)> {
    let fields = reader.table_of(item, keys)?;
    let from = reader.required_string(item, &fields, "from")?;
    let to = reader.required_string(item, &fields, "to")?;
    let script = match keys.contains(&"from_script") {
        true => Some(reader.required_string(item, &fields, "from_script")?),
        false => None,
    };
    (check_class(reader, item, &from) && check_class(reader, item, &to))
        .then_some((from, to, script))
}

fn check_class(reader: &mut Reader<'_>, item: &Field<'_>, class: &str) -> bool {
    let fits = !class.is_empty() && class.len() <= CLASS_BYTES_MAX;
    if !fits {
        let message = format!("the name of a class has 1 to {CLASS_BYTES_MAX} bytes");
        reader.error(item, message);
    }
    fits
}
