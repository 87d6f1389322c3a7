// Cut a patch out of an image, straight from the stored voxels.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/geometry.h"
#include "core/view.h"

namespace nigro {

// Writes the patch of `grid` around `centre_mm` to `patch`, in C order, and returns the fraction of
// it that lies inside the image; what lies outside takes the nearest edge voxel.
//
// A grid that is flipped gives the bits of its mirrored grid, turned round along left-right.
//
// Where all three spacings agree within 1 % voxels are copied, starting at the one nearest to the
// centre. Otherwise they are interpolated (resample.h). Only the window that the patch needs is
// read; scratch memory is some 100 kB. Throws as place() does.
//
// Throws BadArgument if not all of window_of() is in memory.
double crop(const kernels::Kernels& kernels, const VolumeView& volume, const PatchGrid& grid,
            const Point& centre_mm, float* patch);

// The voxels that crop() reads, and no others. Which are in memory is not looked at. Throws as
// place() does.
ImageWindow window_of(const VolumeView& volume, const PatchGrid& grid, const Point& centre_mm);

}  // namespace nigro
