//! No id, name or path leads from one Worker's objects, parent's facets or facet to another's data: see
//! `workers/apart-a/index.js`. On disk, where a name could become a path.

use std::path::Path;

use mayfly_tests::Server;

/// What lies below a folder, by its path in it.
fn names(folder: &Path, below: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => names(&entry.path(), &format!("{name}/"), found),
            false => found.push(name),
        }
    }
}

#[test]
fn no_name_leads_to_the_data_of_another() {
    let folder = std::env::temp_dir().join(format!("mayfly-apart-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let state = folder.join("state");
    let arguments = ["--state", state.to_str().expect("a path of UTF-8")];
    let workers = ["apart-a", "apart-b"];
    Server::start_with(&workers, &arguments).every_case("/");
    // Cases use names of their own each time; what is there stays apart after a restart too.
    Server::start_with(&workers, &arguments).every_case("/");
    let mut found = Vec::new();
    names(&state.join("objects"), "", &mut found);
    assert!(found.len() > 200, "{}", found.len());
    for name in &found {
        // Parent-0123.../<64 digits>.facets/<32 digits>.sqlite: nothing that a Worker chose.
        let (class, rest) = name.split_once('/').expect("a namespace's folder");
        assert!(class.starts_with("Parent-"), "{name}");
        for part in rest.split('/') {
            let (stem, _) = part.split_once('.').expect("an extension");
            let digits = stem.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(digits && matches!(stem.len(), 32 | 64), "{name}");
        }
    }
    // And nothing was written beside the folder.
    let beside: Vec<_> = std::fs::read_dir(&folder).expect("a folder").collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn nor_in_memory() {
    Server::start_with(&["apart-a", "apart-b"], &["--ephemeral"]).every_case("/");
}
