// Run a fuzz target without libFuzzer: seeds, then a fixed number of mutations of them.
//
//   PROGRAM RUNS FILE...
//
// For compilers that have sanitizers but no libFuzzer. The mutations depend on the run's number
// alone, so a failure repeats. They know a little of protobuf: lengths are what they like to
// change. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

// No allocation beyond what the reader's header promises, and a leak is a failure.
extern "C" const char* __asan_default_options() {
    return "max_allocation_size_mb=160:allocator_may_return_null=0:detect_leaks=1";
}

namespace {

using Bytes = std::vector<std::uint8_t>;
using Random = std::mt19937;

std::size_t below(Random& random, std::size_t n) { return n == 0 ? 0 : random() % n; }

Bytes read_file(const char* path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        std::fprintf(stderr, "cannot read %s\n", path);
        std::exit(2);
    }
    return {std::istreambuf_iterator<char>(file), {}};
}

void flip_bit(Bytes& bytes, Random& random) {
    if (!bytes.empty()) bytes[below(random, bytes.size())] ^= std::uint8_t(1u << below(random, 8));
}

// Numbers at which length checks go wrong: ends of varint ranges and of the signed bytes.
void set_byte(Bytes& bytes, Random& random) {
    static const std::uint8_t kValues[] = {0x00, 0x01, 0x7F, 0x80, 0x81, 0xFE, 0xFF};
    if (!bytes.empty()) bytes[below(random, bytes.size())] = kValues[below(random, 7)];
}

void add_byte(Bytes& bytes, Random& random) {
    if (!bytes.empty()) bytes[below(random, bytes.size())] += std::uint8_t(1 + below(random, 8));
}

void truncate(Bytes& bytes, Random& random) { bytes.resize(below(random, bytes.size() + 1)); }

void erase(Bytes& bytes, Random& random) {
    const std::size_t begin = below(random, bytes.size());
    const std::size_t n = std::min(bytes.size() - begin, 1 + below(random, 16));
    bytes.erase(bytes.begin() + std::ptrdiff_t(begin), bytes.begin() + std::ptrdiff_t(begin + n));
}

void repeat(Bytes& bytes, Random& random) {
    const std::size_t begin = below(random, bytes.size());
    const std::size_t n = std::min(bytes.size() - begin, 1 + below(random, 64));
    const Bytes part(bytes.begin() + std::ptrdiff_t(begin),
                     bytes.begin() + std::ptrdiff_t(begin + n));
    bytes.insert(bytes.begin() + std::ptrdiff_t(below(random, bytes.size() + 1)), part.begin(),
                 part.end());
}

void insert_huge_varint(Bytes& bytes, Random& random) {
    const Bytes huge(1 + below(random, 11), 0xFF);
    bytes.insert(bytes.begin() + std::ptrdiff_t(below(random, bytes.size() + 1)), huge.begin(),
                 huge.end());
}

using Mutation = void (*)(Bytes&, Random&);
constexpr Mutation kMutations[] = {flip_bit, set_byte, add_byte, add_byte,
                                   truncate, erase,    repeat,   insert_huge_varint};

// On the heap and of the exact size, so that one byte too far is seen.
void run(const Bytes& bytes) {
    const auto copy = std::make_unique<std::uint8_t[]>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), copy.get());
    LLVMFuzzerTestOneInput(copy.get(), bytes.size());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: %s RUNS FILE...\n", argv[0]);
        return 2;
    }
    const auto n_runs = static_cast<std::uint32_t>(std::strtoul(argv[1], nullptr, 10));
    std::vector<Bytes> seeds;
    for (int i = 2; i < argc; ++i) seeds.push_back(read_file(argv[i]));
    for (const Bytes& seed : seeds) run(seed);
    for (std::uint32_t i = 0; i < n_runs; ++i) {
        Random random(i);
        Bytes bytes = seeds[below(random, seeds.size())];
        for (std::size_t n = 1 + below(random, 4); n > 0; --n)
            kMutations[below(random, std::size(kMutations))](bytes, random);
        run(bytes);
    }
    std::printf("%zu seeds and %u mutations: no failure\n", seeds.size(), n_runs);
    return 0;
}
