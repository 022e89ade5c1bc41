//! Names that follow from what they are for.
//!
//! A name that is derived instead of drawn makes creation safe to repeat: when the answer to a create request gets
//! lost, or two controllers believe that they lead, the second attempt meets the first one's object.

/// The alphabet of Kubernetes' generated names: nothing that spells words or is easily confused.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// Longest name of a Pod that is also a host name label.
const LONGEST: usize = 63;

/// Returns five characters that follow from `seed`.
pub fn suffix(seed: &str) -> String {
    let mut rest = hash(seed);
    let mut text = String::with_capacity(5);
    for _ in 0..5 {
        text.push(char::from(ALPHABET[(rest % 27) as usize]));
        rest /= 27;
    }
    text
}

/// Returns the name of the launcher Pod of an instance. There is one per instance, ever.
pub fn launcher_pod(instance: &str, uid: &str) -> String {
    let keep = instance.len().min(LONGEST - "virt-launcher-".len() - 6);
    let instance = instance.get(..keep).unwrap_or(instance).trim_end_matches(['-', '.']);
    format!("virt-launcher-{instance}-{}", suffix(uid))
}

/// Returns what clients know as `generateName` of an object whose name was made here: all but the suffix. That the name is
/// the same in each attempt keeps a controller that was killed from making two.
pub fn generate_name(name: &str) -> Option<String> {
    name.get(..name.len().checked_sub(5)?).filter(|base| !base.is_empty()).map(str::to_owned)
}

/// Returns the name of the ControllerRevision that keeps a machine's specification.
pub fn machine_revision(machine_uid: &str, generation: i64) -> String {
    format!("revision-start-vm-{machine_uid}-{generation}")
}

/// Returns the name of the instance that stands at `place` of a replica set, places being counted anew with each
/// generation, so that no instance gets the name of one from before a change.
pub fn replica(base: &str, set_uid: &str, generation: i64, place: usize) -> String {
    let keep = base.len().min(LONGEST - 5);
    format!("{}{}", base.get(..keep).unwrap_or(base), suffix(&format!("{set_uid}/{generation}/{place}")))
}

/// Returns a number that follows from `seed`; for jitter that a replay repeats.
pub fn hash(seed: &str) -> u64 {
    // FNV-1a, then a finisher: neighbours in, strangers out.
    let mut hash = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_and_fit() {
        let name = launcher_pod("web", "0b7c");
        assert_eq!(name, launcher_pod("web", "0b7c"));
        assert_ne!(name, launcher_pod("web", "0b7d"));
        assert_eq!(generate_name(&name).as_deref(), Some("virt-launcher-web-"));
        assert_eq!(generate_name(&replica("web", "0b7c", 1, 0)).as_deref(), Some("web"));
        assert!(launcher_pod(&"x".repeat(63), "u").len() <= LONGEST);
        let name = replica("web", "0b7c", 1, 0);
        assert!(name.starts_with("web") && name.len() == 8, "{name}");
        let others =
            [replica("web", "0b7d", 1, 0), replica("web", "0b7c", 2, 0), replica("web", "0b7c", 1, 1)];
        assert!(!others.contains(&name), "{others:?}");
        assert_eq!(replica(&"x".repeat(80), "u", 1, 0).len(), LONGEST);
    }
}
