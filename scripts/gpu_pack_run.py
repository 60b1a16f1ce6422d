#!/usr/bin/env python3
"""Measures the machine that this archive was unpacked on: doctor, tests on the GPU, benches; writes one JSON.

    ./gpu_pack_run [--output FILE] [--only REGEX] [--emulator] [--jobs N] [--budget SECONDS] [--limit SECONDS] [--python FILE]

Needs Python 3.8 and its standard library. Each step runs in a process of its own under a time limit; the JSON is written
anew after each (docs/gpu-pack.md describes it), so that whatever ends this script, what was found is kept.
Exit codes: 0 all steps passed, 1 a step failed, 2 wrong command line, 3 there is no GPU.
"""

import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

SCHEMA = 1
# Folders of tests, what of them runs on a GPU, and the seconds that one test may take. A pack has one executable for all,
# a build folder one for each.
TESTS = [
    ("test_runtime", "*DeviceConformance.*cuda*", 120),
    ("test_codegen", "CudaRuns.*:CudaCubins.*:CudaStrategies.*", 300),
    ("test_frontend", "CudaGradients.*:CudaTraining.*", 600),
    ("test_examples", "CudaExamples.*", 600),
]
PROGRAMS = "abcde"
# Run on the emulator too, which is slow: those of few operations.
AGREEING = "abc"
AGREEMENT = 1e-4
OUTPUT_KEPT = 4000


def run(command, limit, environment, folder):
    """(status, exit code, seconds, output). The whole process group ends with the limit."""
    begin = time.monotonic()
    try:
        child = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, start_new_session=True)
    except OSError as fault:
        return "failed", None, 0.0, str(fault)
    try:
        output, _ = child.communicate(timeout=limit)
        status = "passed" if child.returncode == 0 else "failed"
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        output, _ = child.communicate()
        status = "timeout"
    return status, child.returncode, time.monotonic() - begin, output.decode(errors="replace")


def first_line(text, default=""):
    return next((line.strip() for line in text.splitlines() if line.strip()), default)


def read(path):
    try:
        return pathlib.Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


class Pack:
    def __init__(self, options):
        self.options = options
        self.folder = pathlib.Path(options.pack).resolve()
        self.output = pathlib.Path(options.output).resolve()
        self.end = time.monotonic() + options.budget
        self.lock = threading.Lock()
        self.work = tempfile.mkdtemp(prefix="placewright-gpu-pack-")
        # Nothing of what runs here may come from, or go to, the user's cache.
        self.environment = dict(os.environ, PLACEWRIGHT_CACHE=os.path.join(self.work, "cache"), NO_COLOR="1")
        for variable in ("PLACEWRIGHT_LIBCUDA", "PLACEWRIGHT_EMULATOR", "PLACEWRIGHT_CUBLASLT_EMULATOR"):
            self.environment.pop(variable, None)
        # What stands for the driver, and for the library that runs on that driver alone.
        self.emulator = {"PLACEWRIGHT_LIBCUDA": str(self.folder / "lib/libcuda_emulator.so"),
                         "PLACEWRIGHT_LIBCUBLASLT": str(self.folder / "lib/libcublaslt_emulator.so")}
        if options.emulator:
            self.environment.update(self.emulator)
        self.python = None
        self.document = {"schema": SCHEMA, "complete": False, "on_emulator": options.emulator, "gpu": None,
                         "machine": self.machine(), "summary": {}, "steps": []}

    def binary(self, name):
        return str(self.folder / "bin" / name)

    def test_binary(self, name):
        return self.binary("test_gpu" if (self.folder / "bin/test_gpu").exists() else name)

    # --- the machine

    def machine(self):
        version = read(self.folder / "version").split("\n")
        cpu = re.search(r"^model name\s*: (.*)$", read("/proc/cpuinfo"), re.M)
        memory = re.search(r"^MemTotal:\s*(\d+) kB", read("/proc/meminfo"), re.M)
        system = re.search(r'^PRETTY_NAME="?([^"\n]*)', read("/etc/os-release"), re.M)
        facts = {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                 "placewright": version[0] or None, "commit": version[1] if len(version) > 1 else None,
                 "system": system.group(1) if system else platform.platform(), "kernel": platform.release(),
                 "processor": cpu.group(1) if cpu else None, "processors": len(os.sched_getaffinity(0)),
                 "memory_bytes": int(memory.group(1)) * 1024 if memory else None, "python": platform.python_version(),
                 "torch": None, "gpus": [], "driver": None}
        if self.options.emulator:
            return facts
        if shutil.which("nvidia-smi"):
            status, _, _, text = run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit",
                                      "--format=csv,noheader"], 30, self.environment, "/")
            for line in text.splitlines() if status == "passed" else []:
                values = [value.strip() for value in line.split(",")]
                if len(values) == 5:
                    facts["gpus"].append(dict(zip(("name", "driver", "memory", "largest_clock", "power_limit"), values)))
        loaded = re.search(r"Kernel Module\s+(?:for \S+\s+)?([\d.]+)", read("/proc/driver/nvidia/version"))
        facts["driver"] = facts["gpus"][0]["driver"] if facts["gpus"] else loaded.group(1) if loaded else None
        return facts

    def find_torch(self):
        """A Python whose torch sees a GPU, as bench wants it: FOLDER/bin/python."""
        if self.options.emulator:
            return "the emulator stands for the GPU"
        reason = "no python3"
        for python in filter(None, (self.options.python, sys.executable, shutil.which("python3"), shutil.which("python"))):
            status, _, _, text = run([python, "-c", "import torch; assert torch.cuda.is_available(), 'torch sees no GPU'; "
                                      "print(torch.__version__, 'CUDA', torch.version.cuda)"], 120, self.environment, "/")
            if status == "passed":
                self.document["machine"]["torch"] = first_line(text)
                peers = pathlib.Path(self.work, "peers/bin")
                peers.mkdir(parents=True, exist_ok=True)
                wrapper = peers / "python"
                wrapper.write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
                wrapper.chmod(0o755)
                self.python = python
                self.environment["PLACEWRIGHT_PEERS"] = str(peers.parent)
                return ""
            reason = f"{python}: {text.strip().splitlines()[-1] if text.strip() else status}"
        return reason

    # --- steps

    def write(self):
        steps = self.document["steps"]
        counts = {status: sum(step["status"] == status for step in steps)
                  for status in ("passed", "failed", "timeout", "skipped")}
        self.document["summary"].update(counts)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        part = self.output.with_name(self.output.name + ".part")
        part.write_text(json.dumps(self.document, indent=1) + "\n")
        os.replace(part, self.output)

    def add(self, step):
        with self.lock:
            self.document["steps"].append(step)
            self.write()
            line = f"{step['status']:>8} {step['seconds']:7.1f} s  {step['name']}"
            print(line + (f": {step['reason']}" if step.get("reason") else ""), flush=True)
        return step

    def skip(self, name, kind, reason):
        return self.add({"name": name, "kind": kind, "status": "skipped", "seconds": 0.0, "reason": reason})

    def wanted(self, name):
        return re.search(self.options.only, name) is not None

    def step(self, name, kind, command, limit, environment=None, examine=None):
        """Runs it and adds what was found; `examine(step, output)` adds figures, and may fail the step."""
        left = self.end - time.monotonic()
        if left <= 1:
            return self.skip(name, kind, "the budget of seconds is spent")
        limit = min(limit, left, self.options.limit)
        status, code, seconds, output = run(command, limit, environment or self.environment, self.folder)
        step = {"name": name, "kind": kind, "status": status, "seconds": round(seconds, 3), "exit_code": code}
        if status == "timeout":
            step["reason"] = f"it took longer than {limit:.0f} s"
        if examine:
            try:
                examine(step, output)
            except (ValueError, KeyError, IndexError, TypeError, OSError) as fault:
                step.update(status="failed", reason=step.get("reason") or f"its output was not understood: {fault!r}")
        if step["status"] in ("failed", "timeout"):
            step["output"] = output[-OUTPUT_KEPT:]
        return self.add(step)

    # --- doctor

    def doctor(self):
        def examine(step, output):
            found = json.loads(output[output.index("{"):])
            step["doctor"] = found
            names = [check["check"] for check in found["checks"] if check["good"] and re.fullmatch(r"cuda:\d+", check["check"])]
            driver = next((check["found"] for check in found["checks"] if check["check"] == "cuda driver" and check["good"]), "")
            path = re.match(r"(.*?libcuda[^,]*),", driver)
            if names and path and not self.options.emulator:
                self.environment["PLACEWRIGHT_LIBCUDA"] = path.group(1)  # tests then run on it, not on the emulator
            if names:
                good = next(check["found"] for check in found["checks"] if check["check"] == names[0])
                self.document["gpu"] = {"count": len(names), "driver": driver, "first": good}
            else:
                faults = [check for check in found["checks"] if not check["good"]] + [
                    absent for absent in found["absent"] if absent["kind"] == "cuda"]
                text = faults[0].get("found") or faults[0].get("cause") if faults else "none was found"
                step["reason"] = f"no GPU: {text}"

        step = self.step("doctor", "doctor", [self.binary("placewright"), "doctor", "--format", "json"], 180, examine=examine)
        return self.document["gpu"] is not None, step.get("reason") or "see the step doctor"

    # --- tests, each in its own process

    def listed(self, program, pattern):
        status, _, _, text = run([self.test_binary(program), f"--gtest_filter={pattern}", "--gtest_list_tests"], 60,
                                 self.environment, self.folder)
        names, suite = [], ""
        for line in text.splitlines():
            line = line.split("#")[0].rstrip()
            if line.startswith("  "):
                names.append(suite + line.strip())
            elif line.endswith("."):
                suite = line
        if status != "passed" or not names:
            self.add({"name": f"{program}: list of tests", "kind": "test", "status": "failed", "seconds": 0.0,
                      "reason": "it names no tests", "output": text[-OUTPUT_KEPT:]})
        return names

    def test(self, program, name, limit):
        def examine(step, output):
            if step["status"] == "passed" and re.search(r"^\[  SKIPPED \] 1 test", output, re.M):
                reason = re.search(r": Skipped\n(.*)", output)
                step.update(status="skipped", reason=reason.group(1).strip() if reason else "it was skipped")
            elif step["status"] == "passed" and not re.search(r"^\[  PASSED  \] 1 test", output, re.M):
                step.update(status="failed", reason="it ran no test")

        self.step(f"{program}: {name}", "test", [self.test_binary(program), f"--gtest_filter={name}"], limit, examine=examine)

    def tests(self):
        jobs = []
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            for program, pattern, limit in TESTS:
                for name in self.listed(program, pattern):
                    if not self.wanted(f"{program}: {name}"):
                        continue
                    if "TwoGpus" in name and self.document["gpu"]["count"] < 2:
                        self.skip(f"{program}: {name}", "test", "one GPU")
                        continue
                    jobs.append(pool.submit(self.test, program, name, limit))
        for job in jobs:
            job.result()

    # --- benches

    def device_bench(self):
        def examine(step, output):
            step["cases"] = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
            slow = [case["case"] for case in step["cases"] if case.get("limit") == "measured copies" and case["of_limit"] < 0.8]
            if not self.options.emulator:
                self.document["summary"]["below_80_percent_of_copies"] = slow
                self.document["summary"]["products"] = self.products(step["cases"])
            if not step["cases"]:
                raise ValueError("no case")

        small = ["--elements", "8192", "--rounds", "1"] if self.options.emulator else []
        self.step("device_bench", "bench", [self.binary("device_bench"), *small], 600, examine=examine)

    @staticmethod
    def products(cases):
        """Of each product, our kernel beside what is chosen where a library is allowed."""
        by_name = {case["case"]: case for case in cases}
        return {name: {"kernel_microseconds": by_name[name]["microseconds"], "chosen": case["performer"],
                       "chosen_microseconds": case["microseconds"]}
                for case in cases for name in [case["case"].replace("_with_libraries", "")] if name != case["case"]}

    def bench(self, name, program, arguments, limit, environment=None):
        """The row of the program in bench's JSON, or None."""
        rows = []
        file = os.path.join(self.work, f"{re.sub('[^a-z0-9]', '_', name)}.json")

        def examine(step, output):
            if step["status"] == "failed" and os.path.exists(file):
                step["reason"] = "results differ from a peer's"
            if os.path.exists(file):
                found = json.loads(read(file))
                rows.extend(found["results"])
                step.update(results=found["results"], machine=found["machine"], peers=found["peers"])

        self.step(name, "bench", [self.binary("placewright"), "bench", program, *arguments, "--json", file], limit,
                  environment, examine)
        return rows[0] if rows else None

    def programs(self, no_torch):
        rounds = ["--rounds", "1"] if self.options.emulator else ["--rounds", "15"]
        ratios = self.document["summary"].setdefault("steps_of_programs", {})
        for program in AGREEING if self.options.emulator else PROGRAMS:
            if not self.wanted(f"bench {program}"):
                continue
            row = None
            if not no_torch:
                row = self.bench(f"bench {program} beside PyTorch", program, ["--devices", "cuda", "--peers", *rounds], 900)
            if row is None:
                row = self.bench(f"bench {program}", program, ["--devices", "cuda", "--no-peers", *rounds], 600)
            if row is None:
                continue
            peers = row.get("peers") or {}
            ratios[program] = {"microseconds": row["microseconds"], "pytorch_eager": peers.get("pytorch"),
                               "pytorch_max_autotune": peers.get("pytorch-compile"),
                               "eager_by_ours": peers["pytorch"] / row["microseconds"] if "pytorch" in peers else None,
                               "max_autotune_by_ours": peers["pytorch-compile"] / row["microseconds"]
                               if "pytorch-compile" in peers else None,
                               "without_peers_because": no_torch or (None if peers else "see the step")}
            self.write()

    def agreement(self):
        """The same steps here and there: on the GPU and the emulator; where that stands for the GPU, the processor."""
        for program in AGREEING:
            name = f"agreement {program}"
            if not self.wanted(name):
                continue
            arguments = ["--no-peers", "--rounds", "1"]
            here = self.bench(f"{name}: here", program, ["--devices", "cuda", *arguments], 300)
            if self.options.emulator:
                other = self.bench(f"{name}: processor", program, ["--devices", "cpu", *arguments], 300)
            else:
                emulated = dict(self.environment, **self.emulator)
                other = self.bench(f"{name}: emulator", program, ["--devices", "cuda", *arguments], 600, emulated)
            if not here or not other:
                self.skip(name, "agreement", "one of the two gave no results")
                continue
            off, fault = self.compare(here["values"], other["values"])
            step = {"name": name, "kind": "agreement", "status": "failed" if fault else "passed", "seconds": 0.0,
                    "values": len(here["values"]), "largest_relative_difference": off, "allowed": AGREEMENT}
            self.add(dict(step, reason=fault) if fault else step)

    @staticmethod
    def compare(here, other):
        """The largest relative difference, null if there is none; and what is wrong with it."""
        if not here or len(here) != len(other):
            return None, f"{len(here)} values here, {len(other)} there"
        if None in [*here, *other]:  # as bench writes NaN: it agrees with nothing
            return None, "a value is not a number"
        off = max(abs(a - b) / max(abs(b), 1e-2) for a, b in zip(here, other))
        return off, "" if off <= AGREEMENT else f"values differ by {off:.2e}, relative"

    def all(self):
        self.write()
        has_gpu, reason = self.doctor()
        if not has_gpu:
            for name in ("tests", "device_bench", "bench", "agreement"):
                self.skip(name, name, reason)
        else:
            self.tests()
            if self.wanted("device_bench"):
                self.device_bench()
            no_torch = self.find_torch() if any(self.wanted(f"bench {p}") for p in PROGRAMS) else "no bench was wanted"
            self.programs(no_torch)
            self.agreement()
        self.document["complete"] = True
        self.write()
        counts = self.document["summary"]
        print(f"{counts['passed']} passed, {counts['failed'] + counts['timeout']} failed, {counts['skipped']} skipped; {self.output}")
        if counts["failed"] or counts["timeout"]:
            return 1
        return 0 if has_gpu else 3


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(prog="gpu_pack_run", description=__doc__.split("\n")[0],
                                     epilog="Exit codes: 0 all steps passed, 1 a step failed, 2 wrong command line, 3 no GPU.")
    parser.add_argument("--output", default="gpu-pack-results.json", help="the JSON that is written (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="REGEX", help="steps whose name it is found in, and doctor")
    parser.add_argument("--emulator", action="store_true", help="the PTX emulator stands for the GPU: tries the script, measures nothing")
    parser.add_argument("--jobs", type=int, default=min(4, len(os.sched_getaffinity(0))), help="tests at once (default: %(default)s)")
    parser.add_argument("--budget", type=float, default=7200, metavar="SECONDS", help="for all steps (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=1e9, metavar="SECONDS", help="for each step, where its own is longer")
    parser.add_argument("--python", metavar="FILE", help="a Python with torch, tried first")
    parser.add_argument("--pack", default=str(here), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.jobs < 1 or options.budget <= 0 or options.limit <= 0:
        parser.error("--jobs, --budget and --limit: expected more than 0")
    try:
        re.compile(options.only)
    except re.error as fault:
        parser.error(f"--only: {fault}")
    pack = Pack(options)
    try:
        return pack.all()
    finally:
        shutil.rmtree(pack.work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
