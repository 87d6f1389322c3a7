// Make a patch ready for a network: cut it out of an image and normalise it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/crop.h"
#include "core/normalize.h"

namespace nigro {

// Writes the patch of `grid` around `centre_mm` to `patch`, normalised, and returns what crop()
// does.
//
// Throws as crop() and normalize() do; and DegeneratePatchError if a whole slice of the patch,
// along any axis, is 0: a slice that was lost, or an image that was padded, of which no network
// learned anything, or the SD next to nothing beside the mean, as behind a wrong intercept.
// `zscore-nonzero` is for images whose background was cut out: there zeros are no values.
double prepare(const kernels::Kernels& kernels, const VolumeView& volume, const PatchGrid& grid,
               const Point& centre_mm, const Normalization& how, float* patch);

}  // namespace nigro
