//! The simulated machine keeps the contract.

use async_trait::async_trait;
use hypervisor::contract::{self, Case, Harness, Trial};
use hypervisor::simulated::{Guest, Simulation};
use hypervisor::{Attached, Error};
use wire::machine::MachineRecord;

struct Simulated;

#[async_trait]
impl Harness for Simulated {
    async fn execute(&self, record: MachineRecord) -> Result<Box<dyn Trial>, String> {
        Ok(Box::new(SimulatedTrial(Simulation::new(record, Guest::default()))))
    }
}

struct SimulatedTrial(Simulation);

#[async_trait]
impl Trial for SimulatedTrial {
    async fn attach(&self) -> Result<Attached, Error> {
        self.0.attach()
    }
    async fn guest_up(&self) -> Result<(), String> {
        Ok(())
    }
    async fn guest_powers_off(&self) -> Result<(), String> {
        self.0.power_off();
        Ok(())
    }
    async fn guest_resets(&self) -> Result<(), String> {
        self.0.reset_by_guest();
        Ok(())
    }
    async fn guest_panics(&self) -> Result<(), String> {
        self.0.panic();
        Ok(())
    }
    async fn ended(&self) -> Result<(), String> {
        self.0.ended().await;
        Ok(())
    }
}

#[tokio::test]
async fn the_simulated_machine_keeps_the_contract() {
    for case in Case::ALL {
        contract::run(*case, &Simulated).await.unwrap();
    }
}
