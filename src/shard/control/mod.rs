//! Control: [`request`] what clients ask of the broker, [`ask`] what queues answer, [`command`] what
//! operators order, [`order`] changes of the catalog.

pub mod ask;
pub mod command;
pub mod order;
pub mod request;
