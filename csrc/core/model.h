// A model: a network together with what its file says about its use, proved by its self-test.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "core/model_spec.h"
#include "core/network.h"
#include "core/view.h"

namespace nigro {

// What an SBR can be. It is (striatum - occipital) / occipital of counts, so never below -1. Intact
// sides have 4.3 (SD 1.1); software that reads twice as much has 8.6 (SD 2.2), and 15 lies almost 3
// SD above that.
constexpr double kMinSbr = -1;
constexpr double kMaxSbr = 15;
// Millimetres along x between the left and the right nigrosome-1. The centres of the nigrae lie
// 20.6 mm apart (CIT168 atlas), and a midbrain is 40 to 50 mm wide. Less comes of one side marked
// twice, or of centimetres; more of a slip of the decimal point.
constexpr double kMinApartMm = 8;
constexpr double kMaxApartMm = 50;
// Millimetres from the origin along every axis, within which no one finds a nigrosome by chance,
// but where metres put them all. The origin itself may be the middle of an image that was cut out.
constexpr double kMetresMm = 0.1;

// Where to look in a volume, and what was found there.
struct Target {
    Sides side;  // left or right
    Point centre_mm;
};
struct Prediction {
    float sbr;
    double coverage;  // fraction of the patch inside the volume
};

// Any number of threads may use a model at once; the network has them take turns.
class Model {
public:
    // Reads the model file of 'size' bytes at 'data', plans its network for 'n_threads' threads,
    // the caller's included, and runs the self-test. Nothing refers to 'data' afterwards.
    //
    // Throws ModelError if the file is not a model of this contract, the network does not take the
    // patches that it states, or the self-test is off; Unsupported if NIGROEDGE_ISA names what this
    // CPU cannot run.
    Model(const unsigned char* data, std::size_t size, std::size_t n_threads);

    const ModelSpec& spec() const noexcept { return spec_; }
    std::size_t n_threads() const { return network_.n_threads(); }
    const char* isa() const { return network_.isa(); }

    // Crops, normalises and runs the patch of each target, all of one volume.
    //
    // Throws SideNotServed; GeometryError if a centroid is unfit, or one of a left side lies right
    // of one of a right side; DegeneratePatchError, also for negative values where the mean is
    // divided by: an SMWI has none; and for an SBR that cannot be; ModelError if the network gives
    // no number.
    std::vector<Prediction> predict(const VolumeView& volume, const std::vector<Target>& targets);

    // The smallest box that holds what predict() reads of a volume; which part of it is in memory
    // is not looked at. Throws SideNotServed and GeometryError as predict() does.
    ImageWindow window_of(const VolumeView& volume, const std::vector<Target>& targets) const;

    // Runs the network on 'n' patches that are normalised and mirrored already.
    //
    // Throws DegeneratePatchError if a value is not finite, ModelError if an answer is not.
    std::vector<float> predict_patches(const float* patches, std::size_t n);

private:
    Model(const OnnxModel& onnx, std::size_t n_threads);
    std::vector<float> run(const float* patches, std::size_t n);

    ModelSpec spec_;
    const kernels::Kernels& kernels_;
    Network network_;
};

}  // namespace nigro
