//! What admission adds to a `VirtualMachine`.

use api::instancetype::v1beta1::VirtualMachinePreferenceSpec;
use api::kubevirt::v1::VirtualMachine;

use super::Fresh;
use crate::config::ClusterConfig;

/// Fills in the architecture and the type of the machine and the storage class of its volumes that a preference has, where the
/// machine names none; goes before [`vm`].
pub fn preferred(vm: &mut VirtualMachine, preference: &VirtualMachinePreferenceSpec) {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let class = preference.volumes.as_ref().and_then(|own| given(&own.preferred_storage_class_name));
    for template in vm.spec.data_volume_templates.iter_mut().filter(|_| class.is_some()) {
        // A name that is empty asks for volumes without a class.
        if let Some(claim) = template.spec.pvc.as_mut().filter(|claim| claim.storage_class_name.is_none()) {
            claim.storage_class_name.clone_from(&class);
        }
        if let Some(claim) = template.spec.storage.as_mut().filter(|claim| claim.storage_class_name.is_none())
        {
            claim.storage_class_name.clone_from(&class);
        }
    }
    let Some(spec) = &mut vm.spec.template.spec else { return };
    if super::is_empty(spec.architecture.as_deref())
        && let Some(architecture) = given(&preference.preferred_architecture)
    {
        spec.architecture = Some(architecture);
    }
    let machine = spec.domain.machine.get_or_insert_default();
    if super::is_empty(machine.type_.as_deref())
        && let Some(own) = preference.machine.as_ref().and_then(|own| given(&own.preferred_machine_type))
    {
        machine.type_ = Some(own);
    }
}

/// Fills in a machine. `fresh` is given when it is new.
pub fn vm(vm: &mut VirtualMachine, config: &ClusterConfig, fresh: Option<&Fresh>) {
    let template = &mut vm.spec.template;
    let Some(spec) = &mut template.spec else { return };
    if super::is_empty(spec.architecture.as_deref()) {
        spec.architecture = Some(config.default_architecture.clone());
    }
    let architecture = config.architecture(spec.architecture.as_deref()).to_owned();
    let machine = spec.domain.machine.get_or_insert_default();
    if super::is_empty(machine.type_.as_deref()) {
        machine.type_ = Some(config.machine_type(&architecture).to_owned());
    }
    if let Some(fresh) = fresh {
        let firmware = spec.domain.firmware.get_or_insert_default();
        if super::is_empty(firmware.uuid.as_deref()) {
            firmware.uuid = Some(fresh.uuid.clone());
        }
        if super::is_empty(firmware.serial.as_deref()) {
            firmware.serial = Some(fresh.serial.clone());
        }
    }
    super::omit_zeros(spec);
    if fresh.is_some() {
        let machine = super::machine_type(spec).to_owned();
        super::mark_pci_topology(&mut template.metadata, &machine);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn volumes_get_the_preferred_class_where_they_name_none() {
        let mut vm: VirtualMachine = serde_json::from_value(json!({"spec": {
            "template": {"spec": {"domain": {"devices": {}}}},
            "dataVolumeTemplates": [
                {"metadata": {"name": "a"}, "spec": {"pvc": {}}},
                {"metadata": {"name": "b"}, "spec": {"storage": {}}},
                {"metadata": {"name": "c"}, "spec": {"storage": {"storageClassName": "slow"}}},
                {"metadata": {"name": "d"}, "spec": {"pvc": {"storageClassName": ""}}},
            ],
        }}))
        .unwrap();
        let preference = serde_json::from_value(json!({"volumes": {"preferredStorageClassName": "fast"}}));
        preferred(&mut vm, &preference.unwrap());
        let classes: Vec<Option<String>> = (vm.spec.data_volume_templates.iter())
            .map(|template| match (&template.spec.pvc, &template.spec.storage) {
                (Some(claim), _) => claim.storage_class_name.clone(),
                (_, claim) => claim.as_ref().and_then(|claim| claim.storage_class_name.clone()),
            })
            .collect();
        assert_eq!(
            classes.iter().map(Option::as_deref).collect::<Vec<_>>(),
            [Some("fast"), Some("fast"), Some("slow"), Some("")]
        );
    }
}
