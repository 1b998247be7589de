//! A Worker's code and start: what a parent gives for a dynamic Worker, what a guest becomes.

use mayfly_engine::data::{Data, OpError};
use mayfly_engine::{ModuleEntry, ModuleKind as EngineModuleKind};
use mayfly_wire::bounds::{CODE_BYTES_MAX, ENV_BYTES_MAX};
use mayfly_wire::{
    Binding, Blob, Env, HostedKind, Module, ModuleKind, Outbound, Start, WorkerCode,
};

use super::{FromData, IntoData, Items, bounded, object, record, tuple, unexpected};

record!(WorkerCode {
    compatibility_date = "compatibilityDate",
    compatibility_flags = "compatibilityFlags",
    allow_experimental = "allowExperimental",
    main_module = "mainModule",
    modules = "modules",
    env = "env",
    outbound = "outbound",
    tails = "tails",
    streaming_tails = "streamingTails",
    limits = "limits",
    jitless = "jitless",
});

/// `[name, kind, content]`.
impl IntoData for Module {
    fn into_data(self) -> Data {
        Data::List(vec![
            self.name.into_data(),
            self.kind.into_data(),
            self.content.into_data(),
        ])
    }
}

impl FromData for Module {
    fn from_data(data: Data) -> Result<Self, OpError> {
        let mut items = Items::of(data)?;
        Ok(Self {
            name: items.take(0)?,
            kind: items.take(1)?,
            content: items.take::<Content>(2)?.0,
        })
    }
}

/// Text or bytes.
struct Content(Blob);

impl FromData for Content {
    fn from_data(data: Data) -> Result<Self, OpError> {
        match data {
            Data::String(text) => Ok(Self(Blob(text.into_bytes()))),
            Data::Bytes(bytes) => Ok(Self(Blob(bytes))),
            other => Err(unexpected("text or bytes", &other)),
        }
    }
}

impl IntoData for Outbound {
    fn into_data(self) -> Data {
        match self {
            Self::Inherit {} => tuple("inherit", []),
            Self::Blocked {} => tuple("blocked", []),
            Self::Service { cap } => tuple("service", [cap.into_data()]),
        }
    }
}

impl FromData for Outbound {
    fn from_data(data: Data) -> Result<Self, OpError> {
        let mut items = Items::of(data)?;
        match items.word()?.as_str() {
            "inherit" => Ok(Self::Inherit {}),
            "blocked" => Ok(Self::Blocked {}),
            "service" => Ok(Self::Service {
                cap: items.take(1)?,
            }),
            other => Err(OpError::type_error(format!(
                "\"{other}\" is not an outbound"
            ))),
        }
    }
}

/// Refuses code that the host would.
pub fn check_code(code: &WorkerCode) -> Result<(), OpError> {
    let bytes = code
        .modules
        .iter()
        .map(|module| module.name.len() + module.content.0.len())
        .sum();
    bounded("the size of a Worker's modules", bytes, CODE_BYTES_MAX)?;
    bounded(
        "the size of a Worker's env",
        code.env.bytes.0.len(),
        ENV_BYTES_MAX,
    )
}

impl IntoData for Binding {
    fn into_data(self) -> Data {
        match self {
            Self::Text { text } => tuple("text", [text.into_data()]),
            Self::Json { json } => tuple("json", [json.into_data()]),
            Self::Service { cap } => tuple("service", [cap.into_data()]),
            Self::Loader { cap } => tuple("loader", [cap.into_data()]),
            Self::Data { bytes } => tuple("data", [bytes.into_data()]),
            Self::Hosted { cap, kind } => tuple("hosted", [cap.into_data(), kind.into_data()]),
            Self::Actors { namespace } => tuple("actors", [namespace.into_data()]),
        }
    }
}

impl IntoData for HostedKind {
    fn into_data(self) -> Data {
        let name = match self {
            Self::Kv {} => "kv",
            Self::R2 {} => "r2",
            Self::Queue {} => "queue",
            Self::D1 {} => "d1",
            Self::Cache {} => "cache",
            Self::RateLimit {} => "rateLimit",
        };
        name.to_owned().into_data()
    }
}

impl IntoData for Env {
    fn into_data(self) -> Data {
        match self {
            Self::Bindings { bindings } => {
                let bindings = bindings
                    .into_iter()
                    .map(|(name, binding)| Data::List(vec![name.into_data(), binding.into_data()]))
                    .collect();
                tuple("bindings", [Data::List(bindings)])
            }
            Self::Value { payload } => tuple("value", [payload.into_data()]),
        }
    }
}

/// A `Start`, by who receives what.
#[derive(Debug)]
pub struct StartParts {
    /// `StartInfo`, for the platform.
    pub info: Data,
    /// The module table, for the engine.
    pub modules: Vec<ModuleEntry>,
    /// For the engine.
    pub heap_bytes_max: u64,
    /// For the engine.
    pub collect_always: bool,
}

/// Takes a `Start` apart.
pub fn split_start(start: Start) -> StartParts {
    let names = start
        .modules
        .iter()
        .map(|module| {
            Data::List(vec![
                module.name.clone().into_data(),
                module.kind.clone().into_data(),
            ])
        })
        .collect();
    let info = object([
        ("name", start.name.into_data()),
        ("modules", Data::List(names)),
        ("mainModule", start.main_module.into_data()),
        ("compatibilityFlags", start.compatibility_flags.into_data()),
        ("env", start.env.into_data()),
        ("outbound", start.outbound.into_data()),
        (
            "actors",
            Data::List(
                start
                    .actors
                    .into_iter()
                    .map(|(class, namespace)| {
                        Data::List(vec![class.into_data(), namespace.into_data()])
                    })
                    .collect(),
            ),
        ),
        ("collectAlways", start.collect_always.into_data()),
    ]);
    StartParts {
        info,
        modules: entries(start.modules, start.compiled),
        heap_bytes_max: start.heap_bytes_max,
        collect_always: start.collect_always,
    }
}

fn entries(modules: Vec<Module>, compiled: Vec<(u32, Blob)>) -> Vec<ModuleEntry> {
    let mut entries: Vec<_> = modules.into_iter().map(entry).collect();
    for (place, bytes) in compiled {
        // A place that is none is the host's mistake, and costs what parsing costs.
        if let Some(entry) = entries.get_mut(place as usize) {
            entry.compiled = Some(bytes.0);
        }
    }
    entries
}

fn entry(module: Module) -> ModuleEntry {
    ModuleEntry {
        name: module.name,
        kind: match module.kind {
            ModuleKind::Js {} => EngineModuleKind::Js,
            ModuleKind::CommonJs {} => EngineModuleKind::CommonJs,
            ModuleKind::Text {} => EngineModuleKind::Text,
            ModuleKind::Data {} => EngineModuleKind::Data,
            ModuleKind::Json {} => EngineModuleKind::Json,
            ModuleKind::Wasm {} => EngineModuleKind::Wasm,
        },
        content: module.content.0,
        compiled: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tuples::tests::{payload, round_trip};
    use super::*;
    use mayfly_wire::{CapId, Limits, Outcome};

    fn code() -> WorkerCode {
        WorkerCode {
            compatibility_date: "2026-01-01".to_owned(),
            compatibility_flags: vec!["nodejs_compat".to_owned()],
            allow_experimental: true,
            main_module: "main.js".to_owned(),
            modules: vec![
                Module {
                    name: "main.js".to_owned(),
                    kind: ModuleKind::Js {},
                    content: Blob(b"export default {}".to_vec()),
                },
                Module {
                    name: "m.wasm".to_owned(),
                    kind: ModuleKind::Wasm {},
                    content: Blob(vec![0, 97, 115, 109]),
                },
            ],
            env: payload(),
            outbound: Outbound::Service { cap: CapId(9) },
            tails: vec![CapId(2)],
            streaming_tails: vec![],
            limits: Limits::NONE,
            jitless: true,
        }
    }

    #[test]
    fn code_survives_the_round_trip() {
        round_trip(code());
        round_trip(Outcome::Code {
            code: Box::new(code()),
        });
        for outbound in [Outbound::Inherit {}, Outbound::Blocked {}] {
            round_trip(WorkerCode { outbound, ..code() });
        }
    }

    #[test]
    fn text_modules_arrive_as_bytes() {
        let data = Data::List(vec![
            Data::String("a.txt".to_owned()),
            Data::String("text".to_owned()),
            Data::String("h\u{e9}".to_owned()),
        ]);
        let module = Module::from_data(data).unwrap();
        assert_eq!(module.content.0, "h\u{e9}".as_bytes());
    }

    #[test]
    fn a_start_goes_to_platform_and_engine() {
        let parts = split_start(Start {
            name: "w".to_owned(),
            modules: code().modules,
            main_module: "main.js".to_owned(),
            compatibility_flags: vec![],
            env: Env::Bindings {
                bindings: vec![(
                    "KEY".to_owned(),
                    Binding::Text {
                        text: "v".to_owned(),
                    },
                )],
            },
            outbound: None,
            limits: Limits::NONE,
            actors: vec![],
            heap_bytes_max: 7,
            collect_always: true,
            compiled: vec![(1, Blob(vec![7])), (2, Blob(vec![8]))],
        });
        assert_eq!(parts.modules.len(), 2);
        assert_eq!(parts.modules[0].compiled, None);
        assert_eq!(parts.modules[1].compiled, Some(vec![7]));
        assert_eq!(parts.modules[1].content, [0, 97, 115, 109]);
        let Data::Record(info) = parts.info else {
            panic!("no record");
        };
        let names: Vec<_> = info.iter().map(|(name, _)| name.as_ref()).collect();
        assert_eq!(
            names,
            [
                "name",
                "modules",
                "mainModule",
                "compatibilityFlags",
                "env",
                "outbound",
                "actors",
                "collectAlways"
            ]
        );
        assert_eq!(info[5].1, Data::Undefined);
    }
}
