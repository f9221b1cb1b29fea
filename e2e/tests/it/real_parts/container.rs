//! Tests of `deploy/Containerfile` without a container engine: the program runs as PID 1 of its own namespace, as a user
//! without capabilities, on a read-only root file system with one volume.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use e2e::{
    Load, Program, Running, SOON, Signal, Temporary, http,
    otelcol::deploy,
    poll, process,
    real_part::{self, real_part},
};

use super::metrics_addr;

/// Puts the program `$1` at the path `$0`, where any user can execute it. Makes everything read-only except a volume, and
/// executes the program with the remaining arguments as the user of the image. It becomes PID 1: `exec` replaces this
/// shell and `setpriv`.
const CONTAIN: &str = r#"
set -e
mount --make-rprivate /
mount --bind "$1" "$0"
shift
mount -o remount,bind,ro /
for mounted in /dev/shm /tmp /run; do
    if mountpoint -q "$mounted"; then mount -o remount,bind,ro "$mounted"; fi
done
mount -t tmpfs -o "uid=65532,gid=65532,mode=0700" metrics "$PROMETHEUS_MULTIPROC_DIR"
exec setpriv --pdeathsig KILL --reuid 65532 --regid 65532 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all "$0" "$@"
"#;

const UNSHARE: [&str; 9] = [
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "sh",
    "-c",
    CONTAIN,
];

/// Starts the program in namespaces like those of a container. Returns it with the pid of its master outside, or `None`
/// if namespaces are not permitted.
fn contained(service: &Path, volume: &Path) -> Result<Option<(Running, u32)>> {
    for tool in ["unshare", "setpriv", "nsenter", "mount"] {
        if real_part(tool, "Debian: apt-get install util-linux")?.is_none() {
            return Ok(None);
        }
    }
    let permitted = Command::new(UNSHARE[0])
        .args(&UNSHARE[1..])
        .arg(service)
        .arg("/bin/true")
        .env("PROMETHEUS_MULTIPROC_DIR", volume)
        .output()?;
    if !permitted.status.success() {
        let why = String::from_utf8_lossy(&permitted.stderr).into_owned();
        real_part::skip(&format!(
            "a container of our own is not permitted here ({}); run as root",
            why.trim()
        ))?;
        return Ok(None);
    }
    let mut command = UNSHARE.to_vec();
    command.push(service.to_str().context("a path that is no text")?);
    let running = Program::new("metrics-multi-process-pull")
        .env("ERROR_RATE", "0")
        .env("METRICS_PORT", "0")
        .env("PROMETHEUS_MULTIPROC_DIR", volume)
        .under(&command)
        .start()?;
    assert_eq!(running.ready()?.master(), Some(1), "{}", running.console());
    let master = running.workers().pop().context("unshare has no child")?;
    Ok(Some((running, master)))
}

/// Runs a shell command in the namespaces of the program.
fn inside(master: u32, command: &str) -> Result<Output> {
    let target = master.to_string();
    let nsenter = ["--target", &target, "--pid", "--mount"];
    let output = Command::new("nsenter")
        .args(nsenter)
        .args(["sh", "-c", command])
        .output();
    output.context("cannot run nsenter")
}

#[test]
fn as_pid_1_without_privileges_on_a_read_only_root_it_serves_counts_and_stops() -> Result<()> {
    let (image, volume) = (Temporary::new("image")?, Temporary::new("volume")?);
    // The program's user, who is another one, has to reach it.
    fs::set_permissions(image.path(), Permissions::from_mode(0o755))?;
    let service = image.path().join("service");
    fs::write(&service, "")?;
    let Some((mut running, master)) = contained(&service, volume.path())? else {
        return Ok(());
    };
    let status = fs::read_to_string(format!("/proc/{master}/status"))?;
    let has = |line: &str| {
        status
            .lines()
            .any(|found| found.split_whitespace().eq(line.split(' ')))
    };
    assert!(has("Uid: 65532 65532 65532 65532"), "{status}");
    assert!(has("CapEff: 0000000000000000"), "{status}");
    assert!(has("CapBnd: 0000000000000000"), "{status}");
    let here = env!("CARGO_MANIFEST_DIR");
    let written = inside(master, &format!("touch {here}/written"))?;
    ensure!(
        !written.status.success(),
        "the root file system is writable"
    );

    let report = Load::on(running.addr()?).clients(4).requests(300).run()?;
    assert_eq!(report.statuses.get(&200), Some(&300), "{report}");
    let scrape = http::get(metrics_addr(&running)?, "/metrics")?.body;
    assert!(scrape.contains("\nnum_requests_total 300.0\n"), "{scrape}");
    // The volume is mounted inside only.
    let files = fs::read_dir(format!("/proc/{master}/root{}", volume.path().display()))?;
    for file in files {
        let file = file?;
        assert_eq!(file.metadata()?.uid(), 65532, "{:?}", file.file_name());
    }
    assert_strangers_are_reaped(master)?;

    process::send(master, Signal::SIGTERM)?;
    let status = running.wait_exit(SOON)?;
    assert_eq!(status.code(), Some(0), "{}", running.console());
    running.wait_gone(SOON)
}

/// Creates an orphaned process, and checks that PID 1 reaps it.
fn assert_strangers_are_reaped(master: u32) -> Result<()> {
    let children = || process::children(master).len();
    let before = children();
    let left = inside(master, "(sleep 2; exit 3) >/dev/null 2>&1 & exit 0")?;
    ensure!(
        left.status.success(),
        "cannot enter the namespace of {master}"
    );
    poll("the stranger", SOON, || {
        (children() == before + 1).then_some(())
    })?;
    poll("the stranger to be reaped", SOON, || {
        (children() == before).then_some(())
    })
}

#[test]
fn the_image_has_a_user_a_volume_and_no_shell_before_the_program() -> Result<()> {
    let text = fs::read_to_string(deploy("Containerfile"))?;
    let joined = text.replace("\\\n", " ");
    let instructions: Vec<(&str, &str)> = joined
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split_once(' '))
        .collect();
    let last_stage = instructions.iter().rposition(|(name, _)| *name == "FROM");
    let image = &instructions[last_stage.context("no FROM")?..];
    let of = |name: &str| -> Vec<&str> {
        let same = image.iter().filter(|(found, _)| *found == name);
        same.map(|(_, rest)| rest.trim()).collect()
    };
    assert_eq!(of("USER"), ["65532:65532"]);
    assert_eq!(of("VOLUME"), ["/var/run/metrics"]);
    assert_eq!(of("RUN"), [""; 0], "the image has no shell");
    // The exec form is JSON: a shell in between would be PID 1 and pass no signal on.
    let command: Vec<String> =
        serde_json::from_str(of("ENTRYPOINT").first().context("no ENTRYPOINT")?)?;
    assert_eq!(command, ["/usr/local/bin/service"]);
    let rust = joined
        .lines()
        .find_map(|line| line.strip_prefix("ARG RUST_VERSION="));
    assert_eq!(
        rust,
        Some(env!("CARGO_PKG_RUST_VERSION")),
        "the compiler that the manifests state"
    );
    Ok(())
}
