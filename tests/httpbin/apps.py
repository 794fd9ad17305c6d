"""Starts and ends the programs of this test, each in a process group of its own."""

import os
import signal
import socket
import subprocess
import time


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port, process, what):
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{what} does not listen on port {port}")


class Program:
    """A running program with its log."""

    def __init__(self, name, command, port, folder, environment=None):
        self.name, self.port = name, port
        self.log = open(os.path.join(folder, f"{name}.log"), "ab")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        cwd=folder, start_new_session=True,
                                        env={**os.environ, **(environment or {})})
        wait_for(port, self.process, name)

    def end(self, how=signal.SIGTERM):
        try:
            os.killpg(self.process.pid, how)
        except ProcessLookupError:
            pass
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()


def gunicorn(name, environments, port, folder):
    """One version of the application under a real server; its keep-alive is 2 s."""
    command = [f"{environments}/{name}/bin/gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1",
               "--threads", "16", "httpbin:app"]
    return Program(name, command, port, folder)
