//! Rules of credentials that are brought into a guest.

use api::kubevirt::v1::{AccessCredential, VirtualMachineInstanceSpec};
use machinery::field::Path;

use super::{Errors, Scope};

pub(super) fn check(scope: &Scope<'_>, spec: &VirtualMachineInstanceSpec, errors: &mut Errors) {
    for (index, credential) in spec.access_credentials.iter().enumerate() {
        one(spec, credential, &scope.at("accessCredentials").index(index), errors);
    }
}

fn one(spec: &VirtualMachineInstanceSpec, credential: &AccessCredential, at: &Path, errors: &mut Errors) {
    match (&credential.ssh_public_key, &credential.user_password) {
        (Some(keys), None) => {
            let at = at.child("sshPublicKey");
            if keys.source.secret.is_none() {
                errors.invalid(at.child("source"), (), "name the Secret that holds the keys");
            }
            let way = &keys.propagation_method;
            let at = at.child("propagationMethod");
            let ways = [way.no_cloud.is_some(), way.config_drive.is_some(), way.qemu_guest_agent.is_some()];
            if ways.into_iter().filter(|set| *set).count() != 1 {
                errors.invalid(at, (), "name exactly one way: noCloud, configDrive, qemuGuestAgent");
                return;
            }
            let has = |found: bool, kind: &str, errors: &mut Errors| {
                if !found {
                    errors.invalid(at.clone(), kind, format!("this way needs a {kind} volume; add one"));
                }
            };
            if way.no_cloud.is_some() {
                let found = spec.volumes.iter().any(|volume| volume.cloud_init_no_cloud.is_some());
                has(found, "cloudInitNoCloud", errors);
            }
            if way.config_drive.is_some() {
                let found = spec.volumes.iter().any(|volume| volume.cloud_init_config_drive.is_some());
                has(found, "cloudInitConfigDrive", errors);
            }
            if way.qemu_guest_agent.as_ref().is_some_and(|agent| agent.users.is_empty()) {
                errors.invalid(
                    at.child("qemuGuestAgent").child("users"),
                    (),
                    "name the guest's users that get the keys",
                );
            }
        }
        (None, Some(password)) => {
            let at = at.child("userPassword");
            if password.source.secret.is_none() {
                errors.invalid(at.child("source"), (), "name the Secret that holds the passwords");
            }
            if password.propagation_method.qemu_guest_agent.is_none() {
                errors.invalid(at.child("propagationMethod"), (), "passwords go by qemuGuestAgent; set it");
            }
        }
        _ => errors.invalid(at.clone(), (), "a credential is one of sshPublicKey, userPassword"),
    }
}
