# SPDX-License-Identifier: Apache-2.0
"""How many threads: as many as processors granted, by affinity and by the quota of a container."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nigroedge import _core, cli, load_model
from nigroedge.engine import resolve_threads
from nigroedge.errors import InputError, NigroedgeWarning
from nigroedge.smwi import reconstruction

USABLE = _core.usable_processors()
V1 = "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct"
V2 = "41 31 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate"


def machine(root, *, groups, mounts, **files):
    """Write the files by which a machine tells its control groups; give its root."""
    written = {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **files}
    for name, content in written.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return str(root)


@pytest.mark.parametrize(
    ("quota", "processors"),
    [
        ("max 100000", 0),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("150000 100000", 2),
        ("400000 100000", 4),
        ("6400000 100000", 64),
        ("0 100000", 0),
        ("100000 0", 0),
        ("-1 100000", 0),
        ("nonsense", 0),
        ("", 0),
    ],
)
def test_the_quota_of_a_container_is_rounded_up(tmp_path, quota, processors):
    """A container of version 2 sees its own group as the root."""
    files = {"sys/fs/cgroup/cpu.max": quota}
    root = machine(tmp_path, groups="0::/", mounts=V2, **files)

    assert processors == _core.processor_quota(root)


def test_the_least_quota_on_the_way_up_counts(tmp_path):
    root = machine(
        tmp_path,
        groups="1:name=systemd:/x\n0::/user.slice/app",
        mounts=V2,
        **{
            "sys/fs/cgroup/user.slice/app/cpu.max": "800000 100000",
            "sys/fs/cgroup/user.slice/cpu.max": "300000 100000",
            "sys/fs/cgroup/other/cpu.max": "100000 100000",
        },
    )

    assert 3 == _core.processor_quota(root)


def test_version_1_with_the_host_s_names(tmp_path):
    """Docker without a namespace of groups: the mount shows /docker/ID as its root."""
    cpu = "sys/fs/cgroup/cpu,cpuacct"
    root = machine(
        tmp_path,
        groups="5:memory:/docker/ab12\n4:cpu,cpuacct:/docker/ab12\n3:cpuset:/docker/ab12",
        mounts=V1.replace(" / /sys", " /docker/ab12 /sys"),
        **{f"{cpu}/cpu.cfs_quota_us": "150000", f"{cpu}/cpu.cfs_period_us": "100000"},
    )

    assert 2 == _core.processor_quota(root)


def test_version_1_without_a_quota(tmp_path):
    cpu = "sys/fs/cgroup/cpu,cpuacct"
    files = {f"{cpu}/cpu.cfs_quota_us": "-1", f"{cpu}/cpu.cfs_period_us": "100000"}

    assert 0 == _core.processor_quota(
        machine(tmp_path, groups="4:cpu,cpuacct:/", mounts=V1, **files)
    )


def test_a_mount_with_a_space_in_its_name(tmp_path):
    files = {"a b/cpu.max": "100000 100000"}
    mounts = r"41 31 0:38 / /a\040b rw - cgroup2 cgroup2 rw"

    assert 1 == _core.processor_quota(machine(tmp_path, groups="0::/", mounts=mounts, **files))


def test_no_control_groups_no_quota(tmp_path):
    assert 0 == _core.processor_quota(str(tmp_path))


@given(quota=st.integers(1, 10**9), period=st.integers(1, 10**6), depth=st.integers(0, 5))
def test_any_quota_at_any_depth(tmp_path_factory, quota, period, depth):
    group = "/g" * depth
    files = {f"sys/fs/cgroup{group}/cpu.max": f"{quota} {period}"}
    root = machine(
        tmp_path_factory.mktemp("machine"), groups=f"0::{group or '/'}", mounts=V2, **files
    )

    assert math.ceil(quota / period) == _core.processor_quota(root)


@given(groups=st.text(max_size=200), mounts=st.text(max_size=200))
def test_whatever_the_files_say_there_is_an_answer(tmp_path_factory, groups, mounts):
    root = tmp_path_factory.mktemp("machine")
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_bytes(groups.encode("utf-8", "surrogatepass"))
    (root / "proc/self/mountinfo").write_bytes(mounts.encode("utf-8", "surrogatepass"))

    assert 0 == _core.processor_quota(str(root))


def usable_in_child(before: str = "") -> int:
    code = f"import os\n{before}\nfrom nigroedge import _core\nprint(_core.usable_processors())"
    return int(subprocess.check_output([sys.executable, "-c", code], text=True))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs an affinity mask")
def test_the_affinity_mask_counts():
    assert 1 == usable_in_child("os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})")


@pytest.fixture
def one_processor():
    """A real control group of version 1 or 2 that grants one processor."""
    for folder, files in (
        (
            Path("/sys/fs/cgroup/cpu"),
            {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "100000"},
        ),
        (Path("/sys/fs/cgroup"), {"cpu.max": "100000 100000"}),
    ):
        group = folder / f"nigroedge-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            for name, content in files.items():
                (group / name).write_text(content)
        except OSError:
            group.rmdir()
            continue
        yield group / "cgroup.procs"
        group.rmdir()
        return
    pytest.skip("needs a control group of one's own")


@pytest.mark.skipif(USABLE < 2, reason="needs two processors")
def test_a_real_quota_counts(one_processor):
    enter = f"open({str(one_processor)!r}, 'w').write(str(os.getpid()))"

    assert 1 == usable_in_child(enter)


# ---------------------------------------------------------------------------- what is made of it


@pytest.fixture
def two_processors(monkeypatch):
    monkeypatch.setattr(_core, "usable_processors", lambda: 2)


@pytest.mark.usefixtures("two_processors")
def test_threads_are_cut_to_the_processors_and_that_is_said():
    assert [2, 1, 2] == [resolve_threads(asked) for asked in (None, 1, 2)]
    with pytest.warns(NigroedgeWarning, match="1000 threads are more than the 2 processors"):
        assert 2 == resolve_threads(1000)
    with pytest.raises(InputError, match="expected 1 to 1024 threads, got 1025"):
        resolve_threads(1025)


@pytest.mark.usefixtures("two_processors")
def test_a_model_runs_on_no_more_threads_than_processors():
    with pytest.warns(NigroedgeWarning, match="granted to this process: 2 used"):
        model = load_model(threads=3)

    assert 2 == model.engine.threads


@pytest.mark.usefixtures("two_processors")
def test_the_command_line_says_it_once_and_answers(capsys):
    assert 0 == cli.main(["demo", "--threads", "1000", "--json"])
    out, err = capsys.readouterr()

    warning = "1000 threads are more than the 2 processors granted to this process: 2 used"
    assert f"nigroedge: warning: {warning}\n" == err
    assert '"threads": 2' in out


def test_smwi_asks_the_same_question():
    assert reconstruction.resolve_threads is resolve_threads
