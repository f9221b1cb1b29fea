//! Every panel of the dashboard has data, and its picture is drawn from the answers of Prometheus.

use std::{collections::BTreeMap, fs, process::Command};

use anyhow::{Context, Result, ensure};
use e2e::{SOON, otelcol::deploy, poll, real_part::real_part};
use serde_json::Value;

use super::scenarios::{JOBS, SUPERVISED, Scenarios};

/// Number of columns of Grafana's grid.
const COLUMNS: u64 = 24;

#[test]
fn panels_of_the_dashboard_do_not_overlap_or_leave_the_grid() -> Result<()> {
    let dashboard = dashboard()?;
    let mut taken = BTreeMap::new();
    for panel in panels(&dashboard)? {
        let title = panel["title"].as_str().context("a panel without a title")?;
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|part| panel["gridPos"][part].as_u64());
        let (x, y) = x.zip(y).with_context(|| format!("where is {title}?"))?;
        let (w, h) = w.zip(h).with_context(|| format!("how large is {title}?"))?;
        ensure!(w > 0 && h > 0 && x + w <= COLUMNS, "{title} does not fit");
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            let other = taken.insert(place, title);
            ensure!(other.is_none(), "{title} lies on {other:?} at {place:?}");
        }
    }
    Ok(())
}

#[test]
fn every_query_of_the_dashboard_has_an_answer() -> Result<()> {
    for scenarios in Scenarios::under_load()? {
        assert_answered(&scenarios)?;
        draw(&scenarios)?;
    }
    Ok(())
}

fn assert_answered(scenarios: &Scenarios) -> Result<()> {
    let dashboard = dashboard()?;
    let panels = panels(&dashboard)?;
    ensure!(panels.len() >= 10, "{} panels", panels.len());
    for panel in panels {
        let title = panel["title"].as_str().context("a panel without a title")?;
        // The tests run neither Loki nor Tempo.
        if panel["datasource"]["type"] != "prometheus" {
            continue;
        }
        for target in panel["targets"].as_array().context("no queries")? {
            let expression = target["expr"].as_str().context("no expression")?;
            let expression = expression
                .replace("$__rate_interval", "1m")
                .replace("$job", &JOBS.join("|"));
            let answer = poll(&format!("`{expression}` of {title}"), SOON, || {
                let answer = scenarios.prometheus.query(&expression).ok()?;
                (!answer.is_empty()).then_some(answer)
            })?;
            // A panel that tells services apart has all of them; of their workers only a master knows.
            if expression.contains(JOBS[0])
                && answer.keys().all(|labels| labels.contains_key("job"))
            {
                let masters = ["worker_accept_queue", "worker_exits_total", "slot"];
                let of_masters = masters.iter().any(|part| expression.contains(part));
                let jobs: &[&str] = if of_masters { &SUPERVISED } else { &JOBS };
                scenarios.wait_for_jobs(&expression, jobs)?;
            }
        }
    }
    let variable = &dashboard["templating"]["list"][1]["query"]["query"];
    assert_eq!(variable, "label_values(num_requests_total, job)");
    Ok(())
}

fn dashboard() -> Result<Value> {
    let text = fs::read_to_string(deploy("grafana/dashboard.json"))?;
    Ok(serde_json::from_str(&text)?)
}

fn panels(dashboard: &Value) -> Result<&Vec<Value>> {
    dashboard["panels"].as_array().context("no panels")
}

/// Checks that the picture has a frame for each panel, and data in each.
fn draw(scenarios: &Scenarios) -> Result<()> {
    let Some(python) = real_part("python3", "Debian: apt-get install python3")? else {
        return Ok(());
    };
    let output = Command::new(python)
        .arg(deploy("grafana/render.py"))
        .args(["--minutes", "1", "--scrape-interval", "0.25"])
        .args([
            "--prometheus",
            &format!("http://{}", scenarios.prometheus.addr()),
        ])
        .env("NO_PROXY", "127.0.0.1")
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let picture = String::from_utf8(output.stdout)?;
    assert!(
        picture.starts_with("<svg ") && picture.ends_with("</svg>\n"),
        "{picture}"
    );
    Ok(())
}
