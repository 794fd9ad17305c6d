"""Faults of the store: full, locked, deleted, its directory gone. Clients see nothing, kills hold."""

import os
import shutil
import sqlite3
import subprocess
import time

from lab import Load, until
from side_faults import shadow


def begin(lab, report, what, store=None):
    report.begin(what)
    _, legacy = lab.origin("legacy")
    _, candidate = lab.origin("candidate")
    rules = shadow(legacy, candidate) + "".join(
        f"  - {{ name: {n}, match: /{n}, to: new, stage: cutover }}\n" for n in "cd")
    proxy = lab.proxy(rules, store=store)
    load = Load(lab, proxy.data, "scd")
    until(lambda: proxy.outcomes("s").get("divergence", 0) > 20)
    return proxy, load


def killed(proxy, report, slice_, persisted):
    """Kills a slice while the store is ill; it must be in force, and say the truth about the disk."""
    began = time.monotonic()
    code, said = proxy.command("kill", slice_)
    in_force = until(lambda: proxy.side(slice_) == "legacy", 3)
    took = time.monotonic() - began
    report.check(in_force is not None and in_force < 0.1, f"a kill is in force, {'persisted' if persisted else 'and says not persisted'}",
                 f"exit {code} after {took:.2f} s: {said}")
    report.check(code == (0 if persisted else 1), "its exit code", code)


def in_force_early(proxy, report, slice_):
    """A kill is in force within a second although no disk takes it."""
    command = subprocess.Popen([proxy.lab.binary, "kill", slice_, "--admin", f"127.0.0.1:{proxy.admin}", "--token-file", proxy.token_file],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    took = until(lambda: proxy.side(slice_) == "legacy", 5)
    said = command.communicate(timeout=40)[0].strip()
    report.check(took is not None and took < 1, "a kill is in force within 1 s though no disk takes it", f"{took or 99:.3f} s")
    report.check(command.returncode == 1 and "not persisted" in said, "it says not persisted, exit 1", f"exit {command.returncode}: {said}")


def kept_again(proxy, report, what, generation, within=1.0):
    took = until(lambda: proxy.kept(generation), 10)
    report.check(took is not None and took <= within, f"{what}: positions in file and store", f"after {took or 99:.2f} s, generation {generation}")


def told(proxy, report, what):
    """Some counter of the store tells the fault."""
    took = until(lambda: proxy.metric("supplant_evidence_store_write_errors_total") > 0, 12, 0.05)
    status = proxy.json("/api/v1/status")["store"]
    report.check(took is not None, what, f"{status['write_errors']} write errors, state {status['state']}: {status['because']}")


def well_again(proxy, report, load):
    took = until(lambda: proxy.json("/api/v1/status")["store"]["state"] == "ok", 15, 0.05)
    report.check(took is not None, "the store is said to be well again", f"after {took or 99:.2f} s")
    proxy.command("resume", "c")
    report.check(until(lambda: proxy.side("c") == "candidate", 2) is not None, "a resume is taken", proxy.side("c"))
    asked = load.end()
    for slice_ in "cd":
        asked.pop(slice_)  # those also answered the questions asked here
    proxy.adds_up(asked)
    report.check(proxy.stop() == 0, "ends gently", "exit 0")


def full(lab, report):
    """A file system of 1 MiB, filled to the last byte."""
    if os.geteuid() != 0:
        report.begin("store full")
        return report.skip("not root: no small file system can be mounted")
    store = os.path.join(lab.folder, "small")
    os.mkdir(store)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "supplant-faults", store]).returncode:
        report.begin("store full")
        return report.skip("mount is not allowed here")
    try:
        proxy, load = begin(lab, report, "store full", store)
        fill(os.path.join(store, "ballast"))
        told(proxy, report, "write errors are counted")
        fill(os.path.join(store, "ballast"))
        in_force_early(proxy, report, "c")
        time.sleep(1 if lab.quick else 5)
        os.unlink(os.path.join(store, "ballast"))
        kept_again(proxy, report, "room again", 1)
        lost = proxy.metric("supplant_evidence_dropped_samples_total", reason="store")
        report.check(True, "samples that were lost are counted", f"{lost:.0f}")
        well_again(proxy, report, load)
    finally:
        subprocess.run(["umount", "-l", store])


def fill(path):
    with open(path, "ab", buffering=0) as file:
        for piece in (65536, 4096, 512, 1):
            try:
                while file.write(b"x" * piece) == piece:
                    pass
            except OSError:
                pass


def locked(lab, report):
    """Another process holds the write lock."""
    proxy, load = begin(lab, report, "store locked")
    link = sqlite3.connect(os.path.join(proxy.store, "supplant.db"), isolation_level=None, timeout=10)
    link.execute("BEGIN EXCLUSIVE")
    told(proxy, report, "write errors are counted")
    killed(proxy, report, "c", persisted=True)
    report.check(proxy.generation() == 1, "the file beside it has it", proxy.positions_file().splitlines()[-1])
    time.sleep(1 if lab.quick else 5)
    link.execute("ROLLBACK")
    link.close()
    kept_again(proxy, report, "lock gone", 1)
    well_again(proxy, report, load)


def deleted(lab, report):
    """The files are removed under the running process; first the store alone, then the file of positions, too."""
    proxy, load = begin(lab, report, "store deleted")
    killed(proxy, report, "c", persisted=True)
    kept_again(proxy, report, "before", 1)
    for beside in ([], ["supplant.db.positions"]):
        for name in ["supplant.db", "supplant.db-wal", "supplant.db-shm", *beside]:
            if os.path.exists(os.path.join(proxy.store, name)):
                os.unlink(os.path.join(proxy.store, name))
        kept_again(proxy, report, "with the file of positions" if beside else "the store alone", 1)
    took = until(lambda: rows(proxy, "counts") > 0, 10, 0.05)
    report.check(took is not None, "counters are written to the new store", f"after {took or 99:.2f} s")
    report.check(proxy.side("c") == "legacy", "what was killed is", "legacy answers")
    well_again(proxy, report, load)


def rows(proxy, table):
    path = os.path.join(proxy.store, "supplant.db")
    try:
        link = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)
        count = link.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
        link.close()
        return count
    except sqlite3.Error:
        return 0


def gone(lab, report):
    """The directory is moved away and put back; then removed, and an empty one is put in its place."""
    proxy, load = begin(lab, report, "store's directory gone")
    away = proxy.store + "-away"
    os.rename(proxy.store, away)
    in_force_early(proxy, report, "c")
    told(proxy, report, "write errors are counted")
    time.sleep(0.5 if lab.quick else 4)
    os.rename(away, proxy.store)
    kept_again(proxy, report, "put back", 1)
    shutil.rmtree(proxy.store)
    time.sleep(1 if lab.quick else 4)
    code, _ = proxy.command("kill", "d")
    report.check(code == 1 and proxy.side("d") == "legacy", "a second kill is in force, not persisted", f"exit {code}")
    os.mkdir(proxy.store)
    kept_again(proxy, report, "an empty one in its place", 2)
    took = until(lambda: rows(proxy, "counts") > 0, 10, 0.05)
    report.check(took is not None, "counters are written to it", f"after {took or 99:.2f} s")
    well_again(proxy, report, load)
