//! The fenced blocks of the pages, and what a page says of one where no reader sees it.
//!
//! The comment `<!-- not run: needs Docker -->` before a block says why nobody runs it. The comment
//! `<!-- schema: Message -->` names the schema of the API that a block of JSON is held against. A block of SQL is
//! run where the comment `<!-- run: superuser -->` says by whom.

use std::path::{Path, PathBuf};

use crate::architecture::root;

/// A page, by its path in the repository.
pub(super) struct Page {
    pub(super) name: String,
    pub(super) text: String,
}

/// A fenced block of a page.
pub(super) struct Block {
    /// Page and line.
    pub(super) place: String,
    pub(super) language: String,
    pub(super) mark: Option<Mark>,
    pub(super) lines: Vec<String>,
}

/// What the comment before a block says of it.
pub(super) enum Mark {
    /// Nobody runs it, for this reason.
    NotRun(String),
    /// The name of a schema of the API.
    Schema(String),
    /// The superuser of the database server runs it.
    BySuperuser,
}

/// A command of a block, and the output that the page shows.
pub(super) struct Command {
    pub(super) text: String,
    pub(super) shown: Vec<String>,
}

/// Every page, those of a newcomer first.
pub(super) fn pages() -> Vec<Page> {
    let first = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md"];
    let folders = ["docs", "docs/recipes", "docs/decisions"];
    let first = first.map(PathBuf::from).into_iter();
    let paths = first.chain(folders.into_iter().flat_map(markdown));
    let page = |path: PathBuf| Page {
        text: std::fs::read_to_string(root().join(&path)).expect("UTF-8"),
        name: path.display().to_string(),
    };
    paths.map(page).collect()
}

/// The pages of a folder, in the order of their names.
fn markdown(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).expect("a folder");
    let names = entries.map(|entry| PathBuf::from(entry.expect("an entry").file_name()));
    let pages = names.filter(|name| name.extension().is_some_and(|end| end == "md"));
    let mut pages: Vec<PathBuf> = pages.map(|name| Path::new(folder).join(name)).collect();
    pages.sort();
    pages
}

impl Page {
    pub(super) fn blocks(&self) -> Vec<Block> {
        let (mut blocks, mut mark) = (Vec::new(), None);
        let mut lines = self.text.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            let Some(language) = line.trim_start().strip_prefix("```") else {
                if !line.trim().is_empty() {
                    mark = Mark::read(line);
                }
                continue;
            };
            let indent = line.len() - line.trim_start().len();
            let inside = lines.by_ref().map(|(_, line)| line);
            let inside = inside.take_while(|line| line.trim() != "```");
            blocks.push(Block {
                place: format!("{}:{}", self.name, at + 1),
                language: language.trim().to_owned(),
                mark: mark.take(),
                lines: inside.map(|line| line.get(indent..).unwrap_or("").to_owned()).collect(),
            });
        }
        blocks
    }

    /// The text outside of fenced blocks.
    pub(super) fn prose(&self) -> String {
        let mut fenced = false;
        let lines = self.text.lines().filter(|line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Mark {
    fn read(line: &str) -> Option<Self> {
        let comment = line.trim().strip_prefix("<!--")?.strip_suffix("-->")?.trim();
        let (kind, said) = comment.split_once(':')?;
        let said = said.trim().to_owned();
        match kind {
            "not run" => Some(Self::NotRun(said)),
            "schema" => Some(Self::Schema(said)),
            "run" if said == "superuser" => Some(Self::BySuperuser),
            _ => None,
        }
    }
}

impl Block {
    pub(super) fn is_shell(&self) -> bool {
        ["console", "sh", "bash"].contains(&self.language.as_str())
    }

    pub(super) fn not_run(&self) -> Option<&str> {
        match &self.mark {
            Some(Mark::NotRun(reason)) => Some(reason),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> String {
        self.lines.join("\n")
    }

    /// In `console` each command begins with `$ `, goes on after a backslash and through a here-document, and
    /// is followed by its output. `sh` and `bash` are one command without output.
    pub(super) fn commands(&self) -> Vec<Command> {
        if self.language != "console" {
            return vec![Command { text: self.text(), shown: Vec::new() }];
        }
        let mut commands: Vec<Command> = Vec::new();
        let mut lines = self.lines.iter();
        while let Some(line) = lines.next() {
            let Some(first) = line.strip_prefix("$ ") else {
                let command = commands.last_mut();
                let command = command.unwrap_or_else(|| panic!("{}: no command", self.place));
                command.shown.push(line.clone());
                continue;
            };
            let mut text = first.to_owned();
            let here = first.split_once("<<").map(|(_, word)| word.trim_matches('\'').to_owned());
            while let Some(next) = text.ends_with('\\').then(|| lines.next()).flatten() {
                text = text + "\n" + next;
            }
            if let Some(end) = here {
                for next in lines.by_ref() {
                    text = text + "\n" + next;
                    if *next == end {
                        break;
                    }
                }
            }
            commands.push(Command { text, shown: Vec::new() });
        }
        commands
    }
}
