// What the C face refuses: volumes, calls, models, and that nothing is written then.
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "capi_scan.h"
#include "check.h"
#include "tiny_model.h"

namespace {

using namespace capi;

void expect_volume(nigro_model* model, nigro_status expected, const char* what,
                   const std::function<void(nigro_volume&)>& spoil) {
    Scan scan;
    spoil(scan.volume);
    const Answer answer = predicted(model, scan.volume);
    that(answer.status == expected, std::string(what) + " gives status " +
                                        std::to_string(answer.status) + ": " + nigro_last_error());
    that(answer.is_untouched(), std::string(what) + " leaves the results untouched");
    that(nigro_last_error()[0] != '\0', std::string(what) + " says why");
}

void test_bad_volumes(nigro_model* model) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const std::int64_t most = std::numeric_limits<std::int64_t>::max();
    const std::int64_t least = std::numeric_limits<std::int64_t>::min();
    const auto expect = [&](nigro_status status, const char* what, auto spoil) {
        expect_volume(model, status, what, spoil);
    };
    expect(NIGRO_BAD_ARGUMENT, "size 0", [](auto& v) { v.sizeof_volume = 0; });
    expect(NIGRO_BAD_ARGUMENT, "size + 1", [](auto& v) { ++v.sizeof_volume; });
    expect(NIGRO_BAD_ARGUMENT, "size - 8", [](auto& v) { v.sizeof_volume -= 8; });
    expect(NIGRO_BAD_ARGUMENT, "a held end alone", [](auto& v) { v.held_end[1] = 40; });
    for (const std::int64_t index : {std::int64_t{-1}, std::int64_t{41}, most, least})
        expect(NIGRO_BAD_ARGUMENT, "held", [=](auto& v) {
            for (std::size_t i = 0; i < 3; ++i) v.held_end[i] = v.shape[i];
            (index < 0 ? v.held_begin : v.held_end)[1] = index;
        });
    expect(NIGRO_BAD_ARGUMENT, "no voxels", [](auto& v) { v.voxels = nullptr; });
    for (const std::int32_t type : {0, 1, 3, 32, 128, 1024, 2304, -4, 0x10004})
        expect(NIGRO_BAD_ARGUMENT, "type", [=](auto& v) { v.type = type; });
    expect(NIGRO_BAD_ARGUMENT, "swapped 2", [](auto& v) { v.swapped = 2; });
    for (const std::int64_t n : {std::int64_t{0}, std::int64_t{-1}, most, least})
        expect(NIGRO_BAD_ARGUMENT, "shape", [=](auto& v) { v.shape[1] = n; });
    for (const std::int64_t stride : {most, least})
        expect(NIGRO_BAD_ARGUMENT, "stride", [=](auto& v) { v.strides_bytes[2] = stride; });
    for (std::size_t i = 0; i < 3; ++i)
        expect(NIGRO_BAD_ARGUMENT, "stride 0", [=](auto& v) { v.strides_bytes[i] = 0; });
    expect(NIGRO_BAD_ARGUMENT, "no strides", [](auto& v) {
        for (std::int64_t& stride : v.strides_bytes) stride = 0;
    });
    expect(NIGRO_BAD_ARGUMENT, "strides in voxels", [](auto& v) {
        for (std::int64_t& stride : v.strides_bytes) stride /= 2;
    });
    for (const std::int64_t stride : {2, -2, 78, 3198, -3198, 3120})
        expect(NIGRO_BAD_ARGUMENT, "voxels that overlap",
               [=](auto& v) { v.strides_bytes[2] = stride; });
    expect(NIGRO_BAD_GEOMETRY, "stride 0 of one voxel, which are too few for a patch", [](auto& v) {
        v.shape[2] = 1;
        v.strides_bytes[2] = 0;
    });
    expect(NIGRO_BAD_ARGUMENT, "slope 0", [](auto& v) { v.slope = 0; });
    expect(NIGRO_BAD_ARGUMENT, "slope NaN", [=](auto& v) { v.slope = nan; });
    expect(NIGRO_BAD_ARGUMENT, "intercept NaN", [=](auto& v) { v.intercept = nan; });
    expect(NIGRO_BAD_GEOMETRY, "last row", [](auto& v) { v.affine[15] = 2; });
    for (int i = 0; i < 12; ++i)
        expect(NIGRO_BAD_GEOMETRY, "affine NaN", [=](auto& v) { v.affine[i] = nan; });
    expect(NIGRO_BAD_GEOMETRY, "flat", [](auto& v) { v.affine[0] = 0; });
    expect(NIGRO_BAD_GEOMETRY, "elsewhere", [](auto& v) { v.affine[3] = 100; });
    expect(NIGRO_BAD_GEOMETRY, "covered by less than 0.9", [](auto& v) { v.affine[3] = 7.5; });
    for (const double factor : {1000.0, 1e-3})  // micrometres, metres
        expect(NIGRO_BAD_GEOMETRY, "other units", [=](auto& v) {
            for (int i = 0; i < 12; ++i) v.affine[i] *= factor;
        });
    for (const double mm : {0.0499, 5.01, -5.01})
        expect(NIGRO_BAD_GEOMETRY, "voxel size", [=](auto& v) { v.affine[10] = mm; });
    const std::vector<std::int16_t> constant(40 * 40 * 32, 500);
    expect(NIGRO_DEGENERATE_PATCH, "constant", [&](auto& v) { v.voxels = constant.data(); });
    expect(NIGRO_DEGENERATE_PATCH, "negative", [](auto& v) { v.intercept = -300; });
}

void test_bad_calls(nigro_model* model, const Scan& scan) {
    const std::int32_t left = NIGRO_LEFT;
    float sbr = -1;
    const auto expect = [&](nigro_status got, nigro_status expected, const char* what) {
        that(got == expected, std::string(what) + ": " + nigro_last_error());
        that(sbr == -1, std::string(what) + " leaves the result untouched");
    };
    const nigro_volume* volume = &scan.volume;
    const auto bad = NIGRO_BAD_ARGUMENT;
    expect(nigro_predict(nullptr, volume, 1, &left, kLeft, &sbr, nullptr), bad, "no model");
    expect(nigro_predict(model, nullptr, 1, &left, kLeft, &sbr, nullptr), bad, "no volume");
    expect(nigro_predict(model, volume, 0, &left, kLeft, &sbr, nullptr), bad, "no point");
    expect(nigro_predict(model, volume, 1, nullptr, kLeft, &sbr, nullptr), bad, "no side");
    expect(nigro_predict(model, volume, 1, &left, nullptr, &sbr, nullptr), bad, "no centre");
    expect(nigro_predict(model, volume, 1, &left, kLeft, nullptr, nullptr), bad, "no result");
    for (const std::int32_t side : {0, 3, 4, -1})
        expect(nigro_predict(model, volume, 1, &side, kLeft, &sbr, nullptr), bad, "side");
    const double nowhere[3] = {std::numeric_limits<double>::infinity(), 0, 0};
    expect(nigro_predict(model, volume, 1, &left, nowhere, &sbr, nullptr), NIGRO_BAD_GEOMETRY,
           "a centroid that is not finite");

    std::int64_t begin[3] = {-1, -1, -1}, end[3] = {-1, -1, -1};
    const auto window = [&](nigro_model* m, const nigro_volume* v, std::size_t n,
                            const std::int32_t* sides, const double* centres, std::int64_t* b,
                            std::int64_t* e, nigro_status expected, const char* what) {
        that(nigro_get_window(m, v, n, sides, centres, b, e) == expected, what);
        that(begin[0] == -1 && end[2] == -1, std::string(what) + " leaves the window untouched");
    };
    window(nullptr, volume, 1, &left, kLeft, begin, end, bad, "window, no model");
    window(model, nullptr, 1, &left, kLeft, begin, end, bad, "window, no volume");
    window(model, volume, 0, &left, kLeft, begin, end, bad, "window, no point");
    window(model, volume, 1, nullptr, kLeft, begin, end, bad, "window, no side");
    window(model, volume, 1, &left, nullptr, begin, end, bad, "window, no centre");
    window(model, volume, 1, &left, kLeft, nullptr, end, bad, "window, no begin");
    window(model, volume, 1, &left, kLeft, begin, nullptr, bad, "window, no end");
    window(model, volume, 1, &left, nowhere, begin, end, NIGRO_BAD_GEOMETRY, "window nowhere");
    nigro_volume flat = scan.volume;
    flat.shape[2] = 0;
    window(model, &flat, 1, &left, kLeft, begin, end, bad, "window, no slice");

    std::vector<float> patch(kVoxels, 1.0F);
    float* values = patch.data();
    expect(nigro_predict_patches(nullptr, values, kVoxels, &sbr, 1), bad, "patches, no model");
    expect(nigro_predict_patches(model, nullptr, kVoxels, &sbr, 1), bad, "no patches");
    expect(nigro_predict_patches(model, values, kVoxels, nullptr, 1), bad, "patches, no result");
    expect(nigro_predict_patches(model, values, kVoxels - 1, &sbr, 1), bad, "a voxel less");
    expect(nigro_predict_patches(model, values, 0, &sbr, 0), bad, "no patch");
    expect(nigro_predict_patches(model, values, kVoxels, &sbr, std::size_t{1} << 62), bad, "many");
    patch[5] = std::numeric_limits<float>::quiet_NaN();
    expect(nigro_predict_patches(model, values, kVoxels, &sbr, 1), NIGRO_DEGENERATE_PATCH, "NaN");

    nigro_model_info info{};
    that(nigro_get_model_info(model, &info) == bad, "info of size 0");
    info.sizeof_info = sizeof info;
    that(nigro_get_model_info(nullptr, &info) == bad && info.card == nullptr, "info, no model");
    that(nigro_get_model_info(model, nullptr) == bad, "no info");
    nigro_model_free(nullptr);
}

void test_left_is_left(nigro_model* model, const Scan& scan) {
    const std::int32_t sides[2] = {NIGRO_RIGHT, NIGRO_LEFT};
    const double centres[6] = {kLeft[0], kLeft[1], kLeft[2], kRight[0], kRight[1], kRight[2]};
    float sbr[2] = {-1, -1};
    that(nigro_predict(model, &scan.volume, 2, sides, centres, sbr, nullptr) == NIGRO_BAD_GEOMETRY,
         "left and right exchanged");
    const std::int32_t right_order[2] = {NIGRO_LEFT, NIGRO_RIGHT};
    for (const double x : {kLeft[0] + 0.1, kLeft[0] + 7.9, kLeft[0] + 50.1}) {
        const double near[6] = {kLeft[0], kLeft[1], kLeft[2], x, kRight[1], kRight[2]};
        that(nigro_predict(model, &scan.volume, 2, right_order, near, sbr, nullptr) ==
                 NIGRO_BAD_GEOMETRY,
             "no two nigrosomes are so far apart");
    }
    that(sbr[0] == -1 && sbr[1] == -1, "and nothing written");
}

void test_bad_models() {
    const std::string good = tiny::model();
    nigro_model* model = nullptr;
    that(nigro_model_open(nullptr, nullptr, &model) == NIGRO_BAD_ARGUMENT, "no path");
    that(nigro_model_open("x", nullptr, nullptr) == NIGRO_BAD_ARGUMENT, "nowhere to put it");
    that(nigro_model_open("no/such/file", nullptr, &model) == NIGRO_CANNOT_READ, "no file");
    that(nigro_model_open("/", nullptr, &model) == NIGRO_CANNOT_READ, "a folder");
    that(nigro_model_open_memory(nullptr, 5, nullptr, &model) == NIGRO_BAD_ARGUMENT, "no bytes");
    that(model == nullptr, "no model");
    for (const std::int32_t threads : {0, -1, 257}) {
        const nigro_options options{sizeof options, threads};
        expect_model(NIGRO_BAD_ARGUMENT, good, std::to_string(threads) + " threads", &options);
    }
    const nigro_options options{sizeof options + 8, 1};
    expect_model(NIGRO_BAD_ARGUMENT, good, "options of another size", &options);

    expect_model(NIGRO_BAD_MODEL, "", "an empty file");
    for (std::size_t n = 1; n < good.size(); n += 61)
        expect_model(NIGRO_BAD_MODEL, good.substr(0, n), "a file cut short");
    for (std::size_t i = 0; i < tiny::metadata().size(); ++i) {
        tiny::Metadata entries = tiny::metadata();
        const std::string key = entries[i].first;
        entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(i));
        expect_model(NIGRO_BAD_MODEL, tiny::model(1, entries), "no " + key);
    }
    tiny::Metadata entries = tiny::metadata();
    entries.back().second = "0x40000000 2";
    expect_model(NIGRO_BAD_MODEL, tiny::model(1, entries), "a self-test of 2");
    that(std::string(nigro_last_error()).find("self-test") != std::string::npos, "says self-test");
}

// The tiny model's metadata in format 2, with one key more and perhaps no side mirrored.
tiny::Metadata format_2(const std::string& key, const std::string& value, bool is_mirrored = true) {
    tiny::Metadata entries = tiny::metadata();
    for (auto& [name, text] : entries) {
        if (name == "format") text = "2";
        if (name == "mirror" && !is_mirrored) text = "none";
    }
    entries.emplace_back(key, value);
    return entries;
}

void test_format_2(const Scan& scan) {
    nigro_model* about = opened(tiny::model());
    nigro_model* same = opened(tiny::model(1, format_2("mirror_centre", "n/2")));
    nigro_model* flipped = opened(tiny::model(1, format_2("mirror_centre", "n/2-1")));
    const Answer want = predicted(about, scan.volume);
    const Answer got = predicted(flipped, scan.volume);
    that(want == predicted(same, scan.volume), "n/2 is what format 1 means");
    that(got.status == NIGRO_OK && check::same(want.sbr[0], got.sbr[0]), "left is not mirrored");
    that(!check::same(want.sbr[1], got.sbr[1]), "right is another patch");
    for (nigro_model* model : {about, same, flipped}) nigro_model_free(model);

    for (const char* bad : {"", "n/2+1", "n/2-1 ", "24"})
        expect_model(NIGRO_BAD_MODEL, tiny::model(1, format_2("mirror_centre", bad)), bad);
    expect_model(NIGRO_BAD_MODEL, tiny::model(1, format_2("mirror_centre", "n/2-1", false)),
                 "n/2-1 where no side is mirrored");
    expect_model(NIGRO_BAD_MODEL, tiny::model(1, format_2("task", "find")), "another task");
    tiny::Metadata entries = tiny::metadata();
    entries.emplace_back("mirror_centre", "n/2");
    expect_model(NIGRO_BAD_MODEL, tiny::model(1, entries), "a key of format 2 in format 1");
}

void test_a_side_that_is_not_served(const Scan& scan) {
    tiny::Metadata entries = tiny::metadata();
    for (auto& [key, value] : entries)
        if (key == "side") value = "left";
    nigro_model* model = opened(tiny::model(1, entries));
    const Answer answer = predicted(model, scan.volume);
    that(answer.status == NIGRO_SIDE_NOT_SERVED && answer.is_untouched(), "right is not served");
    const std::int32_t side = NIGRO_LEFT;
    float sbr = -1;
    that(nigro_predict(model, &scan.volume, 1, &side, kLeft, &sbr, nullptr) == NIGRO_OK, "left is");
    nigro_model_free(model);
}

void test_last_error_belongs_to_the_thread() {
    nigro_model* model = nullptr;
    nigro_model_open("no/such/file", nullptr, &model);
    const std::string before = nigro_last_error();
    std::thread([] {
        that(std::string(nigro_last_error()).empty(), "a new thread has no error");
        nigro_model_open_memory(nullptr, 0, nullptr, nullptr);
    }).join();
    that(before == nigro_last_error(), "another thread's error is not ours");
    const std::string path(5000, '\xC3');
    nigro_model_open(path.c_str(), nullptr, &model);
    that(std::strlen(nigro_last_error()) < 1024, "the text is cut");
}
}  // namespace

int main() {
    const Scan scan;
    nigro_model* model = opened(tiny::model());
    if (model == nullptr) return check::report("test_capi_refusals");
    test_bad_volumes(model);
    test_bad_calls(model, scan);
    test_left_is_left(model, scan);
    test_bad_models();
    test_format_2(scan);
    test_a_side_that_is_not_served(scan);
    test_last_error_belongs_to_the_thread();
    nigro_model_free(model);
    return check::report("test_capi_refusals");
}
