//! The control socket.

use super::builder::{Builder, escape};
use crate::CONTROL_SOCKET;

pub(super) fn add(builder: &mut Builder<'_>) {
    let path = escape(&builder.socket(CONTROL_SOCKET));
    builder.option("-chardev", format!("socket,id=qmp,path={path},server=on,wait=off"));
    builder.option("-mon", "chardev=qmp,mode=control");
}
