//! The values that the document lists by name: those of the domain itself.

pub(crate) use hatch_domain::message::status::Status as StatusName;
pub(crate) use hatch_domain::{
    Channel as ChannelName, ErrorClass as ErrorClassName, OnDoubt as OnDoubtName,
    Priority as PriorityName,
};
pub(crate) use hatch_readmodel::Direction as DirectionName;
