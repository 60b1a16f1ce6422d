#!/usr/bin/env python3
"""Checks the proof that a plan carries: no placement of its problem costs less than the bound that its flow gives.

usage: check_certificate.py PLAN        exit code 0: the proof holds; 1: it does not, and one line says why

The problem: groups of ops, each on one of k devices at a cost; a value is copied once to each further device that reads
it. The flow's source stands for the device `around`, its sink for all others, each at the least that any of them costs:
no placement costs less than that does, and nothing there costs less than what flows (Ford and Fulkerson). A group takes
at most its cheapest other cost from the source and gives at most its cost on `around` to the sink. A value carries at
most one copy's cost out of `around` to its readers, and one copy's back. Shares no code with the optimiser.
"""
import re
import sys
import zlib

UNRUNNABLE = 1 << 50
BYTES = "surrogateescape"  # names may hold any bytes
TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|[^\s"]+')
NUMBER = re.compile(r"-?[0-9]{1,19}")


class Wrong(Exception):
    pass


def need(condition, message):
    if not condition:
        raise Wrong(message)


def numbers(words):
    for word in words:
        need(NUMBER.fullmatch(word), f"'{word}' is no whole number")
    return [int(word) for word in words]


def split(words, *marks):
    """The words between the marks, which all must stand there, in this order."""
    parts, begin = [], 0
    for mark in marks:
        need(mark in words[begin:], f"'{mark}' is missing in '{' '.join(words[:8])} ...'")
        end = words.index(mark, begin)
        parts.append(words[begin:end])
        begin = end + 1
    return parts + [words[begin:]]


def prove(text):
    lines = text.split("\n")
    need(lines[0] == "placewright plan 1", "not a plan of version 1")
    need(lines[-2:] == ["end", ""], "the plan has no end")
    ops, devices, groups, values, known, relief = [], None, [], [], [], []
    for number, line in enumerate(lines, 1):
        words = TOKEN.findall(line)
        if line.startswith("op "):
            need(devices is None and len(words) > 4 and words[3] == "on", f"line {number}: a damaged op")
            ops.append(words[4])
        elif line.startswith("relief "):
            need(devices is None and len(words) > 8 and words[8] == "ns", f"line {number}: a damaged relief")
            relief.append(numbers(words[7:8])[0])
        elif line.startswith("device "):
            known.append(words[1])
        elif line.startswith("proof "):
            need(devices is None, "two proofs")
            _, names, around, bound, claimed = split(words[1:-1], "devices", "around", "bound", "energy")
            need(words[-1] in ("optimal", "bounded"), f"line {number}: neither optimal nor bounded")
            optimal = words[-1] == "optimal"
            devices = "".join(names).split(",")
            need(len(claimed) == 1 or (len(claimed) == 3 and claimed[1] == "relief"), f"line {number}: a damaged energy")
            freeing = sum(relief)
            around, bound, claimed, said = numbers(around + bound + claimed[:1] + (claimed[2:] or ["0"]))
            need(said == freeing, f"to free memory takes {freeing}, the proof says {said}")
            need(len(devices) >= 2 and len(set(devices)) == len(devices), "the proof's devices")
            need(set(devices) <= set(known), "a device of the proof is not the machine's")
            need(0 <= around < len(devices), "the proof's source is no device")
        elif line.startswith("group "):
            need(devices is not None, f"line {number}: a group before the proof")
            label, costs = split(words[1:], "costs")
            members = costs[len(devices):]
            need(members == ["host"] or members[:1] == ["ops"], f"line {number}: a damaged group")
            groups.append((numbers(label)[0], numbers(costs[: len(devices)]), numbers(members[1:]) if members != ["host"] else None))
        elif line.startswith("value "):
            producer, moves, readers = split(words[1:], "moves", "to")
            values.append((numbers(producer)[0], numbers(moves), [numbers(r.split(":")) for r in readers]))
        elif line.startswith("sum "):
            body = "\n".join(lines[: number - 1]) + "\n"
            need(words[1:] == [f'"{zlib.crc32(body.encode(errors=BYTES)):08x}"'], "the plan was changed after its proof was made: its check sum differs")
            need(lines[number:] == ["", "end", ""], "something stands behind the check sum")
            break
    else:
        need(devices is None, "the proof has no check sum")
    if devices is None:
        need(len(known) == 1 and set(ops) <= set(known), "the plan carries no proof")
        return f"{len(ops)} ops on one device: nothing to prove"
    k = len(devices)
    others = [d for d in range(k) if d != around]

    # The placement that the file names: every op of a group on the group's device, every op in one group.
    need(groups and groups[-1][2] is None and all(m is not None for _, _, m in groups[:-1]), "the host is the last group")
    group_of = {}
    for g, (label, costs, members) in enumerate(groups):
        need(0 <= label < k and len(costs) == k and all(0 <= c <= UNRUNNABLE for c in costs), f"group {g} is damaged")
        need(costs[label] < UNRUNNABLE, f"group {g} is on {devices[label]}, which cannot run it")
        for op in members or []:
            need(0 <= op < len(ops) and op not in group_of, f"op {op} of group {g}")
            group_of[op] = g
            need(ops[op] == devices[label], f"op {op} is on {ops[op]}, its group on {devices[label]}")
    need(len(group_of) == len(ops), "an op is in no group")

    # Its energy, the capacities of values, and what each group's copies take out of it.
    energy = sum(costs[label] for label, costs, _ in groups)
    net = [0] * len(groups)
    for v, (producer, moves, readers) in enumerate(values):
        need(0 <= producer < len(groups) and len(moves) == k * k and all(m >= 0 for m in moves), f"value {v} is damaged")
        need(all(moves[d * k + d] == 0 for d in range(k)), f"value {v}: a copy to its own device costs")
        need(readers and all(len(r) == 2 and 0 <= r[0] < len(groups) for r in readers), f"value {v}: its readers")
        need(len({r for r, _ in readers} | {producer}) == len(readers) + 1, f"value {v}: a reader twice")
        home = groups[producer][0]
        energy += sum(moves[home * k + d] for d in {groups[r][0] for r, _ in readers} - {home})
        out = sum(flow for _, flow in readers if flow > 0)
        back = -sum(flow for _, flow in readers if flow < 0)
        need(out <= min(moves[around * k + d] for d in others), f"value {v}: more flows out than one copy costs")
        need(back <= min(moves[d * k + around] for d in others), f"value {v}: more flows back than one copy costs")
        for reader, flow in readers:
            net[producer] += flow
            net[reader] -= flow

    # Conservation: what a group sends on comes from the source, what it keeps goes to the sink; the source's sum.
    flow = 0
    for g, (_, costs, _) in enumerate(groups):
        source, sink = min(costs[d] for d in others), costs[around]
        need(-sink <= net[g] <= source, f"group {g}: {net[g]} flows out, allowed are {-sink} to {source}")
        flow += min(source, sink + net[g])
    need(energy == claimed, f"the placement costs {energy}, the proof says {claimed}")
    need(flow == bound, f"{flow} flows, the proof says {bound}")
    need(flow <= energy, "more flows than the placement costs")
    energy += freeing  # no flow knows of it
    need(optimal == (flow == energy), f"{'not' if optimal else 'but'} optimal: {flow} flows, the placement costs {energy}")
    if optimal:
        return f"optimal: {energy} ns, {len(groups)} groups, {len(values)} values"
    above = f"{(energy / flow - 1) * 100:.2f}% above" if flow else "above"
    return f"bounded: {energy} ns, no placement on these {k} devices below {flow} ns in the sum of all times ({above})"


def check(text):
    try:
        return prove(text)
    except (IndexError, ValueError) as error:
        raise Wrong(f"a damaged line: {error}") from None


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: check_certificate.py PLAN")
    sys.stdout.reconfigure(errors=BYTES)
    try:
        with open(sys.argv[1], encoding="utf-8", errors=BYTES, newline="\n") as file:
            print(f"{sys.argv[1]}: {check(file.read())}")
    except (Wrong, OSError) as error:
        print(f"{sys.argv[1]}: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
