//! Rules change while requests run.

use crate::support::Client;
use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;
use crate::support::eventually;
use crate::support::pause;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

fn rules(legacy: &Origin, candidate: &Origin, stage: &str) -> String {
    format!(
        "legacy: {}\nslices:\n  - {{ name: s, match: /s, to: \"{}\", stage: {stage} }}\n",
        legacy.url(),
        candidate.url()
    )
}

fn both() -> (Origin, Origin) {
    (
        Origin::start(|_| Reply::json("\"legacy\"")),
        Origin::start(|_| Reply::json("\"candidate\"")),
    )
}

fn serves(proxy: &Proxy, side: &str) {
    eventually(side, || {
        Client::get(proxy.data, "/s").text() == format!("\"{side}\"")
    });
}

#[test]
fn a_save_by_rename_is_in_force_within_a_second_and_cuts_no_connection() {
    let (legacy, candidate) = both();
    let proxy = Proxy::start(&rules(&legacy, &candidate, "legacy"));
    let mut kept = Client::connect(proxy.data);
    assert_eq!(kept.ask("GET", "/s", &[], b"").text(), "\"legacy\"");
    proxy.save(&rules(&legacy, &candidate, "cutover"));
    serves(&proxy, "candidate");
    assert_eq!(kept.ask("GET", "/s", &[], b"").text(), "\"candidate\"");
}

#[test]
fn a_broken_file_changes_nothing_and_is_told_everywhere() {
    let (legacy, candidate) = both();
    let proxy = Proxy::start(&rules(&legacy, &candidate, "cutover"));
    proxy.save("legacy: http://127.0.0.1:1\nslices: [ { nmae: x } ]\n");
    eventually("refused", || {
        proxy
            .metrics()
            .get("supplant_config_last_reload_successful")
            == Some(&0.0)
    });
    assert_eq!(Client::get(proxy.data, "/s").text(), "\"candidate\"");
    eventually("the API tells it", || {
        proxy.admin_get("/api/v1/rules").1.contains("nmae")
    });
    proxy.save(&rules(&legacy, &candidate, "legacy"));
    serves(&proxy, "legacy");
    assert_eq!(
        proxy.metrics()["supplant_config_last_reload_successful"],
        1.0
    );
}

#[test]
fn writes_in_place_and_symlink_swaps_are_seen() {
    let (legacy, candidate) = both();
    let proxy = Proxy::start(&rules(&legacy, &candidate, "legacy"));
    let text = std::fs::read_to_string(proxy.config()).unwrap();
    std::fs::write(
        proxy.config(),
        text.replace("stage: legacy", "stage: cutover"),
    )
    .unwrap();
    serves(&proxy, "candidate");
    // A ConfigMap: routes.yaml → ..data/routes.yaml, ..data → a folder that is swapped.
    let folder = proxy.config().parent().unwrap().to_owned();
    let version = |name: &str, stage: &str| {
        std::fs::create_dir(folder.join(name)).unwrap();
        let text = text.replace("stage: legacy", &format!("stage: {stage}"));
        std::fs::write(folder.join(name).join("routes.yaml"), text).unwrap();
    };
    let link = |name: &str| {
        std::os::unix::fs::symlink(name, folder.join("..new")).unwrap();
        std::fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
    };
    version("..v1", "legacy");
    link("..v1");
    std::os::unix::fs::symlink("..data/routes.yaml", folder.join("routes.new")).unwrap();
    std::fs::rename(folder.join("routes.new"), folder.join("routes.yaml")).unwrap();
    serves(&proxy, "legacy");
    version("..v2", "cutover");
    link("..v2");
    serves(&proxy, "candidate");
}

#[test]
fn a_hundred_edits_half_of_them_broken_fail_no_request() {
    let (legacy, candidate) = both();
    let proxy = Proxy::start(&rules(&legacy, &candidate, "legacy"));
    let stop = Arc::new(AtomicBool::new(false));
    let (data, stopped) = (proxy.data, Arc::clone(&stop));
    let load = std::thread::spawn(move || {
        let mut client = Client::connect(data);
        let mut asked = 0;
        while !stopped.load(Ordering::Acquire) {
            assert_eq!(client.ask("GET", "/s", &[], b"").status, 200);
            asked += 1;
        }
        asked
    });
    for i in 0..100 {
        if i % 2 == 0 {
            proxy.save("legacy: [\n");
        } else {
            proxy.save(&rules(
                &legacy,
                &candidate,
                if i % 4 == 1 { "legacy" } else { "cutover" },
            ));
        }
        pause(10);
    }
    proxy.save(&rules(&legacy, &candidate, "cutover"));
    serves(&proxy, "candidate");
    stop.store(true, Ordering::Release);
    assert!(load.join().unwrap() > 100);
    let metrics = proxy.metrics();
    assert!(metrics["supplant_config_reloads_total{result=\"rejected\"}"] >= 1.0);
    proxy.outcomes("s");
}
