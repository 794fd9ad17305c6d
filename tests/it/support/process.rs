//! The product as a process of its own, for signals, limits and what it inherits.

use super::Answer;
use super::Client;
use super::eventually;
use rustix::process::Pid;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::Signal;
use rustix::process::getrlimit;
use rustix::process::kill_process;
use rustix::process::prlimit;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;
use tempfile::TempDir;

/// How it is started.
#[derive(Default)]
pub(crate) struct Start<'a> {
    /// Rules without `listen` and `admin`.
    pub(crate) rules: String,
    /// Further arguments of `run`.
    pub(crate) args: &'a [&'a str],
    /// Variables.
    pub(crate) variables: &'a [(&'a str, String)],
    /// How many descriptors it may open.
    pub(crate) descriptors: Option<u32>,
    /// Sockets that it finds open: of the data plane, of the admin side.
    pub(crate) sockets: Option<(TcpListener, TcpListener)>,
}

/// A running process. Dropping it kills it.
pub(crate) struct Process {
    pub(crate) data: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) folder: TempDir,
    child: Child,
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

impl Process {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(start: Start<'_>) -> Self {
        let process = Self::spawn(start);
        eventually("it is ready", || {
            std::net::TcpStream::connect(process.admin).is_ok() && process.ready().status == 200
        });
        process
    }

    /// Starts it.
    pub(crate) fn spawn(start: Start<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, admin) = match &start.sockets {
            None => (free(), free()),
            Some((data, admin)) => (data.local_addr().unwrap(), admin.local_addr().unwrap()),
        };
        let config = folder.path().join("routes.yaml");
        let head = format!(
            "listen: [{{ address: \"{data}\" }}]\nadmin: {{ address: \"{admin}\" }}\nthreads: 2\n"
        );
        std::fs::write(&config, head + &start.rules).unwrap();
        let mut script = String::new();
        if let Some(limit) = start.descriptors {
            script += &format!("ulimit -n {limit}; ");
        }
        if start.sockets.is_some() {
            script += "exec 3<&0 4<&1 0</dev/null 1>/dev/null; export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=data:admin; ";
        }
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{script}exec \"$0\" \"$@\"")])
            .arg(env!("CARGO_BIN_EXE_supplant"))
            .args(["run", "--config"])
            .arg(&config)
            .args(start.args)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(folder.path().join("out")).unwrap())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap());
        if let Some((data, admin)) = start.sockets {
            command
                .stdin(OwnedFd::from(data))
                .stdout(OwnedFd::from(admin));
        }
        for (name, value) in start.variables {
            command.env(name, value);
        }
        let child = command.spawn().unwrap();
        Self {
            data,
            admin,
            folder,
            child,
        }
    }

    /// Asks `/readyz`.
    pub(crate) fn ready(&self) -> Answer {
        self.admin("/readyz")
    }

    /// Asks the admin side.
    pub(crate) fn admin(&self, target: &str) -> Answer {
        let host = self.admin;
        let mut client = Client::connect(self.admin);
        client.send(
            format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        );
        client.read(false).expect("an answer of the admin side")
    }

    /// Reads one series of the metrics; 0 if it is not there.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.admin("/metrics").text();
        let found = text.lines().find_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            (name == series).then(|| value.parse().unwrap())
        });
        found.unwrap_or(0.0)
    }

    /// Runs a command against it; returns its exit code and what it complains of.
    pub(crate) fn command(&self, args: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_supplant"))
            .args(args)
            .current_dir(self.folder.path())
            .env("SUPPLANT_ADMIN", self.admin.to_string())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap_or(-1), said)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Lets it open only so many descriptors from now on; returns how many it might before.
    pub(crate) fn allow_descriptors(&self, limit: Option<u64>) -> Option<u64> {
        let pid = Some(Pid::from_child(&self.child));
        // The hard limit stays; it is the one of whoever runs the tests.
        let wanted = Rlimit {
            current: limit,
            maximum: getrlimit(Resource::Nofile).maximum,
        };
        prlimit(pid, Resource::Nofile, wanted).unwrap().current
    }

    /// The seconds of processor time that it has used.
    pub(crate) fn seconds_used(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let after = text.rsplit(") ").next().unwrap();
        let ticks = after
            .split(' ')
            .skip(11)
            .take(2)
            .map(|t| t.parse::<f64>().unwrap());
        ticks.sum::<f64>() / 100.0
    }

    /// Waits for its end, for so long; returns the exit code.
    pub(crate) fn end(&mut self, within: Duration) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < within {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            super::pause(5);
        }
        None
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("routes.yaml")
    }

    /// What it wrote to standard error.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The lines of its access log, as JSON.
    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.folder.path().join("out")).unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("its log:\n{}", self.log());
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
