//! Where the servers are and who we are: the options that every subcommand shares.

use super::address::{Address, DEFAULT_PORT};
use crate::error::Error;
use clap::Args;
use redis::{
    ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo,
    TlsCertificates,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Connection")]
pub struct Options {
    /// The server, or any node of a cluster: redis://[user@]host[:port][/db], rediss:// for TLS; --cluster and --sentinel
    /// count more; default: redis://127.0.0.1:6379
    #[arg(long, value_name = "URL", env = "REDIS_IMAGE_URL", hide_env_values = true)]
    pub url: Option<String>,

    /// Nodes of a Redis Cluster, of which one must answer: host:port,… or URLs
    #[arg(long, value_name = "NODES", value_delimiter = ',', conflicts_with = "sentinel")]
    pub cluster: Vec<String>,

    /// Sentinels that know where the master is: host:port,…
    #[arg(long, value_name = "NODES", value_delimiter = ',', requires = "master")]
    pub sentinel: Vec<String>,

    /// The name by which the Sentinels know the master
    #[arg(long, value_name = "NAME", requires = "sentinel")]
    pub master: Option<String>,

    /// The ACL user; without it the default user
    #[arg(long, value_name = "NAME", env = "REDIS_IMAGE_USER")]
    pub user: Option<String>,

    /// The password; better in the environment, as others see arguments
    #[arg(long, value_name = "PASSWORD", env = "REDIS_IMAGE_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,

    /// The Sentinels' own ACL user, if they have one
    #[arg(long, value_name = "NAME", env = "REDIS_IMAGE_SENTINEL_USER")]
    pub sentinel_user: Option<String>,

    /// The Sentinels' own password, if they have one
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "REDIS_IMAGE_SENTINEL_PASSWORD",
        hide_env_values = true
    )]
    pub sentinel_password: Option<String>,

    /// Speak TLS, as with rediss://
    #[arg(long)]
    pub tls: bool,

    /// Certificate authority (PEM) of the servers; default: those of the system
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,

    /// Own certificate (PEM), where the servers ask for one
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The key (PEM) of --tls-cert
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Don't verify the servers' certificates
    #[arg(long)]
    pub insecure: bool,

    /// How long an outage (failover, restart, a cluster that is down) is waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub retry_for: u64,
}

/// What the options mean.
#[derive(Debug, Clone)]
pub struct Target {
    pub place: ServerPlace,
    pub access: Access,
    pub retry_for: Duration,
}

#[derive(Debug, Clone)]
pub enum ServerPlace {
    /// One server; whether it belongs to a cluster is asked.
    Server(Address),
    Cluster(Vec<Address>),
    Sentinel {
        sentinels: Vec<Address>,
        master: String,
    },
}

/// How a connection to any of the servers is opened.
#[derive(Debug, Clone)]
pub struct Access {
    pub login: RedisConnectionInfo,
    pub sentinel_login: RedisConnectionInfo,
    pub tls: Option<TlsCertificates>,
    pub insecure: bool,
}

impl Options {
    pub fn target(&self) -> Result<Target, Error> {
        let mut tls = self.tls || self.tls_ca.is_some() || self.tls_cert.is_some() || self.insecure;
        let mut login = RedisConnectionInfo::default();
        let mut sentinel_login = RedisConnectionInfo::default();
        let place = if !self.sentinel.is_empty() {
            let sentinels = addresses(&self.sentinel, 26379, &mut tls, &mut sentinel_login)?;
            ServerPlace::Sentinel { sentinels, master: self.master.clone().unwrap_or_default() }
        } else if !self.cluster.is_empty() {
            ServerPlace::Cluster(addresses(&self.cluster, DEFAULT_PORT, &mut tls, &mut login)?)
        } else {
            let url = self.url.as_deref().unwrap_or("redis://127.0.0.1:6379");
            ServerPlace::Server(address(url, DEFAULT_PORT, &mut tls, &mut login)?)
        };
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        if let Some(user) = &self.sentinel_user {
            sentinel_login = sentinel_login.set_username(user);
        }
        if let Some(password) = &self.sentinel_password {
            sentinel_login = sentinel_login.set_password(password);
        }
        let tls = if tls { Some(self.certificates()?) } else { None };
        Ok(Target {
            place,
            access: Access { login, sentinel_login, tls, insecure: self.insecure },
            retry_for: Duration::from_secs(self.retry_for),
        })
    }

    fn certificates(&self) -> Result<TlsCertificates, Error> {
        let read = |path: &Path| fs::read(path).map_err(|why| Error::file(path, why));
        let client_tls = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => {
                Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? })
            }
            _ => None,
        };
        Ok(TlsCertificates { client_tls, root_cert: self.tls_ca.as_deref().map(read).transpose()? })
    }
}

impl Access {
    pub fn info(
        &self,
        address: &Address,
        login: &RedisConnectionInfo,
    ) -> Result<ConnectionInfo, Error> {
        let (host, port) = (address.host.clone(), address.port);
        let place = match self.tls {
            Some(_) => {
                ConnectionAddr::TcpTls { host, port, insecure: self.insecure, tls_params: None }
            }
            None => ConnectionAddr::Tcp(host, port),
        };
        let info = place.into_connection_info().map_err(|why| Error::usage(why.to_string()))?;
        Ok(info.set_redis_settings(login.clone()))
    }
}

fn addresses(
    texts: &[String],
    port: u16,
    tls: &mut bool,
    login: &mut RedisConnectionInfo,
) -> Result<Vec<Address>, Error> {
    texts.iter().map(|text| address(text.trim(), port, tls, login)).collect()
}

/// `host`, `host:port`, or a URL, whose user, password and database are taken over.
fn address(
    text: &str,
    port: u16,
    tls: &mut bool,
    login: &mut RedisConnectionInfo,
) -> Result<Address, Error> {
    if !text.contains("://") {
        // Not quoted: what stands before the @ may be a password.
        if text.contains('@') {
            return Err(Error::usage("a user belongs into a URL: write redis://user@host:port"));
        }
        return Address::parse(text, port)
            .ok_or_else(|| Error::usage(format!("`{text}` is no host:port")));
    }
    // The reason may quote the URL, and with it a password.
    let wrong =
        || Error::usage("this URL is none of Redis: write redis://host:port or rediss://host:port");
    let info = text.into_connection_info().map_err(|_| wrong())?;
    let said = info.redis_settings();
    // Of several URLs one may leave it to the others.
    if said.username().is_some() || said.password().is_some() || said.db() != 0 {
        *login = said.clone();
    }
    match info.addr() {
        ConnectionAddr::Tcp(host, port) => Ok(Address { host: host.clone(), port: *port }),
        ConnectionAddr::TcpTls { host, port, .. } => {
            *tls = true;
            Ok(Address { host: host.clone(), port: *port })
        }
        _ => Err(wrong()),
    }
}
