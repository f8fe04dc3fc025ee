//! `millstream checkpoint`: has a running topology take a checkpoint now.

use serde_json::Value;

use crate::args::Checkpoint;
use crate::client::Client;
use crate::console::Console;
use crate::status::Status;

/// Takes one and prints its number.
pub fn checkpoint(args: &Checkpoint, console: &Console) -> Status {
    let (client, wrong) = match Client::new(&args.url, &args.remote) {
        Ok(client) => (client, Status::Failed),
        Err(trouble) => {
            console.trouble(&trouble);
            return Status::Wrong;
        }
    };
    match client.post::<Value>("/checkpoint") {
        Ok(answer) => console.print(&format!("checkpoint {}\n", answer["checkpoint"])),
        Err(trouble) => {
            console.trouble(&trouble);
            wrong
        }
    }
}
