//! Reads objects as JSON, one a line, and prints them as the types write them.

use api::kubevirt::v1::{KubeVirt, VirtualMachine, VirtualMachineInstance, VirtualMachineInstanceMigration};
use serde_json::Value;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for line in std::io::stdin().lines() {
        let object: Value = serde_json::from_str(&line?)?;
        let written = match object["kind"].as_str() {
            Some("VirtualMachine") => {
                serde_json::to_value(serde_json::from_value::<VirtualMachine>(object)?)?
            }
            Some("VirtualMachineInstance") => {
                serde_json::to_value(serde_json::from_value::<VirtualMachineInstance>(object)?)?
            }
            Some("VirtualMachineInstanceMigration") => {
                serde_json::to_value(serde_json::from_value::<VirtualMachineInstanceMigration>(object)?)?
            }
            Some("KubeVirt") => serde_json::to_value(serde_json::from_value::<KubeVirt>(object)?)?,
            other => return Err(format!("no type for kind {other:?}").into()),
        };
        println!("{written}");
    }
    Ok(())
}
