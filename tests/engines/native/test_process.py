"""The native engine and the process that it lives in: signals, memory, threads, forks, and no torch."""

import signal
import subprocess
import sys

import pytest

attento_native = pytest.importorskip("attento_native", reason="the native engine is not installed: `make native`")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
BEGIN = """
import os, resource, signal, sys, threading, time
from pathlib import Path
from attento.decoding.config import SearchConfig
from attento.engines.native import NativeEngine
def load(**settings):
    return NativeEngine.load(Path(sys.argv[1]), **settings)
def leave(megabytes):
    # No more than so much beyond what the process has.
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + megabytes * 2**20,) * 2)
short = SearchConfig(beam_size=2, max_extra_length=3)
"""


def start(path, program):
    command = [sys.executable, "-c", BEGIN + program, path]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(path, program):
    process = start(path, program)
    out, problems = process.communicate(timeout=100)
    assert process.returncode == 0, problems
    assert problems == ""
    return out.splitlines()


def test_a_search_can_be_interrupted(packed, translation):
    # The search would take hours; that it has begun is told by a thread, for which it leaves Python free.
    program = """
signal.signal(signal.SIGINT, signal.default_int_handler)
engine = load(threads=2)
expected = engine.translate([[5, 11]], short)
endless = SearchConfig(beam_size=4, max_extra_length=10**6, min_length=10**6)
threading.Thread(target=lambda: (time.sleep(0.2), print("begun", flush=True))).start()
try:
    engine.translate([[5, 11]] * 7, endless)
except KeyboardInterrupt:
    print("interrupted")
print(engine.translate([[5, 11]], short) == expected)
"""
    process = start(packed(*translation()), program)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    out, problems = process.communicate(timeout=100)
    assert (out, problems, process.returncode) == ("interrupted\nTrue\n", "", 0)


def test_an_engine_that_is_dropped_ends_its_threads(packed, translation):
    # A thread that has ended may stand in the list for a moment yet.
    program = """
def becomes(count):
    while len(os.listdir("/proc/self/task")) != count:
        time.sleep(0.01)
before = len(os.listdir("/proc/self/task"))
for _ in range(20):
    engine = load(threads=3)
    engine.translate([[5, 11], [7]], short)
becomes(before + 3)
del engine
becomes(before)
"""
    assert run(packed(*translation()), program) == []


def test_a_source_that_needs_too_much_memory_fails_alone(packed, translation):
    # 30,000 tokens look at 30,000: 3.6 GB a head.
    program = """
engine = load(threads=1)
others = [[5, 11, 46], [23], [8] * 7, [9] * 300]
expected = engine.translate_each(others, short)
leave(500)
found = engine.translate_each([*others[:2], [7] * 30000, *others[2:]], short)
print(found.pop(2))
print(found == expected)
"""
    assert run(packed(*translation()), program) == ["needs more memory than there is", "True"]


def test_an_output_that_needs_too_much_memory_fails_alone(packed, translation):
    # What 255 hypotheses have seen takes 2.2 MiB a place; room is made for 32, 64, 128 places, and the room before is
    # kept meanwhile. Two sentences cannot both have 128; when the longer one is given up, the other can.
    program = """
engine = load(threads=1, max_rows=1000)
search = SearchConfig(beam_size=255, max_extra_length=0, min_length=1000)
long, other = [5, 11] * 200, [9] * 90
engine.translate_each([other[:9]], search)
leave(500)
found = engine.translate_each([other, long], search)
print(found[1])
print(len(found[0][0].ids))
"""
    path = packed(*translation(d_key=64, d_value=64))
    assert run(path, program) == ["needs more memory than there is", "90"]


def test_threads_that_cannot_be_had_are_told(packed, translation):
    program = """
from attento.errors import ConfigError
leave(300)
try:
    load(threads=1000)
except ConfigError as problem:
    print(problem)
print(len(load(threads=2).translate([[5, 11]], short)[0][0].ids) > 0)
"""
    found = run(packed(*translation()), program)
    assert found == ["this machine does not give the 1000 threads asked for", "True"]


def test_a_fork_leaves_the_threads_behind(packed, translation):
    program = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
engine = load(threads=2)
expected = engine.translate([[5, 11]], short)
child = os.fork()
if child == 0:
    try:
        engine.translate([[5, 11]], short)
    except RuntimeError as problem:
        print(problem)
    del engine
    print(load(threads=1).translate([[5, 11]], short) == expected)
    sys.exit()
os.waitpid(child, 0)
print(engine.translate([[5, 11]], short) == expected)
"""
    found = run(packed(*translation()), program)
    assert found == ["the engine's threads did not outlive a fork; make an engine after it", "True", "True"]


def test_it_translates_without_torch(packed, translation):
    program = """
print(len(load(threads=1).translate([[5, 11], [7]], short)))
print([name for name in ("torch", "jaxtyping", "attento.engines.torch") if name in sys.modules])
"""
    assert run(packed(*translation()), program) == ["2", "[]"]
