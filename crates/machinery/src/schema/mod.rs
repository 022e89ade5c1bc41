//! Structural schemas: what fields a kind has, their types, defaults, rules and merge behaviour.
