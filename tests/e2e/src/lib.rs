//! End-to-end tests stand in `tests/`: each starts an installation of its own and drives it as a user would.
