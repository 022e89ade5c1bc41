//! The way to an export's server through the API server: a local port, and a stream to the server's Pod for each connection.

use anyhow::{Context as _, Result, anyhow};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use tokio::net::TcpListener;

use super::download::Download;
use crate::api::Api;
use crate::log;
use crate::request::{Kind, Request};

/// Port of an export's Service.
const SERVICE_PORT: i64 = 443;

/// A local port.
pub(super) struct Forward {
    listener: TcpListener,
    pods: kube::Api<Pod>,
    pod: String,
    target: u16,
}

impl Forward {
    /// Waits for the export's Service, and listens.
    pub(super) async fn start(api: &Api, download: &Download, port: u16) -> Result<Self> {
        let named =
            |export: &Value| export["status"]["serviceName"].as_str().is_some_and(|name| !name.is_empty());
        let export = download.ready(api, named).await?;
        let name = export["status"]["serviceName"].as_str().unwrap_or_default();
        let service = api.read(&Request::object(&api.namespace, Kind::Service, name)?).await?;
        let selector = service["spec"]["selector"].as_object().into_iter().flatten();
        let selector: Vec<_> =
            selector.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
        let request = Request::list(Some(&api.namespace), Kind::Pod)?
            .with_parameter("labelSelector", selector.join(","));
        let pods = api.read(&request).await?;
        let pod = &pods["items"][0];
        let pod_name = pod["metadata"]["name"].as_str();
        let pod_name = pod_name.ok_or_else(|| anyhow!("no pods found for the service {name}"))?;
        let target =
            target(&service, pod).with_context(|| format!("service {name} has no port {SERVICE_PORT}"))?;
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.map_err(|error| anyhow!("can't listen on 127.0.0.1:{port}: {error}"))?;
        let pods = kube::Api::namespaced(api.client(), &api.namespace);
        Ok(Self { listener, pods, pod: pod_name.to_owned(), target })
    }

    /// The port.
    pub(super) fn port(&self) -> u16 {
        self.listener.local_addr().map(|address| address.port()).unwrap_or_default()
    }

    /// Carries connections until nobody needs them any more.
    pub(super) async fn serve(self) -> Result<()> {
        loop {
            let (mut client, _) = self.listener.accept().await?;
            let (pods, pod, target) = (self.pods.clone(), self.pod.clone(), self.target);
            tokio::spawn(async move {
                let carried = async {
                    let mut forwarder = pods.portforward(&pod, &[target]).await?;
                    let mut stream = forwarder.take_stream(target).context("the server opened no stream")?;
                    tokio::io::copy_bidirectional(&mut client, &mut stream).await?;
                    anyhow::Ok(())
                };
                if let Err(error) = carried.await {
                    log::error("vmexport", &format!("the connection to Pod {pod} broke off: {error}"));
                }
            });
        }
    }
}

/// Finds the port of the Pod behind the Service's.
fn target(service: &Value, pod: &Value) -> Option<u16> {
    let mut ports = service["spec"]["ports"].as_array()?.iter();
    let port = ports.find(|port| port["port"].as_i64() == Some(SERVICE_PORT))?;
    let number = match &port["targetPort"] {
        Value::String(name) => {
            let containers = pod["spec"]["containers"].as_array()?.iter();
            let mut ports =
                containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
            ports.find(|port| port["name"] == *name)?["containerPort"].as_u64()?
        }
        Value::Number(number) => number.as_u64()?,
        _ => u64::try_from(SERVICE_PORT).ok()?,
    };
    u16::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_pods_port_is_found_by_number_or_name() {
        let pod = json!({"spec": {"containers": [{"ports": [{"name": "https", "containerPort": 8443}]}]}});
        let service =
            |target: Value| json!({"spec": {"ports": [{"port": 80}, {"port": 443, "targetPort": target}]}});
        for (port, found) in [
            (json!(9443), Some(9443)),
            (json!("https"), Some(8443)),
            (Value::Null, Some(443)),
            (json!("x"), None),
        ] {
            assert_eq!(target(&service(port), &pod), found);
        }
        assert_eq!(target(&json!({"spec": {"ports": []}}), &pod), None);
    }
}
