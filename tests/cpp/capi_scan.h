// What the tests of the C face share: a scan of random voxels, two points in it, and what is asked
// of them. Only nigroedge.h is included, as in a program of another company.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nigroedge.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "tiny_model.h"

namespace capi {

using check::that;

inline constexpr std::size_t kVoxels = tiny::kShape[0] * tiny::kShape[1] * tiny::kShape[2];
inline constexpr double kLeft[3] = {4.0, 8.0, 16.0};
inline constexpr double kRight[3] = {12.4, 9.0, 15.0};

// A volume of 40 x 40 x 32 voxels of 0.5 x 0.5 x 1 mm.
struct Scan {
    std::vector<std::int16_t> voxels = std::vector<std::int16_t>(40 * 40 * 32);
    nigro_volume volume{};

    Scan() {
        check::Random random(7);
        for (std::int16_t& voxel : voxels)
            voxel = static_cast<std::int16_t>(100 + check::below(random, 900));
        volume = {sizeof volume,
                  voxels.data(),
                  NIGRO_INT16,
                  0,
                  {40, 40, 32},
                  {2, 80, 3200},
                  {0.5, 0, 0, 0, 0, 0.5, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1},
                  1.0,
                  0.0,
                  {},
                  {}};
    }
};

inline nigro_model* opened(const std::string& file, int num_threads = 1) {
    const nigro_options options{sizeof options, num_threads};
    nigro_model* model = nullptr;
    const nigro_status status = nigro_model_open_memory(file.data(), file.size(), &options, &model);
    that(status == NIGRO_OK, std::string("open: ") + nigro_last_error());
    return model;
}

struct Answer {
    nigro_status status;
    float sbr[2] = {-1, -1};
    double coverage[2] = {-1, -1};

    bool operator==(const Answer& other) const {
        return status == other.status && check::same(sbr[0], other.sbr[0]) &&
               check::same(sbr[1], other.sbr[1]);
    }
    bool is_untouched() const {
        return sbr[0] == -1 && sbr[1] == -1 && coverage[0] == -1 && coverage[1] == -1;
    }
};

inline Answer predicted(nigro_model* model, const nigro_volume& volume) {
    const std::int32_t sides[2] = {NIGRO_LEFT, NIGRO_RIGHT};
    const double centres[6] = {kLeft[0], kLeft[1], kLeft[2], kRight[0], kRight[1], kRight[2]};
    Answer answer{};
    answer.status = nigro_predict(model, &volume, 2, sides, centres, answer.sbr, answer.coverage);
    return answer;
}
inline void expect_model(nigro_status expected, const std::string& file, const std::string& what,
                         const nigro_options* options = nullptr) {
    auto* const untouched = reinterpret_cast<nigro_model*>(&expected);
    nigro_model* model = untouched;
    const nigro_status status = nigro_model_open_memory(file.data(), file.size(), options, &model);
    that(status == expected, what + " gives status " + std::to_string(status));
    that(model == untouched, what + " leaves the model pointer untouched");
    if (model != untouched) nigro_model_free(model);
}

}  // namespace capi
