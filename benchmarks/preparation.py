"""Measure how text is prepared and how soon training starts, and write it to `results/preparation.*`.

    python benchmarks/preparation.py

- `attento prepare` of 10 million made lines: lines/s, and the memory of all its processes over time.
- The same of a smaller text beside eole's `build_vocab` and JoeyNMT's loading of data, in turn. Both are given a
  learned subword model, and leave the tokenizing of each epoch to training; Attento learns its own and leaves ids.
- From an open prepared folder to the first batch, at the start and when a run goes on amid an epoch.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from facts import provenance, write_result
from made_text import write_parallel_text
from peers import SCRIPTS, PeerError, draw, peer_python

from attento.cores import available_cores

VOCAB_SIZE = 8000
VALIDATION_LINES = 1000
STARTS = (10_000, 100_000, 1_000_000)
TOKENS_PER_STEP = 25_000
_SAMPLE_SECONDS = 0.25
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--peer-lines", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the text is made; 5 GB for 10 million lines")
    options = parser.parse_args()
    result: dict[str, Any] = {"provenance": provenance(), "cores": available_cores()}
    result["load_average_before"] = os.getloadavg()[2]
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        make_text(folder / "validation", VALIDATION_LINES, seed=2)
        result["peers"] = compare(folder, options.peer_lines, options.rounds)
        sizes = [*(size for size in STARTS if size < options.lines), options.lines]
        result["preparing"] = [prepare_once(folder, size) for size in sizes]
        # All sizes in turn, so that a slow spell of the machine hits all.
        rounds = [[start_once(folder / f"prepared-{size}") for size in sizes] for _ in range(options.rounds)]
        result["starting"] = [summed_up(each) for each in zip(*rounds, strict=True)]
    write_result("preparation", result, table(result))
    draw("preparation", "plot_preparation.py")


def make_text(folder: Path, lines: int, seed: int = 1) -> None:
    """Make parallel text in a folder of its own."""
    folder.mkdir()
    write_parallel_text(folder, lines, seed)


def attento_command(text: Path, output: Path) -> list[str]:
    """Return the command that prepares a text."""
    validation = text.parent / "validation"
    return [
        *(sys.executable, "-m", "attento", "prepare", "--output", str(output), "--vocab-size", str(VOCAB_SIZE)),
        *("--source-language", "en", "--train-source", str(text / "made.en")),
        *("--target-language", "de", "--train-target", str(text / "made.de")),
        *("--validation-source", str(validation / "made.en"), "--validation-target", str(validation / "made.de")),
    ]


def prepare_once(folder: Path, lines: int) -> dict[str, Any]:
    """Prepare so many lines, which are deleted when it is done."""
    text, output = folder / f"text-{lines}", folder / f"prepared-{lines}"
    make_text(text, lines)
    size = sum(path.stat().st_size for path in text.iterdir())
    done = watch(attento_command(text, output))
    again = watch(attento_command(text, output))
    shutil.rmtree(text)
    return {"lines": lines, "text_bytes": size, "lines_per_second": lines / done["seconds"], **done} | {
        "seconds_when_unchanged": again["seconds"]
    }


def watch(command: Sequence[str | Path]) -> dict[str, Any]:
    """Run a command; return seconds, seconds of processor time, and the memory of all its processes over time.

    Memory is the sum of resident sets: pages that processes share count once for each.
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    memory: list[tuple[float, int]] = []
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        while process.poll() is None:
            memory.append((round(time.perf_counter() - started, 2), resident_bytes(process.pid)))
            time.sleep(_SAMPLE_SECONDS)
        seconds = time.perf_counter() - started
        if process.returncode:
            log.seek(0)
            raise PeerError(f"does not run: {log.read().decode(errors='replace').strip().splitlines()[-1]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": seconds,
        "processor_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_bytes": max(size for _, size in memory),
        "memory": memory,
    }


def resident_bytes(session: int) -> int:
    """Return the sum of the resident sets of all processes of a session."""
    total = 0
    for folder in Path("/proc").iterdir():
        try:
            # After the name, which may hold anything: state, parent, group, session.
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == session:
                total += int((folder / "statm").read_text().split()[1]) * _PAGE
        except (OSError, IndexError):
            continue
    return total


def compare(folder: Path, lines: int, rounds: int) -> dict[str, Any]:
    """Prepare one text with every system in turn."""
    text = folder / "peers"
    make_text(text, lines)
    watch(attento_command(text, folder / "model"))
    model = folder / "model/tokenizer.model"
    systems: dict[str, dict[str, Any]] = {"attento": {}, "eole": {}, "joeynmt": {}}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in systems}
    for number in range(rounds):
        for name, told in systems.items():
            if "error" in told:
                continue
            try:
                runs[name].append(watch(peer_command(name, text, model, folder / f"{name}-{number}")))
            except PeerError as problem:
                told["error"] = str(problem)
    for name, told in systems.items():
        if "error" not in told:
            rates = [lines / run["seconds"] for run in runs[name]]
            told |= {"lines_per_second": spread(rates)}
            told |= {"processor_seconds": median(run["processor_seconds"] for run in runs[name])}
            told |= {"peak_bytes": max(run["peak_bytes"] for run in runs[name])}
    return {"lines": lines, "systems": systems}


def peer_command(name: str, text: Path, model: Path, output: Path) -> list[str | Path]:
    """Return the command by which a system prepares a text."""
    if name == "attento":
        return [*attento_command(text, output)]
    python = peer_python(name)
    output.mkdir()
    config = eole_config(text, model, output) if name == "eole" else joeynmt_config(text, model)
    path = output / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return [python, SCRIPTS / f"prepare_{name}.py", path]


def eole_config(text: Path, model: Path, output: Path) -> dict[str, Any]:
    """Return what `eole build_vocab` needs to count the pieces of all text on all cores."""
    return {
        "data": {"made": {"path_src": str(text / "made.en"), "path_tgt": str(text / "made.de")}},
        "transforms": ["sentencepiece"],
        "transforms_configs": {"sentencepiece": {"src_subword_model": str(model), "tgt_subword_model": str(model)}},
        "save_data": str(output / "data"),
        "src_vocab": str(output / "vocab"),
        "share_vocab": True,
        "n_sample": -1,
        "num_threads": available_cores(),
        "overwrite": True,
    }


def joeynmt_config(text: Path, model: Path) -> dict[str, Any]:
    """Return the `data` section of a configuration of JoeyNMT."""
    side = {"level": "bpe", "tokenizer_type": "sentencepiece", "tokenizer_cfg": {"model_file": str(model)}}
    return {
        "train": str(text / "made"),
        "dataset_type": "plain",
        "src": {"lang": "en"} | side,
        "trg": {"lang": "de"} | side,
    }


def start_once(prepared: Path) -> dict[str, float]:
    """Open a prepared folder in a new process and take a batch, at the start and amid an epoch."""
    command = [sys.executable, SCRIPTS / "start_attento.py", prepared, str(TOKENS_PER_STEP)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def summed_up(starts: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return the spread of each figure over rounds."""
    return {name: spread([each[name] for each in starts]) for name in starts[0]}


def spread(values: list[float]) -> dict[str, Any]:
    """Return median, least, most and number of values."""
    return {"median": median(values), "least": min(values), "most": max(values), "timed": len(values)}


def table(result: dict[str, Any]) -> list[str]:
    """Return the result as Markdown lines."""
    lines = [
        f"# Preparing text, {result['cores']} cores",
        "",
        f"Before this, the machine's load average over 15 minutes was {result['load_average_before']:.1f}: where other",
        "work runs at the same time, processor seconds say more than seconds.",
        "",
        "| `attento prepare` of made pairs | lines/s | seconds | processor seconds | peak memory | unchanged |",
        "|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {each['lines']:,} | {each['lines_per_second']:,.0f} | {each['seconds']:.0f} | "
            f"{each['processor_seconds']:.0f} | {gib(each['peak_bytes'])} | {each['seconds_when_unchanged']:.1f} s |"
            for each in result["preparing"]
        ),
        "",
        "Memory: of all processes together, at its highest. Unchanged: the same command once more.",
        "",
        "![Memory over time](preparation.png)",
        "",
        f"| the same {result['peers']['lines']:,} pairs | lines/s, median | least | most | processor seconds | peak |",
        "|---|---:|---:|---:|---:|---:|",
        *(peer_row(name, told) for name, told in result["peers"]["systems"].items()),
        "",
        "Attento learns its vocabulary and leaves ids on the disk, which every epoch reads. eole (`build_vocab`) and",
        "JoeyNMT (`load_data`) are given that vocabulary's model, count pieces, and tokenize again in every epoch.",
        "",
        "| pairs | opening | first batch | batch amid an epoch | memory of ids and order |",
        "|---:|---:|---:|---:|---:|",
        *(
            f"| {each['pairs']['median']:,.0f} | {seconds(each['open'])} | {seconds(each['first'])} | "
            f"{seconds(each['amid'])} | {each['private_bytes']['median'] / 2**20:.0f} MiB |"
            for each in result["starting"]
        ),
    ]
    return lines


def peer_row(name: str, told: dict[str, Any]) -> str:
    """Return a system's row."""
    if "error" in told:
        return f"| {name} | {told['error']} | | | | |"
    rate = told["lines_per_second"]
    rates = " | ".join(f"{rate[key]:,.0f}" for key in ("median", "least", "most"))
    return f"| {name} | {rates} | {told['processor_seconds']:.0f} | {gib(told['peak_bytes'])} |"


def gib(size: float) -> str:
    """Return bytes in GiB."""
    return f"{size / 2**30:.2f} GiB"


def seconds(values: dict[str, Any]) -> str:
    """Return seconds with their spread."""
    return f"{values['median']:.2f} s ({values['least']:.2f} to {values['most']:.2f})"


if __name__ == "__main__":
    main()
