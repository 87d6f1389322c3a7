# SPDX-License-Identifier: Apache-2.0
"""What each layer of the built-in engine reaches, beside the peak of the machine.

One patch, one thread. `direct` is the work of a layer as it is defined, `made` what Winograd leaves
of it, transforms apart; `share` is the share of the machine's float32 peak that `made` runs
at, the transforms inside its time; `effective` is `direct` over the time, `limit` what it would be
at the peak if products were all.

    python -m bench.test_layers [PRESET …]
"""

import shutil
import subprocess
import sys

import pytest

from bench.test_engine import PRESETS, SHAPE
from nigroedge import _core
from tests import networks
from tests.conftest import ROOT

REPEATS = 300
VECTOR_ISAS = [isa for isa in _core.available_isas() if isa != "scalar"]


def steps(preset, isa, repeats):
    """Check the answer, then time the steps: (what, direct, made, seconds)."""
    content = networks.chain(PRESETS[preset], SHAPE)
    patches = networks.patches(1, SHAPE, seed=5)
    network = _core.Network(content, threads=1, isa=isa)
    want, _ = networks.forward(content, patches, "float32")
    assert abs(network.run(patches) - want).max() <= 1e-4  # SBR, the numeric contract
    return network.time_steps(patches, repeats=repeats)


def measured_peak(isa, folder):
    """Thousands of millions of float32 multiply-adds a second, of one core."""
    program = folder / "peak"
    subprocess.run(["cc", "-std=c99", "-O2", ROOT / "bench/peak.c", "-o", program], check=True)
    return float(subprocess.run([program, isa], check=True, capture_output=True).stdout)


def table(preset, isa, peak, rows):
    """Lay the rows out as Markdown."""
    lines = [
        f"{preset}, {isa}, one patch, one thread; peak {peak:.1f} G multiply-adds a second",
        "",
        "| step | direct, M | made, M | ms | share | effective, G/s | limit, G/s |",
        "|---|---|---|---|---|---|---|",
    ]
    for what, direct, made, seconds in rows:
        numbers = f"| {what} | {direct / 1e6:.1f} | {made / 1e6:.1f} | {seconds * 1e3:.3f} |"
        if made > 0:
            numbers += (
                f" {made / seconds / 1e9 / peak:.2f} | {direct / seconds / 1e9:.0f} |"
                f" {direct / made * peak:.0f} |"
            )
        else:
            numbers += " | | |"
        lines.append(numbers)
    total = sum(row[3] for row in rows)
    made = sum(row[2] for row in rows)
    lines.append(
        f"| sum | {sum(row[1] for row in rows) / 1e6:.1f} | {made / 1e6:.1f} | {total * 1e3:.3f} |"
        f" {made / total / 1e9 / peak:.2f} | {sum(row[1] for row in rows) / total / 1e9:.0f} | |"
    )
    return "\n".join(lines)


@pytest.mark.parametrize("isa", VECTOR_ISAS)
@pytest.mark.parametrize("preset", ["slim"])
def test_layers(benchmark, preset, isa, tmp_path):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    rows = benchmark.pedantic(
        steps, args=(preset, isa, 1 if benchmark.disabled else REPEATS), rounds=1
    )

    assert sum(row[1] for row in rows) == pytest.approx(747e6, rel=0.01)  # docs/notes/engine.md
    print("\n" + table(preset, isa, measured_peak(isa, tmp_path), rows))


def main(presets):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        for preset in presets:
            for isa in VECTOR_ISAS:
                peak = measured_peak(isa, Path(folder))
                print(table(preset, isa, peak, steps(preset, isa, REPEATS)), end="\n\n")


if __name__ == "__main__":
    main(sys.argv[1:] or ["slim", "mri-dat"])
