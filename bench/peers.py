#!/usr/bin/env python3
"""One peer (PyTorch, JAX or NumPy) in a process of its own, driven line by line by `placewright bench`.

    peers.py PEER THREADS [cpu|cuda]        PEER: pytorch, pytorch-compile, jax, jax-scan, numpy

On cuda are pytorch and pytorch-compile alone, the latter with max-autotune; both compute in f32, without TF32.

On start it answers {"peer", "version", "programs"}. Then each line on standard input is answered by one JSON line:

    prepare PROGRAM   builds the program, its weights and its batch           {"ready": PROGRAM}
    check             from the initial weights: the losses of 10 steps and    {"values": [...]}
                      the L2 norm of each parameter after them; for a gemm
                      the first and the last element and the L2 norm
    round N           N chained steps, loss unread, one wait at the end       {"microseconds": of one step, "steps": N}
    quit

A fault is answered by {"error": TEXT}. Programs are a b c d e of training steps and gemm-MxNxK-FORM, FORM nn, tn or nt.
Weights and batches follow the formula of scripts/make_reference.py: parameter k is unit(k) / sqrt(fan_in), the batch is
unit(1000) with label(2000) or, for a and b, unit(2000); a gemm multiplies unit(1) by unit(2), each as it is stored.
"""

import json
import os
import pathlib
import resource
import sys
import time


def best_environment(threads):
    """Starts this script again with the environment that suits the peers, unless it already has it."""
    if os.environ.get("PLACEWRIGHT_PEER_READY"):
        return
    environment = dict(os.environ, PLACEWRIGHT_PEER_READY="1")
    environment.pop("OPENBLAS_CORETYPE", None)  # some images export Haswell, which halves OpenBLAS
    cpu_flags = pathlib.Path("/proc/cpuinfo").read_text()
    if " avx512f " in cpu_flags:
        environment["ATEN_CPU_CAPABILITY"] = "avx512"
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[variable] = str(threads)
    environment["JAX_PLATFORMS"] = "cpu"
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"):
        library = next(iter(sorted(pathlib.Path(folder).glob("libtcmalloc_minimal.so.*"))), None)
        if library:
            environment["LD_PRELOAD"] = str(library)
            break
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)


def use_cpus(threads):
    """XLA takes as many threads as the process may use CPUs; so the peer gets as many CPUs as it may use threads."""
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cpus[-threads:] if threads < len(cpus) else cpus)


# --- programs: layers, input shape, optimizer ---

LAYERS = {
    "a": [("linear", 10, 2)],
    "b": [("linear", 10, 1)],
    "c": [("conv", 3, 16, 1), ("relu",), ("pool",), ("flatten",), ("linear", 784, 10)],
    "d": [("linear", 784, 512), ("relu",), ("linear", 512, 512), ("relu",), ("linear", 512, 10)],
    "e": [("conv", 1, 32, 0), ("relu",), ("conv", 32, 64, 0), ("relu",), ("pool",), ("flatten",),
          ("linear", 9216, 128), ("relu",), ("linear", 128, 10)],
}
INPUTS = {"a": (100, 10), "b": (32, 10), "c": (16, 3, 14, 14), "d": (128, 784), "e": (64, 1, 28, 28)}
LEARNING_RATE = {"a": 0.01, "b": 0.01, "c": 1e-3, "d": 1e-3, "e": 1e-3}
REGRESSION = ("a", "b")  # mean squared error and SGD; the others cross entropy and Adam


def initial_parameters(program):
    """Weight and bias of each layer as float32, [out, in...] as PyTorch has them."""
    from make_reference import unit
    import numpy as np
    parameters = []
    for layer in LAYERS[program]:
        if layer[0] not in ("linear", "conv"):
            continue
        fan_in, fan_out = layer[1] * (9 if layer[0] == "conv" else 1), layer[2]
        shape = (fan_out, layer[1], 3, 3) if layer[0] == "conv" else (fan_out, layer[1])
        for part in (shape, (fan_out,)):
            parameters.append((unit(len(parameters), part) * (1.0 / np.sqrt(np.float64(fan_in)))).astype(np.float32))
    return parameters


def batch(program):
    from make_reference import labels, unit
    import numpy as np
    shape = INPUTS[program]
    inputs = unit(1000, shape).astype(np.float32)
    if program in REGRESSION:
        return inputs, unit(2000, (shape[0], LAYERS[program][0][2])).astype(np.float32)
    return inputs, labels(2000, shape[0])


def gemm_operands(program):
    """The two operands as stored, and the form: tn stores the first transposed, nt the second."""
    from make_reference import unit
    import numpy as np
    _, sizes, form = program.split("-")
    m, n, k = (int(size) for size in sizes.split("x"))
    first = unit(1, (k, m) if form == "tn" else (m, k)).astype(np.float32)
    second = unit(2, (n, k) if form == "nt" else (k, n)).astype(np.float32)
    return first, second, form


def gemm_check(result):
    import numpy as np
    values = np.asarray(result, dtype=np.float64)
    return [values.flat[0], values.flat[-1], float(np.sqrt((values * values).sum()))]


# --- peers: prepare(program), check(), run(steps) which waits for its end ---


class Torch:
    programs = ["a", "b", "c", "d", "e", "gemm"]

    def __init__(self, threads, compiled, device):
        import torch
        self.torch, self.compiled, self.device = torch, compiled, device
        torch.set_num_threads(threads)
        self.version = torch.__version__
        if device == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
            torch.backends.cudnn.benchmark = True  # sizes never change
            self.version += f" on {torch.cuda.get_device_name()}"

    def prepare(self, program):
        torch = self.torch
        self.program = program
        if program.startswith("gemm-"):
            first, second, form = gemm_operands(program)
            first, second = (torch.from_numpy(operand).to(self.device) for operand in (first, second))
            first, second = first.t() if form == "tn" else first, second.t() if form == "nt" else second
            out = torch.empty(first.shape[0], second.shape[1], device=self.device)
            self.step = lambda: torch.mm(first, second, out=out)
            return
        nn = torch.nn
        made = {"linear": lambda i, o: nn.Linear(i, o), "conv": lambda i, o, p: nn.Conv2d(i, o, 3, padding=p),
                "relu": nn.ReLU, "pool": lambda: nn.MaxPool2d(2), "flatten": nn.Flatten}
        model = nn.Sequential(*[made[kind](*arguments) for kind, *arguments in LAYERS[program]])
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), initial_parameters(program)):
                parameter.copy_(torch.from_numpy(value))
        model = model.to(self.device)
        inputs, targets = (torch.from_numpy(array).to(self.device) for array in batch(program))
        if inputs.dim() == 4:
            model, inputs = (thing.to(memory_format=torch.channels_last) for thing in (model, inputs))
        loss_of = nn.MSELoss() if program in REGRESSION else nn.CrossEntropyLoss()
        make = torch.optim.SGD if program in REGRESSION else torch.optim.Adam
        optimizer = make(model.parameters(), lr=LEARNING_RATE[program], fused=True)

        def forward(x, y):
            return loss_of(model(x), y)

        if self.compiled:
            torch._dynamo.reset()
            forward = torch.compile(forward, mode="max-autotune" if self.device == "cuda" else None)

        def step():
            optimizer.zero_grad(set_to_none=True)
            loss = forward(inputs, targets)
            loss.backward()
            optimizer.step()
            return loss

        self.step, self.parameters = step, list(model.parameters())

    def check(self):
        self.prepare(self.program)
        if self.program.startswith("gemm-"):
            return gemm_check(self.step().cpu().numpy())
        losses = [self.step().item() for _ in range(10)]
        return losses + [parameter.detach().double().norm().item() for parameter in self.parameters]

    def run(self, steps):
        for _ in range(steps):
            self.step()
        if self.device == "cuda":
            self.torch.cuda.synchronize()
        return steps


class Jax:
    SCAN = 1000

    def __init__(self, threads, scanned):
        import jax
        self.jax, self.scanned = jax, scanned
        self.programs = ["a", "b"] if scanned else ["a", "b", "c", "d", "e", "gemm"]
        self.version = jax.__version__

    def prepare(self, program):
        jax = self.jax
        numpy = jax.numpy
        self.program = program
        if program.startswith("gemm-"):
            first, second, form = gemm_operands(program)
            first, second = jax.device_put(first), jax.device_put(second)
            dims = ((0,) if form == "tn" else (1,), (1,) if form == "nt" else (0,))
            product = jax.jit(lambda x, y: jax.lax.dot_general(x, y, (dims, ((), ()))))
            self.product = lambda: product(first, second)
            self.product().block_until_ready()
            return
        layers, parameters = LAYERS[program], initial_parameters(program)
        inputs, targets = batch(program)
        # Channels last: convolutions are twice as fast so. The first Linear after Flatten takes its columns in that order.
        position, channels = 0, None
        for layer in layers:
            if layer[0] == "conv":
                parameters[position] = parameters[position].transpose(2, 3, 1, 0).copy()
                channels = layer[2]
            if layer[0] == "linear":
                if channels:
                    side = int((layer[1] // channels) ** 0.5)
                    columns = parameters[position].reshape(layer[2], channels, side, side).transpose(0, 2, 3, 1)
                    parameters[position] = columns.reshape(layer[2], layer[1])
                    channels = None
                parameters[position] = parameters[position].T.copy()
            if layer[0] in ("conv", "linear"):
                position += 2
        if inputs.ndim == 4:
            inputs = inputs.transpose(0, 2, 3, 1).copy()
        self.inputs, self.targets = jax.device_put(inputs), jax.device_put(targets)

        def forward(weights, x):
            position = 0
            for layer in layers:
                if layer[0] == "linear":
                    x = x @ weights[position] + weights[position + 1]
                    position += 2
                elif layer[0] == "conv":
                    x = jax.lax.conv_general_dilated(x, weights[position], (1, 1), [(layer[3], layer[3])] * 2,
                                                     dimension_numbers=("NHWC", "HWIO", "NHWC")) + weights[position + 1]
                    position += 2
                elif layer[0] == "relu":
                    x = jax.nn.relu(x)
                elif layer[0] == "pool":
                    x = jax.lax.reduce_window(x, -numpy.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
                else:
                    x = x.reshape(x.shape[0], -1)
            return x

        def loss_of(weights, x, y):
            result = forward(weights, x)
            if program in REGRESSION:
                return ((result - y) ** 2).mean()
            return -numpy.take_along_axis(jax.nn.log_softmax(result), y[:, None], 1).mean()

        rate, beta1, beta2, epsilon = LEARNING_RATE[program], 0.9, 0.999, 1e-8

        def step(state, x, y):
            weights, first, second, count = state
            loss, gradients = jax.value_and_grad(loss_of)(weights, x, y)
            if program in REGRESSION:
                return (jax.tree.map(lambda w, g: w - rate * g, weights, gradients), first, second, count), loss
            count = count + 1
            first = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, first, gradients)
            second = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, second, gradients)
            correction = numpy.sqrt(1 - beta2**count)
            size = rate / (1 - beta1**count)
            weights = jax.tree.map(lambda w, m, v: w - size * m / (numpy.sqrt(v) / correction + epsilon),
                                   weights, first, second)
            return (weights, first, second, count), loss

        if self.scanned:
            def steps(state, x, y):
                return jax.lax.scan(lambda s, _: step(s, x, y), state, None, length=self.SCAN)
            self.many = jax.jit(steps, donate_argnums=0)
        self.one = jax.jit(step, donate_argnums=0)
        self.start = parameters
        self.reset()
        self.run(1)
        self.reset()

    def reset(self):
        put, numpy = self.jax.device_put, self.jax.numpy
        weights = [put(parameter) for parameter in self.start]
        zeros = lambda: [] if self.program in REGRESSION else [numpy.zeros_like(weight) for weight in weights]
        self.state = (weights, zeros(), zeros(), put(numpy.float32(0)))

    def check(self):
        if self.program.startswith("gemm-"):
            return gemm_check(self.product())
        self.reset()
        losses = []
        for _ in range(10):
            self.state, loss = self.one(self.state, self.inputs, self.targets)
            losses.append(float(loss))
        norms = [float(self.jax.numpy.sqrt((weight.astype("float32") ** 2).sum())) for weight in self.state[0]]
        self.reset()
        return losses + norms

    def run(self, steps):
        if self.program.startswith("gemm-"):
            for _ in range(steps):
                result = self.product()
            result.block_until_ready()
            return steps
        step, width = (self.many, self.SCAN) if self.scanned else (self.one, 1)
        calls = -(-steps // width)
        for _ in range(calls):
            self.state, loss = step(self.state, self.inputs, self.targets)
        self.jax.block_until_ready((self.state, loss))
        return calls * width


class NumPy:
    programs = ["gemm"]

    def __init__(self):
        import numpy
        self.numpy, self.version = numpy, numpy.__version__

    def prepare(self, program):
        first, second, form = gemm_operands(program)
        self.first, self.second = first.T if form == "tn" else first, second.T if form == "nt" else second
        self.out = self.numpy.empty((self.first.shape[0], self.second.shape[1]), self.numpy.float32)
        self.run(1)

    def check(self):
        return gemm_check(self.first @ self.second)

    def run(self, steps):
        for _ in range(steps):
            self.numpy.matmul(self.first, self.second, out=self.out)
        return steps


def main():
    if len(sys.argv) not in (3, 4) or (sys.argv[3:] or ["cpu"])[0] not in ("cpu", "cuda"):
        sys.exit("usage: peers.py pytorch|pytorch-compile|jax|jax-scan|numpy THREADS [cpu|cuda]")
    name, threads, device = sys.argv[1], int(sys.argv[2]), (sys.argv[3:] or ["cpu"])[0]
    if device == "cpu":
        best_environment(threads)
        use_cpus(threads)
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scripts"))
    sys.dont_write_bytecode = True
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a peer prints must not end up among the answers

    def answer(**fields):
        print(json.dumps(fields), file=answers, flush=True)

    make = {"pytorch": lambda: Torch(threads, False, device),
            "pytorch-compile": lambda: Torch(threads, True, device),
            "jax": lambda: Jax(threads, False), "jax-scan": lambda: Jax(threads, True), "numpy": NumPy}
    try:
        peer = make[name]()
    except (ImportError, KeyError, RuntimeError, AssertionError) as fault:
        answer(error=f"{name}: {fault!r}")
        return
    answer(peer=name, version=peer.version, programs=peer.programs)
    for line in sys.stdin:
        words = line.split()
        try:
            if words[:1] == ["prepare"]:
                if words[1].split("-")[0] not in peer.programs:
                    raise ValueError(f"{name} has no program {words[1]}, only {' '.join(peer.programs)}")
                peer.prepare(words[1])
                answer(ready=words[1])
            elif words[:1] == ["check"]:
                answer(values=[float(value) for value in peer.check()])
            elif words[:1] == ["round"]:
                switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
                start = time.perf_counter()
                steps = peer.run(int(words[1]))
                seconds = time.perf_counter() - start
                answer(microseconds=seconds * 1e6 / steps, steps=steps,
                       switches=resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - switches)
            elif words[:1] == ["quit"]:
                return
            else:
                answer(error=f"unknown command {line.strip()!r}")
        except Exception as fault:  # the driver decides what to do; it must always get its one line
            answer(error=f"{type(fault).__name__}: {fault}".replace("\n", " "))


if __name__ == "__main__":
    main()
