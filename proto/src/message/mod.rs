//! What every version of HTTP has in common.
//!
//! Read [`part`] first, then [`head`] and [`fields`]; [`names`] is the one table of field names.

pub mod fields;
pub mod head;
pub mod line;
pub mod method;
pub mod names;
pub mod part;
pub mod status;
pub mod target;

pub use fields::{Field, Fields, InvalidField};
pub use head::{Body, RefusedRequest, RequestHead, ResponseHead, Version};
pub use line::Line;
pub use method::Method;
pub use names::Name;
pub use part::{Part, Reset};
pub use status::Status;
pub use target::{Target, TargetForm};
