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
TEXT, N = r'"(?:[^"\\]|\\.)*"', r"-?[0-9]{1,19}"
LINES = {
    "op": rf"op {TEXT} {TEXT} on (\S+) .*",
    "device": r"device (\S+) .*",
    "relief": rf"relief \S+ {TEXT} on \S+ {N} bytes ({N}) ns.*",
    "proof": rf"proof devices (\S+) around ({N}) bound ({N}) energy ({N})(?: relief ({N}))? (optimal|bounded)",
    "group": rf"group ({N}) costs((?: {N})+) (host|ops(?: {N})*)",
    "value": rf"value ({N}) moves((?: {N})+) to((?: {N}:{N})+)",
    "sum": r'sum "([0-9a-f]{8})"',
}


class Wrong(Exception):
    pass


def need(condition, message):
    if not condition:
        raise Wrong(message)


def ints(words):
    return [int(word) for word in words]


def read(text):
    """The fields of each kind of line, whole and in its place."""
    lines = text.split("\n")
    need(lines[0] == "placewright plan 1", "not a plan of version 1")
    need(lines[-2:] == ["end", ""], "the plan has no end")
    found = {kind: [] for kind in LINES}
    for number, line in enumerate(lines):
        kind = line.split(" ")[0]
        if kind not in LINES:
            continue
        fields = re.fullmatch(LINES[kind], line)
        need(fields, f"line {number + 1}: a damaged {kind}")
        is_proof = kind not in ("op", "device", "relief")
        need(bool(found["proof"]) == (is_proof and kind != "proof"), f"line {number + 1}: a {kind} out of its place")
        found[kind].append(fields.groups())
        if kind == "sum":
            same = f"{zlib.crc32(text[: text.rindex(line)].encode(errors=BYTES)):08x}" == fields[1]
            need(same, "the plan was changed after its proof was made: its check sum differs")
            need(lines[number + 1 :] == ["", "end", ""], "something stands behind the check sum")
    need(len(found["sum"]) == len(found["proof"]), "the proof has no check sum")
    return found


def prove(text):
    found = read(text)
    ops, known = ([fields[0] for fields in found[kind]] for kind in ("op", "device"))
    if not found["proof"]:
        need(len(known) == 1 and set(ops) <= set(known), "the plan carries no proof")
        return f"{len(ops)} ops on one device: nothing to prove"
    names, *claims, said, verdict = found["proof"][0]
    devices, (around, bound, claimed), k = names.split(","), ints(claims), names.count(",") + 1
    freeing = sum(int(fields[0]) for fields in found["relief"])
    need(int(said or 0) == freeing, f"to free memory takes {freeing}, the proof says {said or 0}")
    need(k >= 2 and len(set(devices)) == k and set(devices) <= set(known), "the proof's devices are not the machine's")
    need(0 <= around < k, "the proof's source is no device")
    others = [d for d in range(k) if d != around]

    # The placement that the file names: every op of a group on the group's device, every op in one group; its energy.
    groups = [(int(label), ints(costs.split()), members.split()) for label, costs, members in found["group"]]
    need([g for g, group in enumerate(groups) if group[2] == ["host"]] == [len(groups) - 1], "the host is the last group")
    members = [(op, g) for g, group in enumerate(groups[:-1]) for op in ints(group[2][1:])]
    need(sorted(op for op, _ in members) == list(range(len(ops))), "an op is in no group, or in two")
    for g, (label, costs, _) in enumerate(groups):
        need(0 <= label < k == len(costs) and all(0 <= c <= UNRUNNABLE for c in costs), f"group {g} is damaged")
        need(costs[label] < UNRUNNABLE, f"group {g} is on {devices[label]}, which cannot run it")
    for op, g in members:
        need(ops[op] == devices[groups[g][0]], f"op {op} is on {ops[op]}, its group is not")
    energy = sum(costs[label] for label, costs, _ in groups)

    # What the copies of values cost in it, what they may carry, and what flows out of each group with them.
    net = [0] * len(groups)
    for v, (producer, moves, readers) in enumerate(found["value"]):
        producer, moves, readers = int(producer), ints(moves.split()), [ints(r.split(":")) for r in readers.split()]
        ends = [producer] + [reader for reader, _ in readers]
        need(len(moves) == k * k and all(m >= 0 for m in moves), f"value {v} is damaged")
        need(all(moves[d * k + d] == 0 for d in range(k)), f"value {v}: a copy to its own device costs")
        need(len(set(ends)) == len(ends) and all(0 <= g < len(groups) for g in ends), f"value {v}: its readers")
        home = groups[producer][0]
        energy += sum(moves[home * k + d] for d in {groups[g][0] for g in ends} - {home})
        out, back = (sum(max(0, way * flow) for _, flow in readers) for way in (1, -1))
        need(out <= min(moves[around * k + d] for d in others), f"value {v}: more flows out than one copy costs")
        need(back <= min(moves[d * k + around] for d in others), f"value {v}: more flows back than one copy costs")
        net[producer] += out - back
        for reader, flow in readers:
            net[reader] -= flow

    # Conservation: what a group sends on comes from the source, what it keeps goes to the sink; the source's sum.
    flow = 0
    for g, (_, costs, _) in enumerate(groups):
        source, sink = min(costs[d] for d in others), costs[around]
        need(-sink <= net[g] <= source, f"group {g}: {net[g]} flows out, allowed are {-sink} to {source}")
        flow += min(source, sink + net[g])
    need(energy == claimed, f"the placement costs {energy}, the proof says {claimed}")
    need(flow == bound <= energy, f"{flow} flows, the proof says {bound} of {energy}")
    energy += freeing  # no flow knows of it
    need((flow == energy) == (verdict == "optimal"), f"not {verdict}: {flow} flows, the placement costs {energy}")
    if flow == energy:
        return f"optimal: {energy} ns, {len(groups)} groups, {len(found['value'])} values"
    above = f"{(energy / flow - 1) * 100:.2f}% above" if flow else "above"
    return f"bounded: {energy} ns, no placement on these {k} devices below {flow} ns in the sum of all times ({above})"


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: check_certificate.py PLAN")
    sys.stdout.reconfigure(errors=BYTES)
    try:
        with open(sys.argv[1], encoding="utf-8", errors=BYTES, newline="\n") as file:
            print(f"{sys.argv[1]}: {prove(file.read())}")
    except (Wrong, OSError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")


if __name__ == "__main__":
    main()
