//! `virtctl expose`

use anyhow::{Result, anyhow, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use super::exactly;
use crate::request::{Kind, Request};
use crate::say::say;
use crate::session::Session;

/// Expose a virtual machine, virtual machine instance or replica set as a new Service.
///
/// Without --port, the Service has the ports of the interface on the Pod network. A replica set must select its instances
/// by labels alone.
#[derive(Args, Debug)]
#[command(
    override_usage = "virtctl expose (TYPE NAME) --name=NAME [flags]",
    after_help = "Examples:\n  # Reach SSH of 'myvm' on a port of each node:\n  virtctl expose vm myvm --port=22 --name=myvm-ssh --type=NodePort\n\n  # Reach port 8080 of the instances of a replica set as port 80:\n  virtctl expose vmirs myvmirs --port=80 --target-port=8080 --name=vmirs-service"
)]
pub(crate) struct Expose {
    #[arg(hide = true, value_name = "TYPE NAME")]
    arguments: Vec<String>,
    /// Address of the Service [default: one is allocated]; 'None' for a headless Service.
    #[arg(long, default_value = "", value_name = "address")]
    cluster_ip: String,
    /// Another address that the nodes accept for the Service.
    #[arg(long, default_value = "", value_name = "address")]
    external_ip: String,
    /// Address family: IPv4, IPv6, IPv4,IPv6 or IPv6,IPv4.
    #[arg(long, default_value = "", value_name = "families")]
    ip_family: String,
    /// How many families: SingleStack, PreferDualStack or RequireDualStack.
    #[arg(long, default_value = "", value_name = "policy")]
    ip_family_policy: String,
    /// Name of the Service.
    #[arg(long, value_name = "name")]
    name: String,
    /// Port of the Service.
    #[arg(long, default_value_t = 0, value_name = "port")]
    port: i32,
    /// Name of the port.
    #[arg(long, default_value = "", value_name = "name")]
    port_name: String,
    /// Protocol of the port: TCP or UDP.
    #[arg(long, default_value = "TCP", value_name = "protocol")]
    protocol: String,
    /// Number or name of the machine's port [default: that of the Service].
    #[arg(long, default_value = "", value_name = "port")]
    target_port: String,
    /// Type of the Service: ClusterIP, NodePort or LoadBalancer.
    #[arg(long = "type", default_value = "ClusterIP", value_name = "type")]
    kind: String,
}

impl Expose {
    /// Runs the command.
    ///
    /// # Errors
    /// When a flag is wrong, or the server does not agree.
    pub(crate) async fn run(&self, session: &Session) -> Result<()> {
        let [word, name] = exactly(&self.arguments)?;
        let word = word.to_lowercase();
        let frame = self.frame()?;
        let kind = Kind::parse(&word).ok_or_else(|| anyhow!("unsupported resource type: {word}"))?;
        let api = session.api().await?;
        let read = api.call(&Request::object(&api.namespace, kind, name)?).await;
        let read = read.map_err(|error| anyhow!("error fetching {}: {error}", title(kind)))?;
        let service = self.service(frame, kind, name, &serde_json::from_slice(&read)?)?;
        let created = api.call(&Request::create_service(&api.namespace, service)?).await;
        created.map_err(|error| anyhow!("service creation failed: {error}"))?;
        say!("Service {} successfully created for {word} {name}", self.name);
        Ok(())
    }

    /// Makes the Service's spec of the flags alone.
    fn frame(&self) -> Result<Map<String, Value>> {
        one_of(&self.protocol, &["TCP", "UDP"])
            .ok_or_else(|| anyhow!("unknown protocol: {}", self.protocol))?;
        let mut spec = Map::new();
        if self.kind.eq_ignore_ascii_case("ExternalName") {
            bail!("type: {} not supported", self.kind);
        }
        let kind = one_of(&self.kind, &["ClusterIP", "NodePort", "LoadBalancer"]);
        spec.insert(
            "type".to_owned(),
            kind.ok_or_else(|| anyhow!("unknown service type: {}", self.kind))?.into(),
        );
        if !self.cluster_ip.is_empty() {
            spec.insert("clusterIP".to_owned(), self.cluster_ip.clone().into());
        }
        if !self.external_ip.is_empty() {
            spec.insert("externalIPs".to_owned(), json!([self.external_ip]));
        }
        let families = match self.ip_family.as_str() {
            "" => Vec::new(),
            text => {
                let known = one_of(text, &["IPv4", "IPv6", "IPv4,IPv6", "IPv6,IPv4"]);
                let known = known.ok_or_else(|| anyhow!("unknown IPFamily/s: {text}"))?;
                known.split(',').collect()
            }
        };
        let policy = match self.ip_family_policy.as_str() {
            "" => (families.len() > 1).then_some("PreferDualStack"),
            text => {
                let known = one_of(text, &["SingleStack", "PreferDualStack", "RequireDualStack"]);
                Some(known.ok_or_else(|| anyhow!("unknown IPFamilyPolicy/s: {text}"))?)
            }
        };
        if !families.is_empty() {
            spec.insert("ipFamilies".to_owned(), json!(families));
        }
        if let Some(policy) = policy {
            spec.insert("ipFamilyPolicy".to_owned(), policy.into());
        }
        Ok(spec)
    }

    fn service(&self, mut spec: Map<String, Value>, kind: Kind, name: &str, object: &Value) -> Result<Value> {
        spec.insert("selector".to_owned(), selector(kind, name, object)?);
        let ports = if self.port == 0 {
            let instance =
                if kind == Kind::Instance { &object["spec"] } else { &object["spec"]["template"]["spec"] };
            ports(instance)
        } else {
            vec![self.port()]
        };
        if ports.is_empty() {
            bail!("couldn't find port via --port flag or introspection");
        }
        spec.insert("ports".to_owned(), ports.into());
        Ok(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": self.name}, "spec": spec}))
    }

    fn port(&self) -> Value {
        let mut port = json!({"protocol": self.protocol.to_uppercase(), "port": self.port});
        if !self.port_name.is_empty() {
            port["name"] = self.port_name.clone().into();
        }
        match self.target_port.parse::<i32>() {
            Ok(number) => port["targetPort"] = number.into(),
            Err(_) if self.target_port.is_empty() => {}
            Err(_) => port["targetPort"] = self.target_port.clone().into(),
        }
        port
    }
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Machine => "VirtualMachine",
        Kind::Instance => "VirtualMachineInstance",
        Kind::ReplicaSet => "VirtualMachineInstanceReplicaSet",
        // Users cannot name any other kind.
        _ => kind.plural(),
    }
}

/// Finds a word in any case.
fn one_of<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known.iter().copied().find(|known| known.eq_ignore_ascii_case(word))
}

/// Returns the labels by which the Service finds its Pods.
fn selector(kind: Kind, name: &str, object: &Value) -> Result<Value> {
    if kind != Kind::ReplicaSet {
        return Ok(json!({"vmi.kubevirt.io/id": model::identity::label(name)}));
    }
    let selector = &object["spec"]["selector"];
    let is_filled = |value: &Value| value.as_object().is_some_and(|labels| !labels.is_empty());
    if !is_filled(&selector["matchLabels"]) {
        bail!("cannot expose VirtualMachineInstanceReplicaSet without any selector labels");
    }
    if selector["matchExpressions"].as_array().is_some_and(|expressions| !expressions.is_empty()) {
        bail!("cannot expose VirtualMachineInstanceReplicaSet with match expressions");
    }
    Ok(selector["matchLabels"].clone())
}

/// Returns the ports of the interface on the Pod network.
fn ports(instance: &Value) -> Vec<Value> {
    let named = |list: &Value, wanted: &dyn Fn(&Value) -> bool| {
        list.as_array().into_iter().flatten().find(|entry| wanted(entry)).cloned()
    };
    let Some(network) = named(&instance["networks"], &|network| network.get("pod").is_some()) else {
        return Vec::new();
    };
    let interfaces = &instance["domain"]["devices"]["interfaces"];
    let interface = named(interfaces, &|interface| interface["name"] == network["name"]).unwrap_or_default();
    let ports = interface["ports"].as_array().into_iter().flatten().enumerate();
    ports
        .map(|(index, port)| {
            let mut exposed = json!({"name": format!("port-{}", index + 1), "port": port["port"]});
            if port["protocol"].is_string() {
                exposed["protocol"] = port["protocol"].clone();
            }
            exposed
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    fn service(flags: &str, kind: Kind, object: &Value) -> Result<Value> {
        let line = format!("virtctl expose vm a --name=s {flags}");
        let Some(Command::Expose(expose)) = Cli::try_parse_from(line.split_whitespace())?.command else {
            panic!("expose is expose")
        };
        expose.service(expose.frame()?, kind, "a", object)
    }

    #[test]
    fn flags_make_a_service() {
        let made = service(
            "--port=80 --target-port=http --port-name=web --type=nodeport --protocol=udp --external-ip=192.0.2.1 --ip-family=ipv4,ipv6",
            Kind::Machine,
            &json!({}),
        );
        let expected = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {
                "type": "NodePort", "externalIPs": ["192.0.2.1"],
                "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack",
                "selector": {"vmi.kubevirt.io/id": "a"},
                "ports": [{"protocol": "UDP", "port": 80, "name": "web", "targetPort": "http"}],
            },
        });
        assert_eq!(made.unwrap(), expected);
        let numbered = service("--port=80 --target-port=8080", Kind::Machine, &json!({})).unwrap();
        assert_eq!(numbered["spec"]["ports"][0]["targetPort"], 8080);
    }

    #[test]
    fn ports_are_taken_from_the_pod_networks_interface() {
        let spec = json!({
            "networks": [{"name": "other", "multus": {}}, {"name": "pod", "pod": {}}],
            "domain": {"devices": {"interfaces": [
                {"name": "other", "ports": [{"port": 1}]},
                {"name": "pod", "ports": [{"port": 22}, {"port": 53, "protocol": "UDP"}]},
            ]}},
        });
        let expected =
            json!([{"name": "port-1", "port": 22}, {"name": "port-2", "port": 53, "protocol": "UDP"}]);
        let machine = json!({"spec": {"template": {"spec": spec}}});
        assert_eq!(service("", Kind::Machine, &machine).unwrap()["spec"]["ports"], expected);
        let instance = json!({"spec": spec});
        assert_eq!(service("", Kind::Instance, &instance).unwrap()["spec"]["ports"], expected);
    }

    #[test]
    fn what_cannot_be_exposed_is_told() {
        let labels = json!({"spec": {"selector": {"matchLabels": {"app": "a"}}}});
        let made = service("--port=1", Kind::ReplicaSet, &labels).unwrap();
        assert_eq!(made["spec"]["selector"], json!({"app": "a"}));
        let mixed = json!({"spec": {"selector": {"matchLabels": {"app": "a"}, "matchExpressions": [{}]}}});
        for (flags, kind, object, says) in [
            ("", Kind::Machine, json!({}), "couldn't find port"),
            ("--port=1", Kind::ReplicaSet, json!({}), "without any selector labels"),
            ("--port=1", Kind::ReplicaSet, mixed, "with match expressions"),
            ("--protocol=sctp", Kind::Machine, json!({}), "unknown protocol: sctp"),
            ("--type=ExternalName", Kind::Machine, json!({}), "not supported"),
            ("--type=x", Kind::Machine, json!({}), "unknown service type: x"),
            ("--ip-family=x", Kind::Machine, json!({}), "unknown IPFamily/s: x"),
            ("--ip-family-policy=x", Kind::Machine, json!({}), "unknown IPFamilyPolicy/s: x"),
        ] {
            let error = service(flags, kind, &object).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
