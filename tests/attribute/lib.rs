//! `#[test]` for a test binary without the standard harness: enters the function into the list that
//! crate `harness` runs.

use proc_macro::TokenStream;

#[proc_macro_attribute]
pub fn test(_arguments: TokenStream, function: TokenStream) -> TokenStream {
    let mut from_fn = function.clone().into_iter().skip_while(|token| token.to_string() != "fn");
    let name = from_fn.nth(1).expect("`#[test]` stands before a function");
    let entry = format!(
        "::harness::inventory::submit! {{
            ::harness::Test {{
                path: concat!(module_path!(), \"::\", stringify!({name})),
                run: {name},
            }}
        }}"
    );
    let entry: TokenStream = entry.parse().expect("it is Rust");
    function.into_iter().chain(entry).collect()
}
