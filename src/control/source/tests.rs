//! The source over a real directory.

use super::watch::WATCH_AGAIN;
use super::*;
use std::io::Write;
use tempfile::TempDir;
use tokio::task::JoinSet;

struct Bench {
    directory: TempDir,
    readings: mpsc::Receiver<Reading>,
    asks: mpsc::Sender<Ask>,
    _tasks: JoinSet<()>,
}

impl Bench {
    async fn start(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("routes.yaml"), text).unwrap();
        Self::at(directory, "routes.yaml", text).await
    }

    async fn at(directory: TempDir, name: &str, text: &str) -> Self {
        let (source, asks, readings) = source(directory.path().join(name), text);
        let mut tasks = JoinSet::new();
        tasks.spawn(source.run());
        // Lets the task set its watch.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Self {
            directory,
            readings,
            asks,
            _tasks: tasks,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("routes.yaml")
    }

    async fn next(&mut self) -> Reading {
        let next = self.readings.recv();
        let next = tokio::time::timeout(Duration::from_secs(3), next).await;
        next.expect("a reading in time").expect("a source")
    }

    async fn quiet(&mut self, millis: u64) {
        let next = self.readings.recv();
        let next = tokio::time::timeout(Duration::from_millis(millis), next).await;
        assert!(next.is_err(), "{next:?}");
    }
}

fn text(reading: &Reading) -> String {
    String::from_utf8_lossy(reading.content.as_ref().unwrap()).into_owned()
}

#[tokio::test]
async fn a_save_in_place_is_read_once_at_its_close() {
    let mut bench = Bench::start("a").await;
    let since = Instant::now();
    std::fs::write(bench.path(), "b").unwrap();
    let reading = bench.next().await;
    assert_eq!((text(&reading).as_str(), reading.whole), ("b", false));
    assert!(since.elapsed() < Duration::from_millis(100));
    bench.quiet(1_200).await;
}

#[tokio::test]
async fn a_save_by_rename_came_whole() {
    let mut bench = Bench::start("a").await;
    let temporary = bench.directory.path().join(".routes.yaml.swp");
    std::fs::write(&temporary, "b").unwrap();
    std::fs::rename(&temporary, bench.path()).unwrap();
    let reading = bench.next().await;
    assert_eq!((text(&reading).as_str(), reading.whole), ("b", true));
    std::fs::write(bench.path(), "c").unwrap();
    let reading = bench.next().await;
    assert_eq!((text(&reading).as_str(), reading.whole), ("c", false));
}

#[tokio::test]
async fn a_writer_that_stays_open_is_read_when_it_pauses_and_at_latest_after_half_a_second() {
    let mut bench = Bench::start("a").await;
    let mut file = std::fs::File::create(bench.path()).unwrap();
    let since = Instant::now();
    file.write_all(b"b").unwrap();
    let reading = bench.next().await;
    assert_eq!(text(&reading), "b");
    let took = since.elapsed();
    assert!(took >= STILL && took < LATEST, "{took:?}");
    let since = Instant::now();
    let read = loop {
        file.write_all(b"c").unwrap();
        match tokio::time::timeout(Duration::from_millis(10), bench.readings.recv()).await {
            Ok(reading) => break reading.unwrap(),
            Err(_) => assert!(since.elapsed() < Duration::from_secs(1)),
        }
    };
    assert!(since.elapsed() >= Duration::from_millis(400));
    assert!(text(&read).starts_with("bc"));
}

#[tokio::test]
async fn a_swapped_symlink_came_whole() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (name, text) in [("..1", "a"), ("..2", "b"), ("..3", "c")] {
        std::fs::create_dir(at(name)).unwrap();
        std::fs::write(at(name).join("routes.yaml"), text).unwrap();
    }
    std::os::unix::fs::symlink("..1", at("..data")).unwrap();
    std::os::unix::fs::symlink("..data/routes.yaml", at("routes.yaml")).unwrap();
    let mut bench = Bench::at(directory, "routes.yaml", "a").await;
    for (name, expected) in [("..2", "b"), ("..3", "c")] {
        let temporary = bench.directory.path().join("..data_tmp");
        std::os::unix::fs::symlink(name, &temporary).unwrap();
        std::fs::rename(&temporary, bench.directory.path().join("..data")).unwrap();
        let reading = bench.next().await;
        assert_eq!((text(&reading).as_str(), reading.whole), (expected, true));
    }
}

#[tokio::test]
async fn a_directory_that_is_replaced_is_found_by_the_poll_and_watched_again() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("conf");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("routes.yaml"), "a").unwrap();
    let mut bench = Bench::at(parent, "conf/routes.yaml", "a").await;
    std::fs::rename(&directory, bench.directory.path().join("old")).unwrap();
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("routes.yaml"), "b").unwrap();
    let mut reading = bench.next().await;
    while reading.content.is_err() {
        reading = bench.next().await;
    }
    assert_eq!(text(&reading), "b");
    // Long enough for the watch to be renewed, which the poll does.
    tokio::time::sleep(WATCH_AGAIN + POLL).await;
    std::fs::write(directory.join("routes.yaml"), "c").unwrap();
    let since = Instant::now();
    assert_eq!(text(&bench.next().await), "c");
    assert!(since.elapsed() < Duration::from_millis(300));
}

#[tokio::test]
async fn the_last_of_a_hundred_edits_a_second_is_read_soon_after_it() {
    let mut bench = Bench::start("a").await;
    let path = bench.path();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        for n in 0..200 {
            std::fs::write(&path, format!("edit {n}")).unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut reads = 0;
    loop {
        reads += 1;
        if text(&bench.next().await) == "edit 199" {
            break;
        }
    }
    assert!(reads < 120, "{reads} reads");
    // The last edit was at most 10 ms before its task ended.
    assert!(
        tokio::time::timeout(Duration::from_millis(200), tasks.join_next())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn who_asks_gets_a_reading_whatever_the_file_holds() {
    let mut bench = Bench::start("a").await;
    bench.asks.send(Ask::Force).await.unwrap();
    let reading = bench.next().await;
    assert!(reading.forced && text(&reading) == "a");
    let at = Instant::now() + Duration::from_millis(100);
    bench.asks.send(Ask::Again(at)).await.unwrap();
    let reading = bench.next().await;
    assert!(reading.again && reading.at >= at);
    std::fs::remove_file(bench.path()).unwrap();
    assert!(bench.next().await.content.is_err());
}
