//! The flake evaluates offline with its current lock file.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use e2e::{Temporary, real_part::real_part};
use serde_json::Value;

use crate::workspace;

const HOW_TO_GET: &str = "Debian: apt-get install nix-bin";

/// A copy of the flake and the files that it reads, because Nix copies the whole directory of a flake.
struct Flake(Temporary);

impl Flake {
    /// Returns `None` if Nix is not installed.
    fn new() -> Result<Option<Self>> {
        if real_part("nix", HOW_TO_GET)?.is_none() {
            return Ok(None);
        }
        let copy = Temporary::new("flake")?;
        let mut files = vec!["flake.nix".into(), "flake.lock".into(), "Cargo.lock".into()];
        for member in workspace::members()? {
            let directory = member.directory.strip_prefix(workspace::root())?.display();
            files.push(format!("{directory}/Cargo.toml"));
            if member.is_scenario() {
                files.push(format!("{directory}/src/telemetry.rs"));
            }
        }
        for file in files {
            let to = copy.path().join("flake").join(&file);
            fs::create_dir_all(to.parent().context("a file at the root")?)?;
            fs::copy(workspace::root().join(&file), &to).context(file)?;
        }
        Ok(Some(Self(copy)))
    }

    fn path(&self) -> String {
        format!("path:{}", self.0.path().join("flake").display())
    }

    /// Runs `nix` with a store in the directory, without a daemon.
    fn nix(&self, args: &[&str]) -> Result<String> {
        let directory = self.0.path();
        let output = Command::new("nix")
            .args(args)
            .arg("--offline")
            .args(["--store", &directory.join("store").display().to_string()])
            .env("NIX_CONFIG", "experimental-features = nix-command flakes")
            .env("HOME", directory)
            .env("XDG_CACHE_HOME", directory.join("cache"))
            .output()?;
        make_writable(&directory.join("store"))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "nix {args:?} failed:\n{errors}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Makes the Nix store writable, so that the directory can be removed.
fn make_writable(directory: &Path) -> Result<()> {
    let changed = Command::new("chmod")
        .args(["-R", "u+w"])
        .arg(directory)
        .status()?;
    ensure!(changed.success(), "cannot change {}", directory.display());
    Ok(())
}

#[test]
fn the_lock_file_is_complete_and_accepted_as_it_is() -> Result<()> {
    let Some(flake) = Flake::new()? else {
        return Ok(());
    };
    let path = flake.path();
    let found = flake.nix(&[
        "flake",
        "metadata",
        "--no-update-lock-file",
        "--json",
        &path,
    ])?;
    let found: Value = serde_json::from_str(&found)?;
    let lock = fs::read_to_string(workspace::root().join("flake.lock"))?;
    let lock: Value = serde_json::from_str(&lock)?;
    assert_eq!(found["locks"], lock);
    Ok(())
}

#[test]
fn every_output_of_the_flake_evaluates() -> Result<()> {
    let Some(flake) = Flake::new()? else {
        return Ok(());
    };
    let stub = format!("path:{}/nix", env!("CARGO_MANIFEST_DIR"));
    let path = flake.path();
    let stand_in = ["--no-write-lock-file", "--override-input", "nixpkgs", &stub];
    let shown = flake.nix(
        &[
            &["flake", "show", "--json"],
            &stand_in[..],
            &[path.as_str()],
        ]
        .concat(),
    )?;
    let shown: Value = serde_json::from_str(&shown)?;
    for system in ["x86_64-linux", "aarch64-linux"] {
        let packages = shown["packages"][system]
            .as_object()
            .context("no packages")?;
        let mut expected = workspace::scenarios()?;
        expected.extend(["collector".to_owned(), "default".to_owned()]);
        expected.sort();
        assert_eq!(packages.keys().cloned().collect::<Vec<_>>(), expected);
        for (name, package) in packages {
            assert_eq!(package["type"], "derivation", "{name}");
        }
    }
    for system in [
        "x86_64-linux",
        "aarch64-linux",
        "x86_64-darwin",
        "aarch64-darwin",
    ] {
        assert_eq!(
            shown["devShells"][system]["default"]["name"], "shell",
            "{system}"
        );
        assert_eq!(
            shown["formatter"][system]["name"], "nixfmt-tree",
            "{system}"
        );
    }
    Ok(())
}
