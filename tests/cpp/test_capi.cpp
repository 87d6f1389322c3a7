// The C face from outside: answers, threads, and memory that stays flat.
//
//     test_capi                 all checks
//     test_capi loop N          N predictions and N / 100 models, then the growth of memory
//
// Only nigroedge.h is included: the program links with the shared library, the static one, or one
// of another build.
//
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#if defined(__unix__)
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "capi_scan.h"
#include "check.h"
#include "tiny_model.h"

namespace {

using namespace capi;

// ------------------------------------------------------------------------------------------- uses

void test_two_points_are_two_calls(nigro_model* model, const Scan& scan) {
    const Answer both = predicted(model, scan.volume);
    that(both.status == NIGRO_OK, "predict both");
    that(both.coverage[0] == 1 && both.coverage[1] == 1, "coverage 1");
    const std::int32_t side = NIGRO_RIGHT;
    float right = -1;
    that(nigro_predict(model, &scan.volume, 1, &side, kRight, &right, nullptr) == NIGRO_OK,
         "predict right without coverage");
    that(check::same(right, both.sbr[1]), "one point gives the bits of two");
    that(both.sbr[0] != both.sbr[1] && both.sbr[0] != 0, "answers depend on the patch");
}

// No more of the scan than a prediction reads, in an order of its own.
struct Part {
    std::vector<std::int16_t> voxels;
    nigro_volume volume;

    Part(nigro_model* model, const Scan& scan) : volume(scan.volume) {
        const std::int32_t sides[2] = {NIGRO_LEFT, NIGRO_RIGHT};
        const double centres[6] = {kLeft[0], kLeft[1], kLeft[2], kRight[0], kRight[1], kRight[2]};
        volume.voxels = nullptr;
        std::int64_t* const begin = volume.held_begin;
        std::int64_t* const end = volume.held_end;
        that(nigro_get_window(model, &volume, 2, sides, centres, begin, end) == NIGRO_OK, "window");
        for (std::int64_t i = begin[0]; i < end[0]; ++i)
            for (std::int64_t j = begin[1]; j < end[1]; ++j)
                for (std::int64_t k = begin[2]; k < end[2]; ++k)
                    voxels.push_back(scan.voxels[static_cast<std::size_t>(i + 40 * j + 1600 * k)]);
        volume.voxels = voxels.data();
        volume.strides_bytes[2] = 2;
        volume.strides_bytes[1] = 2 * (end[2] - begin[2]);
        volume.strides_bytes[0] = volume.strides_bytes[1] * (end[1] - begin[1]);
    }
};

void test_a_part_of_the_volume(nigro_model* model, const Scan& scan) {
    const Answer whole = predicted(model, scan.volume);
    const Part part(model, scan);
    that(part.voxels.size() < scan.voxels.size() / 10, "the window is small");
    that(predicted(model, part.volume) == whole, "the window alone gives the same bits");
    for (std::size_t i = 0; i < 3; ++i) {
        nigro_volume less = part.volume;
        ++less.held_begin[i];
        that(predicted(model, less).status == NIGRO_BAD_ARGUMENT, "the window from one on");
        less = part.volume;
        --less.held_end[i];
        that(predicted(model, less).status == NIGRO_BAD_ARGUMENT, "the window but for the last");
    }
    nigro_volume older = scan.volume;
    older.sizeof_volume = offsetof(nigro_volume, held_begin);
    for (std::int64_t& index : older.held_begin) index = -77;
    that(predicted(model, older) == whole, "a program that does not know the window");
}

void test_patches(nigro_model* model) {
    check::Random random(3);
    const std::vector<float> patches = check::uniforms(random, 3 * kVoxels, 0.5F, 1.5F);
    std::vector<float> sbr(3, -1.0F);
    that(nigro_predict_patches(model, patches.data(), patches.size(), sbr.data(), 3) == NIGRO_OK,
         "predict three patches");
    for (std::size_t i = 0; i < 3; ++i) {
        float one = -1;
        nigro_predict_patches(model, patches.data() + i * kVoxels, kVoxels, &one, 1);
        that(check::same(one, sbr[i]), "a patch alone gives the bits that it gives among others");
    }
}

void test_info(nigro_model* model) {
    nigro_model_info info{};
    info.sizeof_info = sizeof info;
    that(nigro_get_model_info(model, &info) == NIGRO_OK, "info");
    that(info.patch_shape[0] == 7 && info.patch_shape[1] == 6 && info.patch_shape[2] == 4, "shape");
    that(info.spacing_mm[2] == 1 && std::string(info.axes) == "ALI", "grid");
    that(info.sides == NIGRO_BOTH && info.mirrored == NIGRO_RIGHT, "sides");
    that(std::string(info.normalize) == "mean" && info.num_threads == 1, "normalize, threads");
    that(std::string(info.card) == "{\"name\": \"tiny\"}", "card");
    that(std::strlen(info.isa) > 0, "isa");
}

// ---------------------------------------------------------------------------------------- threads

constexpr std::size_t kThreads = 8;

// Eight threads, each with a model of its own of 1, 2 or 3 threads, then all eight on one model.
void test_threads(const Scan& scan) {
    const std::int32_t usable = nigro_usable_processors();
    that(1 <= usable && usable <= NIGRO_MAX_THREADS, "usable processors");
    for (const std::int32_t asked : {1, 2, 3, static_cast<int>(NIGRO_MAX_THREADS)}) {
        nigro_model* model = opened(tiny::model(), asked);
        nigro_model_info info{};
        info.sizeof_info = sizeof info;
        that(nigro_get_model_info(model, &info) == NIGRO_OK, "info");
        that(info.num_threads == std::min(asked, usable), "no more threads than processors");
        nigro_model_free(model);
    }
    std::vector<Answer> expected, alone(kThreads), shared(kThreads);
    for (std::size_t i = 0; i < kThreads; ++i) {
        nigro_model* model = opened(tiny::model(static_cast<std::uint32_t>(i)));
        expected.push_back(predicted(model, scan.volume));
        nigro_model_free(model);
    }
    nigro_model* one = opened(tiny::model(0), 2);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < kThreads; ++i)
        threads.emplace_back([&, i] {
            const std::string file = tiny::model(static_cast<std::uint32_t>(i));
            const nigro_options options{sizeof options, static_cast<std::int32_t>(1 + i % 3)};
            nigro_model* model = nullptr;
            if (nigro_model_open_memory(file.data(), file.size(), &options, &model) != NIGRO_OK)
                return;
            for (int round = 0; round < 20; ++round) {
                alone[i] = predicted(model, scan.volume);
                shared[i] = predicted(one, scan.volume);
            }
            nigro_model_free(model);
        });
    for (std::thread& thread : threads) thread.join();
    nigro_model_free(one);
    for (std::size_t i = 0; i < kThreads; ++i) {
        that(alone[i] == expected[i], "a thread with its own model");
        that(shared[i] == expected[0], "threads that share a model");
    }
}

#if defined(__unix__)
// What the header asks nobody to rely on must not hang all the same: a child frees its parent's
// model.
void test_a_forked_child_can_free_a_model() {
    nigro_model* model = opened(tiny::model(), 3);
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        nigro_model_free(model);
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    that(status == 0, "a forked child frees a model");
    nigro_model_free(model);
}
#else
void test_a_forked_child_can_free_a_model() {}
#endif

// ----------------------------------------------------------------------------------------- memory

// Kilobytes of this process in memory; 0 where there is no /proc.
long resident_kb() {
    std::FILE* file = std::fopen("/proc/self/status", "r");
    if (file == nullptr) return 0;
    char line[256];
    long kb = 0;
    while (std::fgets(line, sizeof line, file) != nullptr)
        if (std::sscanf(line, "VmRSS: %ld", &kb) == 1) break;
    std::fclose(file);
    return kb;
}

// A sanitizer holds freed memory back, and an emulator's own memory counts too.
#if defined(NIGROEDGE_TEST_NATIVE)
constexpr bool kMemoryIsOurs = true;
#else
constexpr bool kMemoryIsOurs = false;
#endif

long loop(nigro_model* model, const Scan& scan, long n) {
    const std::string file = tiny::model();
    const Answer expected = predicted(model, scan.volume);
    long before = 0;
    for (long i = 0; i < n; ++i) {
        if (i == n / 10) before = resident_kb();  // buffers have grown to their size by then
        if (!(predicted(model, scan.volume) == expected)) that(false, "the loop's answer changed");
        if (i % 100 == 0) nigro_model_free(opened(file, 2));
        if (i % 100 == 50)
            expect_model(NIGRO_BAD_MODEL, file.substr(0, file.size() / 2), "a broken model");
    }
    return resident_kb() - before;
}

}  // namespace

int main(int argc, char** argv) {
    const Scan scan;
    nigro_model* model = opened(tiny::model());
    if (model == nullptr) return check::report("test_capi");
    if (argc == 3) {
        const long growth = loop(model, scan, std::atol(argv[2]));
        std::printf("%s predictions: resident memory %+ld kB\n", argv[2], growth);
    } else {
        that(std::string(nigro_version()) == NIGRO_VERSION, "version");
        test_two_points_are_two_calls(model, scan);
        test_a_part_of_the_volume(model, scan);
        test_patches(model);
        test_info(model);
        test_threads(scan);
        test_a_forked_child_can_free_a_model();
        const long growth_kb = loop(model, scan, 3000);
        that(!kMemoryIsOurs || growth_kb < 1000, "memory stays flat");
    }
    nigro_model_free(model);
    return check::report("test_capi");
}
