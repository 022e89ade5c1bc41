//! Cables of network interfaces, connected and disconnected while the guest runs.

use launcher_channel::Refusal;
use wire::launcher::v1::Link;

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
