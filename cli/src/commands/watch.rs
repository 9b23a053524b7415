use crate::connect::{Connection, Options};
use crate::error::Error;
use clap::Args;
use std::process::ExitCode;

/// (to come)
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    connection: Options,
}

pub async fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    let connection = Connection::open(&arguments.connection).await?;
    println!("{:?}", connection.nodes().await?);
    Ok(ExitCode::SUCCESS)
}
