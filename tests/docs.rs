//! What the pages show is so: their commands are run, and their JSON and their settings are read.

mod blocks;
mod compare;
mod form;
mod world;

use std::process::Command;

use clap::Parser;
use clap::error::ErrorKind;
use figment::Figment;
use figment::providers::{Format as _, Toml};
use hatch::cli::Cli;
use hatch::settings::Settings;
use serde_json::Value;

use self::blocks::{Block, Mark, pages};
use self::world::World;
use crate::architecture::root;
use crate::conforms::complaint;

/// Languages of blocks that nobody runs here. Those of `docs/events.md` are run by the tests of the bus.
const OTHERS: [&str; 9] =
    ["", "mermaid", "python", "sql", "nginx", "caddyfile", "ini", "json", "yaml"];

fn all_blocks() -> Vec<Block> {
    pages().iter().flat_map(blocks::Page::blocks).collect()
}

/// One hatch for all pages, in their order, so that a page can show what an earlier block of it did.
#[tokio::test]
async fn the_commands_of_the_pages_say_what_is_shown() {
    let world = World::start().await;
    let (mut wrong, mut run) = (Vec::new(), 0);
    for block in all_blocks() {
        if let Some(Mark::BySuperuser) = &block.mark {
            let refused = world.run_sql(&block).await;
            wrong.extend(refused.map(|refused| format!("{}: {refused}", block.place)));
        }
        if !block.is_shell() {
            continue;
        }
        if let Some(reason) = block.not_run() {
            eprintln!("{} is not run: {reason}", block.place);
            continue;
        }
        run += 1;
        for (command, said) in block.commands().iter().zip(world.run(&block).await) {
            let fault = match said.status {
                None => Some("it ended the shell".to_owned()),
                Some(status) if command.shown.is_empty() && status != 0 => {
                    Some(format!("it ended with {status}:\n{}", said.lines.join("\n")))
                }
                Some(_) if command.shown.is_empty() => None,
                Some(_) => compare::difference(&command.shown, &compare::sent_once(&said.lines)),
            };
            wrong
                .extend(fault.map(|fault| format!("{}: {}\n  {fault}", block.place, command.text)));
        }
    }
    world.finish().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(run >= 6, "only {run} blocks were run");
}

#[test]
fn a_block_says_what_it_is_and_why_nobody_runs_it() {
    for block in all_blocks() {
        let place = &block.place;
        if let Some(reason) = block.not_run() {
            assert!(block.is_shell(), "{place}: nobody would run it anyhow");
            assert!(reason.split_whitespace().count() >= 3, "{place}: why is it not run?");
        }
        if block.is_shell() {
            let commands = block.commands();
            let script: String = commands.iter().map(|it| it.text.clone() + "\n").collect();
            let read = Command::new("bash").args(["-n", "-c", &script]).output().expect("bash");
            assert!(read.status.success(), "{place}: {}", String::from_utf8_lossy(&read.stderr));
            continue;
        }
        assert!(block.language == "toml" || OTHERS.contains(&block.language.as_str()), "{place}");
        let command = block.lines.iter().find(|line| line.starts_with("$ "));
        assert!(command.is_none(), "{place}: a block with commands is of `console`");
    }
}

#[test]
fn the_json_of_the_pages_is_what_the_api_takes_and_gives() {
    for block in all_blocks().into_iter().filter(|block| block.language == "json") {
        let value: Value = serde_json::from_str(&block.text())
            .unwrap_or_else(|error| panic!("{}: {error}", block.place));
        if let Some(Mark::Schema(name)) = &block.mark {
            let parts = crate::openapi::schemas();
            let schema = parts.get(name);
            let schema = schema.unwrap_or_else(|| panic!("{}: no schema {name}", block.place));
            assert_eq!(complaint(schema, &value, &parts, &block.place), None);
        }
    }
}

#[test]
fn the_settings_of_the_pages_are_settings() {
    let mut read = 0;
    for block in all_blocks().into_iter().filter(|block| block.language == "toml") {
        let settings = Figment::from(Toml::string(&block.text())).extract::<Settings>();
        assert!(settings.is_ok(), "{}: {}", block.place, settings.expect_err("refused"));
        read += 1;
    }
    assert!(read > 0);
}

/// The commands in the blocks and in the sentences: of hatch by its own parser, of `./dev` by its list.
#[test]
fn the_commands_that_the_pages_name_exist() {
    let dev = std::fs::read_to_string(root().join("dev")).expect("the script");
    let recipes = dev.lines().skip_while(|line| !line.starts_with("case $recipe in"));
    let recipes = recipes.take(3).collect::<Vec<_>>().join(" ");
    let (mut named, mut wrong) = (0, Vec::new());
    for page in pages() {
        let blocks = page.blocks().into_iter().filter(Block::is_shell);
        let shown = blocks.flat_map(|block| block.commands()).map(|command| command.text);
        let prose = page.prose();
        let spans = prose.split('`').skip(1).step_by(2).map(str::to_owned);
        for text in shown.chain(spans) {
            let text = text.replace(['\n', '\\'], " ");
            let words = text.split_whitespace().skip_while(|word| word.contains('='));
            let words: Vec<&str> =
                words.take_while(|word| !word.starts_with(['#', '|', '>'])).collect();
            let hatch = match words[..] {
                ["hatch", ..] if words.len() > 1 => &words[..],
                ["./dev", "hatch", ..] => &words[1..],
                ["./dev", recipe, ..] => {
                    let mut known = recipes.split(|c: char| !(c.is_alphanumeric() || c == '-'));
                    if !known.any(|known| known == recipe) {
                        wrong.push(format!("{}: {text}", page.name));
                    }
                    continue;
                }
                _ => continue,
            };
            named += 1;
            if let Err(error) = Cli::try_parse_from(hatch)
                && matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument)
            {
                wrong.push(format!("{}: {text}: {error}", page.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(named > 40, "{named} commands were found, so they are written in another way now");
}
