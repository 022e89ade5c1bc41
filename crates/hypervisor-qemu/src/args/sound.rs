//! The sound card.

use hypervisor::PlanError;
use serde_json::json;
use wire::machine::{Sound, SoundModel};

use super::builder::Builder;
use super::pci::{self, Kind};

pub(super) fn add(builder: &mut Builder<'_>, sound: Option<&Sound>) -> Result<(), PlanError> {
    let Some(sound) = sound else { return Ok(()) };
    let place = pci::place("sound card", &sound.address, Kind::Conventional)?;
    // Nobody listens on a node.
    builder.json("-audiodev", json!({"driver": "none", "id": "audio0"}));
    match sound.model {
        SoundModel::Ac97 => {
            pci::device(builder, "AC97", place, json!({"id": "sound0", "audiodev": "audio0"}));
        }
        SoundModel::Ich9 => {
            pci::device(builder, "ich9-intel-hda", place, json!({"id": "sound0"}));
            builder.json(
                "-device",
                json!({"driver": "hda-duplex", "id": "codec0", "bus": "sound0.0", "audiodev": "audio0"}),
            );
        }
    }
    Ok(())
}
