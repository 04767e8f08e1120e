//! One endpoint for all servers: what names one thing goes to one member, what lists goes to all.

mod capabilities;
mod cursor;
mod legacy;
mod list;
mod listen;
mod lists;
mod members;
mod modern;
mod names;
mod opening;
mod resources;
mod shelf;
mod streams;
mod whole;

pub use capabilities::{Said, capabilities, instructions};
pub use cursor::{ORIGINAL_BYTES_MAX, PageCursor};
pub(crate) use legacy::post_legacy;
pub use list::{Item, List, Merged, Page, matches};
pub(crate) use members::Federation;
pub(crate) use modern::post;
pub use names::{Ambiguous, Names, literal_prefix, shown_uri, unwrap_uri, wrap_uri};
pub(crate) use shelf::{Key, NoPage, Part, Patience, Shelf};
pub(crate) use streams::{delete, get};
