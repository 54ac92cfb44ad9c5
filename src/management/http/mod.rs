//! HTTP without the API: paths, query parameters, bodies, answers and refusals, and what is done to
//! every list.

mod answer;
mod body;
pub mod form;
mod list;
mod multipart;
mod page;
mod params;
mod path;
mod payload;
mod refusal;

pub use answer::{Answer, Content, Lazy, Outcome};
pub use body::Body;
pub use list::{Columns, Sort, compare, shape, shape_one, shape_page};
pub use multipart::file_of_form;
pub use page::{Page, Paging};
pub use params::Params;
pub use path::{Path, PathError};
pub use payload::Payload;
pub use refusal::Refusal;
