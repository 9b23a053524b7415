//! `IMAGE.BIND`: makes an empty gallery, or says which sample ids were given out. It is what an
//! append-only file begins a gallery with: samples alone would not tell of those that were forgotten.

use gallery::Binding;
use redis_module::{Context, RedisError, RedisResult, RedisString};

use crate::commands::options::{Name, Options};
use crate::error::{Error, ErrorCode};
use crate::galleries;
use crate::reply::Reply;
use crate::server::gallery_type::{self, Found};
use crate::server::gallery_value::{GalleryValue, ServerGallery};
use crate::server::request;

const OPTIONS: [Name; 4] = [Name::Model, Name::Space, Name::Dimensions, Name::Next];

/// `IMAGE.BIND gallery MODEL name SPACE s DIMENSIONS n [NEXT id]`
pub fn bind(ctx: &Context, arguments: Vec<RedisString>) -> RedisResult {
    let [_, key, options @ ..] = arguments.as_slice() else { return Err(RedisError::WrongArity) };
    request::answer(ctx, || {
        let options = Options::parse(options, &OPTIONS)?;
        let (Some(model), Some(space), Some(dimensions)) =
            (options.model, options.space, options.dimensions)
        else {
            let sentence = "MODEL, SPACE and DIMENSIONS are needed";
            return Err(Error::new(ErrorCode::Err, sentence));
        };
        let binding = Binding { model, space, dimensions };
        let create = || Ok(Some(GalleryValue::new(ServerGallery::new(binding.clone())?)));
        let change = |value: &mut GalleryValue| -> Result<(), Error> {
            galleries::check_binding(value.gallery().binding(), &binding)?;
            value.raise_next_sample(options.next.unwrap_or(0));
            Ok(())
        };
        match gallery_type::change(ctx, key, create, change)? {
            Found::Gallery(()) => {
                ctx.replicate_verbatim();
                Ok(Some(Reply::Status("OK")))
            }
            _ => Err(galleries::wrong_type()),
        }
    })
}
