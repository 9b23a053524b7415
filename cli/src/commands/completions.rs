//! `redis-image completions`: what a shell needs to complete commands and options.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use clap_complete::{Shell, generate};

use crate::error::Error;

/// Print the completions for a shell
#[derive(Args)]
#[command(after_long_help = HELP)]
pub struct Arguments {
    #[arg(value_enum)]
    shell: Shell,
}

const HELP: &str = "\
Examples:
  redis-image completions bash > /etc/bash_completion.d/redis-image
  redis-image completions zsh > ~/.zfunc/_redis-image
  redis-image completions fish > ~/.config/fish/completions/redis-image.fish";

pub fn run(arguments: &Arguments, mut program: clap::Command) -> Result<ExitCode, Error> {
    let mut script = Vec::new();
    let name = program.get_name().to_owned();
    generate(arguments.shell, &mut program, name, &mut script);
    std::io::stdout()
        .write_all(&script)
        .map_err(|why| Error::usage(format!("standard output: {why}")))?;
    Ok(ExitCode::SUCCESS)
}
