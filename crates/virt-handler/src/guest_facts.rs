//! What a guest's agent tells, in the shapes of the API.

use serde_json::{Value, json};
use wire::launcher::v1::{FileSystem, GuestAnswer, GuestUser};

/// `VirtualMachineInstanceGuestAgentInfo`.
pub(crate) fn guest(answer: &GuestAnswer) -> Value {
    let commands: Vec<Value> = answer
        .commands
        .iter()
        .map(|command| without_empty(json!({"name": command.name, "enabled": command.enabled})))
        .collect();
    let os = answer.os.clone().unwrap_or_default();
    without_empty(json!({
        "guestAgentVersion": answer.agent_version,
        "supportedCommands": commands,
        "hostname": os.hostname,
        "os": without_empty(json!({
            "name": os.name, "kernelRelease": os.kernel_release, "version": os.version,
            "prettyName": os.pretty_name, "versionId": os.version_id, "kernelVersion": os.kernel_version,
            "machine": os.machine, "id": os.id,
        })),
        "timezone": answer.timezone,
        "userList": answer.users.iter().map(user).collect::<Vec<_>>(),
        "fsInfo": {"disks": answer.file_systems.iter().map(file_system).collect::<Vec<_>>()},
        "fsFreezeStatus": answer.freeze_status,
    }))
}

/// `VirtualMachineInstanceGuestOSUserList`.
pub(crate) fn users(answer: &GuestAnswer) -> Value {
    json!({"metadata": {}, "items": answer.users.iter().map(user).collect::<Vec<_>>()})
}

/// `VirtualMachineInstanceFileSystemList`.
pub(crate) fn file_systems(answer: &GuestAnswer) -> Value {
    json!({"metadata": {}, "items": answer.file_systems.iter().map(file_system).collect::<Vec<_>>()})
}

fn user(user: &GuestUser) -> Value {
    let mut shown = json!({"userName": user.name, "domain": user.domain, "loginTime": user.login_time});
    if user.domain.is_empty()
        && let Some(fields) = shown.as_object_mut()
    {
        fields.remove("domain");
    }
    shown
}

fn file_system(system: &FileSystem) -> Value {
    let disks: Vec<Value> = system
        .disks
        .iter()
        .map(|disk| {
            let mut shown = without_empty(json!({"serial": disk.serial}));
            shown["busType"] = json!(disk.bus_type);
            shown
        })
        .collect();
    let mut shown = json!({
        "diskName": system.device, "mountPoint": system.mount_point, "fileSystemType": system.r#type,
        "usedBytes": system.used_bytes, "totalBytes": system.total_bytes,
    });
    if !disks.is_empty() {
        shown["disk"] = disks.into();
    }
    shown
}

/// Leaves out what is empty, as the reference does.
fn without_empty(value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let said = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    };
    Value::Object(fields.into_iter().filter(|(_, value)| said(value)).collect())
}

#[cfg(test)]
mod tests {
    use wire::launcher::v1::{AgentCommand, FileSystemDisk, GuestOs};

    use super::*;

    #[test]
    fn a_guest_is_told_as_the_reference_tells_it() {
        let answer = GuestAnswer {
            agent_version: "8.2".to_owned(),
            commands: vec![AgentCommand { name: "guest-ping".to_owned(), enabled: true }],
            os: Some(GuestOs { id: "debian".to_owned(), hostname: "web".to_owned(), ..GuestOs::default() }),
            timezone: "UTC, 0".to_owned(),
            freeze_status: "thawed".to_owned(),
            users: vec![GuestUser { name: "ann".to_owned(), login_time: 5.5, ..GuestUser::default() }],
            file_systems: vec![FileSystem {
                device: "vda1".to_owned(),
                mount_point: "/".to_owned(),
                r#type: "ext4".to_owned(),
                used_bytes: 1,
                total_bytes: 2,
                disks: vec![FileSystemDisk { serial: String::new(), bus_type: "virtio".to_owned() }],
            }],
        };
        let told = guest(&answer);
        let disk = json!({
            "diskName": "vda1", "mountPoint": "/", "fileSystemType": "ext4", "usedBytes": 1, "totalBytes": 2,
            "disk": [{"busType": "virtio"}],
        });
        assert_eq!(
            told,
            json!({
                "guestAgentVersion": "8.2", "supportedCommands": [{"name": "guest-ping", "enabled": true}],
                "hostname": "web", "os": {"id": "debian"}, "timezone": "UTC, 0",
                "userList": [{"userName": "ann", "loginTime": 5.5}], "fsInfo": {"disks": [disk.clone()]},
                "fsFreezeStatus": "thawed",
            })
        );
        assert_eq!(file_systems(&answer), json!({"metadata": {}, "items": [disk]}));
        assert_eq!(users(&GuestAnswer::default()), json!({"metadata": {}, "items": []}));
    }
}
