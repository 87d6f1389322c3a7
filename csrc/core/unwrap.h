// Unwrap phase by whole turns, joining the most reliable neighbours first.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>

namespace nigro {

// A phase image in C order, and what to unwrap of it. Nothing is owned.
struct PhaseImage {
    std::array<std::size_t, 3> shape;
    const float* phase;         // radians
    const unsigned char* mask;  // not 0 inside; what lies outside is neither read nor crossed
    const float* reliability;   // larger is better, any scale
};

// An edge and a voxel's number have to fit into 32 bits.
inline constexpr std::size_t kMaxPhaseVoxels = std::size_t{1} << 30;
// Beyond this many radians float32 no longer tells where in its turn a phase is.
inline constexpr float kMaxPhase = 1e5F;

// Writes the unwrapped phase to `unwrapped`, of the same shape; 0 outside the mask.
//
// An edge joins two voxels of the mask that share a face. It costs, in float32,
//
//     (|wrapped difference| / pi + 0.001) / max(lesser reliability / greatest of all, 1e-6)
//
// and edges are ordered by cost, those of equal cost by the lower of their voxels, then by axis.
// The first edges that close no circle are kept: the minimum spanning tree of each part of the
// mask, and the only one in that order, so that the bits are the same on every machine. Along a
// kept edge the phase changes by the wrapped difference: turns (float32(2 pi), in float64) are
// added to all but the first voxel of a part. Then as many are taken off the whole part (as one
// float32) as bring its median, of two middle ones their mean, within pi of 0.
//
// Memory: 16 bytes an edge and 16 a voxel. Throws BadArgument, with nothing written, if there are
// more than kMaxPhaseVoxels, or inside the mask a phase is not within kMaxPhase of 0, or a
// reliability is not finite or below 0.
void unwrap(const PhaseImage& image, float* unwrapped);

}  // namespace nigro
