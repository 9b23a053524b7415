//! Starts and stops servers.
