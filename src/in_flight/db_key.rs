//! A key in a database.

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DbKey {
    pub db: i32,
    pub name: Vec<u8>,
}
