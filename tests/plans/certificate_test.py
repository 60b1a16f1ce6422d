#!/usr/bin/env python3
"""The proofs that plans carry: certificate_test.py TOOL

scripts/check_certificate.py is run on plans of the tool, and on hundreds of them that were changed so that what they
claim is false; a judge that shares nothing with it says whether it is, by trying all placements."""
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import unittest
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CHECKER = os.path.join(ROOT, "scripts", "check_certificate.py")
sys.path.insert(0, os.path.dirname(CHECKER))
import check_certificate

TOOL = None


def machine(rng, devices):
    """Devices whose rates and links are drawn, so that plans split differently."""
    text = ""
    names = ["cpu:0"] + [f"sim:{i}" for i in range(devices - 1)]
    for name in names:
        kind = "host " if name == "cpu:0" else ""
        text += f'device {name} "d" target "t" {kind}memory 8589934592 bandwidth {10 ** rng.uniform(9, 11):.0f} threads 1 launch {10 ** rng.uniform(-8, -6):.3e} {{\n'
        for op_class in ("contraction", "elementwise"):
            text += f'  rate "{op_class}" f32 {10 ** rng.uniform(9, 12):.0f}\n'
        text += "}\n"
    for a, b in itertools.permutations(names, 2):
        text += f"link {a} -> {b} latency {10 ** rng.uniform(-9, -6):.3e} bandwidth {10 ** rng.uniform(8, 11):.0f}\n"
    return text


def model(rng):
    """A small graph whose values are read once or several times."""
    ops = ['  %0 = input() {kind="argument", name="x"} : f32[64,64]', '  %1 = input() {kind="state", name="w"} : f32[64,64]']
    for i in range(2, 7):
        a, b = rng.randrange(i), rng.randrange(i)
        kind = rng.choice(["exp", "tanh", "mul", "sub", "dot"])
        if kind == "dot":
            ops.append(f"  %{i} = dot_general(%{a}, %{b}) {{lhs_contracting=[1], rhs_contracting=[0]}} : f32[64,64]")
        elif kind in ("mul", "sub"):
            ops.append(f"  %{i} = {kind}(%{a}, %{i - 1}) : f32[64,64]")
        else:
            ops.append(f"  %{i} = {kind}(%{i - 1}) : f32[64,64]")
    update = "  update %1 = %5\n" if rng.random() < 0.5 else ""
    return 'graph v1\n\nfunction "main"(%0, %1) {\n' + "\n".join(ops) + "\n" + update + "  return %6\n}\n"


def resummed(text):
    """With a check sum that fits: what is left to notice is in the numbers."""
    body, found, _ = text.partition('sum "')
    return f'{body}sum "{zlib.crc32(body.encode()):08x}"\n\nend\n' if found else text


def accepted(text):
    try:
        check_certificate.prove(text)
        return True
    except check_certificate.Wrong:
        return False


def claim_holds(text):
    """Whether the plan's placement costs what the plan says, and no placement costs less than the plan's bound; that it is
    the best, where it says so. False as well if the numbers make no problem."""
    proof = re.search(r"^proof devices (\S+) around (-?\d+) bound (-?\d+) energy (-?\d+) (\w+)$", text, re.M)
    devices = proof[1].split(",")
    k, bound, claimed = len(devices), int(proof[3]), int(proof[4])
    on = re.findall(r'^op (?:"[^"]*" ){2}on (\S+)', text, re.M)
    groups = []
    for label, rest in re.findall(r"^group (-?\d+) costs (.*)$", text, re.M):
        costs, _, members = rest.partition(" ops ")
        groups.append((int(label), [int(c) for c in costs.replace(" host", "").split()], [int(m) for m in members.split()]))
    values = []
    for producer, moves, readers in re.findall(r"^value (-?\d+) moves (.*) to(.*)$", text, re.M):
        values.append((int(producer), [int(m) for m in moves.split()], [int(r.split(":")[0]) for r in readers.split()]))
    owners = sorted(m for _, _, members in groups for m in members)
    if owners != list(range(len(on))) or any(on[m] != devices[label] for label, _, members in groups for m in members):
        return False

    def energy(labels):
        sum_ = sum(groups[g][1][label] for g, label in enumerate(labels))
        for producer, moves, readers in values:
            sum_ += sum(moves[labels[producer] * k + d] for d in {labels[r] for r in readers} - {labels[producer]})
        return sum_

    best = min(energy(labels) for labels in itertools.product(range(k), repeat=len(groups)))
    named = energy([label for label, _, _ in groups])
    return named == claimed and bound <= best and (named == best == bound) == (proof[5] == "optimal")


def mutated(rng, text):
    """One number or device of the placement or its proof is another one, or a line is gone, double or swapped."""
    lines = text.split("\n")
    body = [i for i, line in enumerate(lines) if line.startswith(("op ", "proof ", "group ", "value "))]
    at = rng.choice(body)
    kind = rng.randrange(8)
    if kind == 0 and not lines[at].startswith("proof "):
        del lines[at]
    elif kind == 1 and not lines[at].startswith("proof "):
        lines.insert(at, lines[at])
    elif lines[at].startswith("op "):
        devices = re.findall(r"^device (\S+)", text, re.M)
        lines[at] = re.sub(r" on (\S+) ", lambda m: f" on {rng.choice([d for d in devices if d != m[1]])} ", lines[at])
    else:
        spots = [m for m in re.finditer(r"(?<![\w:\[])-?\d+|(?<=\d:)-?\d+", lines[at])]
        spot = rng.choice(spots)
        old = int(spot[0])
        new = rng.choice([0, old + 1, old - 1, old * 2, old // 2, -old, old + 100, old - 100, old + 10 ** 6])
        lines[at] = lines[at][: spot.start()] + str(new) + lines[at][spot.end():]
    return "\n".join(lines)


class Certificates(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.plans = []
        rng = random.Random(7)
        for i in range(24):
            paths = [os.path.join(cls.folder.name, f"{i}.{end}") for end in ("machine", "pw", "lock")]
            with open(paths[0], "w") as file:
                file.write(machine(rng, 3 if i % 4 == 3 else 2))
            with open(paths[1], "w") as file:
                file.write(model(rng))
            subprocess.run([TOOL, "place", "--machine", paths[0], paths[1], "-o", paths[2]], check=True, timeout=60)
            with open(paths[2]) as file:
                cls.plans.append(file.read())

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_every_plan_is_proven(self):
        splits = 0
        for text in self.plans:
            self.assertTrue(claim_holds(text))
            self.assertIn("ns", check_certificate.prove(text))
            splits += len(set(re.findall(r'^op (?:"[^"]*" ){2}on (\S+)', text, re.M))) > 1
        self.assertGreater(splits, 4)

    def test_what_frees_memory_is_counted(self):
        """Layers whose values wait for late readers, on a device that holds few of them, and on one that holds all."""
        ops = ['  %0 = input() {kind="argument", name="x"} : f32[512,512]', '  %1 = input() {kind="state", name="w"} : f32[512,512]']

        def add(text):
            ops.append(f"  %{len(ops)} = {text} : f32[512,512]")
            return len(ops) - 1

        made = [0]
        for _ in range(10):
            product = add(f"dot_general(%{made[-1]}, %1) {{lhs_contracting=[1], rhs_contracting=[0]}}")
            made.append(add(f"tanh(%{product})"))
        last = made[-1]
        for value in reversed(made):
            product = add(f"mul(%{last}, %{value})")
            last = add(f"dot_general(%{product}, %1) {{lhs_contracting=[1], rhs_contracting=[1]}}")
        graph = 'graph v1\n\nfunction "main"(%0, %1) {\n' + "\n".join(ops) + f"\n  return %{last}\n}}\n"
        paths = [os.path.join(self.folder.name, f"relief.{end}") for end in ("machine", "pw", "lock")]
        with open(paths[1], "w") as file:
            file.write(graph)
        for megabytes, is_relieved in ((12, True), (64, False)):
            with open(paths[0], "w") as file:
                for name, rate, memory in (("cpu:0", 10**10, "host memory 8589934592"), ("sim:0", 10**13, f"memory {megabytes << 20}")):
                    file.write(f'device {name} "d" target "t" {memory} bandwidth {rate} threads 1 launch 1e-06 {{\n')
                    file.write(f'  rate "contraction" f32 {rate}\n  rate "elementwise" f32 {rate}\n}}\n')
                for ends in ("cpu:0 -> sim:0", "sim:0 -> cpu:0"):
                    file.write(f"link {ends} latency 1e-06 bandwidth 10000000000\n")
            subprocess.run([TOOL, "place", "--machine", paths[0], paths[1], "-o", paths[2]], check=True, timeout=60)
            with open(paths[2]) as file:
                text = file.read()
            times = [int(ns) for ns in re.findall(r"^relief .* (\d+) ns", text, re.M)]
            proof = re.search(r"^proof .* bound (\d+) energy (\d+)(?: relief (\d+))? (\w+)$", text, re.M)
            self.assertEqual(sum(times) > 0, is_relieved)
            self.assertEqual(int(proof[3] or 0), sum(times))
            self.assertEqual(proof[1], proof[2])  # without what frees memory it were the best
            self.assertEqual(proof[4], "bounded" if is_relieved else "optimal")
            self.assertTrue(accepted(text))
            if is_relieved:
                for changed in (
                    text.replace(f" relief {sum(times)} bounded", " optimal"),
                    text.replace(" bounded", " optimal"),
                    re.sub(r"(?m)^(relief .* )\d+ ns", r"\g<1>0 ns", text, count=1),
                ):
                    self.assertNotEqual(changed, text)
                    self.assertFalse(accepted(resummed(changed)))

    def test_names_may_hold_any_bytes(self):
        paths = [os.path.join(self.folder.name, f"bytes.{end}") for end in ("machine", "pw", "lock")]
        rng = random.Random(5)
        with open(paths[0], "w") as file:
            file.write(machine(rng, 2))
        with open(paths[1], "wb") as file:
            file.write(model(rng).encode().replace(b'"w"', b'"w\xff"'))
        subprocess.run([TOOL, "place", "--machine", paths[0], paths[1], "-o", paths[2]], check=True, timeout=60)
        with open(paths[2], "rb") as file:
            plan = file.read()
        self.assertIn(b"w\xff", plan)
        self.assertEqual(subprocess.run([sys.executable, CHECKER, paths[2]], capture_output=True).returncode, 0)
        with open(paths[2], "wb") as file:
            file.write(plan.replace(b"w\xff", b"w\xfe"))
        changed = subprocess.run([sys.executable, CHECKER, paths[2]], capture_output=True)
        self.assertEqual(changed.returncode, 1)
        self.assertIn(b"check sum differs", changed.stderr)

    def test_what_makes_a_claim_false_is_rejected(self):
        rng = random.Random(11)
        false = true = 0
        for _ in range(1600):
            text = self.plans[rng.randrange(len(self.plans))]
            changed = mutated(rng, text)
            if changed == text:
                continue
            self.assertFalse(accepted(changed))  # the check sum
            changed = resummed(changed)
            try:
                holds = claim_holds(changed)
            except (IndexError, TypeError, ValueError):
                holds = False
            if holds:
                true += 1  # another cost of what is not used: as true as before
                continue
            false += 1
            self.assertFalse(accepted(changed), changed)
        self.assertGreater(false, 600)

    def test_flows_beyond_what_copies_and_costs_allow_are_rejected(self):
        for text in self.plans:
            for spot in re.finditer(r"(?<=\d:)-?\d+", text):
                for flow in (10 ** 15, -(10 ** 15)):
                    changed = resummed(text[: spot.start()] + str(flow) + text[spot.end():])
                    if text.startswith("value ", text.rfind("\n", 0, spot.start()) + 1):
                        self.assertFalse(accepted(changed))

    def test_every_damaged_byte_is_rejected(self):
        rng = random.Random(13)
        for _ in range(2000):
            text = self.plans[rng.randrange(len(self.plans))]
            at = rng.randrange(len(text))
            byte = chr(rng.randrange(32, 127))
            if byte != text[at]:
                self.assertFalse(accepted(text[:at] + byte + text[at + 1:]))
                self.assertFalse(accepted(text[:at]))

    def test_the_command_says_so_by_its_exit_code(self):
        path = os.path.join(self.folder.name, "0.lock")
        good = subprocess.run([sys.executable, CHECKER, path], capture_output=True, text=True)
        self.assertEqual((good.returncode, good.stderr), (0, ""))
        self.assertRegex(good.stdout, r"0\.lock: optimal: \d+ ns, \d+ groups, \d+ values\n$")
        bad = os.path.join(self.folder.name, "bad.lock")
        no_label = resummed(re.sub(r"\ngroup \d+", "\ngroup", self.plans[0]))
        for text in (self.plans[0].replace("energy ", "energy 1"), "", "\x00", self.plans[0][:300], no_label):
            with open(bad, "w") as file:
                file.write(text)
            run = subprocess.run([sys.executable, CHECKER, bad], capture_output=True, text=True)
            self.assertEqual((run.returncode, run.stdout, run.stderr.count("\n")), (1, "", 1), run.stderr)
        missing = subprocess.run([sys.executable, CHECKER, bad + "x"], capture_output=True, text=True)
        self.assertEqual((missing.returncode, missing.stderr.count("\n")), (1, 1))

    def test_a_side_file_carries_the_proof_alone(self):
        plan, proof = (os.path.join(self.folder.name, name) for name in ("side.lock", "side.proof"))
        inputs = [os.path.join(self.folder.name, name) for name in ("0.machine", "0.pw")]
        subprocess.run([TOOL, "place", "--machine", *inputs, "-o", plan, "--certificate", proof], check=True)
        with open(plan) as file:
            self.assertNotIn("proof", file.read())
        with open(proof) as file:
            self.assertEqual(file.read(), self.plans[0])
        self.assertEqual(subprocess.run([sys.executable, CHECKER, plan], capture_output=True).returncode, 1)
        self.assertEqual(subprocess.run([sys.executable, CHECKER, proof], capture_output=True).returncode, 0)


if __name__ == "__main__":
    TOOL = os.path.abspath(sys.argv.pop(1))
    unittest.main()
