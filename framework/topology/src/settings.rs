//! `[runtime]`, `[server]` and the other tables that are not nodes. Their doc comments are the user's documentation.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};

use millstream_api::Diagnostic;
use millstream_api::diagnostic::Key;
use millstream_api::options::StateHome;
use millstream_api::registry;
use millstream_api::secret::Secret;
use millstream_api::time::{DurationText, SizeText};
use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::checkpoint::CheckpointSettings;
use crate::report::Problems;
use crate::resolve::is_name;
use crate::shape::{Reader, Schema, missing_key};
use crate::tree::{Table, Value};

/// How the topology is run. All keys are optional.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RuntimeSettings {
    /// Actor threads, and the bound of decoding threads. Default: the machine's cores.
    #[schemars(range(min = 1, max = 1024), skip_serializing_if = "depends_on_the_machine")]
    pub workers: NonZeroUsize,
    /// A batch is sent when it has this many rows …
    #[schemars(range(min = 1, max = 1048576))]
    pub batch_rows: NonZeroUsize,
    /// … or its first row has waited this long.
    pub linger: DurationText,
    /// Batches not yet processed on each channel between two subtasks, at most …
    #[schemars(range(min = 1, max = 65536))]
    pub mailbox: NonZeroUsize,
    /// … and bytes on all channels of one edge of the graph. One batch per channel is always allowed.
    pub in_flight: SizeText,
    /// Keyed state of all nodes in memory. Beyond it keys go to disk where `state` says so; else the run fails with an error
    /// that names the node.
    pub memory: SizeText,
    /// Where keyed state is: `"memory"`, or `"disk"` for what does not fit. Also per operator; with `"disk"` here, operators whose
    /// state cannot leave memory stay there (`check --explain` names them).
    pub state: StateHome,
    /// In how many groups keys are divided; the unit in which state moves between subtasks.
    #[schemars(range(min = 1, max = 32768))]
    pub key_groups: NonZeroU16,
}

/// Keeps the number of this machine's cores out of the JSON Schema.
fn depends_on_the_machine(_: &NonZeroUsize) -> bool {
    true
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        const fn at_least_one(n: usize) -> NonZeroUsize {
            match NonZeroUsize::new(n) {
                Some(n) => n,
                None => NonZeroUsize::MIN,
            }
        }
        RuntimeSettings {
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            batch_rows: const { at_least_one(8192) },
            linger: DurationText::from_micros(10_000).unwrap_or_default(),
            mailbox: const { at_least_one(8) },
            in_flight: SizeText::mebibytes(64),
            memory: SizeText::mebibytes(2048),
            state: StateHome::Memory,
            key_groups: NonZeroU16::MIN.saturating_add(127),
        }
    }
}

/// Where views are served. Without this table nothing listens.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct ServerSettings {
    /// Address and port, for example `"127.0.0.1:8080"`. Port 0 takes any free one and says which.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// What clients must send as `Authorization: Bearer TOKEN`, on all paths but `/`, `/health` and `/ready`. Without it
    /// everybody who reaches the address may read.
    pub token: Option<Secret>,
}

impl ServerSettings {
    /// That others than this machine may read.
    fn openness(&self) -> Option<Diagnostic> {
        if self.listen.ip().is_loopback() || self.token.is_some() {
            return None;
        }
        let message = format!("everybody who reaches {} can read all views", self.listen);
        let warning = Diagnostic::warning("open-server", message).key("listen");
        Some(warning.help("set `token`, or listen on 127.0.0.1 to be read on this machine only"))
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom(format!("`{text}` is not an address with a port; write it like \"127.0.0.1:8080\"")))
}

/// Everything in a topology that is not a node.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub name: String,
    pub runtime: RuntimeSettings,
    pub checkpoint: Option<CheckpointSettings>,
    pub server: Option<ServerSettings>,
}

impl Settings {
    /// Reads them from the root of the file. What is wrong has its default, so that the nodes can be checked as well.
    pub fn read(root: &Table, problems: &mut Problems) -> Settings {
        let server: Option<ServerSettings> = read_table(root, "server", problems);
        if let Some(mut warning) = server.as_ref().and_then(ServerSettings::openness) {
            warning.path.insert(0, Key::Name("server".to_owned()));
            problems.push(warning);
        }
        Settings {
            name: read_name(root, problems),
            runtime: read_table(root, "runtime", problems).unwrap_or_default(),
            checkpoint: read_table(root, "checkpoint", problems),
            server,
        }
    }
}

fn read_name(root: &Table, problems: &mut Problems) -> String {
    let Some(field) = root.field("name") else {
        let about = "identifies the topology's state, views and metrics: name = \"late-departures\"";
        problems.push(missing_key("the topology", "name", Some(about)));
        return String::new();
    };
    let mut reader = Reader::new(vec![Key::Name("name".to_owned())], problems);
    match &field.item.value {
        Value::Text(name) if is_name(name) || field.item.broken => name.clone(),
        Value::Text(name) => {
            reader.note(bad_name(name).text(0..name.len()));
            name.clone()
        }
        other => {
            reader.wrong_type("text", other);
            String::new()
        }
    }
}

/// A name that cannot be one.
pub(crate) fn bad_name(name: &str) -> Diagnostic {
    Diagnostic::error("bad-name", format!("`{name}` cannot be a name"))
        .help("a name begins with a letter or `_`, goes on with letters, digits, `_` and `-`, and has no two `_` in a row")
}

/// One of the tables, if the file has it and all in it is right.
fn read_table<T: DeserializeOwned + JsonSchema>(root: &Table, key: &str, problems: &mut Problems) -> Option<T> {
    let field = root.field(key)?;
    let path = vec![Key::Name(key.to_owned())];
    let schema = schema_for!(T);
    let options = Reader::new(path.clone(), problems).read(Schema::root(&schema), &field.item)?;
    match registry::read(options) {
        Ok(settings) => Some(settings),
        Err(mistakes) => {
            for mut diagnostic in mistakes.0 {
                diagnostic.path = path.iter().cloned().chain(diagnostic.path).collect();
                problems.push(diagnostic);
            }
            None
        }
    }
}
