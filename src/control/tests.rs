//! The loop over a real table, a real store and a real file.

use super::*;
use crate::model::Position;
use crate::model::SliceId;
use crate::model::SliceIx;
use crate::model::UnixMillis;
use crate::store;
use crate::store::ChangeKind;
use crate::store::Library;
use crate::table::Reader;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::Instant;

const ONE: &str = "legacy: http://127.0.0.1:1\nslices:\n  - { name: orders, match: /orders, to: \"http://127.0.0.1:2\", stage: shadow }\n";
const CUT: &str = "legacy: http://127.0.0.1:1\nslices:\n  - { name: orders, match: /orders, to: \"http://127.0.0.1:2\", stage: cutover }\n";
const TWO: &str = "legacy: http://127.0.0.1:1\nslices:\n  - { name: orders, match: /orders, to: \"http://127.0.0.1:2\", stage: shadow }\n  - { name: users, match: /users, to: \"http://127.0.0.1:2\", stage: legacy }\n";
const TWO_HUNDRED: &str =
    "  - { name: NAME, match: /NAME, to: \"http://127.0.0.1:2\", stage: shadow }\n";
const BROKEN: &str = "legacy: http://127.0.0.1:1\nslises: []\n";

struct Bench {
    ends: Ends,
    library: Library,
    metrics: Metrics,
    tasks: Tasks,
    rules: PathBuf,
}

impl Bench {
    async fn start(directory: &Path, text: Option<&str>) -> Self {
        let rules = directory.join("routes.yaml");
        if let Some(text) = text {
            std::fs::write(&rules, text).unwrap();
        }
        let text = std::fs::read_to_string(&rules).unwrap();
        let first = crate::rules::load(&rules.display().to_string(), &text).unwrap();
        let options = store::Options {
            url: "sqlite:data/s.db".to_owned(),
            base: directory.to_owned(),
            forget_positions: false,
            limits: store::Limits::default(),
        };
        let opened = store::open(&options, crate::clock::now()).await.unwrap();
        let (metrics, tasks) = (Metrics::new(), Tasks::default());
        tasks.spawn(opened.writer_task.run());
        tasks.spawn(opened.keeper_task.run());
        let control = Control::new(Parts {
            path: Some(rules.clone()),
            first,
            positions: opened.positions,
            lost: opened.lost,
            saved: opened.saved,
            writer: opened.writer,
            keeper: opened.keeper,
            store_url: opened.url,
            node: "test".to_owned(),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
        });
        let ends = control.ends();
        tasks.spawn(control.run());
        tokio::time::sleep(Duration::from_millis(50)).await;
        Self {
            ends,
            library: opened.library,
            metrics,
            tasks,
            rules,
        }
    }

    async fn act(&self, act: Act) -> Result<Done, Refused> {
        let (reply, answer) = oneshot::channel();
        let actor = "tester".to_owned();
        let event = Event::Act { act, actor, reply };
        self.ends.events.send(event).await.unwrap();
        answer.await.unwrap()
    }

    fn tables(&self) -> &Reader {
        &self.ends.tables
    }

    fn position(&self) -> (Position, bool) {
        let table = self.tables().pin();
        let ix = table.snapshot.ix(&orders()).unwrap_or(SliceIx(99));
        (table.snapshot.position(ix), table.snapshot.killed(ix))
    }

    fn counted(&self, result: &str) -> u64 {
        let name = "supplant_config_reloads_total";
        self.metrics.counter(name, &[result]).get()
    }

    fn save(&self, text: &str) {
        let temporary = self.rules.with_extension("tmp");
        std::fs::write(&temporary, text).unwrap();
        std::fs::rename(&temporary, &self.rules).unwrap();
    }

    async fn stop(self) {
        self.ends.events.send(Event::Shutdown).await.unwrap();
        assert!(self.tasks.drain(Duration::from_secs(5)).await);
    }
}

fn home() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    directory
}

fn orders() -> SliceId {
    SliceId::new("orders")
}

fn kill() -> Act {
    Act::Kill(Target::Slice(orders()))
}

fn resume(reason: Option<&str>) -> Act {
    Act::Resume {
        target: Target::Slice(orders()),
        reason: reason.map(str::to_owned),
    }
}

fn cutover() -> Position {
    Position::parse("cutover").unwrap()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(5), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    since.elapsed()
}

#[tokio::test]
async fn kill_rollback_and_resume_move_a_slice_and_survive_a_restart() {
    let home = home();
    let bench = Bench::start(home.path(), Some(CUT)).await;
    assert_eq!(bench.position(), (cutover(), false));
    let since = Instant::now();
    let done = bench.act(kill()).await.unwrap();
    assert!(done.persisted && since.elapsed() < Duration::from_secs(1));
    assert_eq!(bench.position(), (cutover(), true));
    let done = bench.act(Act::Rollback(orders())).await.unwrap();
    assert!(done.persisted);
    assert_eq!(bench.position(), (Position::SHADOW, true));
    bench.stop().await;

    let bench = Bench::start(home.path(), None).await;
    assert_eq!(bench.position(), (Position::SHADOW, true));
    bench.act(resume(None)).await.unwrap();
    assert_eq!(bench.position(), (Position::SHADOW, false));
    let board = bench.ends.board.get();
    let row = board.slice("orders").unwrap();
    assert!(row.rolled_back && !row.killed);
    assert_eq!((row.declared, row.position), (cutover(), Position::SHADOW));
    let refused = bench.act(resume(None)).await.unwrap_err();
    assert!(matches!(refused, Refused::NeedsReason(_)));
    bench.act(resume(Some("fixed"))).await.unwrap();
    assert_eq!(bench.position(), (cutover(), false));
    let changes = bench.library.changes(10, None).await.unwrap();
    let kinds: Vec<_> = changes.iter().rev().map(|c| c.kind).take(3).collect();
    assert_eq!(
        kinds,
        [ChangeKind::Started, ChangeKind::Kill, ChangeKind::Rollback]
    );
    assert_eq!(
        changes
            .iter()
            .find(|c| c.kind == ChangeKind::Kill)
            .unwrap()
            .actor,
        "tester"
    );
}

#[tokio::test]
async fn an_unknown_slice_or_backend_is_refused_with_the_nearest_name() {
    let home = home();
    let bench = Bench::start(home.path(), Some(ONE)).await;
    let unknown = Act::Kill(Target::Slice(SliceId::new("order")));
    let refused = bench.act(unknown).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "there is no slice `order`; did you mean `orders`?"
    );
    let deploy = |backend: &str| Act::Deploy {
        backend: backend.to_owned(),
        version: "2".to_owned(),
    };
    let refused = bench.act(deploy("nobody")).await.unwrap_err();
    assert!(
        matches!(refused, Refused::UnknownBackend { .. }),
        "{refused}"
    );
    bench.act(deploy("legacy")).await.unwrap();
}

#[tokio::test]
async fn rules_are_taken_whole_or_not_at_all() {
    let home = home();
    let bench = Bench::start(home.path(), Some(ONE)).await;
    bench.save(BROKEN);
    until("refused", || !bench.ends.board.get().rules.successful).await;
    let board = bench.ends.board.get();
    assert_eq!(&*board.rules.text, ONE);
    assert_eq!(board.rules.refused_text.as_deref(), Some(BROKEN));
    assert_eq!(board.rules.problems[0].line, 2);
    assert_eq!(bench.counted("rejected"), 1);
    let refused = bench.act(Act::Reload).await.unwrap_err();
    assert!(refused.to_string().contains("slises"), "{refused}");

    bench.save(TWO);
    until("taken", || bench.ends.board.get().slices.len() == 2).await;
    let board = bench.ends.board.get();
    assert!(board.rules.successful && board.rules.problems.is_empty());
    assert_eq!(bench.counted("ok"), 1);
    assert_eq!(bench.tables().pin().snapshot.slices().len(), 2);
    let done = bench.act(Act::Reload).await.unwrap();
    assert!(done.text.contains("in force"), "{done:?}");
    assert_eq!(bench.counted("unchanged"), 1);
    bench.stop().await;
    let bench = Bench::start(home.path(), None).await;
    let changes = bench.library.changes(10, None).await.unwrap();
    let taken = changes
        .iter()
        .find(|c| c.kind == ChangeKind::RulesTaken)
        .unwrap();
    assert!(taken.diff.as_ref().unwrap().contains("+  - { name: users"));
}

#[tokio::test]
async fn what_moves_traffic_and_came_in_place_is_looked_at_twice() {
    let home = home();
    let bench = Bench::start(home.path(), Some(ONE)).await;
    std::fs::write(&bench.rules, CUT).unwrap();
    let took = until("taken", || bench.position().0 == cutover()).await;
    assert!((400..1_000).contains(&took.as_millis()), "{took:?}");
    // Back is harmless, and so is a rename.
    std::fs::write(&bench.rules, ONE).unwrap();
    let took = until("back", || bench.position().0 == Position::SHADOW).await;
    assert!(took < Duration::from_millis(400), "{took:?}");
    bench.save(CUT);
    let took = until("renamed", || bench.position().0 == cutover()).await;
    assert!(took < Duration::from_millis(400), "{took:?}");
    std::fs::write(&bench.rules, ONE).unwrap();
    until("back", || bench.position().0 == Position::SHADOW).await;

    std::fs::write(&bench.rules, CUT.trim_end()).unwrap();
    until("half written", || !bench.ends.board.get().rules.successful).await;
    assert_eq!(bench.position().0, Position::SHADOW);
    // Whoever forces it means it.
    bench.act(Act::Reload).await.unwrap();
    assert_eq!(bench.position().0, cutover());
}

#[tokio::test]
async fn a_file_that_goes_away_is_refused_and_the_rules_stay() {
    let home = home();
    let bench = Bench::start(home.path(), Some(ONE)).await;
    std::fs::remove_file(&bench.rules).unwrap();
    until("refused", || !bench.ends.board.get().rules.successful).await;
    assert_eq!(bench.position().0, Position::SHADOW);
    std::fs::write(&bench.rules, ONE).unwrap();
    until("fine", || bench.ends.board.get().rules.successful).await;
    std::fs::write(&bench.rules, b"legacy: \xff\n").unwrap();
    until("refused", || !bench.ends.board.get().rules.successful).await;
    let board = bench.ends.board.get();
    assert_eq!(
        (board.rules.problems[0].line, board.rules.problems[0].column),
        (1, 9)
    );
}

#[tokio::test]
async fn a_hundred_edits_a_second_half_of_them_broken_end_in_the_last_one() {
    let home = home();
    let bench = Bench::start(home.path(), Some(ONE)).await;
    for n in 0..200 {
        match n % 4 {
            0 => std::fs::write(&bench.rules, BROKEN).unwrap(),
            1 => std::fs::write(&bench.rules, ONE).unwrap(),
            2 => bench.save(&BROKEN.replace("slises", "slces")),
            _ => bench.save(TWO),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    std::fs::write(&bench.rules, CUT).unwrap();
    let took = until("the last runs", || bench.position().0 == cutover()).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(bench.ends.board.get().rules.successful);
    assert!(bench.counted("rejected") > 0 && bench.counted("ok") > 0);
}

#[tokio::test]
async fn startup_keys_that_change_are_named_and_ask_for_a_restart() {
    let home = home();
    let bench = Bench::start(home.path(), Some(ONE)).await;
    bench.save(&format!("threads: 7\n{ONE}"));
    until("warned", || bench.ends.board.get().rules.restart_required).await;
    let board = bench.ends.board.get();
    assert!(
        board.rules.warnings.iter().any(|w| w.line == 1),
        "{:?}",
        board.rules.warnings
    );
    bench.save(ONE);
    until("as it was", || {
        !bench.ends.board.get().rules.restart_required
    })
    .await;
}

#[tokio::test]
async fn a_kill_that_cannot_be_written_is_in_force_and_a_resume_is_not() {
    let home = home();
    let bench = Bench::start(home.path(), Some(CUT)).await;
    bench.act(Act::Kill(Target::All)).await.unwrap();
    let (data, away) = (home.path().join("data"), home.path().join("away"));
    std::fs::rename(&data, &away).unwrap();
    let done = bench.act(kill()).await.unwrap();
    assert!(!done.persisted && done.text.contains("not persisted"));
    assert!(bench.ends.board.get().killed_unpersisted);
    let refused = bench
        .act(Act::Resume {
            target: Target::All,
            reason: None,
        })
        .await;
    assert!(
        matches!(refused, Err(Refused::NotPersisted(_))),
        "{refused:?}"
    );
    assert!(bench.tables().pin().snapshot.all_killed());
    std::fs::create_dir(&data).unwrap();
    let took = until("written", || !bench.ends.board.get().killed_unpersisted).await;
    assert!(took < Duration::from_millis(1_100), "{took:?}");
    bench.stop().await;
    let bench = Bench::start(home.path(), None).await;
    assert!(bench.position().1 && bench.tables().pin().snapshot.all_killed());
    assert_eq!(bench.ends.board.get().store.state, StoreState::Ok);
}

#[tokio::test]
async fn a_store_that_is_lost_lets_nothing_rise_until_a_slice_is_resumed() {
    let home = home();
    let bench = Bench::start(home.path(), Some(ONE)).await;
    bench.act(kill()).await.unwrap();
    bench.stop().await;
    for suffix in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(
            home.path().join(format!("data/s.db{suffix}")),
        ));
    }
    let bench = Bench::start(home.path(), None).await;
    let board = bench.ends.board.get();
    assert!(
        matches!(board.store.state, StoreState::Lost(_)),
        "{:?}",
        board.store.state
    );
    assert_eq!(board.ready, Ok(()));
    assert_eq!(bench.position(), (Position::SHADOW, true));
    bench.save(CUT);
    until("taken", || &*bench.ends.board.get().rules.text == CUT).await;
    assert_eq!(bench.position(), (Position::SHADOW, true));
    bench.act(resume(None)).await.unwrap();
    until("found", || {
        bench.ends.board.get().store.state == StoreState::Ok
    })
    .await;
    assert_eq!(bench.position(), (cutover(), false));
}

#[tokio::test]
async fn a_removed_slice_comes_back_as_it_was_held() {
    let home = home();
    let bench = Bench::start(home.path(), Some(TWO)).await;
    bench
        .act(Act::Kill(Target::Slice(SliceId::new("users"))))
        .await
        .unwrap();
    bench.save(ONE);
    until("gone", || bench.ends.board.get().slices.len() == 1).await;
    bench.stop().await;
    let bench = Bench::start(home.path(), None).await;
    bench.save(TWO);
    until("back", || bench.ends.board.get().slices.len() == 2).await;
    assert!(bench.ends.board.get().slice("users").unwrap().killed);
}

#[tokio::test]
async fn counters_survive_a_restart_and_go_on() {
    let home = home();
    let bench = Bench::start(home.path(), Some(ONE)).await;
    let table = bench.tables().pin();
    let tally = table.lanes()[0].tally();
    for _ in 0..5 {
        tally.ended(crate::model::Outcome::SampledOut);
    }
    let open = tally.open();
    bench.stop().await;
    drop(open);
    let bench = Bench::start(home.path(), None).await;
    let table = bench.tables().pin();
    table.lanes()[0].tally().ended(crate::model::Outcome::Match);
    until("six", || {
        bench.ends.board.get().slices[0].counts.requests == 6
    })
    .await;
    let counts = bench.ends.board.get().slices[0].counts.clone();
    assert_eq!(counts.outcomes.iter().sum::<u64>(), 6);
}

#[tokio::test]
async fn counters_are_written_in_full_into_a_store_that_was_deleted() {
    let home = home();
    let bench = Bench::start(home.path(), Some(ONE)).await;
    let table = bench.tables().pin();
    table.lanes()[0].tally().ended(crate::model::Outcome::Match);
    until("counted", || {
        bench.ends.board.get().slices[0].counts.requests == 1
    })
    .await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    std::fs::remove_file(home.path().join("data/s.db")).unwrap();
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    bench.stop().await;
    let bench = Bench::start(home.path(), None).await;
    assert_eq!(bench.ends.board.get().store.state, StoreState::Ok);
    until("read back", || {
        bench.ends.board.get().slices[0].counts.requests == 1
    })
    .await;
}

#[tokio::test]
async fn an_act_does_not_wait_for_two_hundred_slices() {
    let home = home();
    let mut text = String::from("legacy: http://127.0.0.1:1\nslices:\n");
    text.push_str(
        "  - { name: orders, match: /orders, to: \"http://127.0.0.1:2\", stage: cutover }\n",
    );
    for n in 1..200 {
        let name = format!("s{n}");
        text.push_str(&TWO_HUNDRED.replace("NAME", &name));
    }
    let bench = Bench::start(home.path(), Some(&text)).await;
    for _ in 0..10 {
        let since = Instant::now();
        assert!(bench.act(kill()).await.unwrap().persisted);
        assert!(bench.act(resume(None)).await.unwrap().persisted);
        assert!(
            since.elapsed() < Duration::from_secs(1),
            "{:?}",
            since.elapsed()
        );
    }
    bench.metrics.gather();
    assert_ne!(bench.ends.board.get().at, UnixMillis(0));
}
