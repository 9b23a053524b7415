//! A gallery against what it promises.
