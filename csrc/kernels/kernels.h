// Every kernel of nigroedge: one table of function pointers, and the contract of each slot.
//
// The scalar file fills all slots and is the specification; the file of an instruction set
// overrides the slots that it does faster. An override gives the same bits for every input, so
// nobody above this header needs to know which one runs. Tables are chosen in dispatch.cpp, once,
// by name.
//
// A file of an instruction set includes only this header, <cstddef>, <cstdint> and intrinsics: an
// inline function of any other header could be compiled for that set and be kept by the linker for
// everybody. For the same reason this header defines no function.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace nigro::kernels {

// How a voxel is stored; the order is that of the slots `load` and `load_strided`.
enum class Stored : std::uint8_t { u8, i8, u16, i16, u32, i32, f32, f64 };
constexpr std::size_t kStoredTypes = 8;

// Reads `n` stored values that lie `stride` bytes apart from `src` on, at any alignment:
//
//     dst[i] = float32(slope * stored[i] + intercept), one rounding to float64, one to float32
//
// so the sum is a fused multiply-add in float64. Slope 1 with intercept 0 may skip it: the bits are
// the same once a stored -0.0 has become +0.0. A NaN stays one, of any payload. Counts are at least
// 1 and the source never overlaps the destination, here and in the slots below.
using LoadStrided = void (*)(const unsigned char* src, std::ptrdiff_t stride, std::size_t n,
                             double slope, double intercept, float* dst);

// The same for values that lie side by side.
using Load = void (*)(const unsigned char* src, std::size_t n, double slope, double intercept,
                      float* dst);

// The same for `n_rows` such runs of `n` values, `src_stride` bytes apart, each of which becomes a
// column: dst[i * dst_stride + r] = value i of run r, dst_stride in elements, of either sign.
using LoadTransposed = void (*)(const unsigned char* src, std::ptrdiff_t src_stride,
                                std::size_t n_rows, std::size_t n, double slope, double intercept,
                                float* dst, std::ptrdiff_t dst_stride);

// Sums of d and d * d, d = float64(x[i]) - pivot. `squares` is finite exactly if every value is,
// and is 0 exactly if every value equals the pivot: float64 holds the square of any float32
// difference.
struct Moments {
    double sum;
    double squares;
};

// Sums run in 16 lanes of float64: lane j adds the elements i with i mod 16 = j in rising order,
// then lanes j and j + 8, j + 4, j + 2, j + 1 are added, in this order. Vectors of 2, 4 and 8 all
// fit it, so it is the sum that every instruction set gives; and two such sums just fit the
// registers of AVX2 and NEON, while their additions hide each other's latency.
constexpr std::size_t kLanes = 16;

// ------------------------------------------------------------------------------------ convolution
//
// Channels lie innermost, in blocks of kChannelBlock: a map of C channels is an array
// [C / 16][x][y][z][16], its channels padded with zeros. "A block" below is 16 floats. Strides
// count floats. No pointer needs an alignment; 64 bytes are faster. The algorithm:
// docs/notes/engine.md.

constexpr std::size_t kChannelBlock = 16;

// Winograd's minimal filtering makes M outputs along an axis from M + 2 inputs, by a product for
// each of M + 2 positions. Here it runs in the plane of x and y first, so that a convolution
// becomes one along z for each position of the plane, and then along z.
//
// Tiles along an axis come in two families, each with one set of weights. F(4, 3) interpolates at
// 0, 3/4, -3/4, 3/2, -3/2 and infinity, F(6, 3) at 0, 1/2, -1/2, 1, -1, 2, -2 and infinity; F(2, 3)
// at four positions of either.
enum Tile : int { kFour, kTwo, kSix, kTwoOfSix, kTiles };
constexpr std::size_t kTileOutputs[kTiles] = {4, 2, 6, 2};
constexpr std::size_t kMaxOutputs = 6;
// Of its family's positions, those of a tile.
constexpr std::size_t kMaxPositions = kMaxOutputs + 2;
constexpr std::size_t kTilePositions[kTiles][kMaxPositions] = {
    {0, 1, 2, 3, 4, 5}, {0, 1, 2, 5}, {0, 1, 2, 3, 4, 5, 6, 7}, {0, 3, 4, 7}};
constexpr std::size_t kFamilyPositions[kTiles] = {6, 6, 8, 8};

// Along z there is one family.
constexpr std::size_t kPositions = kFamilyPositions[kFour];

// Outputs in the plane that are made together, from (x outputs + 2)(y outputs + 2) positions, y
// fastest.
struct Footprint {
    Tile x, y;
};

// Where a column's inputs are: 'planes[x]', one for each position along x, points at the first
// input of row x; y advances by 'y_stride', z by 16. Of the column's planes the first 'before' and
// the last 'after' are zero and not read; 'n_z' lie between.
struct InputColumn {
    const float* const* planes;
    std::size_t y_stride;
    std::size_t before, n_z, after;
};

// Where outputs go: blocks at values + x * x_stride + y * y_stride + z * 16 for x < n_x, y < n_y,
// z < n_z; what a footprint makes beyond is dropped.
struct OutputColumn {
    float* values;
    std::size_t x_stride, y_stride;
    std::size_t n_x, n_y, n_z;
};

// What is added to outputs, laid out as they are before any max-pool; nullptr where nothing is.
struct Addend {
    const float* values;
    std::size_t x_stride, y_stride;
};

// A run of 'n' outputs along z, each of one block of channels. An output sees n_rows rows of
// 'n_taps' inputs along z of each of n_in channels; blocks of them lie 'block_stride' apart, and
// the inputs of the next output 'z_stride' on.
struct DirectShape {
    std::size_t n_in, n_rows, n_taps;
    std::size_t block_stride, z_stride, n;
};

// The work of one position of the plane: n_columns runs of 4 fours + 2 twos outputs along z, by
// 'fours' tiles of F(4, 3) and then 'twos' tiles of F(2, 3); n_in and n_out count blocks. Weights
// are taps, or transformed already.
struct DepthShape {
    std::size_t n_columns, fours, twos, n_in, n_out;
    bool taps;
};

// The same for a map of one or two planes: all others that its outputs see are zero.
struct ShallowShape {
    std::size_t n_columns, n_planes, n_in, n_out;
};

// The three taps along z come times these, so that all factors of their transform are exact in
// float32, and few.
constexpr double kTapScales[3] = {32.0 / 243.0, 48.0 / 243.0, 72.0 / 243.0};

// Blocks of outputs that a kernel makes at once, at most.
constexpr std::size_t kMaxProductBlocks = 2;

struct Kernels {
    const char* name;  // the instruction set, as NIGROEDGE_ISA spells it

    // [type][1 if the bytes of a value are not in this machine's order]
    Load load[kStoredTypes][2];
    LoadTransposed load_transposed[kStoredTypes][2];
    LoadStrided load_strided[kStoredTypes][2];  // nobody overrides it: no vector instruction helps

    // Weighted mean of `n_rows` rows of `n` values: with acc starting at 0,
    //
    //     for t = 1 ... n_rows - 1:  acc = fma(weights[t], rows[t][i] - rows[0][i], acc)
    //     dst[i] = rows[0][i] + acc
    //
    // in float32. The weights have sum 1, so weights[0] is implied and never read; written about
    // the first row like this, the mean of equal values is that value to the bit.
    void (*blend)(const float* const* rows, const float* weights, std::size_t n_rows, std::size_t n,
                  float* dst);

    // Both sums run in the lanes above; the squares are fused: lane = fma(d, d, lane).
    Moments (*moments)(const float* x, std::size_t n, double pivot);

    // dst[i] = float32(fma(float64(x[i]), gain, offset)); dst may be x.
    void (*rescale)(const float* x, std::size_t n, double gain, double offset, float* dst);

    // A column is a footprint at every z. Transform one block of channels of a column; position i
    // at z goes to p + i * p_stride + z * 16.
    void (*plane_input)(const Footprint& foot, const InputColumn& in, float* p,
                        std::size_t p_stride);

    // Transform such positions of one block of channels of a column back, add 'addend' and then
    // 'bias' (16 floats), replace by 'floor' what is below it, and write the outputs.
    void (*plane_output)(const Footprint& foot, const float* p, std::size_t p_stride,
                         const Addend& addend, const float* bias, float floor,
                         const OutputColumn& out);

    // The same, then the maximum of each window of 2 x 2 x 2 outputs; 'out' counts windows.
    void (*plane_output_pool)(const Footprint& foot, const float* p, std::size_t p_stride,
                              const Addend& addend, const float* bias, float floor,
                              const OutputColumn& out);

    // Transform the weights of one input and one block of outputs, [3 x][3 y][3 z][16], along x and
    // y: those of position i go to result + i * 48, [3 z][16]. 'along_x' has three factors for each
    // of n_x positions, 'along_y' for each tap along z and each of n_y positions, [3 z][n_y][3].
    // Each sum begins with a product and goes on by FMA.
    void (*plane_weights)(const float (*along_x)[3], std::size_t n_x, const float (*along_y)[3],
                          std::size_t n_y, const float* weights, float* result);

    // Transform taps along z, [n_in][3][16], to the six positions of F(4, 3), each [n_in][16] and
    // 'stride' after the one before. Those of +-3/4 have the other sign.
    void (*depth_weights)(const float* taps, std::size_t n_in, float* weights, std::size_t stride);

    // A convolution along z in place, of one position of the plane: output z of a column is the sum
    // of taps 0, 1, 2 times inputs z, z + 1, z + 2. 'p' is [n_in][n_columns][z][16] on the way in
    // and [n_out] of the same on the way out; 'weights' are taps [n_out][16 n_in][3][16], or
    // [n_out][6][16 n_in][16] from depth_weights(), with the same result; as many again are
    // prefetched. Sums over inputs run in ascending order by FMA from zero. 'scratch' has room for
    // 96 floats times (rows * (n_in + b) + (16 n_in + 1) * b), rows = n_columns (fours + twos),
    // b = kMaxProductBlocks.
    void (*conv_depth)(const DepthShape& shape, const float* weights, float* p, float* scratch);

    // The same by its definition, where as few products do. 'p' has four lines for each column: on
    // the way in the planes are those from 1 on, and none else is read; the outputs are those from
    // 0 on. 'taps' are [n_out][3][16 n_in][16], not scaled; sums run over the planes, then the
    // inputs. 'scratch' has room for 16 n_planes n_columns (n_in + kMaxProductBlocks) floats.
    void (*conv_shallow)(const ShallowShape& shape, const float* taps, float* p, float* scratch);

    // A convolution of one channel makes 4 outputs along y from 6 inputs, by F(4, 3), and takes the
    // taps along x and z as they are. first_input() transforms rows y … y + 5 of a plane, n_z
    // values each: position p goes to v + p * v_stride.
    void (*first_input)(const float* const* rows, std::size_t n_z, float* v, std::size_t v_stride);

    // One block of one plane of n_y x n_z outputs: at least 'floor', bias plus the transform of the
    // sums over the 9 taps along x and z, in C order by FMA from zero. Position p of the tile of
    // rows 4 t … lies at v + (6 t + p) * v_stride, its first tap along z first; x advances by
    // x_stride. 'w' is [6][9][16], 'out' is [n_y at out_y_stride][n_z][16].
    void (*conv_first)(const float* v, std::size_t x_stride, std::size_t v_stride, std::size_t n_y,
                       std::size_t n_z, const float* w, const float* bias, float floor, float* out,
                       std::size_t out_y_stride);

    // A convolution as it is defined: the sum over blocks of inputs, rows, taps along z and the
    // channels of a block, in this order by FMA from zero, plus 'addend' ([n][16], or nullptr),
    // plus bias, at least 'floor'. rows[r] points at the first input of row r of the first output;
    // weights are [n_in / 16][n_rows][n_taps][16 or what is left of n_in][16]; 'out' is [n][16].
    void (*conv_direct)(const DirectShape& shape, const float* const* rows, const float* weights,
                        const float* addend, const float* bias, float floor, float* out);

    // One block of outputs of a fully connected layer: out[s][o] = at least 'floor', the sum over
    // even i plus the sum over odd i of x[s][i] w[i][o], each in ascending order by FMA from zero,
    // plus bias[o]. 'w' is [n_in][16]; n_in is even.
    void (*dense)(const float* x, std::size_t x_stride, std::size_t n_samples, const float* w,
                  std::size_t n_in, const float* bias, float floor, float* out,
                  std::size_t out_stride);
};

// Each fills or overrides slots of a table; `name` is dispatch.cpp's. A function exists only where
// its instruction set can be compiled, and is called only where it can be run.
void fill_scalar(Kernels& table);
void fill_conv_scalar(Kernels& table);
#if defined(__x86_64__)
void override_avx2(Kernels& table);
void override_conv_avx2(Kernels& table);
void override_conv_avx512(Kernels& table);
#endif
#if defined(__aarch64__)
void override_neon(Kernels& table);
void override_conv_neon(Kernels& table);
#endif

}  // namespace nigro::kernels
