//! `ironclad image`: the images of this machine's store.

use anyhow::{Context, Result};
use image::{Image, PullPolicy, Store};

use crate::cli::{DataDir, ImageCommand};
use crate::layout::Layout;
use crate::say::{self, say};
use crate::table;

/// Runs one of the image commands.
///
/// # Errors
/// When the store cannot be used, or the image cannot be had.
pub(crate) fn run(command: ImageCommand) -> Result<()> {
    match command {
        ImageCommand::Load { data, path } => {
            let images =
                open(&data)?.load(&path, None).with_context(|| format!("loading {}", path.display()))?;
            for image in images {
                say!("loaded {} ({})", image.reference, image.digest);
            }
            Ok(())
        }
        ImageCommand::List { data } => {
            // To look makes nothing.
            let rows: Vec<_> = if Layout::of(&data)?.images().exists() {
                open(&data)?.list().context("listing the store")?.iter().map(row).collect()
            } else {
                Vec::new()
            };
            say::text(table::format(&["IMAGE", "DIGEST", "ARCHITECTURE", "SIZE"], &rows).as_bytes());
            Ok(())
        }
        ImageCommand::Pull { data, reference, plain_http } => {
            let store = open(&data)?;
            let mut access = Layout::of(&data)?.registries().access(&reference)?;
            if plain_http {
                access.insecure.extend(reference.split('/').next().map(str::to_owned));
            }
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("starting a runtime")?;
            let image = runtime.block_on(store.pull(&reference, PullPolicy::Always, &access))?;
            say!("pulled {} ({})", image.reference, image.digest);
            Ok(())
        }
    }
}

fn open(data: &DataDir) -> Result<Store> {
    let layout = Layout::of(data)?;
    layout.create()?;
    Store::open(&layout.images()).context("opening the image store")
}

fn row(image: &Image) -> Vec<String> {
    let size = format!("{:.1} MiB", image.size as f64 / f64::from(1 << 20));
    let digest: String = image.digest.to_string().chars().take(19).collect();
    vec![image.reference.clone(), digest, image.architecture.clone(), size]
}
