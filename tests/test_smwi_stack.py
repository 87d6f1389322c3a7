# SPDX-License-Identifier: Apache-2.0
"""Echoes from one file or one each: axes of one voxel, channels, orders of axes, spaces."""

import nibabel
import numpy as np
import pytest

from nigroedge.errors import FormatError, GeometryError, InputError
from nigroedge.smwi import MultiEcho, reconstruct
from nigroedge.smwi.agreement import check_agreement, check_given
from nigroedge.smwi.bids import beside
from nigroedge.smwi.phase import read_phase
from nigroedge.smwi.stack import read_mask, read_stack
from tests.smwi_phantom import tilted_affine
from tests.test_smwi_orientation import ORIENTATIONS, stored

SHAPE = (4, 5, 6)
AFFINE = tilted_affine(12.0, SHAPE)
ECHOES = np.random.default_rng(0).integers(0, 100, (*SHAPE, 3)).astype(np.int16)


@pytest.fixture
def write(tmp_path):
    """Write an image, and give its path."""

    def write(name, values, affine=AFFINE, code=1, **fields):
        image = nibabel.Nifti1Image(values, affine, dtype=values.dtype)
        image.set_sform(affine, code=code)
        image.set_qform(affine, code=fields.pop("qform_code", 0))
        if "slope" in fields:
            image.header.set_slope_inter(fields["slope"], fields["intercept"])
        nibabel.save(image, tmp_path / name)
        return tmp_path / name

    return write


def one_each(write, values=ECHOES, end=()):
    return [write(f"{n}.nii", values[..., n].reshape(*SHAPE, *end)) for n in range(3)]


@pytest.mark.parametrize("end", [(), (1,), (1, 1)])
def test_an_axis_of_one_voxel_is_dropped(write, end):
    assert np.array_equal(ECHOES, read_stack(one_each(write, end=end)).values)


@pytest.mark.parametrize("shape", [(*SHAPE, 3), (*SHAPE, 3, 1), (*SHAPE, 1, 3)])
def test_one_file_has_the_echoes_along_its_first_axis_of_more_than_one(write, shape):
    assert np.array_equal(ECHOES, read_stack([write("a.nii", ECHOES.reshape(shape))]).values)


def test_channels_are_last(write):
    channels = np.stack([ECHOES, ECHOES + 7], axis=4)
    each = [write(f"{n}.nii", channels[..., n, :]) for n in range(3)]

    assert np.array_equal(channels, read_stack(each).values)
    assert np.array_equal(channels, read_stack([write("all.nii", channels)]).values)


@pytest.mark.parametrize("orientation", ORIENTATIONS[::5])
def test_echoes_in_other_orders_of_axes_are_turned_to_the_first(write, orientation):
    paths = one_each(write)
    paths[1] = write("turned.nii", *stored(*orientation, ECHOES[..., 1], AFFINE))

    stack = read_stack(paths)

    assert np.array_equal(ECHOES, stack.values)
    np.testing.assert_allclose(np.stack([AFFINE] * 3), stack.affines, atol=1e-5)


def test_echoes_that_no_turn_brings_to_one_shape_are_refused(write):
    paths = [*one_each(write)[:2], write("short.nii", ECHOES[:, :, :5, 2])]

    with pytest.raises(GeometryError, match=r"\(4, 5, 5\) and \(4, 5, 6\)"):
        read_stack(paths)


@pytest.mark.parametrize(
    ("code", "qform_code", "transform", "frame"),
    [
        *((1, 0, None, "scanner"), (0, 1, None, "scanner"), (2, 1, None, "scanner")),
        *((2, 0, None, "aligned"), (0, 2, None, "aligned"), (4, 2, None, "aligned")),
        *((3, 0, None, "standard"), (4, 0, None, "standard"), (5, 4, None, "standard")),
        *((0, 5, None, "standard"), (2, 1, "sform", "aligned"), (4, 1, "sform", "standard")),
        (4, 1, "qform", "scanner"),
    ],
)
def test_the_scanners_coordinates_are_told_from_others(write, code, qform_code, transform, frame):
    path = write("a.nii", ECHOES, code=code, qform_code=qform_code)

    assert frame == read_stack([path], transform=transform).frame


def test_of_several_images_in_one_place_one_in_the_scanners_coordinates_is_enough(write):
    paths = [write(f"{code}.nii", ECHOES[..., code], code=code) for code in (2, 1)]

    assert "scanner" == read_stack(paths).frame


# ------------------------------------------------------------------------------------------- masks

INSIDE = ECHOES[..., 0] > 50


@pytest.mark.parametrize("dtype", ["i8", "u8", "i1", "f4", "f8"])
def test_a_mask_of_any_number_is_read(write, dtype):
    """Long integers are what numpy makes of a comparison's count."""
    values, _ = read_mask(write("mask.nii", INSIDE.astype(dtype)), AFFINE)

    assert np.array_equal(INSIDE, values)


def test_a_mask_is_worth_what_slope_and_intercept_make_of_it(write):
    stored_as = (INSIDE + 1).astype(np.uint8)
    path = write("mask.nii", stored_as, slope=1.0, intercept=-1.0)

    assert np.array_equal(INSIDE, read_mask(path, AFFINE)[0])


@pytest.mark.parametrize("orientation", ORIENTATIONS[3::7])
def test_a_mask_in_another_order_of_axes_is_turned(write, orientation):
    path = write("mask.nii", *stored(*orientation, INSIDE.astype("u1")[..., None], AFFINE))

    values, affine = read_mask(path, AFFINE)

    assert np.array_equal(INSIDE, values)
    np.testing.assert_allclose(AFFINE, affine, atol=1e-5)


def test_a_wrong_bitpix_is_no_harm_where_the_size_of_the_file_is_right(write):
    path = write("mask.nii", INSIDE.astype("f4"))
    content = bytearray(path.read_bytes())
    content[72:74] = (8).to_bytes(2, "little")
    path.write_bytes(content)

    assert np.array_equal(INSIDE, read_mask(path, AFFINE)[0])
    path.write_bytes(content + b"\0")
    with pytest.raises(FormatError, match=r"expected bitpix 32 .* got 8"):
        read_mask(path, AFFINE)


def test_what_is_no_number_is_no_mask(write):
    with pytest.raises(InputError, match="complex64"):
        read_mask(write("mask.nii", INSIDE.astype("c8")), AFFINE)


# --------------------------------------------------------------------------------------- real data


@pytest.mark.parametrize(
    ("names", "unit", "times", "tesla"),
    [
        (("gre3echo/Mag.nii", "gre3echo/Phase.nii"), "full-range", (0.004, 0.008, 0.012), 7.0),
        (
            ("philips_gre2/gre_e{}.nii.gz", "philips_gre2/gre_e{}_ph.nii.gz"),
            "rad",
            (0.0023, 0.0046),
            3.0,
        ),
    ],
)
def test_real_scans_are_read(shared_data, names, unit, times, tesla):
    """Whole: their units are found, and nothing of what is checked refuses them."""
    magnitude, phase = (
        [shared_data / name.format(n) for n in (1, 2)] if "{}" in name else [shared_data / name]
        for name in names
    )
    first = read_stack(magnitude)
    second = read_stack(phase, target=first.affines[0])

    scan = MultiEcho(first.values, second.values, first.affines[0], times, tesla)

    assert (unit, True) == (scan.phases.unit, scan.phases.is_detected)
    assert "scanner" == first.frame == second.frame
    check_given(
        [beside(path, "mag") for path in magnitude],
        [beside(path, "phase") for path in phase],
        times,
        tesla,
    )


def test_a_real_difference_of_phases_is_found_in_its_unit_and_refused_as_phase(shared_data):
    path = shared_data / "siemens_fmap/reference/Si_3_gre_field_magph_e2_ph.nii"

    assert "-4096..4096" == read_phase(read_stack([path]).values).unit
    with pytest.raises(InputError, match="a difference of two echoes is no phase"):
        check_agreement([beside(path, "phase")])


def test_the_real_echoes_of_a_field_map_are_refused_as_such(shared_data):
    """Before, 0.14 % of the mask beyond ±3 ppm alone stopped it, and units were blamed."""
    names = [
        shared_data / f"philips_gre2/gre_e{n}{end}.nii.gz" for end in ("", "_ph") for n in (1, 2)
    ]
    mags, phases = read_stack(names[:2]), read_stack(names[2:])
    scan = MultiEcho(mags.values, phases.values, mags.affines[0], (0.0023, 0.0046), 3.0)

    with pytest.raises(
        InputError, match=r"6\.7 ms or more at 3 T, got 4\.6 ms: is this a field map"
    ):
        reconstruct(scan)
