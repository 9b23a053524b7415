//! Commands and replies, in a form that keeps tests short.

use super::PATIENCE;
use redis::{Client, Cmd, Connection, ProtocolVersion, Value, cmd};

pub fn recognize(key: impl redis::ToRedisArgs, payload: &[u8]) -> Cmd {
    cmd("IMAGE.RECOGNIZE").arg(key).arg(payload).take()
}

pub fn recognize_ro(key: impl redis::ToRedisArgs, payload: &[u8]) -> Cmd {
    cmd("IMAGE.RECOGNIZE_RO").arg(key).arg(payload).take()
}

pub fn get(key: impl redis::ToRedisArgs) -> Cmd {
    cmd("IMAGE.GET").arg(key).take()
}

/// A reply, which may be an error. A broken connection is `Lost`.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Value(Value),
    Error(String),
    Lost(String),
}

impl Reply {
    pub fn from(outcome: redis::RedisResult<Value>) -> Reply {
        match outcome {
            Ok(Value::ServerError(error)) => {
                Reply::Error(format!("{} {}", error.code(), error.details().unwrap_or_default()))
            }
            Ok(value) => Reply::Value(value),
            Err(error) => match error.code() {
                Some(code) => {
                    Reply::Error(format!("{code} {}", error.detail().unwrap_or_default()))
                }
                None => Reply::Lost(error.to_string()),
            },
        }
    }

    /// A bulk or simple string.
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Reply::Value(Value::BulkString(bytes)) => {
                String::from_utf8(bytes.clone()).expect("UTF-8")
            }
            Reply::Value(Value::SimpleString(text)) => text.clone(),
            Reply::Value(Value::Okay) => "OK".to_owned(),
            Reply::Value(Value::VerbatimString { text, .. }) => text.clone(),
            other => panic!("expected text, got {other:?}"),
        }
    }

    /// The whole text of the error, with its prefix.
    #[track_caller]
    pub fn error(&self) -> String {
        match self {
            Reply::Error(text) => text.clone(),
            other => panic!("expected an error, got {other:?}"),
        }
    }

    #[track_caller]
    pub fn value(&self) -> Value {
        match self {
            Reply::Value(value) => value.clone(),
            other => panic!("expected a value, got {other:?}"),
        }
    }

    #[track_caller]
    pub fn number(&self) -> i64 {
        redis::from_redis_value(self.value()).expect("a number")
    }

    #[track_caller]
    pub fn list(&self) -> Vec<String> {
        redis::from_redis_value(self.value()).expect("a list of strings")
    }

    /// The text, unless the reply is nil.
    #[track_caller]
    pub fn text_if_any(&self) -> Option<String> {
        if self.is_nil() { None } else { Some(self.text()) }
    }

    pub fn is_nil(&self) -> bool {
        *self == Reply::Value(Value::Nil)
    }
}

/// Sends a command and returns its reply as what the test expects. Another kind of reply fails the test.
pub trait Ask {
    fn reply(&self, client: &mut Connection) -> Reply;

    #[track_caller]
    fn text(&self, client: &mut Connection) -> String {
        self.reply(client).text()
    }

    #[track_caller]
    fn error(&self, client: &mut Connection) -> String {
        self.reply(client).error()
    }

    #[track_caller]
    fn value(&self, client: &mut Connection) -> Value {
        self.reply(client).value()
    }

    #[track_caller]
    fn number(&self, client: &mut Connection) -> i64 {
        self.reply(client).number()
    }

    #[track_caller]
    fn list(&self, client: &mut Connection) -> Vec<String> {
        self.reply(client).list()
    }
}

impl Ask for Cmd {
    fn reply(&self, client: &mut Connection) -> Reply {
        Reply::from(self.query(client))
    }
}

/// A command that was sent on its own connection and is not answered yet. Dropping it closes the connection.
pub struct Pending {
    client: Connection,
    pub client_id: i64,
}

impl Pending {
    pub fn send(mut client: Connection, command: &Cmd) -> Pending {
        let client_id = cmd("CLIENT").arg("ID").number(&mut client);
        client
            .send_packed_command(&command.get_packed_command())
            .expect("the server takes the command");
        Pending { client, client_id }
    }

    pub fn reply(mut self) -> Reply {
        Reply::from(self.client.recv_response())
    }
}

pub fn connect(
    port: u16,
    protocol: ProtocolVersion,
    user: Option<(&str, &str)>,
) -> redis::RedisResult<Connection> {
    let mut settings = redis::RedisConnectionInfo::default().set_protocol(protocol);
    if let Some((name, password)) = user {
        settings = settings.set_username(name).set_password(password);
    }
    let address = redis::ConnectionAddr::Tcp("127.0.0.1".to_owned(), port);
    let info =
        redis::IntoConnectionInfo::into_connection_info(address)?.set_redis_settings(settings);
    let connection = Client::open(info)?.get_connection_with_timeout(PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    Ok(connection)
}
