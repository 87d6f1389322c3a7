// What a model file says about its use: the metadata that the network's numbers depend on.
//
// The rules are those of nigroedge/spec.py, letter by letter; tests hold the two against each
// other.
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/normalize.h"
#include "core/onnx_reader.h"
#include "core/view.h"

namespace nigro {

// A side of the patient, or several; bits, so that sets of sides are sums.
enum class Sides : unsigned { neither = 0, left = 1, right = 2, both = 3 };

constexpr bool contains(Sides set, Sides side) noexcept {
    return (static_cast<unsigned>(set) & static_cast<unsigned>(side)) != 0;
}

struct ModelSpec {
    PatchGrid grid{};
    Normalization normalize;
    std::string normalize_name;  // as the file has it
    Sides served = Sides::both;
    Sides mirrored = Sides::neither;  // left, right or neither
    bool mirror_flips = false;        // the mirrored side is cropped, then flipped
    float selftest_sbr = 0;           // the output for the self-test patch
    std::string card;                 // JSON, not parsed here: no number depends on it

    // The grid that a patch of 'side' is cropped on: with left and right exchanged if the side is
    // mirrored. Patch voxel n/2 then lies on the centroid in the patch that the network sees or,
    // where the model was trained on arrays that were cropped and then flipped, n - 1 - n/2.
    PatchGrid grid_for(Sides side) const;

    std::size_t n_voxels() const { return grid.shape[0] * grid.shape[1] * grid.shape[2]; }
};

// Reads the metadata_props of 'model'. Throws ModelError if a key is missing or its value is not
// what the contract allows.
ModelSpec read_model_spec(const OnnxModel& model);

}  // namespace nigro
