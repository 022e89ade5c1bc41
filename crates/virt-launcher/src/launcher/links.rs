//! Cables of network interfaces, connected and disconnected while the guest runs.

use hypervisor::Machine;
use launcher_channel::Refusal;
use wire::launcher::v1::Link;
use wire::machine::Nic;

use super::supervisor::{Order, Supervisor, failed};
use crate::files;

impl Supervisor {
    /// Connects or disconnects the cables of interfaces, and remembers it in the machine's record: whoever replaces this
    /// launcher reports what is so by then, and not what was at the start.
    pub(super) async fn set_links(&mut self, links: &[Link]) -> Result<(), Refusal> {
        let machine = self.undisturbed()?;
        let Some(order) = &mut self.order else {
            return Err(Refusal::NotNow("the machine's record is not known".to_owned()));
        };
        let mut outcome = Ok(());
        for link in links {
            let Some(nic) = order.record.nics.iter_mut().find(|nic| nic.name == link.name) else {
                outcome = Err(Refusal::Invalid(format!("the machine has no interface {}", link.name)));
                break;
            };
            if let Err(error) = machine.set_link(&link.name, link.up).await {
                outcome = Err(failed(error));
                break;
            }
            nic.link_up = link.up;
        }
        // What was done before something failed is remembered too.
        let kept = self.remember_links();
        outcome.and(kept)
    }

    /// Sets each cable as the machine's record has it. An earlier launcher may have died after it had set one and before it
    /// wrote that down: then nobody could tell that the record is not what the guest sees.
    pub(super) async fn restore_links(&self) {
        let (Ok(machine), Some(order)) = (self.machine(), &self.order) else { return };
        restore(&*machine, &order.record.nics).await;
    }

    fn remember_links(&mut self) -> Result<(), Refusal> {
        let Some(Order { record, bytes }) = &mut self.order else { return Ok(()) };
        let kept = serde_json::to_vec(record).map_err(std::io::Error::from).and_then(|text| {
            files::write(&self.options.run_dir.join(files::RECORD), &text)?;
            *bytes = text;
            Ok(())
        });
        self.introduce();
        kept.map_err(|error| Refusal::Failed(format!("keep the machine's record: {error}")))
    }
}

async fn restore(machine: &dyn Machine, nics: &[Nic]) {
    for nic in nics {
        if let Err(error) = machine.set_link(&nic.name, nic.link_up).await {
            tracing::warn!(interface = nic.name, %error, "set the cable as the machine's record has it");
        }
    }
}

#[cfg(test)]
mod tests {
    use hypervisor::contract::guest;
    use hypervisor::simulated::{self, Simulation};
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn cables_that_an_earlier_launcher_set_without_writing_it_down_are_as_the_record_has_them() {
        let mut record = guest::record("kernel").unwrap();
        let nic = |name: &str, up: bool| -> Nic {
            serde_json::from_value(json!({
                "name": name, "linkUp": up, "model": "virtio", "address": {"type": "unit", "unit": 0},
                "mac": "02:00:00:00:00:01", "mtu": 0, "tap": name,
            }))
            .unwrap()
        };
        record.nics = vec![nic("a", true), nic("b", false), nic("c", true)];
        let machine = Simulation::new(record.clone(), simulated::Guest::default());
        for (name, up) in [("a", false), ("b", true)] {
            machine.set_link(name, up).await.unwrap();
        }
        restore(&machine, &record.nics).await;
        let connected = ["a", "b", "c"].map(|name| machine.is_connected(name));
        assert_eq!(connected, [true, false, true]);
        // What the machine has not got any more keeps the others from nothing.
        record.nics = vec![nic("gone", true), nic("c", false)];
        restore(&machine, &record.nics).await;
        assert!(!machine.is_connected("c"));
    }
}
