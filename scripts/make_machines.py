#!/usr/bin/env python3
"""Writes tools/machines/*.machine from the published figures below: scripts/make_machines.py [FOLDER]

Sources: NVIDIA's data sheets of H200, H100 (SXM), A100 80 GB (SXM), the white papers of Hopper (its products in 16 bits
and tf32) and Ada (RTX 4090), without sparsity. Products in tf32 and bf16 are of f32 whose factors are rounded to that and
whose sums are f32, by matrix units: their peaks, as those of f32 are. Memory is what the driver reports. A product counts multiplications and additions, two a fused operation; elementwise
rates count instructions, so they are half of the rate that data sheets give. NVLink's figure is of both directions
together, a link's of one. Latencies and launches are typical for CUDA 12 without graphs.
"""
import pathlib
import sys

MIB = 1 << 20

# name, target, memory, bandwidth, products by dtype or precision, instructions by dtype, launch, PCIe bytes/s, NVLink bytes/s one way
GPUS = {
    "h200": ("NVIDIA H200 SXM", "sm_90", 143771 * MIB, 4.8e12,
             {"f64": 67e12, "f32": 67e12, "tf32": 494.7e12, "bf16": 989.4e12, "f16": 989.4e12, "f8e4m3": 1979e12,
              "f8e5m2": 1979e12},
             {"f64": 17e12, "f32": 33.5e12, "bf16": 67e12, "f16": 67e12, "i32": 16.75e12, "i64": 4e12},
             4e-6, 50e9, 450e9),
    "h100": ("NVIDIA H100 SXM", "sm_90", 81559 * MIB, 3.35e12,
             {"f64": 67e12, "f32": 67e12, "tf32": 494.7e12, "bf16": 989.4e12, "f16": 989.4e12, "f8e4m3": 1979e12,
              "f8e5m2": 1979e12},
             {"f64": 17e12, "f32": 33.5e12, "bf16": 67e12, "f16": 67e12, "i32": 16.75e12, "i64": 4e12},
             4e-6, 50e9, 450e9),
    "a100": ("NVIDIA A100 80 GB SXM", "sm_80", 81920 * MIB, 2.039e12,
             {"f64": 19.5e12, "f32": 19.5e12, "tf32": 156e12, "bf16": 312e12, "f16": 312e12},
             {"f64": 4.85e12, "f32": 9.75e12, "bf16": 19.5e12, "f16": 39e12, "i32": 9.75e12, "i64": 2.4e12},
             5e-6, 25e9, 300e9),
    "rtx4090": ("NVIDIA GeForce RTX 4090", "sm_89", 24564 * MIB, 1.008e12,
                {"f64": 1.29e12, "f32": 82.6e12, "tf32": 82.6e12, "bf16": 165.2e12, "f16": 165.2e12,
                 "f8e4m3": 330.3e12, "f8e5m2": 330.3e12},
                {"f64": 0.645e12, "f32": 41.3e12, "bf16": 41.3e12, "f16": 41.3e12, "i32": 20.6e12, "i64": 5e12},
                5e-6, 25e9, 0),
}
# threads, memory, bandwidth, products in f32
SERVER = ("server with 64 cores", "x86-64+avx2+avx512f+fma", 64, 512 << 30, 300e9, 8.2e12, 2e-6)
DESKTOP = ("desktop with 16 cores", "x86-64+avx2+fma", 16, 64 << 30, 70e9, 2e12, 1e-6)
COPY_LATENCY = 6e-6         # between host and device
PEER_LATENCY = 5e-6         # over NVLink
THROUGH_HOST_LATENCY = 12e-6  # without it: one copy to the host and one from it


def number(value):
    return f"{value:g}" if isinstance(value, float) and (value < 1e-3 or value >= 1e16) else f"{value:.0f}"


def rates(products, instructions, bandwidth):
    lines = []
    for op_class, by_dtype in (("contraction", products), ("convolution", products)):
        for dtype in ("i32", "i64"):
            lines.append((op_class, dtype, instructions[dtype]))
        for dtype, rate in by_dtype.items():
            if dtype != "tf32":
                lines.append((op_class, dtype, rate))
            if dtype == "f32":
                lines += [(op_class, f"f32 precision {rounded}", by_dtype[rounded])
                          for rounded in ("tf32", "bf16") if rounded in by_dtype]
    for op_class in ("elementwise", "reduction"):
        lines += [(op_class, dtype, instructions["i32"]) for dtype in ("bool", "u8")]
        lines += [(op_class, dtype, rate) for dtype, rate in instructions.items()]
    for op_class, scale in (("movement", 1), ("gather", 1), ("scatter", 0.5)):
        lines += [(op_class, dtype, bandwidth * scale) for dtype in ("bool", "u8", *instructions)]
    return "".join(f'  rate "{op_class}" {dtype} {number(rate)}\n' for op_class, dtype, rate in lines)


def host(spec):
    name, target, threads, memory, bandwidth, f32, launch = spec
    products = {"f64": f32 / 2, "f32": f32}
    plain = {"f64": f32 / 8, "f32": f32 / 4, "i32": f32 / 4, "i64": f32 / 8}
    return (f'device cpu:0 "{name}" target "{target}" host memory {memory} bandwidth {number(bandwidth)} '
            f"threads {threads} launch {number(launch)} {{\n{rates(products, plain, bandwidth)}}}\n")


def machine(gpu, count, with_nvlink):
    name, target, memory, bandwidth, products, instructions, launch, pcie, nvlink = GPUS[gpu]
    text = host(DESKTOP if gpu.startswith("rtx") else SERVER)
    for i in range(count):
        text += (f'device cuda:{i} "{name}" target "{target}" memory {memory} bandwidth {number(bandwidth)} threads 1 '
                 f"launch {number(launch)} {{\n{rates(products, instructions, bandwidth)}}}\n")
    for i in range(count):
        for way in (f"cpu:0 -> cuda:{i}", f"cuda:{i} -> cpu:0"):
            text += f"link {way} latency {number(COPY_LATENCY)} bandwidth {number(pcie)}\n"
    latency, rate = (PEER_LATENCY, nvlink) if with_nvlink else (THROUGH_HOST_LATENCY, pcie / 2)
    for i in range(count):
        for k in range(count):
            if i != k:
                text += f"link cuda:{i} -> cuda:{k} latency {number(latency)} bandwidth {number(rate)}\n"
    return text


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / "tools/machines")
    folder.mkdir(parents=True, exist_ok=True)
    for gpu, figures in GPUS.items():
        made = {gpu: machine(gpu, 1, False), f"{gpu}x8-pcie": machine(gpu, 8, False)}
        if figures[-1]:
            made[f"{gpu}x8"] = machine(gpu, 8, True)
        for name, text in made.items():
            (folder / f"{name}.machine").write_text(text)


if __name__ == "__main__":
    main()
