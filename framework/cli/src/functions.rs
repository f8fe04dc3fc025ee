//! `millstream functions`: what an expression may call, and how.

use millstream_expr::catalogue::{self, FunctionDoc};

use crate::args::Functions;
use crate::console::{Console, Trouble};
use crate::prose::wrapped;
use crate::status::Status;

/// Lists all functions, or shows one.
pub fn functions(args: &Functions, console: &Console) -> Status {
    let all = catalogue::functions();
    let Some(name) = &args.name else { return console.print(&list(&all)) };
    let name = name.to_lowercase();
    let pages: Vec<String> = all.iter().filter(|function| function.names.contains(&name.as_str())).map(page).collect();
    if pages.is_empty() {
        let help = catalogue::advice(&name).unwrap_or_else(|| "`millstream functions` lists all of them".to_owned());
        console.trouble(&Trouble::new(format!("there is no function `{name}`"), Some(&help)));
        return Status::Wrong;
    }
    console.print(&pages.join("\n"))
}

/// A line for each function, by what they are about.
fn list(all: &[FunctionDoc]) -> String {
    let width = all.iter().map(|function| function.names[0].len()).max().unwrap_or(0);
    let mut text = String::new();
    for group in all.chunk_by(|one, other| one.group == other.group) {
        text.push_str(&format!("{}\n", group[0].group));
        for function in group {
            text.push_str(&format!("  {:width$}  {}\n", function.names[0], function.text));
        }
        text.push('\n');
    }
    text.push_str("millstream functions NAME shows how one is called, and its other names.\n");
    text
}

fn page(function: &FunctionDoc) -> String {
    let mut text = format!("{}\n\n{}", function.calls.join("\n"), wrapped(&function.text, 2));
    if function.names.len() > 1 {
        text.push_str(&format!("\n  also called {}\n", function.names[1..].join(", ")));
    }
    text
}
