//! One suite for every store, and what only the embedded one can suffer.

use super::backend::Backend;
use super::batch::Batch;
use super::form::tests::sample;
use super::keeper::file_path;
use super::keeper::read_file;
use super::memory::Memory;
use super::positions::Found;
use super::rows;
use super::sqlite::Place;
use super::sqlite::Purpose;
use super::sqlite::close;
use super::*;
use crate::evidence::Part;
use crate::model::PairId;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn options(directory: &Path) -> Options {
    Options {
        url: "sqlite:s.db".to_owned(),
        base: directory.to_owned(),
        forget_positions: false,
        limits: Limits::default(),
    }
}

fn change(text: &str) -> Change {
    Change {
        id: 0,
        at: NOW,
        actor: "test".to_owned(),
        kind: ChangeKind::Kill,
        slice: Some(SliceId::new("orders")),
        text: text.to_owned(),
        diff: Some("-a\n+b\n".to_owned()),
        hash: Some("0123456789ab".to_owned()),
    }
}

fn part(name: &str, data: Option<&[u8]>) -> ((SliceId, String), Option<Vec<u8>>) {
    let key = (SliceId::new("orders"), name.to_owned());
    (key, data.map(<[u8]>::to_vec))
}

/// Two handles on one store: one writes, the other must see it.
struct Pair {
    writes: Backend,
    reads: Backend,
    _directory: TempDir,
}

async fn every_store() -> Vec<Pair> {
    let directory = tempfile::tempdir().unwrap();
    let memory = Arc::new(Mutex::new(Memory::default()));
    let place = Place::new(directory.path().join("s.db"));
    let mut pairs = vec![
        Pair {
            writes: Backend::Memory(Arc::clone(&memory)),
            reads: Backend::Memory(memory),
            _directory: tempfile::tempdir().unwrap(),
        },
        Pair {
            writes: Backend::sqlite(&place, Purpose::Batches),
            reads: Backend::sqlite(&place, Purpose::Reading),
            _directory: directory,
        },
    ];
    for pair in &mut pairs {
        pair.writes.hold().await.unwrap();
        pair.reads.hold().await.unwrap();
    }
    pairs
}

#[tokio::test]
async fn evidence_counters_and_slices_read_back_as_written() {
    for mut pair in every_store().await {
        let orders = SliceId::new("orders");
        let mut batch = Batch::default();
        batch
            .parts
            .extend([part("a", Some(b"1")), part("b", Some(b"2"))]);
        let counts = Counts {
            requests: 9,
            ..Counts::default()
        };
        batch.counts.insert(orders.clone(), counts.clone());
        batch.gone.insert(orders.clone(), Some(NOW));
        pair.writes.write(&batch, &Limits::default()).await.unwrap();
        let saved = pair.reads.load().await.unwrap();
        assert_eq!(saved.parts[&orders].len(), 2);
        assert_eq!(saved.counts[&orders], counts);
        assert_eq!(saved.gone[&orders], Some(NOW));

        let mut batch = Batch::default();
        batch.parts.extend([part("a", None), part("b", Some(b"3"))]);
        batch.gone.insert(orders.clone(), None);
        pair.writes.write(&batch, &Limits::default()).await.unwrap();
        let saved = pair.reads.load().await.unwrap();
        let only = Part {
            name: "b".to_owned(),
            data: Some(b"3".to_vec()),
        };
        assert_eq!(saved.parts[&orders], [only]);
        assert_eq!(saved.gone[&orders], None);
    }
}

#[tokio::test]
async fn parts_that_are_all_replace_the_others_and_a_forgotten_slice_leaves_nothing() {
    for mut pair in every_store().await {
        let orders = SliceId::new("orders");
        let mut batch = Batch::default();
        batch
            .parts
            .extend([part("a", Some(b"1")), part("b", Some(b"2"))]);
        batch.examples.push(sample(1, "GET /a"));
        pair.writes.write(&batch, &Limits::default()).await.unwrap();

        let mut batch = Batch::default();
        batch.parts.extend([part("c", Some(b"3"))]);
        batch.replace.insert(orders.clone());
        pair.writes.write(&batch, &Limits::default()).await.unwrap();
        let saved = pair.reads.load().await.unwrap();
        assert_eq!(saved.parts[&orders][0].name, "c");
        assert_eq!(saved.parts[&orders].len(), 1);

        let mut batch = Batch::default();
        batch.forget.insert(orders.clone());
        pair.writes.write(&batch, &Limits::default()).await.unwrap();
        assert!(pair.reads.load().await.unwrap().parts.is_empty());
        assert_eq!(pair.reads.example(PairId(1)).await.unwrap(), None);
    }
}

#[tokio::test]
async fn of_one_difference_the_first_and_the_newest_examples_stay() {
    for mut pair in every_store().await {
        let limits = Limits {
            examples_per_set: 4,
            ..Limits::default()
        };
        let mut batch = Batch::default();
        batch
            .examples
            .extend((1..=10).map(|id| sample(id, "GET /a")));
        batch.examples.push(sample(11, "GET /b"));
        pair.writes.write(&batch, &limits).await.unwrap();
        let mut left = Vec::new();
        for id in 1..=11 {
            if let Some(example) = pair.reads.example(PairId(id)).await.unwrap() {
                assert_eq!(
                    example,
                    sample(id, if id == 11 { "GET /b" } else { "GET /a" })
                );
                left.push(id);
            }
        }
        assert_eq!(left, [1, 2, 9, 10, 11]);
    }
}

#[tokio::test]
async fn what_is_over_bytes_or_days_leaves_oldest_first_and_is_counted() {
    for mut pair in every_store().await {
        let mut batch = Batch::default();
        for id in 1..=6 {
            let mut example = sample(id, &format!("GET /{id}"));
            example.at = UnixMillis(NOW.0 - i64::try_from(id).unwrap() * 86_400_000);
            batch.examples.push(example);
        }
        let size = form::example(&batch.examples[0]).len() as u64;
        batch.changes.extend((0..5).map(|n| change(&n.to_string())));
        pair.writes.write(&batch, &Limits::default()).await.unwrap();
        let limits = Limits {
            days: 4,
            bytes: size * 3 + size / 2,
            changes: 3,
            diffs: 1,
            ..Limits::default()
        };
        let gone = pair.writes.trim(&limits, NOW).await.unwrap();
        assert_eq!((gone.days, gone.bytes), (2, 1));
        for id in 1..=6 {
            let there = pair.reads.example(PairId(id)).await.unwrap().is_some();
            assert_eq!(there, id <= 3, "{id}");
        }
        let changes = pair.reads.changes(10, None).await.unwrap();
        let said: Vec<_> = changes
            .iter()
            .map(|c| (c.text.as_str(), c.diff.is_some()))
            .collect();
        assert_eq!(said, [("4", true), ("3", false), ("2", false)]);
        let older = pair.reads.changes(10, Some(changes[0].id)).await.unwrap();
        assert_eq!(older[0].text, "3");
    }
}

/// Runs the tasks of an opened store until it is dropped.
fn start(opened: Opened) -> (Writer, Library, Keeper, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    tasks.spawn(opened.writer_task.run());
    tasks.spawn(opened.keeper_task.run());
    (opened.writer, opened.library, opened.keeper, tasks)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..300 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not come true");
}

fn killed(generation: u64) -> Positions {
    let mut positions = Positions {
        generation,
        ..Positions::default()
    };
    let held = Held {
        killed: true,
        ..Held::default()
    };
    positions.slices.insert(SliceId::new("orders"), held);
    positions
}

async fn row(directory: &Path) -> Option<Positions> {
    let place = Place::new(directory.join("s.db"));
    let mut open = place.open(Purpose::Reading).await.ok()?;
    let body = rows::positions(&mut open.link).await.ok()?;
    close(open.link).await;
    Positions::parse_body(&body?).ok()
}

fn file(directory: &Path) -> Found {
    read_file(&file_path(&Place::new(directory.join("s.db"))))
}

#[tokio::test]
async fn what_was_kept_and_what_holds_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(&options(directory.path()), NOW).await.unwrap();
    assert_eq!(opened.positions, Positions::default());
    let (writer, _, mut keeper, mut tasks) = start(opened);
    writer.offer(Write::Example(Box::new(sample(1, "GET /a"))));
    writer.offer(Write::Change(change("killed")));
    keeper.put(killed(1));
    while keeper.report().await.unwrap().generation < 1 {}
    assert!(writer.close(Duration::from_secs(5)).await);
    drop(keeper);
    while tasks.join_next().await.is_some() {}
    for suffix in ["", ".positions"] {
        let path = directory.path().join(format!("s.db{suffix}"));
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    let opened = open(&options(directory.path()), NOW).await.unwrap();
    assert_eq!(
        (opened.positions.clone(), opened.lost.clone()),
        (killed(1), None)
    );
    let (writer, library, _keeper, _tasks) = start(opened);
    let found = library.example(PairId(1)).await.unwrap();
    assert_eq!(found, Some(sample(1, "GET /a")));
    assert_eq!(library.changes(9, None).await.unwrap()[0].text, "killed");
    assert_eq!(writer.health().dropped(), 0);
}

#[tokio::test]
async fn a_deleted_store_is_made_again_and_positions_return_within_a_second() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(&options(directory.path()), NOW).await.unwrap();
    let (writer, _, mut keeper, _tasks) = start(opened);
    keeper.put(killed(3));
    while keeper.report().await.unwrap().generation < 3 {}
    until("a first store", async || {
        row(directory.path()).await == Some(killed(3))
    })
    .await;
    let opened_before = writer.health().times_opened();
    std::fs::remove_file(directory.path().join("s.db")).unwrap();
    std::fs::remove_file(directory.path().join("s.db.positions")).unwrap();
    let since = tokio::time::Instant::now();
    until("a new row", async || {
        row(directory.path()).await == Some(killed(3))
    })
    .await;
    assert!(since.elapsed() < Duration::from_secs(1));
    assert_eq!(file(directory.path()), Found::Read(killed(3)));
    until("a reopen", async || {
        writer.health().times_opened() > opened_before
    })
    .await;
    writer.offer(Write::Example(Box::new(sample(7, "GET /a"))));
    let library = Library::new(Backend::sqlite(
        &Place::new(directory.path().join("s.db")),
        Purpose::Reading,
    ));
    until("an example in it", async || {
        matches!(library.example(PairId(7)).await, Ok(Some(_)))
    })
    .await;
}

#[tokio::test]
async fn a_directory_that_goes_and_comes_back_costs_samples_only() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("data");
    std::fs::create_dir(&directory).unwrap();
    let opened = open(&options(&directory), NOW).await.unwrap();
    let (writer, _, mut keeper, _tasks) = start(opened);
    while keeper.report().await.unwrap().failed.is_some() {}
    until("a first store", async || row(&directory).await.is_some()).await;
    std::fs::rename(&directory, parent.path().join("away")).unwrap();
    keeper.put(killed(1));
    let report = keeper.report().await.unwrap();
    assert!(
        report.generation == 1 && report.failed.is_some(),
        "{report:?}"
    );
    writer.offer(Write::Example(Box::new(sample(1, "GET /a"))));
    writer.offer(Write::Change(change("meanwhile")));
    until("a counted error", async || {
        writer.health().write_errors() > 0 && writer.health().lost(Lost::Store) == 1
    })
    .await;
    assert!(writer.health().failing().is_some());

    std::fs::rename(parent.path().join("away"), &directory).unwrap();
    let since = tokio::time::Instant::now();
    while keeper.report().await.unwrap().failed.is_some() {}
    until("the row", async || row(&directory).await == Some(killed(1))).await;
    assert!(
        since.elapsed() < Duration::from_millis(1_200),
        "{:?}",
        since.elapsed()
    );
    until("recovery", async || writer.health().failing().is_none()).await;
    let place = Place::new(directory.join("s.db"));
    let library = Library::new(Backend::sqlite(&place, Purpose::Reading));
    until("the history", async || {
        library.changes(9, None).await.is_ok_and(|c| c.len() == 1)
    })
    .await;
}

#[tokio::test]
async fn a_lock_of_another_process_costs_samples_and_no_kill() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(&options(directory.path()), NOW).await.unwrap();
    let (writer, library, mut keeper, _tasks) = start(opened);
    until("a first store", async || {
        row(directory.path()).await.is_some()
    })
    .await;
    let place = Place::new(directory.path().join("s.db"));
    let mut other = place.open(Purpose::Batches).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other.link)
        .await
        .unwrap();
    writer.offer(Write::Example(Box::new(sample(1, "GET /a"))));
    keeper.put(killed(1));
    while keeper.report().await.unwrap().generation < 1 {}
    assert_eq!(file(directory.path()), Found::Read(killed(1)));
    until("a counted loss", async || {
        writer.health().lost(Lost::Store) == 1
    })
    .await;
    assert!(library.changes(9, None).await.is_ok(), "reading goes on");
    assert_eq!(writer.health().failing(), Some(Error::Busy.to_string()));
    sqlx::query("ROLLBACK")
        .execute(&mut other.link)
        .await
        .unwrap();
    until("recovery", async || {
        writer.health().failing().is_none() && row(directory.path()).await == Some(killed(1))
    })
    .await;
}

#[tokio::test]
async fn a_damaged_store_is_put_aside_and_counts_as_lost_until_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.db");
    std::fs::write(&path, vec![7_u8; 8_192]).unwrap();
    let refused = open(&options(directory.path()), NOW).await.unwrap_err();
    assert!(matches!(refused, OpenError::Positions(_)));
    std::fs::write(directory.path().join("s.db.positions"), killed(4).to_file()).unwrap();
    let opened = open(&options(directory.path()), NOW).await.unwrap();
    assert_eq!(opened.positions, killed(4));
    assert!(opened.lost.is_some());
    let (_writer, _, _keeper, _tasks) = start(opened);
    until("a new store", async || {
        row(directory.path()).await == Some(killed(4))
    })
    .await;
    assert!(directory.path().join("s.db.damaged").exists());
    let opened = open(&options(directory.path()), NOW).await.unwrap();
    assert_eq!(opened.lost, None);
}

#[tokio::test]
async fn a_missing_directory_is_refused_unless_positions_may_be_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&directory.path().join("nowhere"));
    let refused = open(&options, NOW).await.unwrap_err();
    assert!(matches!(refused, OpenError::NoDirectory(_)));
    options.forget_positions = true;
    let opened = open(&options, NOW).await.unwrap();
    let (writer, _, mut keeper, _tasks) = start(opened);
    assert!(keeper.report().await.unwrap().failed.is_some());
    std::fs::create_dir(&options.base).unwrap();
    while keeper.report().await.unwrap().failed.is_some() {}
    until("a store", async || writer.health().times_opened() == 1).await;
}

#[tokio::test]
async fn a_full_queue_drops_samples_without_waiting_and_counts_them() {
    let opened = open(
        &Options {
            url: "memory:".to_owned(),
            ..options(Path::new("."))
        },
        NOW,
    )
    .await
    .unwrap();
    let taken = (0..3_000).filter(|id| {
        let one = sample(*id, &format!("GET /{id}"));
        opened.writer.offer(Write::Example(Box::new(one)))
    });
    assert_eq!(taken.count(), 1_024);
    assert_eq!(opened.writer.health().lost(Lost::Queue), 3_000 - 1_024);
    let (writer, library, _keeper, _tasks) = start(opened);
    writer.close(Duration::from_secs(5)).await;
    assert!(library.example(PairId(1_023)).await.unwrap().is_some());
    assert!(!writer.offer(Write::Forget(SliceId::new("late"))));
}

#[tokio::test]
async fn the_same_difference_fifty_times_a_second_is_thinned() {
    let opened = open(
        &Options {
            url: "memory:".to_owned(),
            ..options(Path::new("."))
        },
        NOW,
    )
    .await
    .unwrap();
    for id in 0..100 {
        opened
            .writer
            .offer(Write::Example(Box::new(sample(id, "GET /a"))));
    }
    let (writer, _library, _keeper, _tasks) = start(opened);
    writer.close(Duration::from_secs(5)).await;
    assert_eq!(writer.health().lost(Lost::Enough), 80);
}

#[tokio::test]
async fn other_urls_are_refused_with_what_to_write() {
    for url in ["postgres://x", "sqlite:", "sqlite:dir/", ""] {
        let options = Options {
            url: url.to_owned(),
            ..options(Path::new("."))
        };
        assert!(
            matches!(open(&options, NOW).await, Err(OpenError::Url(_))),
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_write_leaves_the_old_or_the_new_positions() {
    // What a kill leaves: (temporary file, file, row) after each step of a change from 1 to 2.
    let (old, new) = (killed(1), killed(2));
    let torn = new.to_file();
    let torn = torn.get(..torn.len() / 2).unwrap_or_default().to_owned();
    let steps = [
        (None, &old, &old),
        (Some(String::new()), &old, &old),
        (Some(torn), &old, &old),
        (Some(new.to_file()), &old, &old),
        (None, &new, &old),
        (None, &new, &new),
        (None, &old, &new),
    ];
    for (temporary, in_file, in_row) in steps {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::new(directory.path().join("s.db"));
        let mut open_store = place.open(Purpose::Positions).await.unwrap();
        rows::put_positions(&mut open_store.link, in_row.generation, &in_row.to_body())
            .await
            .unwrap();
        close(open_store.link).await;
        std::fs::write(file_path(&place), in_file.to_file()).unwrap();
        if let Some(text) = temporary {
            std::fs::write(directory.path().join("s.db.positions.tmp"), text).unwrap();
        }
        let opened = open(&options(directory.path()), NOW).await.unwrap();
        let expected = if in_file.generation > in_row.generation {
            in_file
        } else {
            in_row
        };
        assert_eq!(&opened.positions, expected);
        assert_eq!(opened.lost, None);
        let (_writer, _, _keeper, _tasks) = start(opened);
        until("both alike", async || {
            row(directory.path()).await.as_ref() == Some(expected)
                && file(directory.path()) == Found::Read(expected.clone())
        })
        .await;
    }
}

#[tokio::test]
async fn a_full_disk_is_told_apart_and_the_store_goes_on_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::new(directory.path().join("s.db"));
    let mut open = place.open(Purpose::Batches).await.unwrap();
    let pages = |n: u32| sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {n}")));
    // As few as there are: SQLite takes what it has for the least.
    pages(1).execute(&mut open.link).await.unwrap();
    let mut batch = Batch::default();
    batch
        .examples
        .extend((0..200).map(|id| sample(id, &format!("GET /{id}"))));
    let limits = Limits::default();
    let full = rows::write(&mut open.link, &batch, &limits).await;
    assert_eq!(full, Err(Error::Full));
    pages(1_000_000).execute(&mut open.link).await.unwrap();
    rows::write(&mut open.link, &batch, &limits).await.unwrap();
    let found = rows::example(&mut open.link, PairId(199)).await.unwrap();
    assert!(found.is_some());
}

/// Writes one generation after the other, and says each that is persisted.
#[tokio::test]
#[ignore = "started, and killed, by the next test"]
async fn child_that_is_killed() {
    let opened = open(&options(Path::new(".")), NOW).await.unwrap();
    let first = opened.positions.generation;
    let (_writer, _, mut keeper, _tasks) = start(opened);
    for generation in first + 1.. {
        keeper.put(killed(generation));
        while keeper.report().await.unwrap().generation < generation {}
        println!("persisted {generation}");
    }
}

#[test]
fn a_kill_at_any_moment_loses_no_generation_that_was_said_to_be_persisted() {
    use std::io::BufRead;
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut said = 0;
    for round in 0..12 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .arg("store::tests::child_that_is_killed")
            .current_dir(directory.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard = |line: &str| {
            if let Some((_, n)) = line.split_once("persisted ") {
                said = n.trim().parse::<u64>().unwrap();
            }
        };
        for line in lines.by_ref().take(8 + round % 5) {
            heard(&line.unwrap());
        }
        crate::clock::pause(Duration::from_micros(round as u64 * 731));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            heard(&line.unwrap());
        }
        let opened = runtime
            .block_on(open(&options(directory.path()), NOW))
            .unwrap();
        assert_eq!(opened.lost, None);
        let found = opened.positions.generation;
        assert!(found == said || found == said + 1, "{found} after {said}");
        assert_eq!(opened.positions, killed(found));
    }
    assert!(said > 20, "{said}");
}
