#!/usr/bin/env python3
"""Writes a training step of a stack of layers as a graph in text form: make_graph.py OPS [DEVICE DEVICE] > FILE.pw

With devices, the user has put the first half of the layers on one and the second half on the other.

Modules, roles, parameters with their updates, and a source line for every op, as captured programs have them.
"""
import sys


class Writer:
    def __init__(self):
        self.ops, self.origins, self.inputs, self.updates, self.results = [], [], [], [], []
        self.ordinals = {}

    def origin(self, role, module, line):
        ordinal = self.ordinals.get((role, module), 0)
        self.ordinals[role, module] = ordinal + 1
        self.origins.append(f'  #{len(self.origins) + 1} = {role} {ordinal} in "{module}" from "model.py":{line} "train.py":40')
        return f" #{len(self.origins)}"

    def add(self, text, type, origin=""):
        self.ops.append(f"  %{len(self.ops)} = {text} : {type}{origin}")
        return len(self.ops) - 1

    def input(self, kind, name, type):
        self.inputs.append(self.add(f'input() {{kind="{kind}", name="{name}"}}', type))
        return self.inputs[-1]

    def text(self):
        lines = ["graph v1", "", "origins {", *self.origins, "}", ""]
        lines.append(f'function "main"({", ".join(f"%{i}" for i in self.inputs)}) {{')
        lines += self.ops + [f"  update %{state} = %{value}" for state, value in self.updates]
        lines.append("  return " + ", ".join(f"%{i}" for i in self.results))
        return "\n".join(lines + ["}", ""])


def dot(lhs, rhs):
    return f"dot_general(%{{}}, %{{}}) {{{{lhs_contracting=[{lhs}], rhs_contracting=[{rhs}]}}}}"


def make(ops, devices=(), batch=256, width=512):
    w = Writer()
    x_type, w_type = f"f32[{batch},{width}]", f"f32[{width},{width}]"
    layers = max(1, ops // 26)
    rate = w.input("argument", "rate", "f32[]")
    x = w.input("argument", "x", x_type)
    weights = [[w.input("state", f"layers.{i}.{name}.weight", w_type) for name in ("up", "down")] for i in range(layers)]
    saved = []
    for i, (up, down) in enumerate(weights):
        at = f"layers.{i}"
        o = lambda part, line: w.origin("forward", f"{at}.{part}", line)
        squares = w.add(f"mul(%{x}, %{x})", x_type, o("norm", 11))
        scaled = w.add(f"tanh(%{squares})", x_type, o("norm", 12))
        normed = w.add(f"add(%{x}, %{scaled})", x_type, o("norm", 13))
        pin = f' pin({devices[2 * i // layers]} from "train.py":{17 + 2 * i // layers})' if devices else ""
        hidden = w.add(dot(1, 0).format(normed, up), x_type + pin, o("up", 21))
        active = w.add(f"tanh(%{hidden})", x_type, o("activation", 24))
        gate = w.add(f"sigmoid(%{hidden})", x_type, o("activation", 25))
        gated = w.add(f"mul(%{active}, %{gate})", x_type, o("activation", 26))
        out = w.add(dot(1, 0).format(gated, down), x_type, o("down", 29))
        saved.append((normed, hidden, active, gate, gated))
        x = w.add(f"add(%{x}, %{out})", x_type, w.origin("forward", at, 31))
    gradient = x
    for i in reversed(range(layers)):
        (up, down), (normed, hidden, active, gate, gated), at = weights[i], saved[i], f"layers.{i}"
        o = lambda part, line: w.origin("backward", f"{at}.{part}", line)
        down_gradient = w.add(dot(0, 0).format(gated, gradient), w_type, o("down", 29))
        back = w.add(dot(1, 1).format(gradient, down), x_type, o("down", 29))
        by_gate = w.add(f"mul(%{back}, %{gate})", x_type, o("activation", 26))
        by_active = w.add(f"mul(%{back}, %{active})", x_type, o("activation", 26))
        bent = w.add(f"tanh(%{by_active})", x_type, o("activation", 25))
        both = w.add(f"add(%{by_gate}, %{bent})", x_type, o("activation", 24))
        up_gradient = w.add(dot(0, 0).format(normed, both), w_type, o("up", 21))
        through = w.add(dot(1, 1).format(both, up), x_type, o("up", 21))
        gradient = w.add(f"add(%{gradient}, %{through})", x_type, w.origin("backward", at, 31))
        for name, parameter, change in (("up", up, up_gradient), ("down", down, down_gradient)):
            at_update = f"{at}.{name}"
            spread = w.add(f"broadcast(%{rate}) {{dims=[], shape=[{width},{width}]}}", w_type, w.origin("update", at_update, 55))
            step = w.add(f"mul(%{change}, %{spread})", w_type, w.origin("update", at_update, 55))
            w.updates.append((parameter, w.add(f"sub(%{parameter}, %{step})", w_type, w.origin("update", at_update, 56))))
    w.results = [x]
    return w.text()


if __name__ == "__main__":
    sys.stdout.write(make(int(sys.argv[1]), sys.argv[2:]))
