//! The series of instance types: what all of one have in common, and their sizes.

use serde_json::{Map, Value, json};

use super::object;

struct Series {
    name: &'static str,
    display: &'static str,
    class: &'static str,
    icon: &'static str,
    description: &'static str,
    /// Processors are the guest's alone, and so is one for the emulator.
    dedicated: bool,
    /// The guest sees the NUMA topology of its processors.
    numa: bool,
    realtime: bool,
    /// Input and output have threads of their own.
    io_threads: bool,
    /// No more sockets may be added than there are processors.
    fixed: bool,
    /// Memory that is asked of the node is so much less than the guest's, in per cent.
    overcommit: Option<u32>,
    /// Sizes of huge pages; with the ending of the name.
    pages: &'static [(&'static str, &'static str)],
    /// Sizes: name, processors, memory.
    sizes: &'static [(&'static str, u32, &'static str)],
}

const PLAIN: Series = Series {
    name: "",
    display: "",
    class: "",
    icon: "",
    description: "",
    dedicated: false,
    numa: false,
    realtime: false,
    io_threads: false,
    fixed: false,
    overcommit: None,
    pages: &[],
    sizes: &[],
};

const SMALL_TO_LARGE: [(&str, u32, &str); 9] = [
    ("nano", 1, "512Mi"),
    ("micro", 1, "1Gi"),
    ("small", 1, "2Gi"),
    ("medium", 1, "4Gi"),
    ("large", 2, "8Gi"),
    ("xlarge", 4, "16Gi"),
    ("2xlarge", 8, "32Gi"),
    ("4xlarge", 16, "64Gi"),
    ("8xlarge", 32, "128Gi"),
];

const WITH_2XMEDIUM: [(&str, u32, &str); 10] = {
    let [a, b, c, d, e, f, g, h, i] = SMALL_TO_LARGE;
    [a, b, c, d, ("2xmedium", 2, "4Gi"), e, f, g, h, i]
};

const ALL: [Series; 7] = [
    Series {
        name: "u1",
        display: "General Purpose",
        class: "general.purpose",
        icon: "pficon-server-group",
        description: "Processors are shared with other machines, a share of time for each; memory is the guest's own. For most machines.",
        sizes: &WITH_2XMEDIUM,
        ..PLAIN
    },
    Series {
        name: "o1",
        display: "Overcommitted",
        class: "overcommitted",
        icon: "pficon-virtual-machine",
        description: "As the U series, but a machine asks its node for half of its memory only, so that more fit than there is memory for.",
        overcommit: Some(50),
        sizes: &SMALL_TO_LARGE,
        ..PLAIN
    },
    Series {
        name: "d1",
        display: "Dedicated vCPU",
        class: "dedicated.vcpu",
        icon: "pficon-server-group",
        description: "Processors are the guest's alone. Nodes need the CPU manager.",
        dedicated: true,
        io_threads: true,
        sizes: &WITH_2XMEDIUM,
        ..PLAIN
    },
    Series {
        name: "cx1",
        display: "Compute Exclusive",
        class: "compute.exclusive",
        icon: "pficon-registry",
        description: "For much computing: processors are the guest's alone, it sees their NUMA topology, and its memory is in huge pages. Nodes need the CPU manager and huge pages.",
        dedicated: true,
        numa: true,
        io_threads: true,
        fixed: true,
        pages: &[("2Mi", ""), ("1Gi", "1gi")],
        sizes: &[
            ("medium", 1, "2Gi"),
            ("large", 2, "4Gi"),
            ("xlarge", 4, "8Gi"),
            ("2xlarge", 8, "16Gi"),
            ("4xlarge", 16, "32Gi"),
            ("8xlarge", 32, "64Gi"),
        ],
        ..PLAIN
    },
    Series {
        name: "m1",
        display: "Memory Intensive",
        class: "memory.intensive",
        icon: "fa-memory",
        description: "For programs that need much memory: it is in huge pages, eight gibibytes for each processor. Nodes need huge pages.",
        pages: &[("2Mi", ""), ("1Gi", "1gi")],
        sizes: &[
            ("large", 2, "16Gi"),
            ("xlarge", 4, "32Gi"),
            ("2xlarge", 8, "64Gi"),
            ("4xlarge", 16, "128Gi"),
            ("8xlarge", 32, "256Gi"),
        ],
        ..PLAIN
    },
    Series {
        name: "n1",
        display: "Network",
        class: "network",
        icon: "pficon-network",
        description: "For network functions, such as those made with DPDK: processors are the guest's alone and not disturbed, memory is in huge pages. Nodes need the CPU manager and huge pages.",
        dedicated: true,
        pages: &[("1Gi", "")],
        sizes: &[
            ("medium", 4, "4Gi"),
            ("large", 4, "8Gi"),
            ("xlarge", 8, "16Gi"),
            ("2xlarge", 16, "32Gi"),
            ("4xlarge", 32, "64Gi"),
            ("8xlarge", 64, "128Gi"),
        ],
        ..PLAIN
    },
    Series {
        name: "rt1",
        display: "Realtime",
        class: "realtime",
        icon: "pficon-server-group",
        description: "For work that must be done in time: as the CX series, with what a realtime kernel needs. Nodes need the CPU manager, huge pages and a realtime kernel.",
        dedicated: true,
        numa: true,
        realtime: true,
        pages: &[("1Gi", "")],
        sizes: &[
            ("micro", 1, "1Gi"),
            ("small", 1, "2Gi"),
            ("medium", 1, "4Gi"),
            ("large", 2, "8Gi"),
            ("xlarge", 4, "16Gi"),
            ("2xlarge", 8, "32Gi"),
            ("4xlarge", 16, "64Gi"),
            ("8xlarge", 32, "128Gi"),
        ],
        ..PLAIN
    },
];

/// Returns the `VirtualMachineClusterInstancetype`s that come with an installation.
pub fn instancetypes() -> Vec<Value> {
    let mut all = Vec::new();
    for series in &ALL {
        let pages: Vec<_> = match series.pages {
            [] => vec![(None, "")],
            some => some.iter().map(|(size, ending)| (Some(*size), *ending)).collect(),
        };
        for (page, ending) in pages {
            all.extend(series.sizes.iter().map(|size| series.instancetype(size, page, ending)));
        }
    }
    all
}

impl Series {
    fn instancetype(
        &self,
        (size, cpus, memory): &(&str, u32, &str),
        page: Option<&str>,
        ending: &str,
    ) -> Value {
        let (count, size) = (cpus.to_string(), format!("{size}{ending}"));
        let mut labels = vec![
            ("class", self.class),
            ("cpu", &count),
            ("icon-pf", self.icon),
            ("memory", memory),
            ("size", &size),
            ("version", "1"),
        ];
        let mut cpu = Map::from_iter([("guest".to_owned(), json!(cpus))]);
        if self.dedicated {
            labels.extend([("dedicatedCPUPlacement", "true"), ("isolateEmulatorThread", "true")]);
            cpu.extend([
                ("dedicatedCPUPlacement".to_owned(), json!(true)),
                ("isolateEmulatorThread".to_owned(), json!(true)),
            ]);
        }
        if self.numa {
            labels.push(("numa", "true"));
            cpu.insert("numa".to_owned(), json!({"guestMappingPassthrough": {}}));
        }
        if self.realtime {
            labels.push(("realtime", "true"));
            cpu.insert("realtime".to_owned(), json!({}));
        }
        if self.fixed {
            cpu.insert("maxSockets".to_owned(), json!(cpus));
        }
        let mut memory = Map::from_iter([("guest".to_owned(), json!(memory))]);
        if let Some(page) = page {
            labels.push(("hugepages", page));
            memory.insert("hugepages".to_owned(), json!({"pageSize": page}));
        }
        if let Some(percent) = self.overcommit {
            memory.insert("overcommitPercent".to_owned(), json!(percent));
        }
        let mut spec = json!({"cpu": cpu, "memory": memory});
        if self.io_threads {
            spec["ioThreadsPolicy"] = json!("auto");
        }
        // Processors that are to be left alone, in the words of CRI-O.
        if self.dedicated && !self.io_threads {
            spec["annotations"] = json!({
                "cpu-load-balancing.crio.io": "disable",
                "cpu-quota.crio.io": "disable",
                "irq-load-balancing.crio.io": "disable",
            });
        }
        let annotations = Map::from_iter([
            ("instancetype.kubevirt.io/description".to_owned(), self.description.into()),
            ("instancetype.kubevirt.io/displayName".to_owned(), self.display.into()),
        ]);
        let name = format!("{}.{size}", self.name);
        object("VirtualMachineClusterInstancetype", &name, &labels, annotations, spec)
    }
}
