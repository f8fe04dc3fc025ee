//! `millstream why`: why a node of a running topology gives no rows, or what a node of a file needs before it gives one.

use millstream_api::Registry;
use millstream_runtime::why::{Why, why as explain};

use crate::args::{self, File, WhyFormat};
use crate::client::{Client, encoded, is_url};
use crate::console::{Console, Trouble};
use crate::files::checked;
use crate::status::Status;

/// Explains a node.
pub fn why(args: &args::Why, registry: &Registry, console: &Console) -> Status {
    let found = if is_url(&args.target) { running(args) } else { planned(args, registry, console) };
    match found {
        Ok(why) => show(&why, args.format, console),
        Err(None) => Status::Wrong,
        Err(Some((trouble, status))) => {
            console.trouble(&trouble);
            status
        }
    }
}

/// The answer, or what went wrong, if that is not said already.
type Found = Result<Why, Option<(Box<Trouble>, Status)>>;

fn running(args: &args::Why) -> Found {
    let client = Client::new(&args.target, &args.remote).map_err(|trouble| Some((trouble, Status::Wrong)))?;
    client.get(&format!("/why/{}", encoded(&args.node))).map_err(|trouble| Some((trouble, Status::Failed)))
}

fn planned(args: &args::Why, registry: &Registry, console: &Console) -> Found {
    let file = File { path: args.target.clone().into(), sets: args.sets.clone() };
    let (topology, _) = checked(&file, registry, console).ok_or(None)?;
    explain(&topology, None, &args.node).map_err(|unknown| {
        let trouble = Trouble::new(unknown.to_string(), Some(&unknown.help));
        Some((Box::new(trouble), Status::Wrong))
    })
}

fn show(why: &Why, format: WhyFormat, console: &Console) -> Status {
    match format {
        WhyFormat::Text => console.print(&why.text()),
        WhyFormat::Json => match serde_json::to_string_pretty(why) {
            Ok(text) => console.print(&(text + "\n")),
            Err(cause) => {
                console.trouble(&Trouble::new(format!("cannot write it as JSON: {cause}"), None));
                Status::Failed
            }
        },
    }
}
