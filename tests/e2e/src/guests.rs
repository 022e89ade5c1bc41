//! Guests that run a script when they are up.

/// Returns a guest that runs `script`, with `more` in its specification and its interface bound by `binding`.
pub fn machine(name: &str, binding: &str, more: &str, script: &str) -> String {
    let script = script.replace('\n', "\n                    ");
    format!(
        "apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {{name: {name}}}
spec:
  runStrategy: Always
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      terminationGracePeriodSeconds: 0
      {more}
      domain:
        memory: {{guest: 160Mi}}
        firmware:
          kernelBoot:
            container:
              image: ironclad.local/guest-kernel:0.1.0
              kernelPath: /boot/vmlinuz
              initrdPath: /boot/initrd.gz
            kernelArgs: console=ttyS0 loglevel=4
        devices:
          autoattachGraphicsDevice: false
          rng: {{}}
          disks: [{{name: seed, disk: {{bus: virtio}}}}]
          interfaces:
            - name: default
              {binding}: {{}}
              ports: [{{name: http, port: 80}}, {{port: 81}}]
      networks: [{{name: default, pod: {{}}}}]
      volumes:
        - name: seed
          cloudInitNoCloud:
            userData: |
              #cloud-config
              runcmd:
                - |
                    {script}
---
"
    )
}

/// Returns a guest that runs `script`, has the label `app: APP`, and its interface bound by `binding`.
pub fn scripted(name: &str, binding: &str, app: &str, script: &str) -> String {
    machine(name, binding, "", script).replace(&format!("app: {name}"), &format!("app: {app}"))
}
