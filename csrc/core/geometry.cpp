// Where a patch lies in an image: axes, position, coverage.
// SPDX-License-Identifier: Apache-2.0
#include "core/geometry.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

#include "core/error.h"

namespace nigro {
namespace {

// sin(1 degree): two image axes further than this from a right angle are a sheared image.
constexpr double kMaxCosine = 0.01745240643728351;

// Affines are often float32, and lengths of their columns rounded.
constexpr double kVoxelTolerance = 1e-6;

// Two assignments of axes whose sums of |cosine| differ by less say that nobody can tell. For an
// image turned by 45 degrees about one axis this is a hundredth of a degree.
constexpr double kMinMargin = 1e-3;

// Positions are multiples of 2^-16 voxel and steps of 2^-32: the same grid stored in another order
// has an affine that differs by rounding, some 1e-13 voxel, and must give the same bits.
constexpr double kPositionQuantum = 65536.0;
constexpr double kStepQuantum = 4294967296.0;

constexpr double kCopyTolerance = 0.01 + 1e-9;  // 1 %, and the rounding of a stored spacing

// No MRI is this much finer than a patch: an affine that is not in millimetres.
constexpr double kMaxStep = 64;

using Vector = std::array<double, 3>;

std::string text(double value) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.6g", value);
    return buffer;
}

std::string text(const Vector& v) {
    return "(" + text(v[0]) + ", " + text(v[1]) + ", " + text(v[2]) + ")";
}

std::string text(const std::array<std::size_t, 3>& shape) {
    return std::to_string(shape[0]) + " x " + std::to_string(shape[1]) + " x " +
           std::to_string(shape[2]);
}

double dot(const Vector& a, const Vector& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

Vector cross(const Vector& a, const Vector& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

bool is_finite(const Vector& v) {
    return std::isfinite(v[0]) && std::isfinite(v[1]) && std::isfinite(v[2]);
}

// ------------------------------------------------------------------------------------ image axes

// The image's axes in the world: unit directions, voxel sizes and the place of voxel (0, 0, 0).
struct ImageAxes {
    std::array<Vector, 3> direction;
    Vector spacing_mm;
    Vector origin_mm;
};

ImageAxes axes_of(const VolumeView& volume) {
    ImageAxes axes{};
    for (std::size_t row = 0; row < 3; ++row) axes.origin_mm[row] = volume.affine[row][3];
    for (std::size_t j = 0; j < 3; ++j) {
        const Vector column{volume.affine[0][j], volume.affine[1][j], volume.affine[2][j]};
        const double length = std::hypot(column[0], column[1], column[2]);
        axes.spacing_mm[j] = length;
        for (std::size_t row = 0; row < 3; ++row) axes.direction[j][row] = column[row] / length;
    }
    return axes;
}

void check(const ImageAxes& axes) {
    for (std::size_t j = 0; j < 3; ++j)
        if (!is_finite(axes.direction[j]) || !std::isfinite(axes.spacing_mm[j]))
            throw GeometryError("expected an affine of finite voxel sizes above 0, got " +
                                text(axes.spacing_mm[j]) + " mm along image axis " +
                                std::to_string(j));
    for (const double mm : axes.spacing_mm)
        if (mm < kMinVoxelMm * (1 - kVoxelTolerance) || mm > kMaxVoxelMm * (1 + kVoxelTolerance))
            throw GeometryError("expected voxels of " + text(kMinVoxelMm) + " to " +
                                text(kMaxVoxelMm) + " mm along each axis, got " +
                                text(axes.spacing_mm) + " mm (an affine not in millimetres?)");
    if (!is_finite(axes.origin_mm))
        throw GeometryError("expected a finite origin in the affine, got " + text(axes.origin_mm) +
                            " mm");
    for (std::size_t j = 0; j < 3; ++j) {
        const std::size_t next = (j + 1) % 3;
        const double cosine = dot(axes.direction[j], axes.direction[next]);
        if (std::abs(cosine) > kMaxCosine)
            throw GeometryError("expected image axes at right angles within 1 degree, got axes " +
                                std::to_string(j) + " and " + std::to_string(next) +
                                " with cosine " + text(cosine) + " (a sheared affine)");
    }
}

// The voxel index of a point: the system of the three axes solved by cross products.
Vector index_of(const ImageAxes& axes, const Point& point_mm) {
    const Vector offset{point_mm[0] - axes.origin_mm[0], point_mm[1] - axes.origin_mm[1],
                        point_mm[2] - axes.origin_mm[2]};
    Vector index{};
    for (std::size_t j = 0; j < 3; ++j) {
        const Vector normal = cross(axes.direction[(j + 1) % 3], axes.direction[(j + 2) % 3]);
        index[j] = dot(offset, normal) / dot(axes.direction[j], normal) / axes.spacing_mm[j];
    }
    return index;
}

// ------------------------------------------------------------------------------------ assignment

// A letter of `axes`: the world axis that it runs along, and which way.
struct Direction {
    std::size_t world_axis;
    double sign;
};

Direction direction_of(char letter) {
    switch (letter) {
        case 'R':
            return {0, 1};
        case 'L':
            return {0, -1};
        case 'A':
            return {1, 1};
        case 'P':
            return {1, -1};
        case 'S':
            return {2, 1};
        case 'I':
            return {2, -1};
        default:
            throw BadArgument(std::string("expected axes of R L A P S I, got '") + letter + "'");
    }
}

void check(const PatchGrid& grid) {
    std::array<bool, 3> named{};
    for (std::size_t i = 0; i < 3; ++i) {
        named[direction_of(grid.axes[i]).world_axis] = true;
        if (grid.shape[i] == 0) throw BadArgument("expected patch sizes above 0, got 0");
        if (!(grid.spacing_mm[i] > 0 && std::isfinite(grid.spacing_mm[i])))
            throw BadArgument("expected patch spacings above 0 mm, got " + text(grid.spacing_mm));
    }
    if (!(named[0] && named[1] && named[2]))
        throw BadArgument("expected axes such as 'ALI', got '" +
                          std::string(grid.axes.data(), grid.axes.size()) + "'");
}

// Which image axis each patch axis runs along: the assignment with the greatest sum of |cosine|.
// For axes at right angles no cosine that it takes is under 0.49 (found by search), so their signs
// are beyond doubt.
std::array<std::size_t, 3> assign(const ImageAxes& axes, const PatchGrid& grid) {
    constexpr std::size_t kOrders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                           {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    double best = 0;
    double second = 0;
    std::array<std::size_t, 3> chosen{};
    for (const auto& order : kOrders) {
        double sum = 0;
        for (std::size_t i = 0; i < 3; ++i)
            sum += std::abs(axes.direction[order[i]][direction_of(grid.axes[i]).world_axis]);
        second = std::max(second, std::min(sum, best));
        if (sum <= best) continue;
        best = sum;
        chosen = {order[0], order[1], order[2]};
    }
    if (best - second < kMinMargin)
        throw GeometryError(
            "expected image axes near the patient's, got an image turned so that two assignments "
            "to the patch axes '" +
            std::string(grid.axes.data(), grid.axes.size()) + "' fit equally well");
    return chosen;
}

// --------------------------------------------------------------------------------------- placing

double quantised(double value, double quantum) { return std::round(value * quantum) / quantum; }

bool is_inside(double position, std::size_t n) {
    return position >= -0.5 && position < static_cast<double>(n) - 0.5;  // false for NaN
}

void check_centre(const Placement& placement, const VolumeView& volume, const Vector& index,
                  const Point& centre_mm) {
    for (const PlacedAxis& axis : placement.axes)
        if (!is_inside(axis.position, axis.n_image))
            throw GeometryError("expected a centroid inside the image of " + text(volume.shape) +
                                " voxels, got " + text(centre_mm) + " mm, which is voxel " +
                                text(index));
}

PlacedAxis placed_axis(const VolumeView& volume, const ImageAxes& image, std::size_t image_axis,
                       const PatchGrid& grid, std::size_t patch_axis, double index) {
    const Direction letter = direction_of(grid.axes[patch_axis]);
    PlacedAxis axis{};
    axis.image_axis = image_axis;
    axis.reversed = image.direction[image_axis][letter.world_axis] * letter.sign < 0;
    axis.n_image = volume.shape[image_axis];
    axis.n_patch = grid.shape[patch_axis];
    const double position = axis.reversed ? static_cast<double>(axis.n_image - 1) - index : index;
    axis.position = quantised(position, kPositionQuantum);
    axis.step = grid.spacing_mm[patch_axis] / image.spacing_mm[image_axis];
    if (!(axis.step <= kMaxStep))
        throw GeometryError("expected voxels of at least 1/64 of the patch's " +
                            text(grid.spacing_mm[patch_axis]) + " mm, got " +
                            text(image.spacing_mm[image_axis]) + " mm along image axis " +
                            std::to_string(image_axis) + " (an affine not in millimetres?)");
    axis.step = quantised(axis.step, kStepQuantum);
    return axis;
}

bool has_spacing_of_patch(const PlacedAxis& axis) {
    return std::abs(1 / axis.step - 1) <= kCopyTolerance;
}

void find_inside(PlacedAxis& axis) {
    axis.begin = axis.end = axis.n_patch / 2;
    while (axis.begin > 0 && is_inside(axis.position_of(axis.begin - 1), axis.n_image))
        --axis.begin;
    while (axis.end < axis.n_patch && is_inside(axis.position_of(axis.end), axis.n_image))
        ++axis.end;
}

double fraction_inside(const PlacedAxis& axis) {
    return static_cast<double>(axis.end - axis.begin) / static_cast<double>(axis.n_patch);
}

void check_coverage(const Placement& placement, const PatchGrid& grid, const Point& centre_mm) {
    if (placement.coverage >= kMinCoverage) return;
    std::string parts;
    for (std::size_t i = 0; i < 3; ++i) {
        const PlacedAxis& axis = placement.axes[i];
        parts += (i == 0 ? "" : ", ") + std::string(1, grid.axes[i]) + " " +
                 std::to_string(axis.end - axis.begin) + "/" + std::to_string(axis.n_patch);
    }
    throw GeometryError("expected at least " + text(kMinCoverage) +
                        " of the patch inside the image, got " + text(placement.coverage) + " (" +
                        parts + " voxels) around the centroid " + text(centre_mm) + " mm");
}

}  // namespace

double PlacedAxis::position_of(std::size_t k) const {
    return position + (static_cast<double>(k) - static_cast<double>(n_patch / 2)) * step;
}

PatchGrid mirrored(const PatchGrid& grid) {
    PatchGrid turned = grid;
    for (char& letter : turned.axes)
        if (letter == 'L' || letter == 'R') letter = letter == 'L' ? 'R' : 'L';
    return turned;
}

std::size_t lateral_axis(const PatchGrid& grid) {
    for (const std::size_t axis : {0, 1})
        if (grid.axes[axis] == 'L' || grid.axes[axis] == 'R') return axis;
    return 2;
}

Placement place(const VolumeView& volume, const PatchGrid& grid, const Point& centre_mm) {
    check(grid);
    if (!is_finite(centre_mm))
        throw GeometryError("expected a finite centroid, got " + text(centre_mm) + " mm");
    const ImageAxes image = axes_of(volume);
    check(image);
    const std::array<std::size_t, 3> image_axis = assign(image, grid);
    const Vector index = index_of(image, centre_mm);

    Placement placement{{}, true, 1};
    for (std::size_t i = 0; i < 3; ++i) {
        placement.axes[i] =
            placed_axis(volume, image, image_axis[i], grid, i, index[image_axis[i]]);
        placement.is_copy = placement.is_copy && has_spacing_of_patch(placement.axes[i]);
    }
    check_centre(placement, volume, index, centre_mm);
    for (PlacedAxis& axis : placement.axes) {
        if (placement.is_copy) {
            axis.position = std::floor(axis.position + 0.5);
            axis.step = 1;
        }
        find_inside(axis);
        placement.coverage *= fraction_inside(axis);
    }
    check_coverage(placement, grid, centre_mm);
    return placement;
}

ImageWindow window_of(const Placement& placement, const std::array<Range, 3>& ranges) {
    ImageWindow window{};
    for (std::size_t i = 0; i < 3; ++i) {
        const PlacedAxis& axis = placement.axes[i];
        const auto [begin, end] = ranges[i];
        window.begin[axis.image_axis] = axis.reversed ? axis.n_image - end : begin;
        window.end[axis.image_axis] = axis.reversed ? axis.n_image - begin : end;
    }
    return window;
}

void check_held(const VolumeView& volume, const ImageWindow& window) {
    for (std::size_t i = 0; i < 3; ++i)
        if (window.begin[i] < volume.held.begin[i] || window.end[i] > volume.held.end[i])
            throw BadArgument("expected voxels " + std::to_string(window.begin[i]) + " to " +
                              std::to_string(window.end[i]) + " of image axis " +
                              std::to_string(i) + " in memory, got " +
                              std::to_string(volume.held.begin[i]) + " to " +
                              std::to_string(volume.held.end[i]));
}

}  // namespace nigro
