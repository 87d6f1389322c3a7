// The convolution kernels, written once over a vector type: included by the conv_*.cpp files only.
//
// Each of those files defines, in its own target region and anonymous namespace, the type `Vec`
// (kLanes float32 lanes: load, store, broadcast, add, sub, mul, fma, fnma, maximum) and kTileRows,
// and then includes this text, which therefore has no include guard and no includes. A lane is a
// channel and lanes never meet, so the width of Vec cannot change a result: every output value is
// made by the same operations in the same order, with FMA where fma() or fnma() stands and nowhere
// else. With one lane this is the specification. Contracts: kernels.h; the algorithm:
// docs/engine.md. SPDX-License-Identifier: Apache-2.0

// A short loop whose arrays are registers only once it is unrolled.
#if defined(__clang__)
#define NIGRO_UNROLL _Pragma("unroll")
#define NIGRO_UNROLL_4 _Pragma("unroll 4")
#define NIGRO_ROLLED _Pragma("nounroll")
#else
#define NIGRO_UNROLL _Pragma("GCC unroll 32")
#define NIGRO_UNROLL_4 _Pragma("GCC unroll 4")
#define NIGRO_ROLLED _Pragma("GCC unroll 1")
#endif

constexpr std::size_t kBlock = kChannelBlock;
constexpr std::size_t kVecs = kBlock / Vec::kLanes;  // vectors in a block of channels

// Family::of<1> … Family::of<Family::kRows>, to be called by number: sums stay in registers only if
// the compiler knows how many rows they have, so there is a function for each.
template <class Family>
struct RowTable {
    typename Family::Function of[Family::kRows + 1];

    constexpr RowTable() : of{} { fill<Family::kRows>(); }

private:
    template <int Rows>
    constexpr void fill() {
        if constexpr (Rows > 0) {
            of[Rows] = Family::template of<Rows>;
            fill<Rows - 1>();
        }
    }
};

// ------------------------------------------------------------------- one-dimensional transforms
//
// F(2, 3) interpolates at 0, 1, -1 and infinity. F(4, 3) at 0, +-3/4, +-3/2 and infinity: their
// powers are exact in float32, and the error is a fifth of that of the usual 0, +-1, +-2.
// Values of a transform that share their terms are made together: of the input's, pair() makes the
// two whose places are kPairs[Pair]; of the output's, part() makes the even ones or the odd ones.
template <int M>
struct Transform;

template <>
struct Transform<2> {
    static constexpr int kPairs[2][2] = {{0, 3}, {1, 2}};

    template <int Pair>
    static inline void pair(const Vec (&d)[4], Vec& a, Vec& b) {
        if constexpr (Pair == 0) {
            a = sub(d[0], d[2]);
            b = sub(d[1], d[3]);
        } else {
            a = add(d[1], d[2]);
            b = sub(d[2], d[1]);
        }
    }
    static inline void input(const Vec (&d)[4], Vec (&t)[4]) {
        pair<0>(d, t[0], t[3]);
        pair<1>(d, t[1], t[2]);
    }
    template <int Part>
    static inline void part(const Vec (&m)[4], Vec (&y)[1]) {
        if constexpr (Part == 0)
            y[0] = add(m[0], add(m[1], m[2]));
        else
            y[0] = sub(sub(m[1], m[2]), m[3]);
    }
};

template <>
struct Transform<4> {
    static constexpr float kA = 0.75f, kB = 1.5f;
    static constexpr float kA2 = kA * kA, kB2 = kB * kB;
    static constexpr float kSum = kA2 + kB2, kProduct = kA2 * kB2;
    static constexpr int kPairs[3][2] = {{0, 5}, {1, 2}, {3, 4}};

    template <int Pair>
    static inline void pair(const Vec (&d)[6], Vec& a, Vec& b) {
        if constexpr (Pair == 0) {
            a = fma(broadcast(kProduct), d[0], fnma(broadcast(kSum), d[2], d[4]));
            b = fma(broadcast(kProduct), d[1], fnma(broadcast(kSum), d[3], d[5]));
        } else {
            const Vec point = broadcast(Pair == 1 ? kA : kB);
            const Vec other = broadcast(Pair == 1 ? kB2 : kA2);
            const Vec even = fnma(other, d[2], d[4]), odd = fnma(other, d[1], d[3]);
            a = fma(point, odd, even);
            b = fnma(point, odd, even);
        }
    }
    static inline void input(const Vec (&d)[6], Vec (&t)[6]) {
        pair<0>(d, t[0], t[5]);
        pair<1>(d, t[1], t[2]);
        pair<2>(d, t[3], t[4]);
    }
    template <int Part>
    static inline void part(const Vec (&m)[6], Vec (&y)[2]) {
        if constexpr (Part == 0) {
            const Vec a = add(m[1], m[2]), b = add(m[3], m[4]);
            y[0] = add(m[0], add(a, b));
            y[1] = fma(broadcast(kB2), b, mul(broadcast(kA2), a));
        } else {
            const Vec a = sub(m[1], m[2]), b = sub(m[3], m[4]);
            y[0] = fma(broadcast(kB), b, mul(broadcast(kA), a));
            y[1] = fma(broadcast(kB2 * kB), b, fma(broadcast(kA2 * kA), a, m[5]));
        }
    }
};

template <int M>
inline void output_transform(const Vec (&m)[M + 2], Vec (&y)[M]) {
    Vec even[M / 2], odd[M / 2];
    Transform<M>::template part<0>(m, even);
    Transform<M>::template part<1>(m, odd);
    NIGRO_UNROLL
    for (int i = 0; i < M / 2; ++i) {
        y[2 * i] = even[i];
        y[2 * i + 1] = odd[i];
    }
}

// --------------------------------------------------------------------------------- winograd_input

// Transform one plane of the column along x and then along y, two of its transformed rows at a
// time: so they stay in registers, where the plane of 36 vectors would not.
template <int MX, int MY, int Pair>
inline void input_rows(const float* const* planes, std::size_t y_stride, std::size_t offset,
                       float* out) {
    constexpr int kX = MX + 2, kY = MY + 2;
    Vec rows[2][kY];
    NIGRO_UNROLL
    for (int y = 0; y < kY; ++y) {
        Vec d[kX];
        NIGRO_UNROLL
        for (int x = 0; x < kX; ++x) d[x] = load(planes[x] + offset + std::size_t(y) * y_stride);
        Transform<MX>::template pair<Pair>(d, rows[0][y], rows[1][y]);
    }
    NIGRO_UNROLL
    for (int row = 0; row < 2; ++row) {
        Vec t[kY];
        Transform<MY>::input(rows[row], t);
        NIGRO_UNROLL
        for (int y = 0; y < kY; ++y)
            store(out + (Transform<MX>::kPairs[Pair][row] * kY + y) * Vec::kLanes, t[y]);
    }
}

template <int MX, int MY>
inline void input_plane(const float* const* planes, std::size_t y_stride, std::size_t offset,
                        float* out) {
    input_rows<MX, MY, 0>(planes, y_stride, offset, out);
    input_rows<MX, MY, 1>(planes, y_stride, offset, out);
    if constexpr (MX == 4) input_rows<MX, MY, 2>(planes, y_stride, offset, out);
}

// Transform the planes in 'slots' along z, and write the positions of one tile.
template <int MX, int MY, int MZ>
inline void input_tile(const float* const* slots, float* v, std::size_t v_stride) {
    constexpr int kXY = (MX + 2) * (MY + 2), kZ = MZ + 2;
    NIGRO_ROLLED
    for (int xy = 0; xy < kXY; ++xy) {
        Vec d[kZ], t[kZ];
        NIGRO_UNROLL
        for (int z = 0; z < kZ; ++z) d[z] = load(slots[z] + xy * int(Vec::kLanes));
        Transform<MZ>::input(d, t);
        NIGRO_UNROLL
        for (int z = 0; z < kZ; ++z, v += v_stride) store(v, t[z]);
    }
}

// Tiles along z overlap by two planes: a ring keeps the transformed planes, so each is made once.
template <int MX, int MY, int MZ>
void winograd_input(const float* const* planes, std::size_t y_stride, std::size_t n_tiles, float* v,
                    std::size_t v_stride) {
    constexpr int kXY = (MX + 2) * (MY + 2), kZ = MZ + 2;
    alignas(64) float ring[kVecs][kZ][kXY * Vec::kLanes];
    for (std::size_t tile = 0; tile < n_tiles; ++tile)
        for (std::size_t part = 0; part < kVecs; ++part) {
            const std::size_t z0 = tile * MZ, lane = part * Vec::kLanes;
            for (std::size_t z = tile == 0 ? 0 : z0 + 2; z < z0 + kZ; ++z)
                input_plane<MX, MY>(planes, y_stride, z * kBlock + lane, ring[part][z % kZ]);
            const float* slots[kZ];
            for (int z = 0; z < kZ; ++z) slots[z] = ring[part][(z0 + std::size_t(z)) % kZ];
            input_tile<MX, MY, MZ>(slots, v + tile * kBlock + lane, v_stride);
        }
}

// ------------------------------------------------------------------------------- winograd_product

template <int Rows, int Blocks>
inline void product_rows(const float* v, const float* u, float* m, std::size_t n_tiles,
                         std::size_t n_in) {
    constexpr int kColumns = Blocks * int(kVecs);
    Vec sums[Rows][kColumns];
    NIGRO_UNROLL
    for (int row = 0; row < Rows; ++row) NIGRO_UNROLL
    for (int column = 0; column < kColumns; ++column) sums[row][column] = broadcast(0.0f);
    for (std::size_t i = 0; i < n_in; i += kBlock, v += n_tiles * kBlock) {
        NIGRO_UNROLL_4
        for (std::size_t lane = 0; lane < kBlock; ++lane, u += kBlock) {
            // What the next blocks of outputs, or the next position, multiply with here: weights
            // come from far, each once, and the CPU's own prefetching ends at every page.
            NIGRO_UNROLL
            for (int block = 0; block < Blocks; ++block)
                __builtin_prefetch(u + std::size_t(Blocks + block) * n_in * kBlock);
            Vec weights[kColumns];
            NIGRO_UNROLL
            for (int column = 0; column < kColumns; ++column)
                weights[column] = load(u + std::size_t(column) / kVecs * n_in * kBlock +
                                       std::size_t(column) % kVecs * Vec::kLanes);
            NIGRO_UNROLL
            for (int row = 0; row < Rows; ++row) {
                const Vec value = broadcast(v[std::size_t(row) * kBlock + lane]);
                NIGRO_UNROLL
                for (int column = 0; column < kColumns; ++column)
                    sums[row][column] = fma(value, weights[column], sums[row][column]);
            }
        }
    }
    NIGRO_UNROLL
    for (int row = 0; row < Rows; ++row) NIGRO_UNROLL
    for (int column = 0; column < kColumns; ++column)
        store(m + std::size_t(column) / kVecs * n_tiles * kBlock + std::size_t(row) * kBlock +
                  std::size_t(column) % kVecs * Vec::kLanes,
              sums[row][column]);
}

template <int Blocks>
struct Product {
    using Function = void (*)(const float*, const float*, float*, std::size_t, std::size_t);
    static constexpr int kRows = int(kProductVecs) / (Blocks * int(kVecs));

    template <int Rows>
    static constexpr Function of = product_rows<Rows, Blocks>;
};

template <int Blocks>
inline void product_blocks(const float* v, const float* u, float* m, std::size_t n_tiles,
                           std::size_t n_in) {
    static constexpr RowTable<Product<Blocks>> kTable;
    constexpr std::size_t kRows = Product<Blocks>::kRows;
    for (std::size_t first = 0, chunks = (n_tiles + kRows - 1) / kRows; chunks > 0; --chunks) {
        const std::size_t rows = (n_tiles - first) / chunks;
        kTable.of[rows](v + first * kBlock, u, m + first * kBlock, n_tiles, n_in);
        first += rows;
    }
}

void winograd_product(const float* v, std::size_t v_stride, const float* u, float* m,
                      std::size_t m_stride, std::size_t n_positions, std::size_t n_tiles,
                      std::size_t n_in, std::size_t n_out) {
    for (std::size_t p = 0; p < n_positions; ++p, v += v_stride, u += n_in * n_out, m += m_stride) {
        std::size_t out = 0;
        for (; out + kProductBlocks * kBlock <= n_out; out += kProductBlocks * kBlock)
            product_blocks<kProductBlocks>(v, u + out * n_in, m + out * n_tiles, n_tiles, n_in);
        if constexpr (kProductBlocks > 1)
            for (; out < n_out; out += kBlock)
                product_blocks<1>(v, u + out * n_in, m + out * n_tiles, n_tiles, n_in);
    }
}

// -------------------------------------------------------------------------------- winograd_output

// Transform the sums of one tile along z and then along x: [MZ][MX][MY + 2] vectors. Even and odd z
// apart, so that the planes between the two transforms stay in registers.
template <int MX, int MY, int MZ, int Part>
inline void output_planes(const float* m, std::size_t m_stride, float* rows) {
    constexpr int kX = MX + 2, kY = MY + 2, kZ = MZ + 2;
    Vec planes[MZ / 2][kX];
    NIGRO_UNROLL
    for (int x = 0; x < kX; ++x) {
        Vec sums[kZ], t[MZ / 2];
        NIGRO_UNROLL
        for (int z = 0; z < kZ; ++z) sums[z] = load(m + std::size_t(x * kY * kZ + z) * m_stride);
        Transform<MZ>::template part<Part>(sums, t);
        NIGRO_UNROLL
        for (int z = 0; z < MZ / 2; ++z) planes[z][x] = t[z];
    }
    NIGRO_UNROLL
    for (int z = 0; z < MZ / 2; ++z) {
        Vec t[MX];
        output_transform<MX>(planes[z], t);
        NIGRO_UNROLL
        for (int x = 0; x < MX; ++x)
            store(rows + ((2 * z + Part) * MX + x) * kY * int(Vec::kLanes), t[x]);
    }
}

template <int MX, int MY, int MZ>
inline void output_rows(const float* m, std::size_t m_stride, float* rows) {
    NIGRO_ROLLED
    for (int y = 0; y < MY + 2; ++y) {
        const float* source = m + std::size_t(y * (MZ + 2)) * m_stride;
        output_planes<MX, MY, MZ, 0>(source, m_stride, rows + y * int(Vec::kLanes));
        output_planes<MX, MY, MZ, 1>(source, m_stride, rows + y * int(Vec::kLanes));
    }
}

template <int MY>
inline void output_row(const float* row, Vec (&values)[MY]) {
    Vec sums[MY + 2];
    NIGRO_UNROLL
    for (int y = 0; y < MY + 2; ++y) sums[y] = load(row + y * Vec::kLanes);
    output_transform<MY>(sums, values);
}

template <int MX, int MY, int MZ>
void winograd_output(const float* m, std::size_t m_stride, std::size_t n_tiles, const float* bias,
                     float floor, const OutputColumn& out) {
    constexpr int kRow = (MY + 2) * int(Vec::kLanes);
    alignas(64) float rows[MZ * MX * kRow];
    for (std::size_t tile = 0; tile < n_tiles; ++tile) {
        for (std::size_t lane = 0; lane < kBlock; lane += Vec::kLanes) {
            const Vec offset = load(bias + lane), least = broadcast(floor);
            output_rows<MX, MY, MZ>(m + tile * kBlock + lane, m_stride, rows);
            for (std::size_t z = 0; z < MZ && tile * MZ + z < out.n_z; ++z) {
                for (std::size_t x = 0; x < MX && x < out.n_x; ++x) {
                    Vec values[MY];
                    output_row<MY>(rows + (z * MX + x) * kRow, values);
                    float* target = out.values + x * out.x_stride + (tile * MZ + z) * kBlock + lane;
                    NIGRO_UNROLL
                    for (int y = 0; y < MY; ++y)
                        if (std::size_t(y) < out.n_y)
                            store(target + std::size_t(y) * out.y_stride,
                                  maximum(least, add(values[y], offset)));
                }
            }
        }
    }
}

// The maxima of the windows of two rows of a plane.
template <int MY>
inline void pool_rows(const float* rows, Vec (&pooled)[MY / 2]) {
    Vec first[MY], second[MY];
    output_row<MY>(rows, first);
    output_row<MY>(rows + (MY + 2) * Vec::kLanes, second);
    NIGRO_UNROLL
    for (int y = 0; y < MY / 2; ++y)
        pooled[y] = maximum(maximum(first[2 * y], first[2 * y + 1]),
                            maximum(second[2 * y], second[2 * y + 1]));
}

template <int MX, int MY, int MZ>
void winograd_output_pool(const float* m, std::size_t m_stride, std::size_t n_tiles,
                          const float* bias, float floor, const OutputColumn& out) {
    constexpr int kRow = (MY + 2) * int(Vec::kLanes);
    alignas(64) float rows[MZ * MX * kRow];
    for (std::size_t tile = 0; tile < n_tiles; ++tile) {
        for (std::size_t lane = 0; lane < kBlock; lane += Vec::kLanes) {
            const Vec offset = load(bias + lane), least = broadcast(floor);
            output_rows<MX, MY, MZ>(m + tile * kBlock + lane, m_stride, rows);
            for (std::size_t z = 0; z < MZ / 2 && tile * (MZ / 2) + z < out.n_z; ++z) {
                for (std::size_t x = 0; x < MX / 2 && x < out.n_x; ++x) {
                    Vec front[MY / 2], back[MY / 2];
                    pool_rows<MY>(rows + (2 * z * MX + 2 * x) * kRow, front);
                    pool_rows<MY>(rows + ((2 * z + 1) * MX + 2 * x) * kRow, back);
                    float* target =
                        out.values + x * out.x_stride + (tile * (MZ / 2) + z) * kBlock + lane;
                    NIGRO_UNROLL
                    for (int y = 0; y < MY / 2; ++y)
                        if (std::size_t(y) < out.n_y)
                            store(target + std::size_t(y) * out.y_stride,
                                  maximum(least, add(maximum(front[y], back[y]), offset)));
                }
            }
        }
    }
}

// ---------------------------------------------------------------------------------- first_input

inline void first_input_block(const float* const* rows, float* v, std::size_t v_stride) {
    for (std::size_t lane = 0; lane < kBlock; lane += Vec::kLanes) {
        Vec d[6], t[6];
        NIGRO_UNROLL
        for (int y = 0; y < 6; ++y) d[y] = load(rows[y] + lane);
        Transform<4>::input(d, t);
        NIGRO_UNROLL
        for (int p = 0; p < 6; ++p) store(v + std::size_t(p) * v_stride + lane, t[p]);
    }
}

// Values along z are the lanes here; the last ones, where they fill no block, pass through a copy.
void first_input(const float* const* rows, std::size_t n_z, float* v, std::size_t v_stride) {
    std::size_t z = 0;
    for (; z + kBlock <= n_z; z += kBlock) {
        const float* block[6];
        for (int y = 0; y < 6; ++y) block[y] = rows[y] + z;
        first_input_block(block, v + z, v_stride);
    }
    if (z == n_z) return;
    float in[6][kBlock] = {}, out[6][kBlock];
    const float* block[6];
    for (int y = 0; y < 6; ++y) {
        block[y] = in[y];
        for (std::size_t i = z; i < n_z; ++i) in[y][i - z] = rows[y][i];
    }
    first_input_block(block, out[0], kBlock);
    for (std::size_t p = 0; p < 6; ++p)
        for (std::size_t i = z; i < n_z; ++i) v[p * v_stride + i] = out[p][i - z];
}

// ------------------------------------------------------------------------------------ conv_first

// Sums of one position for Rows values of z: 9 taps along x and z.
template <int Rows>
inline void first_rows(const float* v, std::size_t x_stride, const float* w, float* m) {
    Vec sums[Rows][kVecs];
    NIGRO_UNROLL
    for (int row = 0; row < Rows; ++row) NIGRO_UNROLL
    for (std::size_t k = 0; k < kVecs; ++k) sums[row][k] = broadcast(0.0f);
    for (std::size_t x = 0; x < 3; ++x, v += x_stride)
        for (std::size_t z = 0; z < 3; ++z, w += kBlock) {
            Vec weights[kVecs];
            NIGRO_UNROLL
            for (std::size_t k = 0; k < kVecs; ++k) weights[k] = load(w + k * Vec::kLanes);
            NIGRO_UNROLL
            for (int row = 0; row < Rows; ++row) {
                const Vec value = broadcast(v[z + std::size_t(row)]);
                NIGRO_UNROLL
                for (std::size_t k = 0; k < kVecs; ++k)
                    sums[row][k] = fma(value, weights[k], sums[row][k]);
            }
        }
    NIGRO_UNROLL
    for (int row = 0; row < Rows; ++row) NIGRO_UNROLL
    for (std::size_t k = 0; k < kVecs; ++k)
        store(m + std::size_t(row) * kBlock + k * Vec::kLanes, sums[row][k]);
}

struct First {
    using Function = void (*)(const float*, std::size_t, const float*, float*);
    static constexpr int kRows = int(kProductVecs) / int(kVecs);

    template <int Rows>
    static constexpr Function of = first_rows<Rows>;
};

// Transform the sums of n_z values of z back: 4 outputs along y from 6 positions.
inline void first_output(const float* m, std::size_t m_stride, std::size_t n_y, std::size_t n_z,
                         const float* bias, float floor, float* out, std::size_t y_stride) {
    for (std::size_t i = 0; i < n_z * kBlock; i += Vec::kLanes) {
        Vec sums[6], values[4];
        NIGRO_UNROLL
        for (int p = 0; p < 6; ++p) sums[p] = load(m + std::size_t(p) * m_stride + i);
        output_transform<4>(sums, values);
        NIGRO_UNROLL
        for (int y = 0; y < 4; ++y)
            if (std::size_t(y) < n_y)
                store(out + std::size_t(y) * y_stride + i,
                      maximum(broadcast(floor), add(values[y], load(bias + i % kBlock))));
    }
}

void conv_first(const float* v, std::size_t x_stride, std::size_t v_stride, std::size_t n_y,
                std::size_t n_z, const float* w, const float* bias, float floor, float* out,
                std::size_t out_y_stride) {
    static constexpr RowTable<First> kTable;
    constexpr std::size_t kRows = First::kRows, kPart = 24;  // of z: sums of 9 kB
    alignas(64) float m[6 * kPart * kBlock];
    for (std::size_t y = 0; y < n_y; y += 4, v += 6 * v_stride, out += 4 * out_y_stride)
        for (std::size_t part = 0; part < n_z; part += kPart) {
            const std::size_t count = n_z - part < kPart ? n_z - part : kPart;
            for (std::size_t p = 0; p < 6; ++p)
                for (std::size_t first = 0, chunks = (count + kRows - 1) / kRows; chunks > 0;
                     --chunks) {
                    const std::size_t rows = (count - first) / chunks;
                    kTable.of[rows](v + p * v_stride + part + first, x_stride, w + p * 9 * kBlock,
                                    m + (p * kPart + first) * kBlock);
                    first += rows;
                }
            first_output(m, kPart * kBlock, n_y - y, count, bias, floor, out + part * kBlock,
                         out_y_stride);
        }
}

// ----------------------------------------------------------------------------------------- dense

// Two chains of sums, of the even and of the odd inputs: twice the speed of one.
template <int Samples>
inline void dense_samples(const float* x, std::size_t x_stride, const float* w, std::size_t n_in,
                          const float* bias, float floor, float* out, std::size_t out_stride) {
    Vec even[Samples][kVecs], odd[Samples][kVecs];
    NIGRO_UNROLL
    for (int sample = 0; sample < Samples; ++sample) NIGRO_UNROLL
    for (std::size_t k = 0; k < kVecs; ++k) even[sample][k] = odd[sample][k] = broadcast(0.0f);
    for (std::size_t i = 0; i < n_in; i += 2, w += 2 * kBlock) {
        NIGRO_UNROLL
        for (int sample = 0; sample < Samples; ++sample) {
            const Vec a = broadcast(x[std::size_t(sample) * x_stride + i]);
            const Vec b = broadcast(x[std::size_t(sample) * x_stride + i + 1]);
            NIGRO_UNROLL
            for (std::size_t k = 0; k < kVecs; ++k) {
                even[sample][k] = fma(a, load(w + k * Vec::kLanes), even[sample][k]);
                odd[sample][k] = fma(b, load(w + kBlock + k * Vec::kLanes), odd[sample][k]);
            }
        }
    }
    NIGRO_UNROLL
    for (int sample = 0; sample < Samples; ++sample) NIGRO_UNROLL
    for (std::size_t k = 0; k < kVecs; ++k)
        store(out + std::size_t(sample) * out_stride + k * Vec::kLanes,
              maximum(broadcast(floor),
                      add(add(even[sample][k], odd[sample][k]), load(bias + k * Vec::kLanes))));
}

void dense(const float* x, std::size_t x_stride, std::size_t n_samples, const float* w,
           std::size_t n_in, const float* bias, float floor, float* out, std::size_t out_stride) {
    std::size_t sample = 0;
    for (; sample + 2 <= n_samples; sample += 2)
        dense_samples<2>(x + sample * x_stride, x_stride, w, n_in, bias, floor,
                         out + sample * out_stride, out_stride);
    if (sample < n_samples)
        dense_samples<1>(x + sample * x_stride, x_stride, w, n_in, bias, floor,
                         out + sample * out_stride, out_stride);
}

// ----------------------------------------------------------------------------------------- table

template <int MX, int MY, int MZ>
constexpr WinogradKernels winograd_kernels() {
    return {winograd_input<MX, MY, MZ>, winograd_output<MX, MY, MZ>,
            winograd_output_pool<MX, MY, MZ>};
}

void fill_conv(Kernels& table) {
    table.winograd[kTile444] = winograd_kernels<4, 4, 4>();
    table.winograd[kTile442] = winograd_kernels<4, 4, 2>();
    table.winograd[kTile222] = winograd_kernels<2, 2, 2>();
    table.winograd_product = winograd_product;
    table.first_input = first_input;
    table.conv_first = conv_first;
    table.dense = dense;
}
