// Where a patch lies in an image.
//
// A patch follows the image's own axes: each patch axis runs along the image axis nearest the
// direction that its letter names. Everything after that choice is said in the *oriented frame*, in
// which image voxels are counted along the patch axis, so the order and the direction in which an
// image is stored cannot change what a patch holds: all 48 storage orders give the same bits, and
// so does a world that is mirrored together with the letters.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>

#include "core/view.h"

namespace nigro {

// Less of the patch than this inside the image is refused.
constexpr double kMinCoverage = 0.9;

// Voxels of an MRI that shows a midbrain, in mm: the finest, of specimens, are about 0.05; in a
// slice beyond 5 the whole of nigrosome-1 would lie. Others are an affine in other units.
constexpr double kMinVoxelMm = 0.05;
constexpr double kMaxVoxelMm = 5;

// From `begin` to before `end`; image voxels of the oriented frame where nothing else is said.
struct Range {
    std::size_t begin;
    std::size_t end;
};

// One axis of a patch within the image. Patch voxel k lies at `position + (k - n_patch / 2) *
// step`.
struct PlacedAxis {
    std::size_t image_axis;
    bool reversed;        // the image stores this axis against the direction of the patch axis
    std::size_t n_image;  // voxels of the image along it
    std::size_t n_patch;  // voxels of the patch along it
    double position;      // of patch voxel n_patch / 2, in image voxels of the oriented frame
    double step;          // image voxels from one patch voxel to the next

    // The range [begin, end) of patch voxels whose centre lies inside the image, [-0.5, n - 0.5).
    std::size_t begin;
    std::size_t end;

    double position_of(std::size_t k) const;
};

struct Placement {
    std::array<PlacedAxis, 3> axes;  // in the order of the patch
    bool is_copy;                    // the spacings agree within 1 %: whole positions, step 1
    double coverage;                 // fraction of the patch voxels inside the image
};

// The same grid with left and right exchanged.
PatchGrid mirrored(const PatchGrid& grid);

// The patch axis that runs along left-right; of a grid that place() takes.
std::size_t lateral_axis(const PatchGrid& grid);

// Places `grid`, which is not flipped, so that patch voxel n/2 lies on `centre_mm`: on the nearest
// voxel if all three spacings agree within 1 %, exactly (to 2^-16 voxel) otherwise.
//
// Throws GeometryError if the centre is not finite or outside the image, less than kMinCoverage of
// the patch is inside, the affine is not finite or has no three axes at right angles (within 1
// degree), or two assignments of image axes to patch axes fit equally well; BadArgument if the
// grid's sizes, spacings or letters are not those of a grid.
Placement place(const VolumeView& volume, const PatchGrid& grid, const Point& centre_mm);

// The box of the image that lies in `ranges` along the patch's axes.
ImageWindow window_of(const Placement& placement, const std::array<Range, 3>& ranges);

// Throws BadArgument unless all voxels of `window` are in memory.
void check_held(const VolumeView& volume, const ImageWindow& window);

}  // namespace nigro
