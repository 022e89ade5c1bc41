//! The official client for Python against the embedded API.

use e2e::control_plane;
use kit::repository;

#[test]
fn what_programs_in_python_do_works() {
    let api = control_plane();
    api.python(&repository().join("tests/e2e/clients/operator.py")).expect("operator.py");
}
