//! `redis-image completions`: what a shell needs to complete commands and options.

use std::process::ExitCode;

use clap::Args;
use clap_complete::{Shell, generate};

use crate::error::Error;
use crate::output::print;

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
    print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::SUCCESS)
}
