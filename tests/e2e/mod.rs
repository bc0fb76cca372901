//! What a user can do, end to end.

mod spawn_image;
