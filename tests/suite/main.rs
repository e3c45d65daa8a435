//! End-to-end tests of the built program `tool`, a module per topic, linked as one binary.

mod corpus;
mod schemas;
