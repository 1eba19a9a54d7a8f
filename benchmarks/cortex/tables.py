"""The result as Markdown tables."""

from typing import Any

from online.tables import table

from fedmetaalign.tinyml.toolchain import CORES

LABELS = {
    "uint8": "ours, uint8",
    "low rank": "ours, low rank, uint8",
    "int4": "ours, int4",
    "float32": "ours, float32",
}

MOST_ON_M0 = 3.5  # instructions a product

# Measured before on a network of the same shape, per-tensor int8.
TFLM = {
    "TensorFlow Lite Micro, reference kernels": (311_900, "29 KB", "5.8 KB"),
    "TensorFlow Lite Micro, CMSIS-NN": (121_100, "40 KB", "6.1 KB"),
}


def render(result: dict[str, Any]) -> str:
    """Writes what inference takes, on a Cortex-M4F and on other cores, and the figures that have a target."""
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    about = f"A network of {result['network']} units, trained on a simulated feeder; {versions}; `-O2`."
    return "\n\n".join([about, contenders(result), cores(result), targets(result), over_time(result)])


def contenders(result: dict[str, Any]) -> str:
    rows = []
    for name, found in result["inference"].items():
        cost = found["cores"]["cortex-m4"]
        rows.append(
            (
                LABELS[name],
                f"{cost['instructions']:,}",
                f"{cost['cycles'] / 64e3:.2f}",
                f"{found['score_code']:,}",
                f"{found['image']:,}",
                f"{cost['ram'] + cost['stack']:,}",
                f"{found['bytes']:,}",
                f"{100 * found['accuracy']:.1f}",
            )
        )
    if peer := result["emlearn"]:
        rows.append(
            (
                f"emlearn {peer['version']}, float32",
                f"{peer['instructions']:,}",
                f"{peer['cycles'] / 64e3:.2f}",
                f"{peer['code']:,}",
                f"{peer['image']:,}",
                f"{peer['ram'] + peer['stack']:,}",
                "",
                f"{100 * peer['accuracy']:.1f}",
            )
        )
    for name, (instructions, code, ram) in TFLM.items():
        rows.append(
            (f"{name} (measured before, not by this script)", f"{instructions:,}", "", code, "", ram, "", "")
        )
    header = (
        *("Cortex-M4F", "instructions", "ms at 64 MHz", "inference code, B", "image, B", "RAM with stack, B"),
        *(".tflite, B", "accuracy, %"),
    )
    return table(header, rows)


def cores(result: dict[str, Any]) -> str:
    rows = []
    for core in (core for core in CORES if core in result["inference"]["uint8"]["cores"]):
        costs = [found["cores"][core] for found in result["inference"].values()]
        code = f"{costs[0]['code']:,}"
        rows.append((core, *(f"{cost['instructions']:,}" for cost in costs), code))
    ordered = result["ordered"]
    counts = [f"{ordered['instructions']:,}", *[""] * (len(result["inference"]) - 1), f"{ordered['code']:,}"]
    rows.append(("cortex-m0, as target", *counts))
    names = [LABELS[name] for name in result["inference"]]
    return table(("instructions", *names, "uint8: code from sample to decision, B"), rows)


def targets(result: dict[str, Any]) -> str:
    whole, low_rank = (result["inference"][name] for name in ("uint8", "low rank"))
    cost, smaller, step = (*(found["cores"]["cortex-m4"] for found in (whole, low_rank)), result["learning"])
    limit = result["limit"]
    wanted = [
        ("instructions of an inference, uint8", cost["instructions"], 75_000),
        (f"instructions of an inference, low rank ({low_rank['bytes']:,} B)", smaller["instructions"], 35_000),
        ("inference code, B", whole["score_code"], 600),
        ("RAM of an inference with its stack, B", cost["ram"] + cost["stack"], 1_126),
        ("whole image, low rank, B", low_rank["image"], limit),
        ("instructions of a step of learning", step["instructions"], 25_000),
        ("RAM of learning with its stack, beside inference, B", step["ram"] + step["stack"], 11_264),
    ]
    rows = [
        (question, f"{found:,}", f"at most {most:,}", "yes" if found <= most else "no")
        for question, found, most in wanted
    ]
    each = round(result["ordered"]["instructions"] / result["products"], 2)
    met = "yes" if each <= MOST_ON_M0 else "no"
    rows.append(("instructions a product on a Cortex-M0 as target", f"{each}", f"at most {MOST_ON_M0}", met))
    return table(("question", "measured", "target", "met"), rows)


def over_time(result: dict[str, Any]) -> str:
    """Writes what the default convolutional network takes."""
    found = result["over time"]
    about = (
        f"The default convolutional network on windows of 1,024 samples, uint8: {found['parameters']:,}"
        f" parameters, {found['products']:,} products, a file of {found['bytes']:,} bytes. Each core with the"
        " order of weights that it has as target; milliseconds are for a Cortex-M4 at 64 MHz."
    )
    rows = [
        (
            core,
            f"{cost['instructions']:,}",
            f"{cost['instructions'] / found['products']:.2f}",
            f"{cost['cycles'] / 64e3:.2f}" if core == "cortex-m4" else "",
            f"{cost['code'] + cost['constants']:,}",
            f"{cost['ram'] + cost['stack']:,}",
        )
        for core, cost in found["cores"].items()
    ]
    header = ("core", "instructions", "a product", "ms", "flash, B", "RAM with stack, B")
    return f"{about}\n\n{table(header, rows)}"
