//! Whatever observing does, clients get what legacy sent.

use crate::support::Client;
use crate::support::Origin;
use crate::support::Proxy;
use crate::support::Reply;
use crate::support::eventually;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<u64>>,
}

impl Load {
    fn start(proxy: &Proxy) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let data = proxy.data;
        let one = |_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut client = Client::connect(data);
                let mut asked = 0;
                while !stop.load(Ordering::Acquire) {
                    let answer = client.ask("GET", "/s", &[], b"");
                    assert_eq!((answer.status, answer.text().as_str()), (200, "{\"a\":1}"));
                    asked += 1;
                }
                asked
            })
        };
        let threads = (0..4).map(one).collect();
        Self { stop, threads }
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        self.threads.into_iter().map(|t| t.join().unwrap()).sum()
    }
}

fn rules(legacy: &Origin, candidate: &Origin) -> String {
    format!(
        "legacy: {}\nslices:\n  - {{ name: s, match: /s, to: \"{}\", stage: shadow, shadow: {{ rate: none, timeout: 200ms }} }}\n",
        legacy.url(),
        candidate.url()
    )
}

#[test]
fn a_candidate_killed_under_load_costs_no_client_anything() {
    let legacy = Origin::start(|_| Reply::json("{\"a\":1}"));
    let candidate = Origin::start(|_| Reply::json("{\"a\":1}"));
    let proxy = Proxy::start(&rules(&legacy, &candidate));
    let load = Load::start(&proxy);
    eventually("matches", || {
        proxy
            .metrics()
            .keys()
            .any(|k| k.contains("outcome=\"match\""))
    });
    candidate.kill();
    eventually("errors", || {
        proxy
            .metrics()
            .keys()
            .any(|k| k.contains("outcome=\"candidate_error\""))
    });
    let asked = load.end();
    let outcomes = proxy.outcomes("s");
    assert_eq!(outcomes.values().sum::<u64>(), asked);
}

#[test]
fn a_store_that_goes_away_and_comes_back_costs_no_client_anything() {
    let legacy = Origin::start(|_| Reply::json("{\"a\":1}"));
    let candidate = Origin::start(|_| Reply::json("{\"a\":2}"));
    let proxy = Proxy::start(&rules(&legacy, &candidate));
    let folder = proxy.folder.as_ref().unwrap().path().to_owned();
    let load = Load::start(&proxy);
    eventually("examples are kept", || {
        let groups = proxy.json("/api/v1/slices/s/divergences");
        !groups["items"].as_array().unwrap().is_empty()
    });
    for name in ["supplant.db", "supplant.db-wal", "supplant.db-shm"] {
        drop(std::fs::remove_file(folder.join(name)));
    }
    assert_eq!(proxy.admin_post("/api/v1/slices/s/kill", "{}").0, 200);
    eventually("the store is there again", || {
        folder.join("supplant.db").exists()
    });
    let away = folder.with_extension("away");
    std::fs::rename(&folder, &away).unwrap();
    crate::support::pause(300);
    std::fs::rename(&away, &folder).unwrap();
    assert_eq!(proxy.admin_post("/api/v1/slices/s/resume", "{}").0, 200);
    assert!(load.end() > 0);
    proxy.outcomes("s");
}

#[test]
fn a_candidate_that_never_answers_is_not_offered_copies_without_end() {
    let legacy = Origin::start(|_| Reply::json("{\"a\":1}"));
    let candidate = Origin::start(|_| Reply::Stall);
    let rules = rules(&legacy, &candidate).replace("200ms", "1500ms, max_inflight: 2");
    let proxy = Proxy::start(&rules);
    let mut client = Client::connect(proxy.data);
    for _ in 0..2_000 {
        assert_eq!(client.ask("GET", "/s", &[], b"").status, 200);
    }
    let offered = proxy.metrics()["supplant_shadow_queue_wait_seconds_count"];
    let asked = candidate.seen().len();
    assert!(
        offered < 1_800.0,
        "{offered} of 2000 copies were made to find no place"
    );
    // When places are free again, copies are made again.
    let outcomes = proxy.outcomes("s");
    assert_eq!(outcomes["shed(inflight)"] + outcomes["timeout"], 2_000);
    assert_eq!(client.ask("GET", "/s", &[], b"").status, 200);
    eventually("the candidate is asked again", || {
        candidate.seen().len() > asked
    });
    proxy.outcomes("s");
}
