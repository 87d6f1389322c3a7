// Interpolate a patch whose voxels are not those of the image.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "core/geometry.h"
#include "core/view.h"

namespace nigro {

// Writes the patch of `placement` to `patch`, in C order, by linear interpolation along each axis.
//
// Where the patch voxel is more than 1.5 image voxels long along an axis, the mean of s = ceil(that
// ratio) interpolated values is taken, at s positions spread evenly over the patch voxel and
// symmetric about its centre. Positions outside the image take its nearest edge. s is chosen for
// each axis by itself: an axis on which the image is no finer than the patch loses nothing between
// two samples, and averaging there would only blur it.
//
// Throws BadArgument if not all of resampled_ranges() is in memory.
//
// Arithmetic: the three axes are done one after another, patch axis 2 first, then 1, then 0, in
// float32 with the blend kernel, whose weights are computed in float64 and rounded once.
void resample(const kernels::Kernels& kernels, const VolumeView& volume, const Placement& placement,
              float* patch);

// The image voxels that resample() reads along each patch axis.
std::array<Range, 3> resampled_ranges(const Placement& placement);

}  // namespace nigro
